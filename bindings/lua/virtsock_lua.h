/* SPDX-License-Identifier: MIT
 *
 * For programs that embed Lua: the module with no file to be found at run time. Link libvirtsock-lua5.4.a (or that of your Lua), libvirtsock.a and
 * Lua; examples/lua/embed.c shows how. States in several threads may open it at once; a state, and what it made, belongs to one thread at a time.
 */
#ifndef VIRTSOCK_LUA_H
#define VIRTSOCK_LUA_H

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;

/* What `require "virtsock"` is to call: for luaL_requiref, or for package.preload. Leaves the module's table on the stack; sets no global. The
 * state needs Lua's base, string, table and math libraries. */
int luaopen_virtsock(struct lua_State *L);

/* Below it: the functions of virtsock.h as SWIG binds them, virtsock.core. */
int luaopen_virtsock_core(struct lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
