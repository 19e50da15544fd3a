/* SPDX-License-Identifier: MIT
 *
 * Programs that are given a client's socket: child_posix.c has them, and child_windows.c that there are none. Codes
 * are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_CHILD_H
#define TOOL_PLATFORM_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "virtsock.h"

extern const bool child_runs;           /* false: never here */

/* 0: a file that this user may run. */
int child_look(const char *path);
/* Runs argv[0], with no shell, in a process group of its own, with signals as usual. The socket, which is closed here
 * whatever becomes of it, is its standard input and output; to its environment comes more, NAME=VALUE, and nothing is
 * left there of what a service manager told this one. */
int child_start(int64_t *child, char *const argv[], virtsock_fd socket, const char *more);
/* Waits for its end, from any thread; it is remembered until: */
void child_await(int64_t child);
/* Its exit code, or minus the signal that ended it. Waits. */
int child_forget(int64_t child);
/* With what it has started. Before it is forgotten. */
void child_kill(int64_t child);

#endif
