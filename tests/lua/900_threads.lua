-- SPDX-License-Identifier: MIT
--
-- Lua has no threads: coroutines that take turns do the work of several at once here. Several states are the embedding tests.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

-- Runs functions as coroutines until all have ended; a call that would wait gives its turn away.
local function together(...)
  local threads = {}
  for i = 1, select("#", ...) do threads[i] = coroutine.create((select(i, ...))) end
  local from = virtsock.monotime()
  while #threads > 0 do
    for i = #threads, 1, -1 do
      local ok, problem = coroutine.resume(threads[i])
      assert(ok, problem)
      if coroutine.status(threads[i]) == "dead" then table.remove(threads, i) end
    end
    assert(virtsock.monotime() - from < 20, "no end in sight")
  end
end

local function accept(listener)
  while true do
    local stream, word, _, message = listener:accept()
    if stream then
      stream:settimeout(0)
      return stream
    end
    assert(word == "timeout", message)
    coroutine.yield()
  end
end

local function send(stream, data)
  local last = 0
  while last < #data do
    local done, word, partial, message = stream:send(data, last + 1)
    assert(done or word == "timeout", message)
    last = done or partial
    if not done then coroutine.yield() end
  end
end

local function receive(stream, size)
  local partial, data, word, message = ""
  while true do
    data, word, partial, message = stream:receive(size, partial)
    if data then return data end
    assert(word == "timeout", message)
    coroutine.yield()
  end
end

test("a_server_and_ten_clients", function()
  local listener = assert(virtsock.listen(check.address(), { timeout = 0 }))
  local turns, work = 0, {}
  for i = 1, 10 do
    work[#work + 1] = function()
      local stream = accept(listener)
      for _ = 1, 20 do send(stream, receive(stream, 100):upper()) end
      stream:close()
    end
    work[#work + 1] = function()
      local stream = assert(virtsock.connect(listener:address(), { timeout = 0 }))
      for turn = 1, 20 do
        local text = ("client %d turn %d "):format(i, turn):rep(10):sub(1, 100)
        send(stream, text)
        equal(receive(stream, 100), text:upper())
        turns = turns + 1
        coroutine.yield()
      end
      stream:close()
    end
  end
  together((table.unpack or unpack)(work))
  equal(turns, 200)
  listener:close()
end)

test("both_directions_at_once", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair { timeout = 0 }
  local data = ("0123456789abcdef"):rep(2 ^ 16)
  local got = {}
  together(
    function() send(a, data) end, function() got.b = receive(b, #data) end,
    function() send(b, data) end, function() got.a = receive(a, #data) end)
  assert(got.a == data and got.b == data)
  a:close()
  b:close()
end)

test("closed_while_another_wants_to_read", function()
  local a, b = check.pair { timeout = 0 }
  local word
  together(
    function()
      repeat
        word = select(2, a:receive(1))
        coroutine.yield()
      until word ~= "timeout"
    end,
    function()
      coroutine.yield()
      a:close()
    end)
  equal(word, "closed")
  b:close()
end)

check.run()
