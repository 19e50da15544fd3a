-- SPDX-License-Identifier: MIT
--
-- Hostile use: wrong types, huge numbers, handles that are closed or are none, errors in the middle of everything, collectors that call back.
-- An error each, never a crash; the descriptors are counted after every test.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

local unpack = table.unpack or unpack
local function none() end
local odd = {
  false, true, 0, -1, 1.5, 2 ^ 31, 2 ^ 32 - 1, 2 ^ 32, 2 ^ 53, 2 ^ 63, -2 ^ 63, 1 / 0, -1 / 0, 0 / 0,
  "", "\0", "x", ("x"):rep(70000), "5", "*a", "*l",
  {}, { 1 }, none, coroutine.create(none), io.stdout, setmetatable({}, { __index = function() error "in __index" end }),
  setmetatable({}, { __tostring = function() error "in __tostring" end }),
}

-- Every method with every odd argument in each of three places: an error or an answer.
local function torment(object, methods, skip)
  for _, name in ipairs(methods) do
    for place = 1, skip and skip[name] or 3 do
      for i = 1, #odd + 1 do
        local arguments = { nil, nil, nil }
        arguments[place] = odd[i]
        pcall(object[name], object, unpack(arguments, 1, 3))
      end
    end
    for i = 1, #odd + 1 do
      local fine, message = pcall(object[name], odd[i])
      if fine then error(name .. " takes " .. tostring(odd[i]) .. " for its object") end
      assert(type(message) == "string" or type(message) == "nil" or message)
    end
  end
end

local methods = { "send", "receive", "recv", "recv_exact", "lines", "connect", "settimeout", "gettimeout", "getfd", "pollfd", "events", "timeout",
  "dirty", "getstats", "peer", "address", "getpeername", "getsockname", "get", "shutdown", "finish", "detach", "abort", "close" }
local listening = { "accept", "clients", "settimeout", "gettimeout", "getfd", "pollfd", "address", "getsockname", "close" }

test("streams_of_every_state", function()
  local listener = assert(virtsock.listen(check.address(), check.options { timeout = 0 }))
  local open = assert(virtsock.connect(listener:address(), check.options { timeout = 0 }))
  local begun = assert(virtsock.connect_start(check.address(), { timeout = 0 }))
  local closed = assert(virtsock.connect(listener:address(), check.options { timeout = 0 }))
  closed:close()
  for _, stream in ipairs { closed, begun, open } do
    for _, name in ipairs(methods) do
      if name ~= "settimeout" and name ~= "detach" and name ~= "finish" then torment(stream, { name }) end
    end
    equal(stream:getfd(), -1)
  end
end)

test("listeners", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 0 }))
  for _, name in ipairs(listening) do
    if name ~= "settimeout" and name ~= "clients" then torment(listener, { name }) end
  end
  equal(listener:getfd(), -1)
  torment(listener, listening)
end)

test("functions_of_the_module", function()
  local names = { "address", "connect", "connect_start", "listen", "resolve", "wait", "supported", "service_from_port", "port_from_service" }
  for _, name in ipairs(names) do
    for i = 1, #odd + 1 do
      local fine, made = pcall(virtsock[name], odd[i], name == "wait" and 0 or nil)
      if fine and type(made) == "userdata" and made.close then made:close() end
      if name ~= "wait" then
        fine, made = pcall(virtsock[name], "unix:///nowhere/at/all", odd[i])
        if fine and type(made) == "userdata" and made.close then made:close() end
      end
    end
  end
  for _, name in ipairs { "timeout", "wait", "backlog", "allow", "linger", "nothing", 1, {} } do
    for i = 1, #odd do pcall(virtsock.connect_start, check.address(), { [name] = odd[i] }) end
  end
end)

test("sizes_that_nobody_has", function()
  local a, b = check.pair { timeout = 0.01 }
  for _, size in ipairs { 2 ^ 40, 2 ^ 52 } do
    a:send("some")
    if check.seqpacket then
      check.raises("", b.receive, b, size)              -- the room for a message is there before it
      equal(b:receive(4), "some")
    else
      check.stops("timeout", "some", b:receive(size))   -- for bytes it grows with them
    end
  end
  check.stops("timeout", "", b:recv(check.seqpacket and 65536 or 2 ^ 52))
  a:close()
  b:close()
end)

test("errors_in_iterators", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 5 }))
  local a = assert(virtsock.connect(listener:address(), { timeout = 5 }))
  local b
  check.raises("in the loop", function()
    for stream in listener:clients() do
      b = stream
      error "in the loop"
    end
  end)
  if not check.seqpacket then
    a:send("one\ntwo\n")
    b:settimeout(5)
    check.raises("in the loop", function()
      for _ in b:lines() do error "in the loop" end
    end)
    equal(b:receive(), "two")
    a:send("three\nfour\n")
    for line in b:lines() do
      equal(line, "three")
      b:close()
    end
  end
  for _, one in ipairs { a, b, listener } do one:close() end
end)

test("coroutines_that_are_killed", function()
  local a, b = check.pair { timeout = 0 }
  for _ = 1, 50 do
    local task = coroutine.create(function()
      local partial = ""
      while true do
        local _, word, part = a:receive(10, partial)
        assert(word == "timeout" or word == "message too long")
        partial = part
        coroutine.yield()
      end
    end)
    assert(coroutine.resume(task))
    assert(coroutine.resume(task))
    if coroutine.close then assert(coroutine.close(task)) end
  end
  collectgarbage()
  b:send("whole")
  if check.vsock then a:settimeout(5) end
  equal(a:receive(5), "whole")
  a:close()
  b:close()
end)

-- A hook is Lua's way to stop what runs. The interpreter's handler of Ctrl-C, which serves once, sets one that raises inside the receive.
test("an_error_in_the_middle_of_a_receive", function()
  if check.windows then check.skip("no process sends another a signal") end
  local a, b = check.pair { timeout = 10 }
  local shell = io.popen("sleep 0.1; kill -INT $PPID")
  check.raises("interrupted", a.receive, a, 70000)
  shell:close()
  b:send(("x"):rep(10000))
  equal(#a:receive(10000), 10000)
  a:close()
  b:close()
end)

test("a_collector_that_calls_back", function()
  local a, b = check.pair { timeout = 0 }
  local called = 0
  local function call_back()
    called = called + 1
    b:receive(3)
    b:send("back")
    a:receive(70000)
    if not check.seqpacket then a:receive("*l") end
  end
  local function litter()
    if newproxy then
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = call_back
    else
      setmetatable({}, { __gc = call_back })
    end
  end
  for i = 1, 300 do
    litter()
    a:send(("y"):rep(100 + i))
    b:receive(i % 2 == 0 and 70000 or 10)
    if not check.seqpacket then a:receive("*l", ("p"):rep(5000)) end
    if i % 10 == 0 then collectgarbage() end
  end
  collectgarbage()
  collectgarbage()
  assert(called > 100, called)
  a:close()
  b:close()
end)

test("an_address_cannot_be_bent", function()
  local address = virtsock.address "vsock://3:1024"
  for i = 1, #odd do
    local key = odd[i]
    pcall(function() return address[key] end)
    if key == key then check.raises("", function() address[key] = 1 end) end
    equal(address == key, false)
  end
  check.raises("", setmetatable, address, {})
  equal(getmetatable(address), false)
  equal(tostring(address), "vsock://3:1024")
end)

check.run()
