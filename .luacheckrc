-- SPDX-License-Identifier: MIT
-- What luacheck is told of this project: which Lua each file is for.

std = "min"                     -- what 5.1 to 5.4 and LuaJIT all have
files["bindings/lua/virtsock"].std = "luajit"
files["tests"].std = "max"      -- those look what the Lua around them has
files["bindings/lua/meta.lua"].ignore = { "212", "241" }       -- declarations: parameters without a body, a table that is only told of
max_line_length = 150
self = false                    -- a method is called as object:dirty(), whether it looks at the object or not
