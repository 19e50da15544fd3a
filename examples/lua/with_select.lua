-- SPDX-License-Identifier: MIT
-- LuaSocket's select. It knows no descriptor from 1024 on.
-- lua examples/lua/with_select.lua serve vsock://:1024      lua examples/lua/with_select.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local socket = require "socket"

local scheduler = require "await" (coroutine.yield)
local waits_for = {}            -- coroutine: the object it waits for; false: it may go on

local function resume(task)
  waits_for[task] = nil
  local object = select(2, assert(coroutine.resume(task)))
  if coroutine.status(task) ~= "dead" then waits_for[task] = object or false end
end

function scheduler.spawn(call) waits_for[coroutine.create(call)] = false end

-- One round: those that may go on; then those whose object is ready, or whose time has come.
local function turn()
  local reading, writing, waiting, least = {}, {}, {}, nil
  for task, object in pairs(waits_for) do
    waiting[#waiting + 1] = task
    local seconds = object and object:timeout() or not object and 0
    if seconds then least = math.min(least or seconds, seconds) end
    if object and object:getfd() >= 0 then
      if object:events():find "r" then reading[#reading + 1] = object end
      if object:events():find "w" then writing[#writing + 1] = object end
    end
  end
  local readable, writable = socket.select(reading, writing, least)
  for _, task in ipairs(waiting) do
    local object = waits_for[task]
    if not object or readable[object] or writable[object] or object:timeout() then resume(task) end
  end
end

function scheduler.run()
  while next(waits_for) do turn() end
end

require "echo" (scheduler)
