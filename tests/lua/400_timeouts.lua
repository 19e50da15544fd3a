-- SPDX-License-Identifier: MIT
--
-- Timeouts: never early, for the call as a whole, zero never waits.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal, takes = check.test, check.equal, check.takes

test("receive", function()
  local a, b = check.pair { timeout = 0.1 }
  takes(0.1, function() check.stops("timeout", "", a:receive(10)) end)
  takes(0.1, function() check.stops("timeout", "", a:recv(10)) end)
  a:settimeout(0)
  takes(0, function() check.stops("timeout", "", a:receive(10)) end)
  equal(a:settimeout(0.0001), 1)
  takes(0.001, function() check.stops("timeout", "", a:receive(10)) end)
  a:close()
  b:close()
end)

-- Of the core: the layer takes a negative time for "for ever", as LuaSocket does.
test("times_below_minus_one_are_invalid", function()
  local core = require "virtsock.core"
  local address = assert(core.address_parse(check.address()))
  local listener = assert(core.listen(address, nil))
  local stream = assert(core.connect_start(address, nil))
  check.fails("invalid", "-1 for ever", core.stream_connect(stream, -2))
  assert(core.stream_connect(stream, 5000))
  equal(select(2, core.accept(listener, -2)), "invalid")
  equal(select(2, core.stream_send(stream, "x", -2)), "invalid")
  equal(select(2, core.stream_recv(stream, 1, -2)), "invalid")
  equal(select(2, core.stream_close(stream, -2)), "invalid")
  equal(core.stream_fd(stream), -1)
  core.listener_close(listener)
end)

test("the_call_as_a_whole", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair { timeout = 0.1 }
  for _, pattern in ipairs { "*l", "*a", 100 } do
    b:send("part")
    takes(0.1, function() check.stops("timeout", "part", a:receive(pattern)) end)
  end
  a:close()
  b:close()
end)

-- Another process sends a byte every 50 ms: each receive of the core is in time, all together are not.
test("a_peer_that_drips", function()
  if check.seqpacket then check.skip("for byte streams") end
  local listener = assert(virtsock.listen(check.address(), { timeout = 10 }))
  local first = 0
  while arg[first - 1] do first = first - 1 end
  local program = "local s = assert(require [[virtsock]].connect([[" .. tostring(listener:address()) .. "]], { timeout = 0.05 })) "
    .. "s:send [[xxxxxxxxxxxxx]] for _ = 1, 60 do if not s:send [[x]] then break end s:receive(1) end"
  for _, pattern in ipairs { "*l", "*a", 100 } do
    local child = io.popen((check.windows and '%s -e "%s" 2>&1' or "%s -e '%s' 2>&1"):format(arg[first], program))
    local stream = assert(listener:accept())
    stream:settimeout(0.3)              -- each wait is shorter
    assert(#assert(stream:receive(12)) == 12)
    stream:settimeout(0.3, "t")
    takes(0.3, function()
      local data, word, partial = stream:receive(pattern)
      equal(data, nil)
      equal(word, "timeout")
      assert(#partial > 0, "nothing came")
    end)
    stream:close()
    equal(child:read("*a"), "")
    child:close()
  end
  listener:close()
end)

test("modes", function()
  local a, b = check.pair()
  local function are(block, total)
    local x, y = a:gettimeout()
    equal(x, block)
    equal(y, total)
  end
  a:settimeout(2, "t")
  are(-1, 2)
  a:settimeout(3, "b")
  are(3, 2)
  a:settimeout(nil, "t")
  are(3, -1)
  a:settimeout(1, "t")
  a:settimeout(4)
  are(4, -1)
  for _, bad in ipairs { "x", "bt", true } do check.raises("expected", a.settimeout, a, 1, bad) end
  for _, limits in ipairs { { 0.05, 5 }, { 5, 0.05 } } do
    a:settimeout(limits[1], "b")
    a:settimeout(limits[2], "t")
    takes(0.05, function() check.stops("timeout", "", a:receive(10)) end)
  end
  a:settimeout(0, "b")
  takes(0, function() check.stops("timeout", "", a:receive(10)) end)
  a:settimeout(5, "b")
  a:settimeout(0, "t")
  takes(0, function() check.stops("timeout", "", a:receive(10)) end)
  a:close()
  b:close()
end)

test("send", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair { timeout = 0.1 }
  local much = ("x"):rep(2 ^ 24)
  takes(0.1, function() equal((select(2, a:send(much))), "timeout") end)
  a:settimeout(0)
  takes(0, function() check.stops("timeout", 0, a:send("x")) end)
  a:close()
  b:close()
end)

test("accept", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 0.1 }))
  takes(0.1, function() check.stops("timeout", nil, listener:accept()) end)
  listener:settimeout(0)
  takes(0, function() check.stops("timeout", nil, listener:accept()) end)
  listener:close()
end)

test("an_accepted_stream_waits_for_ever_by_default", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 5 }))
  local a = assert(virtsock.connect(listener:address()))
  local b = assert(listener:accept())
  for _, stream in ipairs { a, b } do
    local block, total = stream:gettimeout()
    equal(block, -1)
    equal(total, -1)
  end
  a:close()
  b:close()
  listener:close()
end)

test("data_that_is_there_needs_no_time", function()
  local a, b = check.pair { timeout = 0 }
  a:send("now")
  if check.vsock then b:settimeout(5) end
  equal(b:receive(3), "now")
  a:close()
  b:close()
end)

test("seconds", function()
  local a, b = check.pair()
  for _, forever in ipairs { -1, math.huge } do
    a:settimeout(1)
    a:settimeout(forever)
    equal(a:gettimeout(), -1)
  end
  a:settimeout(1)
  a:settimeout(nil)
  equal(a:gettimeout(), -1)
  a:settimeout(2.0001)
  equal(a:gettimeout(), 2.001)
  a:settimeout(2147483)
  equal(a:gettimeout(), 2147483)
  check.raises("too many", a.settimeout, a, 2147484)
  a:close()
  b:close()
end)

test("connect", function()
  if check.vsock then check.skip("a full backlog refuses there") end
  local listener = assert(virtsock.listen(check.address(), { backlog = 1 }))
  local streams, message, status = {}, nil, nil
  takes(0.1, function()
    repeat
      streams[#streams + 1], message, status = virtsock.connect(listener:address(), { timeout = 0.1 })
    until message
  end)
  equal(status, "timeout", message)
  for _, stream in ipairs(streams) do stream:close() end
  listener:close()
end)

-- The interpreter's handler only asks the machine to raise: the wait must end, and the call must not begin it again before that.
test("ctrl_c_ends_a_wait", function()
  if check.windows then check.skip("no process sends another a signal") end
  local a, b = check.pair { timeout = 10 }
  local shell = io.popen("sleep 0.2; kill -INT $PPID")
  local took = check.elapsed(check.raises, "interrupted", a.receive, a, 1)
  shell:close()
  assert(took < 5, took)
  b:send("whole")
  equal(a:receive(5), "whole")
  a:close()
  b:close()
end)

-- A signal whose handler says nothing to Lua; only LuaJIT can set one without other modules, and takes any C function.
test("a_signal_cuts_no_close_short", function()
  local found, ffi = pcall(require, "ffi")
  if not found or check.windows then check.skip("no handler can be set") end
  ffi.cdef [[
    struct timing { long every[2], first[2]; };
    int setitimer(int which, const struct timing *new, struct timing *old);
    void (*signal(int number, void (*handler)(int)))(int);
    int abs(int);
  ]]
  local function storm(us)
    ffi.C.signal(14, ffi.cast("void (*)(int)", ffi.C.abs))
    ffi.C.setitimer(0, ffi.new("struct timing", { { 0, us }, { 0, us } }), nil)
  end
  for _, how in ipairs { "close", "finish" } do
    local a, b = check.pair { timeout = 10, linger = 0.3 }
    storm(20000)
    check.takes(0.3, function() check.stops("timeout", nil, a[how](a, 0.3)) end)
    storm(0)
    equal(a:getfd(), -1)
    b:abort()
  end
end)

check.run()
