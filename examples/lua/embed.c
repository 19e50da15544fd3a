/* SPDX-License-Identifier: MIT
 *
 * A program with Lua and virtsock in it, that runs a script: embed SCRIPT [ARGUMENT]...
 *
 *     cc embed.c $(pkg-config --cflags lua5.4) -lvirtsock-lua5.4 -l:libvirtsock.a $(pkg-config --libs lua5.4) -lpthread -o embed
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <virtsock_lua.h>

#include <stdio.h>

/* `require "virtsock"` will find it. No global is set. */
static void add_virtsock(lua_State *L)
{
#if LUA_VERSION_NUM >= 502
    luaL_requiref(L, "virtsock", luaopen_virtsock, 0);
    lua_pop(L, 1);
#else
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_virtsock);
    lua_setfield(L, -2, "virtsock");
    lua_pop(L, 2);
#endif
}

/* `arg`, as Lua's own program sets it. */
static void set_arguments(lua_State *L, char **argv)
{
    lua_newtable(L);
    for (int i = 1; argv[i] != NULL; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - 1);
    }
    lua_setglobal(L, "arg");
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    int        failed = 1;

    if (argc < 2 || L == NULL) {
        fprintf(stderr, "usage: %s SCRIPT [ARGUMENT]...\n", argv[0]);
        return 2;
    }
    luaL_openlibs(L);
    add_virtsock(L);
    set_arguments(L, argv);
    if (luaL_loadfile(L, argv[1]) == 0 && lua_pcall(L, 0, 0, 0) == 0)
        failed = 0;
    else
        fprintf(stderr, "embed: %s\n", lua_tostring(L, -1));
    lua_close(L);
    return failed;
}
