/* SPDX-License-Identifier: MIT
 *
 * Groups of users, of a UNIX socket's file: group_posix.c has them, and group_windows.c that there are none. Codes
 * are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_GROUP_H
#define TOOL_PLATFORM_GROUP_H

#include <stdbool.h>

/* A name, or a number. */
bool group_is_known(const char *group);

/* Gives it a socket, and then these permissions: in no moment has another group any. */
int group_give(const char *path, const char *group, int mode);

#endif
