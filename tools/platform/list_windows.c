/* SPDX-License-Identifier: MIT
 *
 * Windows does not tell of its Hyper-V sockets: see list.h.
 */
#include "platform/list.h"

int list_sockets(uint32_t states, int (*take)(const struct diag_socket *socket, void *argument), void *argument)
{
    (void)states, (void)take, (void)argument;
    return LIST_NO_SUCH;
}

void list_descriptors(void (*take)(uint32_t inode, int pid, int fd, const char *name, void *argument), void *argument)
{
    (void)take, (void)argument;
}
