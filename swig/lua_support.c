/* SPDX-License-Identifier: MIT
 *
 * What the typemaps of lua.i call: checks of arguments, results that stand for a failure, and the start of the module. SWIG puts this text
 * into the module that it makes, before lua_object.c.
 */
#include <limits.h>
#include <stdatomic.h>
#include "platform/platform.h"

#if LUA_VERSION_NUM >= 503
#define vs_push_number(L, n) lua_pushinteger(L, (lua_Integer)(n))
#else                                   /* lua_Integer may have 32 bits, a number has 53 */
#define vs_push_number(L, n) lua_pushnumber(L, (lua_Number)(n))
#endif
_Static_assert(sizeof(lua_Number) >= 8, "uint32_t has to fit in a lua_Number");

/* A whole number that was not rounded on its way; no text. */
static bool vs_whole(lua_State *L, int index, int64_t min, int64_t max, int64_t *out)
{
    lua_Number n;

    if (lua_type(L, index) != LUA_TNUMBER)
        return false;
    n = lua_tonumber(L, index);
    if (!(n > -0x1p53 && n < 0x1p53) || (lua_Number)(int64_t)n != n)
        return false;
    *out = (int64_t)n;
    return *out >= min && *out <= max;
}

/* SWIG_ConvertPtr follows pointers in userdata of others. Here one has to have the size of SWIG's before a pointer in it is compared. What
 * was released holds NULL. */
static void *vs_handle(lua_State *L, int index, swig_type_info *type)
{
    swig_lua_userdata *u = lua_touserdata(L, index);

    return u != NULL && lua_rawlen(L, index) >= sizeof *u && u->type == type ? u->ptr : NULL;
}

/* The first results of I/O that failed. */
static int vs_word(lua_State *L, virtsock_status status)
{
    bool late = status == VIRTSOCK_E_TIMEOUT || status == VIRTSOCK_E_AGAIN;
    bool over = status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_CANCELLED;

    lua_pushnil(L);
    lua_pushstring(L, late ? "timeout" : over ? "closed" : virtsock_status_name(status));
    return 2;
}

/* The last results of a function that takes an error; `before` it gave so many. */
static int vs_results(lua_State *L, virtsock_status status, const virtsock_error *err, int before)
{
    int top = lua_gettop(L);

    if (status == VIRTSOCK_OK && before == 0)
        lua_pushboolean(L, 1);
    if (status == VIRTSOCK_OK)
        return lua_gettop(L) - top;
    if (before != 3)
        lua_pushnil(L);
    lua_pushstring(L, err->message[0] != '\0' ? err->message : virtsock_status_name(status));
    if (before == 0)
        lua_pushstring(L, virtsock_status_name(status));
    lua_pushstring(L, virtsock_advice(err));
    return lua_gettop(L) - top;
}

/* SWIG's start-up writes to tables that all states share: one at a time. Its two globals are left out. */
static atomic_flag vs_opening = ATOMIC_FLAG_INIT;
#undef SWIG_Lua_add_function
#define SWIG_Lua_add_function(L, name, function) (void)(function)
#undef SWIG_init
#define SWIG_init vs_open
SWIGEXPORT int vs_open(lua_State *L);

SWIGEXPORT int luaopen_virtsock_core(lua_State *L)
{
    int failed;

    lua_pushcfunction(L, vs_open);
    while (atomic_flag_test_and_set(&vs_opening))
        vs_nap_us(0);
    failed = lua_pcall(L, 0, 1, 0);
    atomic_flag_clear(&vs_opening);
    return failed ? lua_error(L) : 1;
}
