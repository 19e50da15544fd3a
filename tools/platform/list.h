/* SPDX-License-Identifier: MIT
 *
 * What virtsock list asks of a system. list_posix.c has it for Linux; other systems answer LIST_NO_SUCH. Codes are the system's own,
 * 0 is success, or one of these.
 */
#ifndef TOOL_PLATFORM_LIST_H
#define TOOL_PLATFORM_LIST_H

#include "commands/list/diag.h"
#include "virtsock.h"

#define LIST_NO_SUCH  (-1)              /* this system does not tell of its vsock sockets */
#define LIST_NO_DIAG  (-2)              /* its kernel would, but for a module: vsock_diag */
#define LIST_GARBLED  (-3)
#define LIST_STOPPED  (-4)              /* take said so */

/* Calls take for each socket in these states (1 << DIAG_), until it returns 0. */
int list_sockets(uint32_t states, int (*take)(const struct diag_socket *socket, void *argument), void *argument);

/* Calls take for each descriptor of a process that is a socket, as far as this user may see them. name: the program's, cut as the kernel
 * cuts it. */
void list_descriptors(void (*take)(uint32_t inode, int pid, int fd, const char *name, void *argument), void *argument);

#endif
