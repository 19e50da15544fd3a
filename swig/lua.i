/* SPDX-License-Identifier: MIT
 *
 * Lua 5.1 to 5.5 and LuaJIT. Misuse (a wrong type, a number that does not fit) raises. What makes or asks fails with
 * nil, message, status, advice; what sends, receives, accepts or ends with nil, word, partial, message, advice, as LuaSocket does.
 * Memory is Lua's own and taken before the call: an error that jumps out of here leaves nothing behind.
 */
%ignore virtsock_stream_sendv;          /* a list of strings is `table.concat` */

%insert("header") "lua_support.c"
%insert("header") "lua_object.c"
%insert("header") "lua_stream.c"

%init %{
    vs_classes(L);
%}

/* --- Arguments ------------------------------------------------------------------------------------------------------------ */

%define %demand(what)
{ SWIG_Lua_pushferrstring(L, "bad argument #%d to '$symname' (" what " expected, got %s)", $input, luaL_typename(L, $input)); SWIG_fail; }
%enddef
%define %whole(type, min, max, what)
%typemap(in) type (int64_t exact) { if (!vs_whole(L, $input, min, max, &exact)) %demand(what) $1 = exact; }
%enddef
%whole(int, INT_MIN, INT_MAX, "whole number")
%whole(uint32_t, 0, UINT32_MAX, "whole number of 32 bits")
%whole(int64_t, INT64_MIN, INT64_MAX, "whole number")
%whole(size_t, 0, INT64_MAX, "size")

%typemap(in) const char * (size_t length) {
    if (lua_type(L, $input) != LUA_TSTRING) %demand("string")
    $1 = (char *)lua_tolstring(L, $input, &length);
    if (strlen($1) != length) %demand("text without a NUL")
}
%typemap(in) (uint32_t number, const char *text) (size_t length, int64_t exact = 0) {
    if (lua_type(L, $input) == LUA_TSTRING) {
        $2 = (char *)lua_tolstring(L, $input, &length);
        if (strlen($2) != length) %demand("text without a NUL")
    } else if (!vs_whole(L, $input, 0, UINT32_MAX, &exact)) %demand("text or whole number of 32 bits")
    $1 = exact;
}
%typemap(in) (const void *data, size_t size, size_t *done) (size_t done = 0) {
    if (lua_type(L, $input) != LUA_TSTRING) %demand("string")
    $1 = (void *)lua_tolstring(L, $input, &$2); $3 = &done;
}
%typemap(in) (void *buf, size_t cap, size_t *done) (char small[4096], size_t done = 0, int64_t exact) {
    if (!vs_whole(L, $input, 0, INT32_MAX, &exact)) %demand("size")
    $2 = exact; $1 = $2 <= sizeof small ? small : lua_newuserdata(L, $2); $3 = &done;
}
%typemap(in) (void *buf, size_t size, size_t *done) = (void *buf, size_t cap, size_t *done);
%typemap(in) (const virtsock_address *address, char *buf, size_t cap) (char small[512]) {
    if (($1 = vs_handle(L, $input, $1_descriptor)) == NULL) %demand("address")
    $2 = small; $3 = sizeof small;
}
%define %handle_arguments(kind, what)
%typemap(in) kind *, const kind * { if (($1 = vs_handle(L, $input, $1_descriptor)) == NULL) %demand(what) }
%typemap(in, numinputs=0) kind **out (kind *made = NULL, swig_lua_userdata *room) "$1 = &made;"
%typemap(check) kind **out "room$argnum = make_object(L, $*1_descriptor);"
%typemap(argout) kind **out { if (made$argnum != NULL) { fill_object(room$argnum, made$argnum); SWIG_arg++; } }
%enddef
%handle_arguments(virtsock_address, "address")
%handle_arguments(virtsock_options, "options")
%handle_arguments(virtsock_stream, "stream")
%handle_arguments(virtsock_listener, "listener")
%typemap(in) const virtsock_options *options {
    if (($1 = vs_handle(L, $input, $1_descriptor)) == NULL && !lua_isnil(L, $input)) %demand("options or nil")
}
%typemap(in) const virtsock_address *from {
    if (($1 = vs_handle(L, $input, $1_descriptor)) == NULL && !lua_isnil(L, $input)) %demand("address or nil")
}

/* --- Results, in this order: the status, what was asked for, the error --------------------------------------------------------- */

%typemap(out) int, uint32_t, int64_t, size_t "vs_push_number(L, $1); SWIG_arg++;"
%typemap(out) int virtsock_address_equal "lua_pushboolean(L, $1); SWIG_arg++;"
%typemap(out) size_t virtsock_address_format ""
%typemap(out) virtsock_status ""
%typemap(out) virtsock_status virtsock_stream_send, virtsock_status virtsock_stream_recv, virtsock_status virtsock_stream_send_all,
              virtsock_status virtsock_stream_recv_exact, virtsock_status virtsock_accept,
              virtsock_status virtsock_stream_shutdown, virtsock_status virtsock_stream_close, virtsock_status virtsock_listener_close,
              virtsock_status virtsock_address_number, virtsock_status virtsock_port_from_service
    "if ($1 != VIRTSOCK_OK) SWIG_arg += vs_word(L, $1);"
%typemap(argout) (const void *data, size_t size, size_t *done) "vs_push_number(L, *$3); SWIG_arg++;"
%typemap(argout) (void *buf, size_t cap, size_t *done), (void *buf, size_t size, size_t *done) "lua_pushlstring(L, $1, *$3); SWIG_arg++;"
%typemap(argout) (const virtsock_address *address, char *buf, size_t cap) {
    if ((size_t)result >= $3) virtsock_address_format($1, $2 = lua_newuserdata(L, result + 1), result + 1);
    lua_pushlstring(L, $2, result); SWIG_arg++;
}
%typemap(argout) uint32_t *value, uint32_t *port, uint32_t *cid, int64_t *value, virtsock_fd *fd
    "if (result == VIRTSOCK_OK) { vs_push_number(L, *$1); SWIG_arg++; }"
%typemap(in, numinputs=0) (virtsock_fd *fd, int *events, int *timeout_ms) (virtsock_fd fd, int events, int wait_ms)
    "$1 = &fd; $2 = &events; $3 = &wait_ms;"
%typemap(argout) (virtsock_fd *fd, int *events, int *timeout_ms)
    "vs_push_number(L, *$1); vs_push_number(L, *$2); vs_push_number(L, *$3); SWIG_arg += 3;"
%typemap(argout) char out[37] "lua_pushstring(L, $1); SWIG_arg++;"
%typemap(argout) virtsock_error *err "SWIG_arg += vs_results(L, result, $1, SWIG_arg);"

%rename(now_ms) vs_now_ms;
int64_t vs_now_ms(void);
