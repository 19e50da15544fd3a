-- SPDX-License-Identifier: MIT
-- cqueues asks an object what it waits for: pollfd(), events(), timeout(). So it polls streams and listeners as they are; a descriptor that
-- may be closed after that has to be taken back first.
-- lua examples/lua/with_cqueues.lua serve vsock://:1024      lua examples/lua/with_cqueues.lua ask vsock://3:1024 100
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local cqueues = require "cqueues"

local function pause(object)
  local fd = object:pollfd()
  if fd < 0 then return cqueues.sleep(object:timeout() or 0) end
  cqueues.poll(object)
  cqueues.cancel(fd)
end

local scheduler, queue = require "await" (pause), cqueues.new()

function scheduler.spawn(call) queue:wrap(call) end

function scheduler.run() assert(queue:loop()) end

require "echo" (scheduler)
