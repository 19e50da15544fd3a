/* SPDX-License-Identifier: MIT
 *
 * What virtsock list asks of a system. list_posix.c has it for Linux; other systems answer LIST_NO_SUCH. Codes are the
 * system's own, 0 is success, or one of these.
 */
#ifndef TOOL_PLATFORM_LIST_H
#define TOOL_PLATFORM_LIST_H

#include <stddef.h>
#include <stdint.h>

#define LIST_NO_SUCH  (-1)              /* this system does not tell of its vsock sockets */
#define LIST_NO_DIAG  (-2)              /* its kernel would, but for a module: vsock_diag */
#define LIST_GARBLED  (-3)
#define LIST_STOPPED  (-4)              /* there was no room for what it told */
#define LIST_MORE     (-5)              /* its answer goes on */

/* Reads one datagram of an answer: LIST_MORE, or what all of it was. */
typedef int list_reader(const unsigned char *data, size_t size);

/* Sends a request of sock_diag(7), and has the answer read. */
int list_ask(const void *request, size_t size, list_reader *read_one);

/* What the kernel's code for a request that failed means. */
int list_failure(int code);

/* Calls take for each descriptor of a process that is a socket, as far as this user may see them. name: the program's, cut as the kernel
 * cuts it. */
void list_descriptors(void (*take)(uint32_t inode, int pid, int fd, const char *name, void *argument), void *argument);

#endif
