-- SPDX-License-Identifier: MIT
local virtsock = require "virtsock"

local stream = assert(virtsock.connect(arg[1], { timeout = 5, wait = 30 }))
assert(stream:send("hello"))
assert(stream:shutdown("send"))
local reply, why, partial, message = stream:receive("*a")
print(reply or partial)
stream:close()
assert(reply or why == "closed", message)
