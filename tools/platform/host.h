/* SPDX-License-Identifier: MIT
 *
 * What the command asks of a system about its machines: a program that knows them, and the Hyper-V services that a Windows host has
 * registered. host_posix.c and host_windows.c have it. Codes are the system's own, 0 is success, or one of these.
 */
#ifndef TOOL_PLATFORM_HOST_H
#define TOOL_PLATFORM_HOST_H

#include <stdbool.h>
#include <stddef.h>

#define HOST_ABSENT  (-1)               /* no such program; no such service; a system that has none */
#define HOST_HUNG    (-2)               /* the time has passed */
#define HOST_FLOODED (-3)               /* it says more than cap - 1 bytes */

#define SERVICE_TEXT 37                 /* a GUID, with its NUL */
#define SERVICE_NAME 1024

/* The program of that name where the system has its own, and not where PATH says. False: it has none. */
bool host_find(char *path, size_t cap, const char *name);
/* Runs argv[0], an absolute path, with no shell in between: what it says on standard output, with a NUL, and its
 * exit code (-1: a signal's). Its input is empty, its standard error is ours. When its time has passed, it is ended
 * with what it started; so it is when a signal ends this process. From one thread. */
int host_run(const char *const argv[], char *out, size_t cap, int timeout_ms, int *exit_code);

/* The name of a registered service, "" where it has none. */
int host_service(const char *service, char *name, size_t cap);
/* The service with that number, from 0; HOST_ABSENT after the last. */
int host_service_at(unsigned number, char service[SERVICE_TEXT]);
/* HOST_ABSENT: this system registers none. */
int host_registers(void);

#endif
