/* SPDX-License-Identifier: MIT
 *
 * The methods of streams and listeners that are called most, with no Lua between a program and the core; the layer adds the others. SWIG puts
 * this text into the module that it makes, after lua_object.c.
 *
 * An error, of Lua's memory too, may jump out of every call of the interpreter's: nothing is held then but what the collector frees.
 */

enum { KEPT = 8192, SMALL = 4096, SCRATCH = 65536 };

/* One for all streams of a state, the first upvalue of their methods. It is taken for the time of a call: a collector's or a hook's Lua
 * may come between, and what it receives goes elsewhere. A call that was left by an error leaves it taken: slower, and no harm. */
struct scratch {
    bool taken;
    char bytes[SCRATCH];
};

/* Of I/O that failed: nil, word, what is on top of the stack, message, advice. */
static int failed(lua_State *L, struct call *call, virtsock_status status)
{
    int partial = lua_gettop(L);

    call->err.status = status;
    vs_word(L, status);
    lua_pushvalue(L, partial);
    return 3 + vs_results(L, status, &call->err, 3);
}

/* What ends with true, or fails as I/O does. */
static int ended(lua_State *L, struct call *call, virtsock_status status)
{
    lua_pushnil(L);
    if (status != VIRTSOCK_OK)
        return failed(L, call, status);
    lua_pushboolean(L, 1);
    return 1;
}

/* --- Sending -------------------------------------------------------------------------------------------------------- */

/* seqpacket: a send and a receive are one message each. */
static inline bool has_messages(struct stream *s)
{
    if (s->type == 0)
        virtsock_stream_get(s->swig.ptr, VIRTSOCK_ITEM_TYPE, &s->type, NULL);
    return s->type == VIRTSOCK_TYPE_SEQPACKET;
}

static int64_t index_at(lua_State *L, int index, int64_t unless_given)
{
    if (!vs_whole(L, index, INT64_MIN, INT64_MAX, &unless_given) && !lua_isnoneornil(L, index))
        luaL_argerror(L, index, "index expected, a whole number");
    return unless_given;
}

/* As string.sub counts: *from bytes are left out, up to *to. top: of the arguments. */
static void range(lua_State *L, int top, size_t size, size_t *from, size_t *to)
{
    int64_t i = index_at(L, 3, 1), j = top > 3 ? index_at(L, 4, -1) : -1;

    i += i < 0 ? (int64_t)size : -1;
    j += j < 0 ? (int64_t)size + 1 : 0;
    *from = i < 0 ? 0 : (size_t)i;
    *to = j > (int64_t)size ? size : j < 0 ? 0 : (size_t)j;
    if (*to < *from)
        *to = *from;
}

/* Until all went, or it failed; *from is moved. */
static virtsock_status send_range(lua_State *L, struct stream *s, const char *data, size_t *from, size_t to, struct call *call)
{
    const bool      pieces = has_messages(s) || call->limits.block_ms > 0;
    virtsock_status status;
    size_t          done;

    do {
        const char *rest = *from < to ? data + *from : "";

        if (pieces)
            status = virtsock_stream_send(s->swig.ptr, rest, to - *from, &done, left_ms(call), &call->err);
        else
            status = virtsock_stream_send_all(s->swig.ptr, rest, to - *from, &done, left_ms(call), &call->err);
        *from += done;
        s->sent += done;
    } while ((status == VIRTSOCK_OK && *from < to) || goes_on(L, status));
    return status;
}

/* data, i, j. The index of the last byte that went; what fails has that third. */
static int stream_send(lua_State *L)
{
    struct stream *s = stream_at_1(L);
    size_t         size, from = 0, to;
    const char    *data;
    struct call    call;
    virtsock_status status;
    int            top;

    if (lua_type(L, 2) != LUA_TSTRING)
        return luaL_argerror(L, 2, lua_pushfstring(L, "data: string expected, got %s", luaL_typename(L, 2)));
    data = lua_tolstring(L, 2, &size);
    to = size;
    if ((top = lua_gettop(L)) > 2)
        range(L, top, size, &from, &to);
    begin(&call, &s->limits);
    status = send_range(L, s, data, &from, to, &call);
    vs_push_number(L, from);
    if (status == VIRTSOCK_OK)
        return 1;
    s->sends = true;
    return failed(L, &call, status);
}

/* --- Receiving ------------------------------------------------------------------------------------------------------ */

/* Bytes that are gathered: in a small room at first, then in one of Lua's own at stack index PILE. */
struct pile {
    char  *bytes;
    size_t size, room;
};
enum { PILE = 4 };

static void make_room(lua_State *L, struct pile *pile, size_t room)
{
    char *bytes = lua_newuserdata(L, room);

    if (pile->size > 0)
        memcpy(bytes, pile->bytes, pile->size);
    pile->bytes = bytes;
    pile->room = room;
    lua_replace(L, PILE);
}

static void put(lua_State *L, struct pile *pile, const char *bytes, size_t size)
{
    if (size > pile->room - pile->size)
        make_room(L, pile, (pile->size + size) * 2);
    if (size > 0)
        memcpy(pile->bytes + pile->size, bytes, size);
    pile->size += size;
}

/* The room that a call begins with, for `want` bytes: `small`, or the state's. give_back: after a call that was not left by an error. */
static struct scratch *take_room(lua_State *L, struct pile *pile, char *small, size_t want)
{
    struct scratch *scratch = want > SMALL ? lua_touserdata(L, lua_upvalueindex(1)) : NULL;

    pile->size = 0;
    if (scratch == NULL || scratch->taken) {
        pile->bytes = small;
        pile->room = SMALL;
        return NULL;
    }
    scratch->taken = true;
    pile->bytes = scratch->bytes;
    pile->room = SCRATCH;
    return scratch;
}

static void give_back(struct scratch *scratch)
{
    if (scratch != NULL)
        scratch->taken = false;
}

/* Some bytes, at least one: those that were kept, else from the core. */
static virtsock_status some(lua_State *L, struct stream *s, char *to, size_t cap, size_t *done, struct call *call)
{
    virtsock_status status = VIRTSOCK_OK;

    *done = s->end - s->at < cap ? s->end - s->at : cap;
    if (*done > 0) {
        memcpy(to, s->kept + s->at, *done);
        s->at += (uint32_t)*done;
        return status;
    }
    do
        status = virtsock_stream_recv(s->swig.ptr, to, cap, done, left_ms(call), &call->err);
    while (goes_on(L, status));
    s->received += *done;
    return status;
}

/* Into the room that is left, up to `most` bytes. */
static virtsock_status pile_up(lua_State *L, struct stream *s, struct pile *pile, size_t most, struct call *call)
{
    virtsock_status status;
    size_t done;

    if (pile->room == pile->size)
        make_room(L, pile, pile->size * 2);
    status = some(L, s, pile->bytes + pile->size, most < pile->room - pile->size ? most : pile->room - pile->size, &done, call);
    pile->size += done;
    return status;
}

static int received(lua_State *L, struct stream *s, const struct pile *pile, struct call *call, virtsock_status status)
{
    lua_pushlstring(L, pile->bytes, pile->size);
    if (status == VIRTSOCK_OK)
        return 1;
    s->sends = false;
    return failed(L, call, status);
}

/* `want` bytes, of which pile has the first. A number that a peer sent makes us allocate twice what came, and no more. */
static virtsock_status receive_count(lua_State *L, struct stream *s, struct pile *pile, size_t want, struct call *call)
{
    virtsock_status status = VIRTSOCK_OK;

    while (status == VIRTSOCK_OK && pile->size < want)
        status = pile_up(L, s, pile, want - pile->size, call);
    return status;
}

/* To the peer's end, before which there has to be something. */
static virtsock_status receive_all(lua_State *L, struct stream *s, struct pile *pile, struct call *call)
{
    const size_t    prefix = pile->size;
    virtsock_status status;

    do
        status = pile_up(L, s, pile, SIZE_MAX, call);
    while (status == VIRTSOCK_OK);
    return status == VIRTSOCK_E_EOF && pile->size > prefix ? VIRTSOCK_OK : status;
}

/* A message of at most `most` bytes: of a longer one the rest is lost, so the room is there before. */
static virtsock_status receive_message(lua_State *L, struct stream *s, struct pile *pile, size_t most, struct call *call)
{
    if (most > pile->room - pile->size)
        make_room(L, pile, pile->size + most);
    return pile_up(L, s, pile, most, call);
}

/* A line without its end, or `whole`. Without a prefix, and if it is kept as a whole, it is copied once. */
static int receive_line(lua_State *L, struct stream *s, bool whole, struct pile *pile)
{
    virtsock_status status = VIRTSOCK_OK;
    struct call     call;
    size_t          done;

    begin(&call, &s->limits);
    if (s->kept == NULL && (s->kept = malloc(KEPT)) == NULL)
        return luaL_error(L, "not enough memory");
    for (;;) {
        char *from = s->kept + s->at, *newline = memchr(from, '\n', s->end - s->at);
        size_t size = newline != NULL ? (size_t)(newline + 1 - from) : s->end - s->at;

        s->at += (uint32_t)size;
        if (newline == NULL || pile->size > 0)
            put(L, pile, from, size);
        if (newline != NULL) {
            const char *line = pile->size > 0 ? pile->bytes : from;
            size = pile->size > 0 ? pile->size : size;
            if (!whole)
                size -= size > 1 && line[size - 2] == '\r' ? 2 : 1;
            lua_pushlstring(L, line, size);
            return 1;
        }
        s->at = s->end = 0;
        if ((status = some(L, s, s->kept, KEPT, &done, &call)) != VIRTSOCK_OK)
            return received(L, s, pile, &call, status);
        s->at = 0;                      /* a hook's receive may have moved it */
        s->end = (uint32_t)done;
    }
}

/* Argument 2, if it is a number of bytes. More than there is memory for is asked for in vain. */
static bool is_count(lua_State *L, size_t *count)
{
    int64_t exact;

    if (!vs_whole(L, 2, 0, INT64_MAX, &exact))
        return false;
    *count = exact < PTRDIFF_MAX ? (size_t)exact : PTRDIFF_MAX;
    return true;
}

/* What index 2 asks for: 'n' bytes, 'l'ine, 'L'ine with its end, 'a'll. */
static char pattern(lua_State *L, struct stream *s, size_t *count)
{
    const int   type = lua_type(L, 2);
    const char *text = type == LUA_TSTRING ? lua_tostring(L, 2) : "";

    if (type <= 0) {
        *count = SCRATCH;
        return has_messages(s) ? 'n' : 'l';
    }
    if (is_count(L, count))
        return 'n';
    text += *text == '*';
    if (has_messages(s) || (strcmp(text, "l") != 0 && strcmp(text, "L") != 0 && strcmp(text, "a") != 0))
        luaL_argerror(L, 2, lua_pushfstring(L, has_messages(s) ? "number of bytes expected, got %s"
                                                            : "a number of bytes, \"*l\", \"*L\" or \"*a\" expected, got %s",
                                            lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2)));
    return *text;
}

/* pattern, prefix: with which what it gives begins, and which a number of bytes counts. */
static int stream_receive(lua_State *L)
{
    struct stream  *s = stream_at_1(L);
    size_t          count = SCRATCH, given = 0;
    const char      what = pattern(L, s, &count), *prefix = NULL;
    char            small[SMALL];
    struct pile     pile;
    struct call     call;
    struct scratch *scratch;
    virtsock_status status;
    int             results;

    if (!lua_isnoneornil(L, 3) && lua_type(L, 3) != LUA_TSTRING)
        return luaL_argerror(L, 3, lua_pushfstring(L, "prefix: string expected, got %s", luaL_typename(L, 3)));
    prefix = lua_tolstring(L, 3, &given);
    lua_settop(L, PILE);
    scratch = take_room(L, &pile, small, what == 'l' || what == 'L' ? 0 : count);
    if (given > 0)
        put(L, &pile, prefix, given);
    if (what == 'l' || what == 'L')
        return receive_line(L, s, what == 'L', &pile);
    begin(&call, &s->limits);
    if (has_messages(s))
        status = receive_message(L, s, &pile, count, &call);
    else
        status = what == 'n' ? receive_count(L, s, &pile, count, &call) : receive_all(L, s, &pile, &call);
    results = received(L, s, &pile, &call, status);
    give_back(scratch);
    return results;
}

static size_t count_at_2(lua_State *L)
{
    size_t count = 0;

    if (!is_count(L, &count))
        luaL_argerror(L, 2, lua_pushfstring(L, "number of bytes expected, got %s", luaL_typename(L, 2)));
    return count;
}

static int stream_recv_exact(lua_State *L)
{
    count_at_2(L);
    lua_settop(L, 2);
    return stream_receive(L);
}

/* Some bytes, at least one, at most so many. */
static int stream_recv(lua_State *L)
{
    struct stream  *s = stream_at_1(L);
    const size_t    most = count_at_2(L) < SCRATCH || has_messages(s) ? count_at_2(L) : SCRATCH;
    char            small[SMALL];
    struct pile     pile;
    struct call     call;
    struct scratch *scratch;
    int             results;

    lua_settop(L, PILE);
    scratch = take_room(L, &pile, small, most);
    begin(&call, &s->limits);
    results = received(L, s, &pile, &call, receive_message(L, s, &pile, most, &call));
    give_back(scratch);
    return results;
}

/* --- Lines: for line in stream:lines() do ------------------------------------------------------------------------------ */

/* What was begun is a line at the end of all. Another failure is raised. */
static int take_line(lua_State *L, bool whole)
{
    struct stream *s = stream_at_1(L);
    char           small[SMALL];
    struct pile    pile = { small, 0, sizeof small };
    size_t         rest;

    lua_settop(L, PILE);
    if (receive_line(L, s, whole, &pile) == 1)
        return 1;
    if (strcmp(lua_tostring(L, PILE + 3), "closed") != 0)
        return luaL_error(L, "%s", lua_tostring(L, PILE + 5));
    lua_tolstring(L, PILE + 1, &rest);
    lua_settop(L, PILE + 1);
    if (rest == 0)
        lua_pushnil(L);
    return 1;
}

static int next_line(lua_State *L)
{
    return take_line(L, false);
}

static int next_whole_line(lua_State *L)
{
    return take_line(L, true);
}

/* Its upvalues are the two functions above, the same ones each time: LuaJIT compiles a loop for one that it knows. */
static int stream_lines(lua_State *L)
{
    struct stream *s = stream_at_1(L);
    size_t         count;
    char           what = pattern(L, s, &count);

    if (what != 'l' && what != 'L')
        return luaL_argerror(L, 2, "\"*l\" or \"*L\" expected");
    lua_pushvalue(L, lua_upvalueindex(what == 'l' ? 1 : 2));
    lua_pushvalue(L, 1);
    return 2;
}

/* --- What there is to know -------------------------------------------------------------------------------------------- */

static bool is_dirty(const struct stream *s)
{
    return s->at < s->end;
}

static int stream_dirty(lua_State *L)
{
    lua_pushboolean(L, is_dirty(stream_at_1(L)));
    return 1;
}

/* What a loop is to wait for: of one that is connecting what that wants, which may be another descriptor after every step. */
struct wants {
    virtsock_fd fd;
    int         events, timeout_ms;
};

static struct wants wants_of(const struct stream *s)
{
    struct wants wants = { virtsock_stream_fd(s->swig.ptr), s->sends ? VIRTSOCK_WANT_SEND : VIRTSOCK_WANT_RECV, -1 };

    if (wants.fd < 0)
        virtsock_stream_wants(s->swig.ptr, &wants.fd, &wants.events, &wants.timeout_ms);
    else if (is_dirty(s))
        wants.timeout_ms = 0;
    return wants;
}

static int stream_getfd(lua_State *L)
{
    vs_push_number(L, wants_of(stream_at_1(L)).fd);
    return 1;
}

static int stream_events(lua_State *L)
{
    static const char *const names[] = { "", "r", "w", "rw" };

    lua_pushstring(L, names[wants_of(stream_at_1(L)).events & 3]);
    return 1;
}

static int stream_timeout(lua_State *L)
{
    int ms = wants_of(stream_at_1(L)).timeout_ms;

    if (ms < 0)
        return 0;
    lua_pushnumber(L, ms / 1000.0);
    return 1;
}

/* Bytes received, bytes sent, seconds that it has been there. */
static int stream_getstats(lua_State *L)
{
    const struct stream *s = stream_at_1(L);

    vs_push_number(L, s->received);
    vs_push_number(L, s->sent);
    lua_pushnumber(L, (lua_Number)(vs_now_ms() - s->born_ms) / 1000);
    return 3;
}

static int stream_tostring(lua_State *L)
{
    lua_pushfstring(L, "virtsock.stream (fd %d)", (int)virtsock_stream_fd(stream_at_1(L)->swig.ptr));
    return 1;
}

static int listener_getfd(lua_State *L)
{
    vs_push_number(L, virtsock_listener_fd(listener_at_1(L)->swig.ptr));
    return 1;
}

static int listener_tostring(lua_State *L)
{
    lua_pushfstring(L, "virtsock.listener (fd %d)", (int)virtsock_listener_fd(listener_at_1(L)->swig.ptr));
    return 1;
}

/* --- Connecting, accepting, closing ------------------------------------------------------------------------------------- */

/* A step of a connection under way, or all of it, as the limits say. */
static int stream_connect(lua_State *L)
{
    struct stream  *s = stream_at_1(L);
    virtsock_status status;
    struct call     call;

    begin(&call, &s->limits);
    do
        status = virtsock_stream_connect(s->swig.ptr, left_ms(&call), &call.err);
    while (goes_on(L, status));
    return ended(L, &call, status);
}

static int listener_accept(lua_State *L)
{
    struct listener   *l = listener_at_1(L);
    swig_lua_userdata *room = make_object(L, SWIGTYPE_p_virtsock_stream);
    virtsock_stream   *stream;
    virtsock_status    status;
    struct call        call;

    begin(&call, &l->limits);
    do
        status = virtsock_accept(&stream, l->swig.ptr, left_ms(&call), &call.err);
    while (goes_on(L, status));
    if (status == VIRTSOCK_OK) {
        fill_object(room, stream);
        lua_pushvalue(L, 2);
        return 1;
    }
    lua_pushnil(L);
    return failed(L, &call, status);
}

/* As goes_on; what a hook raises ends the close at once. */
static bool close_goes_on(lua_State *L, struct stream *s, virtsock_status status)
{
    if (status != VIRTSOCK_E_INTERRUPTED)
        return false;
    lua_pushcfunction(L, nothing);
    if (lua_pcall(L, 0, 0, 0) == 0)
        return true;
    virtsock_stream_close(s->swig.ptr, 0, NULL);
    return lua_error(L) != 0;
}

/* What was kept is gone. */
static int end_stream(lua_State *L, int linger_ms)
{
    struct stream  *s = stream_at_1(L);
    virtsock_status status;
    struct call     call;

    begin(&call, &s->limits);
    s->at = s->end = 0;
    do
        status = virtsock_stream_close(s->swig.ptr, linger_ms, &call.err);
    while (close_goes_on(L, s, status));
    return ended(L, &call, status);
}

static int stream_close(lua_State *L)
{
    return end_stream(L, -1);
}

static int stream_abort(lua_State *L)
{
    return end_stream(L, 0);
}

/* Half-closes (not with half-close=none or unknown), waits until the peer has ended too, so many seconds at most, closes. */
static int stream_finish(lua_State *L)
{
    int ms = milliseconds(L, 2);

    return end_stream(L, ms < 0 ? INT_MAX : ms == 0 ? 1 : ms);
}

static int listener_close(lua_State *L)
{
    struct listener *l = listener_at_1(L);
    struct call      call;

    begin(&call, &l->limits);
    return ended(L, &call, virtsock_listener_close(l->swig.ptr, &call.err));
}

/* --- The classes ------------------------------------------------------------------------------------------------------ */

static const luaL_Reg stream_methods[] = {
    { "send", stream_send }, { "receive", stream_receive }, { "recv", stream_recv }, { "recv_exact", stream_recv_exact },
    { "connect", stream_connect }, { "close", stream_close }, { "abort", stream_abort }, { "finish", stream_finish },
    { "settimeout", set_timeout }, { "gettimeout", get_timeout },
    { "getfd", stream_getfd }, { "pollfd", stream_getfd }, { "events", stream_events }, { "timeout", stream_timeout },
    { "dirty", stream_dirty }, { "getstats", stream_getstats }, { NULL, NULL }
};

static const luaL_Reg listener_methods[] = {
    { "accept", listener_accept }, { "close", listener_close }, { "settimeout", set_timeout }, { "gettimeout", get_timeout },
    { "getfd", listener_getfd }, { "pollfd", listener_getfd }, { NULL, NULL }
};

/* The module gets the table under that name, for the layer to add to. */
static void push_methods(lua_State *L, int module, const luaL_Reg *methods, const char *name)
{
    lua_newtable(L);
    memset(lua_newuserdata(L, sizeof(struct scratch)), 0, sizeof(bool));
    for (; methods->name != NULL; methods++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, methods->func, 1);
        lua_setfield(L, -3, methods->name);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, module, name);
}

/* SWIG's types and constants are settled; the module's table is on top of the stack. */
static void vs_classes(lua_State *L)
{
    int module = lua_gettop(L);

    push_functions(L, module, SWIGTYPE_p_virtsock_address);
    set_class(L, SWIGTYPE_p_virtsock_address, NULL, NULL);
    push_functions(L, module, SWIGTYPE_p_virtsock_options);
    set_class(L, SWIGTYPE_p_virtsock_options, NULL, NULL);
    push_methods(L, module, stream_methods, "stream");
    lua_pushcfunction(L, next_line);
    lua_pushcfunction(L, next_whole_line);
    lua_pushcclosure(L, stream_lines, 2);
    lua_setfield(L, -2, "lines");
    set_class(L, SWIGTYPE_p_virtsock_stream, stream_tostring, stream_close);
    push_methods(L, module, listener_methods, "listener");
    set_class(L, SWIGTYPE_p_virtsock_listener, listener_tostring, listener_close);
    vs_push_number(L, VIRTSOCK_CID_ANY);        /* SWIG's constants are of type long */
    lua_setfield(L, module, "CID_ANY");
    vs_push_number(L, VIRTSOCK_PORT_ANY);
    lua_setfield(L, module, "PORT_ANY");
}
