-- SPDX-License-Identifier: MIT
--
-- Closing: twice, with the peer at work, finish and abort, and what a closed handle answers.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

test("close_twice", function()
  local a, b = check.pair { timeout = 5 }
  equal(a:close(), true)
  equal(a:close(), true)
  equal(a:abort(), true)
  equal(a:getfd(), -1)
  check.stops("closed", "", b:receive(1))
  b:close()
end)

test("a_closed_handle_answers", function()
  local a, b = check.pair { timeout = 5 }
  a:close()
  check.stops("closed", 0, a:send("x"))
  check.stops("closed", "", a:receive(1))
  check.stops("closed", "", a:recv(1))
  check.stops("closed", nil, a:shutdown("send"))
  equal(a:peer(), nil)
  equal(a:dirty(), false)
  equal((a:detach()), nil)
  b:close()
  local listener = assert(virtsock.listen(check.address()))
  equal(listener:close(), true)
  equal(listener:close(), true)
  equal(listener:getfd(), -1)
  check.stops("closed", nil, listener:accept())
end)

test("a_closed_stream_gives_nothing_that_was_kept", function()
  if check.seqpacket then check.skip("messages are not kept") end
  local a, b = check.pair { timeout = 5 }
  a:send("one\ntwo\n")
  equal(b:receive(), "one")
  equal(b:dirty(), true)
  b:close()
  equal(b:dirty(), false)
  check.stops("closed", "", b:receive())
  a:close()
end)

test("finish_waits_for_the_peer", function()
  local a, b = check.pair { timeout = 5 }
  a:send("last")
  check.takes(0.1, function() check.stops("timeout", nil, a:finish(0.1)) end)
  equal(a:getfd(), -1)
  equal(b:receive(4), "last")
  b:close()
  a, b = check.pair { timeout = 5 }
  b:shutdown("send")
  equal(a:finish(5), true)
  check.stops("closed", "", b:receive(1))
  b:close()
end)

test("half_close", function()
  local a, b = check.pair { timeout = 5 }
  a:send("question")
  equal(a:shutdown("send"), true)
  equal(a:shutdown("send"), true)
  equal(b:receive(8), "question")
  check.stops("closed", "", b:receive(1))
  b:send("answer")
  equal(a:receive(6), "answer")
  equal((select(2, a:send("x"))) ~= nil, true)
  a:close()
  b:close()
end)

test("a_peer_that_left", function()
  local a, b = check.pair { timeout = 5 }
  b:abort()
  local sent, word
  for _ = 1, 100 do
    sent, word = a:send(("x"):rep(1000))
    if not sent then break end
  end
  equal(sent, nil)
  equal(word, "reset")
  a:close()
end)

test("an_address_is_free_after_close", function()
  local text = check.address()
  for _ = 1, 100 do assert(virtsock.listen(text)):close() end
  if check.unix then equal(io.open(virtsock.address(text).path), nil) end
end)

test("rounds_of_open_and_close", function()
  local listener = assert(virtsock.listen(check.address(), check.options { timeout = 5 }))
  for _ = 1, 1000 do
    local a = assert(virtsock.connect(listener:address(), check.options()))
    local b = assert(listener:accept())
    a:close()
    b:close()
  end
  listener:close()
end)

-- And closed the stream is. The interpreter takes one Ctrl-C alone: no other test here may have it.
test("ctrl_c_ends_a_finish", function()
  if check.windows then check.skip("no process sends another a signal") end
  local a, b = check.pair { timeout = 10 }
  local shell = io.popen("sleep 0.2; kill -INT $PPID")
  local took = check.elapsed(check.raises, "interrupted", a.finish, a, 10)
  shell:close()
  assert(took < 5, took)
  equal(a:getfd(), -1)
  check.stops("closed", "", b:receive(1))
  b:close()
end)

check.run()
