/* SPDX-License-Identifier: MIT
 *
 * Many Lua states with virtsock in them: one after the other, several at once in one thread, and in threads at the same time, which all open the
 * module. Each exchanges bytes, and leaves what it made to its collector. states FOLDER THREADS ROUNDS; prints how many states there were.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <virtsock_lua.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char script[] =
    "local names = {}\n"
    "for name in pairs(_G) do names[name] = true end\n"
    "local virtsock, address = require 'virtsock', ...\n"
    "for name in pairs(_G) do assert(names[name], name) end\n"
    "local listener = assert(virtsock.listen(address, { timeout = 20 }))\n"
    "local a = assert(virtsock.connect(address, { timeout = 20 }))\n"
    "local b = assert(listener:accept())\n"
    "assert(a:send('hello\\n') == 6 and b:receive() == 'hello')\n"
    "assert(b:send(('x'):rep(70000)) == 70000 and #a:receive(70000) == 70000)\n"
    "assert(virtsock.address(address) == a:peer())\n"
    "assert(not pcall(a.send, b.close) and select(2, virtsock.connect(address .. '-none')))\n";

static const char *folder;
static int         rounds;
static atomic_int  made;

static void add_virtsock(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_virtsock);
    lua_setfield(L, -2, "virtsock");
    lua_pop(L, 2);
}

static lua_State *start(void)
{
    lua_State *L = luaL_newstate();

    if (L == NULL)
        exit(3);
    luaL_openlibs(L);
    add_virtsock(L);
    return L;
}

static void work(lua_State *L)
{
    char address[200];

    snprintf(address, sizeof address, "unix://%s/%d", folder, atomic_fetch_add(&made, 1));
    if (luaL_loadstring(L, script) != 0 || (lua_pushstring(L, address), lua_pcall(L, 1, 0, 0)) != 0) {
        fprintf(stderr, "states: %s\n", lua_tostring(L, -1));
        exit(1);
    }
}

/* Two at a time, that end in the order in which they began. */
static void *run(void *unused)
{
    for (int i = 0; i < rounds; i++) {
        lua_State *first = start(), *second = start();

        work(first);
        work(second);
        lua_close(first);
        lua_close(second);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int       count = argc == 4 ? atoi(argv[2]) : 0;

    if (count < 1 || count > 64)
        return 2;
    folder = argv[1];
    rounds = atoi(argv[3]);
    run(NULL);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0)
            return 3;
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("%d states\n", atomic_load(&made));
    return 0;
}
