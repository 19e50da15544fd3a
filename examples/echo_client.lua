-- SPDX-License-Identifier: MIT
-- What `virtsock echo` does, in Lua: lua examples/echo_client.lua vsock://3:1024
local virtsock = require "virtsock"

local text = "this is a test"
local start = virtsock.monotime()
local stream = assert(virtsock.connect(arg[1], { timeout = 10, wait = 20 }))
assert(stream:send(text))
assert(stream:recv_exact(#text) == text, "the echo is another text")
if arg[2] ~= "--no-bye" then            -- for a way that knows no half-close
    assert(stream:shutdown("send"))
    assert(stream:recv_exact(4) == "Bye!", "no goodbye")
end
stream:close()
print(string.format("ok %.1f ms", (virtsock.monotime() - start) * 1000))
