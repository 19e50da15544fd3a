-- SPDX-License-Identifier: MIT
--
-- Errors: what makes fails with nil, message, status, advice; what sends and receives with nil, word, partial, message; misuse raises.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

test("makers_say_what_and_why", function()
  local text = check.address()
  local stream, message, status, advice, more = virtsock.connect(text, { timeout = 5 })
  check.fails("refused", "connect " .. tostring(virtsock.address(text)) .. ":", stream, message, status)
  assert(advice == nil or #advice > 0)
  equal(more, nil)
  local ok, raised = pcall(function() assert(virtsock.connect(text, { timeout = 5 })) end)
  equal(ok, false)
  equal(raised:find("connect ", 1, true) ~= nil, true)
end)

test("every_maker_has_the_same_shape", function()
  check.fails("invalid", "the port is missing", virtsock.address("vsock://3"))
  check.fails("invalid", "the port is missing", virtsock.connect("vsock://3"))
  check.fails("invalid", "the port is missing", virtsock.listen("vsock://3"))
  check.fails("invalid", "the port is missing", virtsock.resolve("vsock://3"))
  check.fails("unsupported", "dgram", virtsock.connect("unix:///tmp/x?type=dgram"))
end)

test("messages_have_no_control_characters", function()
  for _, hidden in ipairs { "\27", "\127", "\194\128", "\194\155", "\216\156", "\226\128\143", "\226\128\174", "\226\129\166" } do
    local address, message, status = virtsock.address("no:" .. hidden .. ".")
    check.fails("invalid", "parse no:?.: ", address, message, status)
    equal(message:find(hidden, 1, true), nil)
  end
  check.fails("invalid", "parse no:\194\160.: ", virtsock.address "no:\194\160.")
end)

test("advice_is_apart", function()
  local ok, message, status, advice = virtsock.connect("hvsock://a-name/5000")
  equal(ok, nil)
  assert(#message > 0 and #status > 0)
  assert(advice == nil or not message:find(advice, 1, true))
end)

test("io_has_the_words_of_luasocket", function()
  local a, b = check.pair { timeout = 0 }
  check.stops("timeout", "", a:receive(1))
  local _, _, _, message, advice = a:receive(1)
  equal(message, "recv: not ready")
  equal(advice, nil)
  check.stops("timeout", "", a:recv(1))
  b:close()
  a:settimeout(5)
  check.stops("closed", "", a:receive(1))
  check.stops("closed", "", a:receive(1))
  a:close()
  check.stops("closed", "", a:receive(1))
  check.stops("closed", 0, a:send("x"))
end)

test("misuse_raises_and_harms_nothing", function()
  local a, b = check.pair { timeout = 5 }
  for _, bad in ipairs { 3, true, {}, print } do
    check.raises("string expected", a.send, a, bad)
    check.raises("prefix: string expected", a.receive, a, 5, bad)
    check.raises("number of bytes", a.recv, a, {})
    check.raises("expected, got", a.shutdown, a, bad)
  end
  check.raises("string expected", a.send, a, nil)
  for _, bad in ipairs { -1, 1.5, 0 / 0, 1 / 0, "*x", "5", true, {} } do
    check.raises("bytes", a.receive, a, bad)
    check.raises("number of bytes", a.recv, a, bad)
    check.raises("number of bytes", a.recv_exact, a, bad)
  end
  check.raises("index", a.send, a, "x", 1.5)
  check.raises("index", a.send, a, "x", 1, 0 / 0)
  check.raises("seconds", a.settimeout, a, "5")
  check.raises("seconds", a.finish, a, {})
  check.raises("no item", a.get, a, "smoke")
  check.raises("100_errors.lua", function() a:send(nil) end)
  equal(a:send("whole"), 5)
  equal(b:receive(5), "whole")
  a:close()
  b:close()
end)

test("no_handle_is_an_error_and_no_crash", function()
  local others = { nil, 5, "x", true, {}, io.stdout, print, coroutine.create(function() end), core.options_new(),
    core.address_hyperv("", "1") }
  for i = 1, 10 do
    check.raises("stream expected", core.stream_send, others[i], "x", 0)
    check.raises("stream expected", core.stream_recv, others[i], 1, 0)
    check.raises("stream expected", core.stream_close, others[i], 0)
    check.raises("stream expected", core.stream_fd, others[i])
    check.raises("stream expected", core.stream_wants, others[i])
    check.raises("stream expected", core.stream_detach, others[i])
    check.raises("listener expected", core.accept, others[i], 0)
    check.raises("listener expected", core.listener_close, others[i])
    if i < 10 then check.raises("address expected", core.connect, others[i], nil) end
    check.raises("expected", core.connect_start, others[i], others[10])
  end
  check.raises("", virtsock.connect, nil)
  check.raises("", virtsock.listen, nil)
  check.raises("", virtsock.connect)
end)

test("numbers_of_the_core_are_exact", function()
  if check.ffi then check.skip("of the functions that SWIG makes") end
  local a, b = check.pair()
  for _, bad in ipairs { "5", 3.7, 2 ^ 31, -2 ^ 31 - 1, 0 / 0, 1 / 0, 2 ^ 53 + 1 } do
    check.raises("whole number expected", core.stream_recv, a, 1, bad)
    check.raises("whole number expected", core.stream_close, a, bad)
  end
  for _, bad in ipairs { "5", 3.7, -1, 2 ^ 31, 0 / 0, 2 ^ 53 + 1, 2 ^ 63 } do
    check.raises("size expected", core.stream_recv, a, bad, 0)
    check.raises("size expected", core.stream_recv_exact, a, bad, 0)
  end
  check.raises("expected", core.stream_recv, a, 1)
  check.raises("expected", core.stream_recv, a, 1, 0, 0)
  a:close()
  b:close()
end)

check.run()
