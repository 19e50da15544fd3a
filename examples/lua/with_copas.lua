-- SPDX-License-Identifier: MIT
-- copas drives streams and listeners as if they were LuaSocket's. It has no call that only waits, so a connection under way is given to it
-- as an object whose `receive` and `send` take the next step.
-- lua examples/lua/with_copas.lua serve vsock://:1024      lua examples/lua/with_copas.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local copas, virtsock = require "copas", require "virtsock"

local scheduler = { receive = copas.receive, send = copas.send, spawn = copas.addthread, serve = copas.addserver }

-- A step says "timeout", and copas waits, while what is wanted stays the same; then it says "turned".
local function step_of(stream, events)
  return function()
    local done, word, _, message = stream:connect()
    if not done and word == "timeout" and (stream:getfd() < 0 or stream:events() ~= events) then word = "turned" end
    return done, word, message
  end
end

function scheduler.connect(address, options)
  options = options or {}
  options.timeout = 0
  local stream, message, status = virtsock.connect_start(address, options)
  if not stream then return nil, message, status end
  local done, word
  repeat
    local pause = stream:getfd() < 0 and stream:timeout() or 0
    if pause > 0 then assert(copas.sleep, "copas before 2.0 cannot wait for time alone, so not for a late listener")(pause) end
    local events = stream:events()
    local object = { getfd = function() return stream:getfd() end }
    object.receive, object.send = step_of(stream, events), step_of(stream, events)
    done, word, message = (events == "w" and copas.send or copas.receive)(object, "")
  until done or word ~= "turned"
  if done then return stream end
  stream:close()
  return nil, message, word
end

function scheduler.run()
  repeat copas.step() until scheduler.done
end

require "echo" (scheduler)
