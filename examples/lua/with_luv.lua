-- SPDX-License-Identifier: MIT
-- libuv by luv: a poll handle for each wait, since what a connection under way waits for may be another descriptor after every step.
-- lua examples/lua/with_luv.lua serve vsock://:1024      lua examples/lua/with_luv.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local uv = require "luv"

local function resume(task) assert(coroutine.resume(task)) end

-- Until the object is ready, or its time has come, whichever is first.
local function pause(object)
  local task, handles = coroutine.running(), {}
  local function ready()
    for _, handle in ipairs(handles) do handle:close() end
    resume(task)
  end
  if object:getfd() >= 0 then
    handles[1] = uv.new_poll(object:getfd())
    handles[1]:start(object:events(), ready)
  end
  if object:timeout() then
    handles[#handles + 1] = uv.new_timer()
    handles[#handles]:start(math.ceil(object:timeout() * 1000), 0, ready)
  end
  coroutine.yield()
end

local scheduler = require "await" (pause)

function scheduler.spawn(call) resume(coroutine.create(call)) end

function scheduler.run() uv.run() end

require "echo" (scheduler)
