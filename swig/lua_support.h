/* SPDX-License-Identifier: MIT
 *
 * What the typemaps of lua.i call: checks of arguments, results that stand for a failure, the classes and the start of the module.
 * SWIG copies it into what it generates.
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
    lua_Number n = lua_tonumber(L, index);

    if (lua_type(L, index) != LUA_TNUMBER || !(n > -0x1p53 && n < 0x1p53) || (lua_Number)(int64_t)n != n)
        return false;
    *out = (int64_t)n;
    return *out >= min && *out <= max;
}

/* SWIG_ConvertPtr follows pointers in userdata of others. Here one has to have the size of SWIG's before a pointer in it is compared. What
 * was released holds NULL. */
static void *vs_handle(lua_State *L, int index, swig_type_info *type)
{
    swig_lua_userdata *u = lua_touserdata(L, index);

    return u != NULL && lua_rawlen(L, index) == sizeof *u && u->type == type ? u->ptr : NULL;
}

/* A handle to be, on top of the stack: its memory is there before what it will hold. */
static swig_lua_userdata *vs_room(lua_State *L, swig_type_info *type)
{
    swig_lua_userdata *u = lua_newuserdata(L, sizeof *u);

    u->type = type;
    u->own = 1;
    u->ptr = NULL;
    SWIG_Lua_AddMetatable(L, type);
    return u;
}

/* __gc and __close. */
static int vs_release(lua_State *L)
{
    swig_type_info *type = lua_touserdata(L, lua_upvalueindex(1));
    void *handle = vs_handle(L, 1, type);

    if (handle != NULL) {
        ((swig_lua_userdata *)lua_touserdata(L, 1))->ptr = NULL;
        ((swig_lua_class *)type->clientdata)->destructor(handle);
    }
    return 0;
}

/* A class's methods are the module's functions that begin with its name. SWIG's own __index searches, three times slower. */
static void vs_class(lua_State *L, int module, swig_type_info *type)
{
    swig_lua_class *class = type->clientdata;
    size_t length = strlen(class->name);

    SWIG_Lua_get_class_metatable(L, class->fqname);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, module); lua_pop(L, 1)) {
        const char *key = lua_tostring(L, -2);

        if (strncmp(key, class->name, length) == 0 && key[length] == '_') {
            lua_pushvalue(L, -1);
            lua_setfield(L, -4, key + length + 1);
        }
    }
    lua_setfield(L, -2, "__index");
    lua_pushlightuserdata(L, type);
    lua_pushcclosure(L, vs_release, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__gc");
    lua_setfield(L, -2, "__close");
    lua_pushfstring(L, "virtsock.core.%s", class->name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* SWIG's types and constants are settled; the module's table is on top of the stack. */
static void vs_classes(lua_State *L)
{
    int module = lua_gettop(L);

    vs_class(L, module, SWIGTYPE_p_virtsock_address);
    vs_class(L, module, SWIGTYPE_p_virtsock_options);
    vs_class(L, module, SWIGTYPE_p_virtsock_stream);
    vs_class(L, module, SWIGTYPE_p_virtsock_listener);
    vs_push_number(L, VIRTSOCK_CID_ANY);        /* SWIG's constants are of type long */
    lua_setfield(L, module, "CID_ANY");
    vs_push_number(L, VIRTSOCK_PORT_ANY);
    lua_setfield(L, module, "PORT_ANY");
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

/* send_all of the bytes from `skip` on, at most `count`: no piece of a string is copied in Lua. */
static virtsock_status virtsock_stream_send_part(virtsock_stream *stream, const void *data, size_t size, size_t *done, size_t skip,
                                                 size_t count, int timeout_ms, virtsock_error *err)
{
    size_t left = skip < size ? size - skip : 0;

    return virtsock_stream_send_all(stream, (const char *)data + (size - left), count < left ? count : left, done, timeout_ms, err);
}
