-- SPDX-License-Identifier: MIT
-- Nothing but coroutines, in turn; when all of them wait, the program does for a thousandth of a second.
-- lua examples/lua/with_coroutines.lua serve vsock://:1024      lua examples/lua/with_coroutines.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local virtsock = require "virtsock"

local scheduler = require "await" (coroutine.yield)
local tasks, busy = {}, false

function scheduler.spawn(call)
  tasks[#tasks + 1] = coroutine.create(call)
  busy = true
end

-- A listener that nobody knows: accepting there is a sleep.
local bed = assert(virtsock.listen(("unix://%s"):format(os.tmpname() .. ".bed"), { timeout = 0.001 }))

function scheduler.run()
  while #tasks > 0 do
    busy = false
    for i = #tasks, 1, -1 do
      assert(coroutine.resume(tasks[i]))
      if coroutine.status(tasks[i]) == "dead" then
        table.remove(tasks, i)
        busy = true
      end
    end
    if not busy then bed:accept() end
  end
  bed:close()
end

require "echo" (scheduler)
