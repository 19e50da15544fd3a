-- SPDX-License-Identifier: MIT
-- copas drives streams and listeners as if they were LuaSocket's. It has no call that only waits, so a connection under way is waited for by an
-- object that is not ready when it is asked first. A peer that says nothing at all is waited for without end.
-- lua examples/lua/with_copas.lua serve vsock://:1024      lua examples/lua/with_copas.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local copas, socket, virtsock = require "copas", require "socket", require "virtsock"

copas.autoclose = false         -- a guest's stream outlives the coroutine that made it

-- Asks `done` again when the descriptor has one of the events, until it says true.
local function ask(fd, events, done)
  local object = { getfd = function() return fd end }
  function object.receive()
    if done() then return true end
    return nil, "timeout", 0
  end
  object.send = object.receive;
  (events == "w" and copas.send or copas.receive)(object, "")
end

-- copas before 2.0 has no sleep: what is always ready is asked for the time.
local ready = socket.udp4()
local function sleep(seconds)
  if copas.sleep then return copas.sleep(seconds) end
  local due = virtsock.monotime() + seconds
  ask(ready:getfd(), "w", function() return virtsock.monotime() >= due end)
end

local function pause(object)
  if object:getfd() < 0 then return sleep(object:timeout() or 0) end
  local asked = false
  ask(object:getfd(), object:events(), function()
    asked = not asked
    return not asked
  end)
end

local scheduler = { connect = require "await" (pause).connect, receive = copas.receive, send = copas.send, spawn = copas.addthread,
  serve = copas.addserver }

function scheduler.run()
  repeat copas.step() until scheduler.done
end

require "echo" (scheduler)
