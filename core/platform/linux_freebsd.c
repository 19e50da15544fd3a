/* SPDX-License-Identifier: MIT
 *
 * What Linux and FreeBSD (13 and later) have alike: calls that make a descriptor close-on-exec at once, and eventfd.
 */
#define _GNU_SOURCE             /* accept4 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/posix.h"

int vs_new_socket(int family, int type)
{
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int vs_new_accepted(int listener, struct sockaddr *from, socklen_t *length)
{
    return accept4(listener, from, length, SOCK_CLOEXEC);
}

int vs_is_listening(int fd, int *listens)
{
    socklen_t length = sizeof *listens;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, listens, &length) != 0 ? errno : 0;
}

int vs_wake_open(virtsock_fd *out)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    *out = fd;
    return fd < 0 ? errno : 0;
}

void vs_wake_fire(virtsock_fd wake)
{
    uint64_t one = 1;
    ssize_t  n;

    do
        n = write((int)wake, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void vs_wake_close(virtsock_fd wake)
{
    vs_close(wake);
}
