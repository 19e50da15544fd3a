-- SPDX-License-Identifier: MIT
--
-- Sending and receiving: lines, counts, all, prefixes, ranges, NULs, and messages that stay whole.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

local function streams_only()
  if check.seqpacket then check.skip("for byte streams") end
end

test("bytes_are_bytes", function()
  local a, b = check.pair { timeout = 5 }
  local every = {}
  for i = 0, 255 do every[i + 1] = string.char(i) end
  every = table.concat(every)
  equal(a:send(every), 256)
  equal(b:receive(256), every)
  equal(a:send("\0\0\0"), 3)
  equal(b:recv(100), "\0\0\0")
  equal(a:send(""), 0)
  a:close()
  b:close()
end)

test("ranges_as_string_sub", function()
  local a, b = check.pair { timeout = 5 }
  local data = "0123456789"
  local ranges = { { 1, 10 }, { 3, 5 }, { 3 }, { -3 }, { -3, -2 }, { 2, -2 }, { 1, 100 }, { -100, 2 }, { 10, 10 }, { 5, 2 ^ 40 } }
  for _, range in ipairs(ranges) do
    local want = data:sub(range[1], range[2] and math.min(range[2], 1000))
    local last = a:send(data, range[1], range[2])
    equal(b:receive(#want), want)
    equal(data:sub(last - #want + 1, last), want, "the last index")
  end
  equal(a:send(data, 5, 4), 4)
  equal(a:send(data, 11), 10)
  equal(a:send(data, 100, 200), 99)
  equal(a:send(data, 0, 0), 0)
  a:send("end")
  equal(b:receive(3), "end")
  a:close()
  b:close()
end)

test("lines", function()
  streams_only()
  local a, b = check.pair { timeout = 5 }
  a:send("one\ntwo\r\n\n\r\nfive\0\r\rsix\n*L\r\nrest")
  equal(b:receive(), "one")
  equal(b:dirty(), true)
  equal(b:receive("*l"), "two")
  equal(b:receive("l"), "")
  equal(b:receive(nil), "")
  equal(b:receive("*l"), "five\0\r\rsix")
  equal(b:receive("*L"), "*L\r\n")
  a:close()
  check.stops("closed", "rest", b:receive("L"))
  check.stops("closed", "", b:receive("L"))
  equal(b:dirty(), false)
  b:close()
end)

test("a_line_in_pieces", function()
  streams_only()
  local a, b = check.pair { timeout = 0.02 }
  a:send("be")
  check.stops("timeout", "be", b:receive())
  a:send("gin\r")
  check.stops("timeout", "begin\r", b:receive("*l", "be"))
  a:send("\nnext")
  equal(b:receive("*l", "begin\r"), "begin")
  check.stops("timeout", "next", b:receive("*l"))
  a:close()
  b:close()
end)

local function whole_pair(word)
  local where = check.address()
  where = where .. (where:find("?", 1, true) and "&" or "?") .. "half-close=" .. word
  local listener = assert(virtsock.listen(where, { timeout = 5 }))
  local a = assert(virtsock.connect(where, { timeout = 5 }))
  local b = assert(listener:accept())
  listener:close()
  b:settimeout(5, "t")
  return a, b
end

-- Where the end of one direction would be that of both, or may be: finish sends no end early, and waits for the peer's.
local function check_whole(half_close)
  local a, b = whole_pair(half_close)
  equal(a:peer().half_close, half_close)
  local ok, word, _, message, advice = a:shutdown "send"
  equal(ok, nil)
  equal(word, "unsupported")
  assert(message:find("half-close=" .. half_close, 1, true) and advice:find("let the peer end first", 1, true), message)
  b:settimeout(0.05, "t")
  check.stops("timeout", "", b:receive(1))
  check.takes(0.1, function() check.stops("timeout", nil, a:finish(0.1)) end)
  check.stops("closed", "", b:receive(1))
  b:close()
  a, b = whole_pair(half_close)
  b:send("answer")
  b:close()
  equal(a:finish(5), true)
end

test("no_half_close", function()
  check_whole "none"
  check_whole "unknown"
end)

-- Who has found out by himself.
test("half_close_unchecked", function()
  local a, b = whole_pair "none"
  equal(select(2, a:shutdown "send_unchecked"), "unsupported")
  for _, handle in ipairs { a, b } do handle:close() end
  a, b = whole_pair "unknown"
  equal(a:shutdown "send_unchecked", true)
  check.stops("closed", "", b:receive(1))
  b:send("answer")
  equal(a:receive(6), "answer")
  for _, handle in ipairs { a, b } do handle:close() end
  check.raises("\"send_unchecked\" or \"both\" expected", a.shutdown, a, "unchecked")
end)

test("what_the_peer_has_ended", function()
  local a, b = check.pair { timeout = 5 }
  local function await_state(state)
    local ends = virtsock.monotime() + 20
    repeat assert(virtsock.monotime() < ends) until assert(a:get "peer_state") == state
  end
  equal(a:get "peer_state", 0)
  b:send("last")
  b:shutdown("send")
  if not check.windows then await_state(1) end
  equal(a:receive(4), "last")
  check.stops("closed", "", a:receive(1))
  equal(a:get "peer_state", 1)
  equal(b:get "peer_state", 0)
  b:close()
  repeat until not a:send("x")
  equal(a:get "peer_state", 3)
  a:close()
end)

test("lines_of_a_loop", function()
  streams_only()
  local a, b = check.pair { timeout = 5 }
  a:send("one\r\n\nthree\0\nrest")
  a:shutdown("send")
  local got = {}
  for line in b:lines() do got[#got + 1] = line end
  equal(table.concat(got, "|"), "one||three\0|rest")
  for line in b:lines() do error("a line after the end: " .. line) end
  b:close()
  for line in b:lines() do error("a line of a closed stream: " .. line) end
  a:close()
  a, b = check.pair { timeout = 0.02 }
  local long = ("x"):rep(20000)
  a:send("one\r\ntwo\n" .. long .. "\nbegun")
  got = {}
  check.raises("time has passed", function()
    for line in b:lines("*L") do got[#got + 1] = line end
  end)
  equal(table.concat(got), "one\r\ntwo\n" .. long .. "\n")
  for _, bad in ipairs { "*a", 5, "x", true } do check.raises("expected", b.lines, b, bad) end
  a:close()
  b:close()
end)

test("statistics_and_names", function()
  local a, b = check.pair { timeout = 5 }
  a:send("12345")
  a:send("12345", 2, 3)
  b:receive(5)
  b:receive(2)
  b:send("x")
  equal(a:receive(1), "x")
  for _, row in ipairs { { a, 1, 7 }, { b, 7, 1 } } do
    local received, sent, age = row[1]:getstats()
    equal(received, row[2])
    equal(sent, row[3])
    assert(age >= 0 and age < 60, age)
  end
  local address = a:peer()
  local where, port, scheme = a:getpeername()
  equal(where, address.cid or address.vm or address.path)
  equal(port, address.port or address.service)
  equal(scheme, address.scheme)
  equal((b:getsockname()), where)
  assert(a == a and a ~= b)
  a:close()
  equal(a:getpeername(), nil)
  b:close()
end)

-- What LuaSocket's select, cqueues and others ask a stream.
test("what_a_loop_waits_for", function()
  streams_only()
  local a, b = check.pair { timeout = 0 }
  equal(a:pollfd(), a:getfd())
  equal(a:events(), "r")
  equal(a:timeout(), nil)
  check.stops("timeout", "", a:receive(1))
  equal(a:events(), "r")
  repeat until not a:send(("x"):rep(2 ^ 20))
  equal(a:events(), "w")
  b:settimeout(5)
  b:send("line\nmore")
  a:settimeout(5)
  equal(a:receive(), "line")
  equal(a:timeout(), 0)
  equal(a:dirty(), true)
  equal(a:receive(4), "more")
  equal(a:timeout(), nil)
  a:close()
  equal(a:getfd(), -1)
  equal(a:pollfd(), -1)
  b:close()
end)

test("counts_and_kept_bytes", function()
  streams_only()
  local a, b = check.pair { timeout = 0.05 }
  a:send("line\n0123456789")
  equal(b:receive(), "line")
  equal(b:receive(0), "")
  equal(b:receive(4), "0123")
  equal(b:recv(3), "456")
  equal(b:dirty(), true)
  check.stops("timeout", "789", b:receive(5))
  equal(b:dirty(), false)
  a:send("ab")
  equal(b:receive(5, "789"), "789ab")
  equal(b:receive(2, "789"), "789")
  a:send("xyz")
  equal(b:recv(100), "xyz")
  a:send("line\n0123456789")
  equal(b:receive(), "line")
  equal(b:receive(5, "789"), "78901")
  check.stops("timeout", "23456789", b:receive())
  a:send("12345")
  equal(b:recv_exact(5), "12345")
  a:close()
  check.stops("closed", "", b:recv_exact(5))
  b:close()
end)

test("all", function()
  streams_only()
  local a, b = check.pair { timeout = 5 }
  a:send("first\nsecond\nthird")
  equal(b:receive(), "first")
  a:shutdown("send")
  equal(b:receive("*a", "> "), "> second\nthird")
  check.stops("closed", "", b:receive("*a"))
  b:send("reply")
  b:close()
  equal(a:receive("a"), "reply")
  a:close()
  a, b = check.pair { timeout = 0.02 }
  a:send("some")
  check.stops("timeout", "some", b:receive("*a"))
  a:close()
  b:close()
end)

test("messages_stay_whole", function()
  if not check.seqpacket then check.skip("for seqpacket") end
  local a, b = check.pair { timeout = 5 }
  a:send("one")
  a:send("two\nlines")
  a:send("three")
  equal(b:receive(), "one")
  equal(b:receive(100), "two\nlines")
  equal(b:receive(100, "> "), "> three")
  a:send("too long for that")
  check.stops("message too long", "too long", b:receive(8))
  a:send("next", 2, 3)
  equal(b:recv(10), "ex")
  for _, pattern in ipairs { "*l", "*a", "*L" } do check.raises("number of bytes expected", b.receive, b, pattern) end
  a:close()
  check.stops("closed", "", b:receive())
  b:close()
end)

test("the_same_string_again_and_again", function()
  local a, b = check.pair { timeout = 5 }
  for i = 1, 500 do
    local text = ("%d "):format(i):rep(i % 50 + 1)
    equal(a:send(text), #text)
    equal(b:receive(#text), text)
    if i % 50 == 0 then collectgarbage() end
  end
  a:close()
  b:close()
end)

check.run()
