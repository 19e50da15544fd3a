/* SPDX-License-Identifier: MIT
 *
 * virtsock.lua inside a program. The build makes layer.inc of it.
 */
#include <lauxlib.h>
#include <lua.h>

#include "virtsock_lua.h"

static const char text[] = {
#include "layer.inc"
};

int luaopen_virtsock(lua_State *L)
{
    if (luaL_loadbuffer(L, text, sizeof text, "@virtsock.lua") != 0)
        return lua_error(L);
    lua_pushcfunction(L, luaopen_virtsock_core);
    lua_call(L, 0, 1);
    lua_call(L, 1, 1);                  /* the layer takes the core that it is given */
    return 1;
}
