-- SPDX-License-Identifier: MIT
--
-- Large and partial transfers: blocks beyond every buffer, a peer that reads late, exact counts of what went.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local test, equal = check.test, check.equal

local pattern = {}
for i = 1, 4096 do pattern[i] = ("%08d"):format(i * 7919 % 100000000) end
local block = table.concat(pattern)                     -- 32 KiB

-- Both ends in one thread: sends until the buffers are full, then receives, until all has come.
local function pump(a, b, data, receive)
  local sent, pieces, got = 0, {}, 0
  a:settimeout(0)
  b:settimeout(0)
  while got < #data do
    if sent < #data then
      local last, word, partial = a:send(data, sent + 1)
      assert(last or word == "timeout", word)
      sent = last or partial
    end
    local piece, word, partial = receive(b)
    assert(piece or word == "timeout", word)
    pieces[#pieces + 1] = piece or partial
    got = got + #pieces[#pieces]
  end
  equal(sent, #data)
  return table.concat(pieces)
end

test("megabytes", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair()
  local data = block:rep(128)
  for _, receive in ipairs {
    function(s) return s:receive(1000000) end, function(s) return s:recv(70000) end, function(s) return s:receive(65536) end,
    function(s) return s:receive("*a") end, function(s) return s:receive("*l") end,
  } do
    assert(pump(a, b, data, receive) == data, "what came is not what went")
  end
  a:close()
  b:close()
end)

test("partial_sends_count", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair { timeout = 0.05 }
  local data = block:rep(256)
  local last, word, partial, message = a:send(data)
  equal(last, nil)
  equal(word, "timeout")
  assert(partial > 0 and partial < #data and #message > 0)
  b:settimeout(5)
  assert(b:receive(partial) == data:sub(1, partial))
  b:settimeout(0)
  check.stops("timeout", "", b:receive(1))
  a:close()
  b:close()
end)

test("more_is_asked_for_than_there_is", function()
  local a, b = check.pair { timeout = 5 }
  a:send("little")
  a:close()
  if check.seqpacket then
    equal(b:receive(100000), "little")
  else
    check.stops("closed", "little", b:receive(2 ^ 40))          -- no allocation of what only a number asks for
  end
  b:close()
end)

test("long_lines", function()
  if check.seqpacket then check.skip("for byte streams") end
  local a, b = check.pair()
  local line = block:rep(20)
  local got = pump(a, b, line .. "\n" .. line .. "\n", function(s)
    local piece, word, partial = s:receive("*L")
    return piece, word, partial
  end)
  assert(got == line .. "\n" .. line .. "\n")
  a:close()
  b:close()
end)

test("large_messages", function()
  if not check.seqpacket then check.skip("for seqpacket") end
  local a, b = check.pair { timeout = 5 }
  for _, size in ipairs { 1, 4095, 4096, 4097, 32768, 65536 } do
    local message = (block .. block):sub(1, size)
    equal(a:send(message), size)
    assert(b:receive() == message, "a message of " .. size)
  end
  a:close()
  b:close()
end)

check.run()
