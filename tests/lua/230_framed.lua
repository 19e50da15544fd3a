-- SPDX-License-Identifier: MIT
--
-- half-close=framed: streams that speak its frames with a peer that knows nothing of them but the bytes of the vectors.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

local vectors = os.getenv "VIRTSOCK_TEST_VECTORS" or check.directory .. "../vectors"

local function streams()
  if check.seqpacket then check.skip "frames are for streams" end
end

local function from_hex(hex)
  return (hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end))
end

-- A framed stream and its peer, which is none; the stream was accepted, or has connected.
local function half(accepted)
  local plain = check.address()
  local framed = plain .. "?half-close=framed"
  local listener = assert(virtsock.listen(accepted and framed or plain, { timeout = 5 }))
  local client = assert(virtsock.connect(accepted and plain or framed, { timeout = 5 }))
  local server = assert(listener:accept())
  server:settimeout(5)
  listener:close()
  if accepted then return server, client end
  return client, server
end

local function pair()
  local listener = assert(virtsock.listen(check.address() .. "?half-close=framed", { timeout = 5 }))
  local a = assert(virtsock.connect(listener:address(), { timeout = 5 }))
  local b = assert(listener:accept())
  b:settimeout(5)
  listener:close()
  return a, b
end

-- Waits until what was sent has come: a moment later, but in order, between connections too, so when a byte on another one has.
local function settler()
  local listener = assert(virtsock.listen(check.address(), { timeout = 5 }))
  local client = assert(virtsock.connect(listener:address()))
  local server = assert(listener:accept())
  listener:close()
  local function settle()
    assert(client:send("."))
    equal(server:recv(1), ".")
  end
  return settle, function() client:close() server:close() end
end

-- What fails, by the core's functions: nil, the name of a status.
local function fails(status, value, name, _, message)
  equal(value, nil)
  equal(name, status, message)
end

local function hear(stream, how)
  if how:sub(1, 1) == ":" then return equal(stream:receive(#how - 1), how:sub(2)) end
  local status = how:sub(2)
  if status == "eof" then status = "closed" elseif status == "again" then status = "timeout" end
  stream:settimeout(how == "!again" and 0 or 5)
  fails(status, stream:recv(100))
  stream:settimeout(5)
end

local function close(stream, status)
  local seconds = status == "timeout" and 0.1 or 20
  if status == "ok" then return assert(stream:finish(seconds)) end
  fails(status, stream:finish(seconds))
end

local ways = { recv = "receive", send = "send", both = "both" }

local function step(stream, peer, what)
  local verb, rest = what:sub(1, 4), what:sub(5)
  if what:sub(1, 1) == "<" then
    assert(peer:send(from_hex(what:sub(2))))
  elseif what:sub(1, 1) == ">" then
    local want = from_hex((what:sub(2):gsub("(%x%x){(%d+)}", function(byte, times) return byte:rep(times) end)))
    equal(peer:receive(#want), want)
  elseif verb == "recv" then
    hear(stream, rest)
  elseif verb == "send" and rest:sub(1, 1) == ":" then
    assert(stream:send(rest:sub(2)))
  elseif verb == "send" and rest:sub(1, 1) == "{" then
    assert(stream:send(("x"):rep(tonumber(rest:sub(2, -2)))))
  elseif verb == "send" then
    fails(rest:sub(2), stream:send("x"))
  elseif verb == "shut" then
    assert(stream:shutdown(ways[rest:sub(2)]))
  elseif what:sub(1, 6) == "close!" then
    close(stream, what:sub(7))
  elseif what:sub(1, 4) == "end!" then
    if rest == "ok" then return assert(stream:close()) end
    fails(what:sub(5), stream:close())
  elseif what:sub(1, 5) == "peer:" then
    local state = assert(stream:get "peer_state")
    if check.windows and state == 0 then return end             -- there a call tells, and nothing before it
    equal(({ [0] = "here", "ended", "deaf", "gone" })[state], what:sub(6))
  elseif what == "abort" or what == "hangup" then
    assert((what == "abort" and stream or peer):abort())
  else
    equal(what, "over")
    fails("closed", peer:recv(1))
  end
end

test("talks", function()
  streams()
  local talks = 0
  local settle, settled = settler()
  for line in io.lines(vectors .. "/frames.tsv") do
    local steps = line:match("^talk\t(.*)$")
    for i = 1, steps and 2 or 0 do
      local stream, peer = half(i == 1)
      for what in steps:gmatch("%S+") do
        local ok, problem = pcall(step, stream, peer, what)
        if not ok then error(("%s: %s: %s"):format(steps, what, problem), 0) end
        settle()
      end
      stream:abort()
      peer:abort()
      talks = talks + 1
    end
  end
  settled()
  assert(talks > 80)
end)

test("half_close", function()
  streams()
  local a, b = pair()
  assert(a:send("one\ntwo\n"))
  assert(a:shutdown("send"))
  equal(b:receive("*l"), "one")
  equal(b:receive("*a"), "two\n")
  assert(b:send(("x"):rep(10000)))
  b:shutdown("send")
  equal(#a:receive("*a"), 10000)
  a:abort()
  b:abort()
end)

test("it_has_no_descriptor", function()
  streams()
  local a, b = pair()
  equal(a:getfd(), -1)
  check.fails("unsupported", "descriptor", a:detach())
  equal(a:peer().half_close, "framed")
  assert(a:send("whole"))
  equal(b:receive(5), "whole")
  a:abort()
  fails("reset", b:receive(1))
  b:close()
end)

test("messages_have_no_frames", function()
  check.fails("invalid", "exclude", virtsock.connect "unix:///nowhere?type=seqpacket&half-close=framed")
  check.fails("invalid", "exclude", virtsock.listen "unix:///nowhere?type=seqpacket&half-close=framed")
end)

test("finish_ends_in_time", function()
  streams()
  local stream, peer = half(true)
  check.takes(0.1, function() fails("timeout", stream:finish(0.1)) end)
  equal(peer:receive(4), from_hex "addeadde")
  peer:close()
end)

check.run()
