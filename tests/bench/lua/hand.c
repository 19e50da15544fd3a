/* SPDX-License-Identifier: MIT
 *
 * What the module's methods are measured against: a binding of one method as one writes it by hand, with luaL_checkudata. And the same call from a
 * loop in C, which is what no binding can be quicker than.
 */
#include <lauxlib.h>
#include <lua.h>
#include <virtsock.h>

#include <time.h>

struct hand {
    virtsock_stream *stream;
};

/* path of a UNIX socket -> a stream. */
static int connect_to(lua_State *L)
{
    virtsock_error    err = { 0 };
    virtsock_address *address;
    struct hand      *h = lua_newuserdata(L, sizeof *h);

    if (virtsock_address_path(&address, VIRTSOCK_SCHEME_UNIX, luaL_checkstring(L, 1), 0, &err) != VIRTSOCK_OK
        || virtsock_connect(&h->stream, address, NULL, &err) != VIRTSOCK_OK)
        return luaL_error(L, "%s", err.message);
    virtsock_address_free(address);
    luaL_getmetatable(L, "hand.stream");
    lua_setmetatable(L, -2);
    return 1;
}

/* data, the first byte to send. */
static int send_from(lua_State *L)
{
    struct hand   *h = luaL_checkudata(L, 1, "hand.stream");
    size_t         size, done = 0;
    const char    *data = luaL_checklstring(L, 2, &size);
    size_t         from = (size_t)luaL_optinteger(L, 3, 1) - 1;
    virtsock_error err;

    if (virtsock_stream_send_all(h->stream, data + from, size - from, &done, -1, &err) != VIRTSOCK_OK)
        return luaL_error(L, "%s", err.message);
    lua_pushinteger(L, (lua_Integer)(from + done));
    return 1;
}

/* So many sends of nothing: seconds. */
static int spin(lua_State *L)
{
    struct hand    *h = luaL_checkudata(L, 1, "hand.stream");
    long            calls = (long)luaL_checkinteger(L, 2);
    struct timespec begun, over;
    virtsock_error  err;
    size_t          done;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (long i = 0; i < calls; i++)
        virtsock_stream_send_all(h->stream, "", 0, &done, -1, &err);
    clock_gettime(CLOCK_MONOTONIC, &over);
    lua_pushnumber(L, (lua_Number)(over.tv_sec - begun.tv_sec) + (lua_Number)(over.tv_nsec - begun.tv_nsec) / 1e9);
    return 1;
}

static int release(lua_State *L)
{
    struct hand *h = luaL_checkudata(L, 1, "hand.stream");

    virtsock_stream_free(h->stream);
    return 0;
}

int luaopen_hand(lua_State *L);

int luaopen_hand(lua_State *L)
{
    luaL_newmetatable(L, "hand.stream");
    lua_newtable(L);
    lua_pushcfunction(L, send_from);
    lua_setfield(L, -2, "send");
    lua_pushcfunction(L, spin);
    lua_setfield(L, -2, "spin");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, release);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_pushcfunction(L, connect_to);
    lua_setfield(L, -2, "connect");
    return 1;
}
