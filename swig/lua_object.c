/* SPDX-License-Identifier: MIT
 *
 * The objects of the Lua module: addresses and options as SWIG makes them, streams and listeners with more behind the handle; how each is made,
 * found in an argument and released; and the time limits of a call. SWIG puts this text into the module that it makes, after lua_support.c.
 */
#include <float.h>

/* LuaSocket's modes: "b" limits each wait, "t" a call as a whole. -1: for ever, 0: never wait. */
struct limits {
    int block_ms, total_ms;
};

struct listener {
    swig_lua_userdata swig;             /* first, so that SWIG's functions take it */
    struct limits     limits;
};

struct stream {
    swig_lua_userdata swig;
    struct limits     limits;
    int64_t           type;             /* VIRTSOCK_TYPE_, 0: not asked for yet; an adopted socket's is not known before it is connected */
    bool              sends;            /* the last call that failed was a send: what cqueues is to wait for */
    char             *kept;             /* KEPT bytes once a line was wanted; those from at to end were not asked for yet */
    uint32_t          at, end;
    uint64_t          received, sent;
    int64_t           born_ms;
};

/* --- Making, finding, releasing ---------------------------------------------------------------------------------------- */

/* An object to be, on top of the stack: its memory is there before what it will hold. */
static swig_lua_userdata *make_object(lua_State *L, swig_type_info *type)
{
    size_t size = type == SWIGTYPE_p_virtsock_stream ? sizeof(struct stream)
                : type == SWIGTYPE_p_virtsock_listener ? sizeof(struct listener) : sizeof(swig_lua_userdata);
    swig_lua_userdata *u = lua_newuserdata(L, size);

    memset(u, 0, size);
    u->type = type;
    u->own = 1;
    SWIG_Lua_AddMetatable(L, type);
    return u;
}

static void fill_object(swig_lua_userdata *u, void *handle)
{
    struct stream *s = (struct stream *)u;

    u->ptr = handle;
    if (u->type == SWIGTYPE_p_virtsock_listener)
        ((struct listener *)u)->limits = (struct limits){ -1, -1 };
    if (u->type != SWIGTYPE_p_virtsock_stream)
        return;
    s->limits = (struct limits){ -1, -1 };
    s->born_ms = vs_now_ms();
}

/* Argument 1 of a method, all of it. */
static inline void *object(lua_State *L, swig_type_info *type, const char *what)
{
    swig_lua_userdata *u = lua_touserdata(L, 1);

    if (u == NULL || lua_rawlen(L, 1) < sizeof *u || u->type != type || u->ptr == NULL)
        luaL_argerror(L, 1, lua_pushfstring(L, "%s expected, got %s", what, luaL_typename(L, 1)));
    return u;
}

static struct stream *stream_at_1(lua_State *L)
{
    return object(L, SWIGTYPE_p_virtsock_stream, "stream");
}

static struct listener *listener_at_1(lua_State *L)
{
    return object(L, SWIGTYPE_p_virtsock_listener, "listener");
}

/* __gc, and of addresses and options __close. What was released holds NULL. */
static int release_object(lua_State *L)
{
    swig_type_info    *type = lua_touserdata(L, lua_upvalueindex(1));
    swig_lua_userdata *u = lua_touserdata(L, 1);
    void              *handle = vs_handle(L, 1, type);

    if (handle == NULL)
        return 0;
    u->ptr = NULL;
    if (type == SWIGTYPE_p_virtsock_stream)
        free(((struct stream *)u)->kept);
    ((swig_lua_class *)type->clientdata)->destructor(handle);
    return 0;
}

/* Takes what objects of a type look names up in from the top of the stack. SWIG's own __index searches, three times slower. */
static void set_class(lua_State *L, swig_type_info *type, lua_CFunction to_text, lua_CFunction close)
{
    swig_lua_class *class = type->clientdata;

    SWIG_Lua_get_class_metatable(L, class->fqname);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushlightuserdata(L, type);
    lua_pushcclosure(L, release_object, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__gc");
    if (close != NULL)
        lua_pushcfunction(L, close);
    else
        lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__close");
    lua_pop(L, 1);
    if (to_text != NULL) {
        lua_pushcfunction(L, to_text);
        lua_setfield(L, -2, "__tostring");
    }
    lua_pushfstring(L, "virtsock.%s", class->name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* The methods of addresses and options: the module's functions that begin with their name. */
static void push_functions(lua_State *L, int module, swig_type_info *type)
{
    const char *name = ((swig_lua_class *)type->clientdata)->name;
    size_t      length = strlen(name);

    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, module); lua_pop(L, 1)) {
        const char *key = lua_tostring(L, -2);

        if (strncmp(key, name, length) == 0 && key[length] == '_') {
            lua_pushvalue(L, -1);
            lua_setfield(L, -4, key + length + 1);
        }
    }
}

/* --- Time limits ---------------------------------------------------------------------------------------------------- */

/* Seconds as milliseconds, rounded up; nil, a negative number or infinity is for ever. */
static int milliseconds(lua_State *L, int index)
{
    lua_Number seconds = lua_tonumber(L, index), whole;

    if (lua_isnoneornil(L, index))
        return -1;
    if (lua_type(L, index) != LUA_TNUMBER || seconds != seconds)
        luaL_argerror(L, index, lua_pushfstring(L, "seconds expected, got %s", luaL_typename(L, index)));
    if (seconds < 0 || seconds > DBL_MAX)
        return -1;
    if (seconds > INT_MAX / 1000)
        luaL_argerror(L, index, "so many seconds are too many: leave them out to wait for ever");
    whole = (lua_Number)(int)(seconds * 1000);
    return (int)whole + (whole < seconds * 1000);
}

static struct limits *limits_at_1(lua_State *L)
{
    if (vs_handle(L, 1, SWIGTYPE_p_virtsock_listener) != NULL)
        return &listener_at_1(L)->limits;
    return &stream_at_1(L)->limits;
}

/* seconds, "b" or "t"; without a mode the other limit is lifted. */
static int set_timeout(lua_State *L)
{
    struct limits *limits = limits_at_1(L);
    int            ms = milliseconds(L, 2);
    const char    *mode = luaL_optstring(L, 3, "");

    if (strcmp(mode, "t") != 0 && strcmp(mode, "b") != 0 && *mode != '\0')
        return luaL_argerror(L, 3, "\"b\" or \"t\" expected");
    if (*mode != 't')
        limits->block_ms = ms;
    if (*mode != 'b')
        limits->total_ms = *mode == 't' ? ms : -1;
    vs_push_number(L, 1);
    return 1;
}

static int get_timeout(lua_State *L)
{
    const struct limits *limits = limits_at_1(L);

    lua_pushnumber(L, limits->block_ms < 0 ? -1 : limits->block_ms / 1000.0);
    lua_pushnumber(L, limits->total_ms < 0 ? -1 : limits->total_ms / 1000.0);
    return 2;
}

/* A call: what is left of it. */
struct call {
    struct limits  limits;
    int64_t        ends_ms;             /* where there is a limit to all of it */
    virtsock_error err;
};

static void begin(struct call *call, const struct limits *limits)
{
    call->limits = *limits;
    call->ends_ms = limits->total_ms > 0 ? vs_now_ms() + limits->total_ms + 1 : 0;        /* never early */
    call->err.message[0] = '\0';        /* not every failure has one */
}

static int left_ms(const struct call *call)
{
    int64_t left = call->limits.total_ms;

    if (left > 0 && (left = call->ends_ms - vs_now_ms()) < 0)
        left = 0;
    return left < 0 || (call->limits.block_ms >= 0 && call->limits.block_ms < left) ? call->limits.block_ms : (int)left;
}

static int nothing(lua_State *L)
{
    (void)L;
    return 0;
}

/* A signal ended a wait: hooks have their turn (the interpreter's handler of Ctrl-C sets one, which raises), and the call goes on. */
static bool goes_on(lua_State *L, virtsock_status status)
{
    if (status != VIRTSOCK_E_INTERRUPTED)
        return false;
    lua_pushcfunction(L, nothing);
    lua_call(L, 0, 0);
    return true;
}
