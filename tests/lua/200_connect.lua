-- SPDX-License-Identifier: MIT
--
-- Connecting, listening and accepting: what both ends know, waiting for a late listener, steps that never block.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

test("connect_and_accept", function()
  local text = check.address()
  local listener = assert(virtsock.listen(text, { timeout = 5 }))
  equal(listener:address(), virtsock.address(text))
  local a = assert(virtsock.connect(text, { timeout = 5 }))
  local b = assert(listener:accept())
  assert(a:getfd() >= 0 and b:getfd() >= 0 and listener:getfd() >= 0)
  equal(a:peer(), virtsock.address(text))
  equal(b:address(), virtsock.address(text))
  equal(a:get("attempts"), 1)
  equal(b:get("attempts"), 0)
  equal(a:get("type"), check.seqpacket and core.TYPE_SEQPACKET or core.TYPE_STREAM)
  equal(tostring(a), "virtsock.stream (fd " .. a:getfd() .. ")")
  equal(tostring(listener), "virtsock.listener (fd " .. listener:getfd() .. ")")
  equal(a:send("ping"), 4)
  equal(b:receive(4), "ping")
  for _, handle in ipairs { a, b, listener } do handle:close() end
  equal(tostring(a), "virtsock.stream (fd -1)")
end)

test("an_address_of_any_kind", function()
  local address = assert(virtsock.address(check.address()))
  local listener = assert(virtsock.listen(address))
  for _, to in ipairs { address, tostring(address) } do assert(virtsock.connect(to)):close() end
  if check.transport == "unix" then assert(virtsock.connect { path = address.path }):close() end
  listener:close()
end)

test("refused_and_in_use", function()
  local text = check.address()
  check.fails("refused", "connect", virtsock.connect(text))
  local listener = assert(virtsock.listen(text))
  check.fails("in use", "listen", virtsock.listen(text))
  listener:close()
  check.fails("refused", "connect", virtsock.connect(text))
end)

-- A listener for one client alone still waits for it.
test("a_second_listener_is_nobody_s_client", function()
  local text = check.address()
  local listener = assert(virtsock.listen(text, { timeout = 0 }))
  check.fails("in use", "listen", virtsock.listen(text))
  check.stops("timeout", nil, listener:accept())
  listener:close()
end)

test("a_crowd_waits_to_be_accepted", function()
  local text = check.address()
  local listener, crowd = assert(virtsock.listen(text)), {}
  for i = 1, 300 do crowd[i] = assert(virtsock.connect(text, { connect_timeout = 5 })) end
  for i = 1, 300 do crowd[i]:abort() end                -- a close would wait for each, over Hyper-V
  listener:close()
end)

test("waits_and_tells_the_last_cause", function()
  local text = check.address()
  check.takes(0.15, function()
    local stream, message, status = virtsock.connect(text, { wait = 0.15, backoff_first = 0.01, backoff_max = 0.02 })
    check.fails("timeout", "connect", stream, message, status)
  end)
end)

test("who_hangs_up_without_a_byte_is_not_there_yet", function()
  if check.windows then check.skip("Windows has no STAYS") end
  local text = check.address()
  local listener = assert(virtsock.listen(text, { timeout = 5 }))
  local stream = assert(virtsock.connect_start(text, { timeout = 0, stays = 0.1 }))
  check.stops("timeout", nil, stream:connect())
  assert(listener:accept()):abort()
  stream:settimeout(5)
  local ok, status, _, message = stream:connect()
  equal(ok, nil)
  equal(status, "refused")
  assert(message:find("hung up", 1, true), message)
  local kept = assert(virtsock.connect_start(text, { timeout = 0, stays = 0.1 }))
  check.stops("timeout", nil, kept:connect())
  local other = assert(listener:accept())
  kept:settimeout(5)
  equal(kept:connect(), true)
  kept:close()
  other:close()
  listener:close()
end)

test("steps_never_block", function()
  local address = assert(virtsock.address(check.address()))
  local native = core.address_parse(tostring(address))
  local options = core.options_new()
  core.options_set(options, core.OPTION_WAIT, 5000)
  local handle = assert(core.connect_start(native, options))
  check.fails("again", "", core.stream_connect(handle, 0))
  local fd, events, ms = core.stream_wants(handle)
  assert(fd >= -1 and events >= 0 and ms >= -1 and ms <= 5001)     -- no wait ends early: one ms is added
  local listener = assert(virtsock.listen(address, { timeout = 5 }))
  equal(core.stream_connect(handle, 5000), true)
  local b = assert(listener:accept())
  equal(core.stream_send(handle, "x", 0), 1)
  b:settimeout(5)
  equal(b:receive(1), "x")
  core.stream_close(handle, 0)
  b:close()
  listener:close()
end)

-- What a loop does: one step, then a wait for what the stream wants.
test("connect_start", function()
  local address = check.address()
  local stream = assert(virtsock.connect_start(address, { timeout = 0, wait = 10, backoff_first = 0.01 }))
  check.stops("timeout", nil, stream:connect())
  assert(("r w rw"):find(stream:events()) and (stream:timeout() == nil or stream:timeout() >= 0))
  equal(stream:getfd(), stream:pollfd())
  local listener = assert(virtsock.listen(address, { timeout = 5 }))
  stream:settimeout(5)
  equal(stream:connect(), true)
  equal(stream:connect(), true)
  local b = assert(listener:accept())
  equal(stream:send("x"), 1)
  b:settimeout(5)
  equal(b:receive(1), "x")
  b:close()
  stream:close()
  listener:close()
  stream = assert(virtsock.connect_start(check.address()))
  check.stops("refused", nil, stream:connect())
  check.stops("refused", nil, stream:connect())
  stream:close()
  check.stops("closed", nil, stream:connect())
  check.fails("invalid", "name", virtsock.connect_start("hvsock://a-name/5000"))
end)

test("clients", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 0.05 }))
  local mine, count = {}, 0
  for i = 1, 3 do mine[i] = assert(virtsock.connect(listener:address())) end
  for stream in listener:clients() do
    count = count + 1
    stream:close()
    if count == 5 then break end
  end
  equal(count, 3)
  listener:close()
  for _ in listener:clients() do error("a client of a closed listener") end
  for i = 1, 3 do mine[i]:close() end
end)

test("detach_and_adopt", function()
  local a, b = check.pair { timeout = 5 }
  local fd = assert(a:detach())
  equal(a:getfd(), -1)
  check.stops("closed", 0, a:send("x"))
  check.fails("cancelled", "closed", a:detach())
  local again = assert(virtsock.connect("fd://" .. ("%d"):format(fd), { timeout = 5 }))
  equal(again:getfd(), fd)
  equal(again:send("back"), 4)
  equal(b:receive(4), "back")
  again:close()
  b:close()
  check.fails("invalid", "", virtsock.connect("fd://9999"))
end)

-- A rule that sockets of that family cannot keep: the descriptor stays whose it was.
test("what_is_not_adopted_stays_as_it_was", function()
  if not check.unix then check.skip "for UNIX sockets" end
  local text = check.address()
  local listener = assert(virtsock.listen(text, { timeout = 5 }))
  local at = ("fd://%d"):format(listener:getfd())
  check.fails("unsupported", "cannot tell", virtsock.listen(at, { allow = { "3" } }))
  local a = assert(virtsock.connect(text, { timeout = 5 }))
  assert(listener:accept()):close()
  a:close()
  listener:close()
end)

test("a_step_in_a_pause_begins_nothing", function()
  if not check.unix then check.skip "a UNIX socket refuses in the first step" end
  local stream = assert(virtsock.connect_start(check.address(),
    { timeout = 0, wait = 600, backoff_first = 60, backoff_max = 60 }))
  for _ = 1, 5 do
    check.stops("timeout", nil, stream:connect())
    equal(stream:get("attempts"), 1)
    assert(stream:timeout() > 0 and stream:timeout() <= 60)
  end
  stream:close()
end)

test("the_system_chooses_a_port", function()
  if not check.vsock then check.skip("ports are vsock's") end
  local listener = assert(virtsock.listen("vsock://local:any" .. (check.seqpacket and "?type=seqpacket" or "")))
  assert(listener:address().port ~= virtsock.PORT_ANY)
  listener:close()
end)

check.run()
