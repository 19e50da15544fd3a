-- SPDX-License-Identifier: MIT
-- client.c in Lua.
local virtsock = require "virtsock"

local kind, address, name = arg[1], arg[2], arg[3]
local half_close = virtsock.address(address).half_close
local stream = assert(virtsock.connect(address, { timeout = 60, linger = half_close == "framed" and 60 or nil }))
local file = assert(io.open(name, "rb"))
for piece in function() return file:read(262144) end do
  assert(stream:send(piece))
end
if kind == "answer" then
  if half_close ~= "none" then
    local ok, _, _, message = stream:shutdown("send")
    assert(ok, message)
  end
  local piece, why, _, message = stream:recv(262144)
  while piece do
    io.write(piece)
    piece, why, _, message = stream:recv(262144)
  end
  assert(why == "closed", message)
end
assert(stream:close())
