-- SPDX-License-Identifier: MIT
--
-- Lifetimes: the collector frees what nobody closed, in any order, and never twice.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

local function lowest_descriptor()
  local listener = assert(virtsock.listen(check.address()))
  local fd = listener:getfd()
  listener:close()
  return fd
end

local function collect()
  collectgarbage()
  collectgarbage()
end

test("what_nobody_closed_is_collected", function()
  collect()
  local before = lowest_descriptor()
  for _ = 1, 50 do
    local a, b = check.pair()
    a:send("x")
    b:receive(1)
  end
  collect()
  equal(lowest_descriptor(), before)
end)

test("a_listener_too_and_its_socket_is_gone", function()
  local text = check.address()
  do
    local listener = assert(virtsock.listen(text))
    equal(listener:getfd() >= 0, true)
  end
  collect()
  assert(virtsock.listen(text)):close()
end)

test("a_collected_stream_ends_the_conversation", function()
  local a, b = check.pair { timeout = 5 }       -- luacheck: ignore 311 (a is there to be dropped)
  a = nil
  collect()
  equal(a, nil)
  check.stops("closed", "", b:receive(1))
  b:close()
end)

test("freed_once", function()
  local a, b = check.pair()
  a:close()
  a:close()
  equal(a:getfd(), -1)
  a = nil
  collect()
  equal(a, nil)
  b:close()
end)

test("close_at_the_end_of_a_scope", function()
  if _VERSION < "Lua 5.4" then check.skip("to-be-closed variables are of Lua 5.4") end
  local chunk = load "local s <close> = ...; return s:getfd()"
  local a, b = check.pair { timeout = 5 }
  assert(chunk(a) >= 0)
  equal(a:getfd(), -1)
  check.stops("closed", "", b:receive(1))
  equal(chunk(b) >= 0, true)
  equal(b:getfd(), -1)
  local listener = assert(virtsock.listen(check.address()))
  chunk(listener)
  equal(listener:getfd(), -1)
  local c, d = check.pair { timeout = 5 }
  pcall(load "local s <close> = ...; error('thrown')", c)
  equal(c:getfd(), -1)
  d:close()
  local native = core.address_vsock(3, 1)
  load "local a <close> = ..." (native)
  check.raises("address expected", core.address_format, native)
end)

test("addresses_outlive_what_they_are_of", function()
  local text = check.address()
  local listener = assert(virtsock.listen(text))
  local address = listener:address()
  listener:close()
  listener = nil
  collect()
  equal(address, virtsock.address(text))
  equal(listener, nil)
  local path = virtsock.address("unix:///tmp/kept").path
  collect()
  equal(path, "/tmp/kept")
end)

test("many_values_under_a_collector_that_never_rests", function()
  for i = 1, 200 do
    local address = assert(virtsock.address { cid = 3, port = i })
    equal(address.port, i)
    equal(address, virtsock.address(tostring(address)))
    equal((virtsock.address("vsock://" .. i)), nil)
    if i % 20 == 0 then collect() end
  end
end)

test("an_error_between_open_and_close_leaks_nothing", function()
  local before = lowest_descriptor()
  for _ = 1, 20 do
    pcall(function()
      local a = check.pair()
      a:send({})
    end)
    pcall(virtsock.listen, check.address(), { backlog = "many" })
  end
  collect()
  equal(lowest_descriptor(), before)
end)

test("a_coroutine_that_is_dropped", function()
  local before = lowest_descriptor()
  for _ = 1, 20 do
    local thread = coroutine.create(function()
      local a, b = check.pair()
      coroutine.yield(a:getfd() + b:getfd())
    end)
    assert(coroutine.resume(thread))
  end
  collect()
  equal(lowest_descriptor(), before)
end)

check.run()
