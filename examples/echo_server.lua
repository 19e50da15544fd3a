-- SPDX-License-Identifier: MIT
-- The other end of `virtsock echo`, for one client after another: lua examples/echo_server.lua vsock://:1024
local virtsock = require "virtsock"

local listener = assert(virtsock.listen(arg[1]))
print("listening on " .. tostring(listener:address()))
io.stdout:flush()
for stream in listener:clients() do
  local data = stream:recv(4096)
  while data do
    stream:send(data)
    data = stream:recv(4096)
  end
  stream:send("Bye!")
  stream:close()
end
