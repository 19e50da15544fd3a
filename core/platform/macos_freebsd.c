/* SPDX-License-Identifier: MIT
 *
 * What macOS and FreeBSD have alike. Compiled and linked by the tests, run by nobody yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/posix.h"

uint32_t vs_random(void)
{
    return arc4random();
}

uint32_t vs_process(void)
{
    return (uint32_t)getpid();
}

/* Nobody there and no room refuse alike. But a socket of another type is refused only where nobody has the file. */
bool vs_is_full(const struct sockaddr *to, socklen_t length)
{
    int  fd = vs_new_socket(AF_UNIX, SOCK_DGRAM);
    bool full = fd >= 0 && connect(fd, to, length) != 0 && errno == EPROTOTYPE;

    if (fd >= 0)
        vs_close(fd);
    return full;
}

int vs_set_buffers(virtsock_fd fd, enum vs_family family, int64_t min, int64_t size, int64_t max)
{
    int value = (int)size;

    (void)family;
    (void)min;
    (void)max;
    if (size == 0)
        return 0;
    return setsockopt((int)fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value) != 0
                   || setsockopt((int)fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value) != 0
               ? errno
               : 0;
}

int vs_get_buffer(virtsock_fd fd, enum vs_family family, int64_t *size)
{
    int       value = 0;
    socklen_t length = sizeof value;

    (void)family;
    if (getsockopt((int)fd, SOL_SOCKET, SO_RCVBUF, &value, &length) != 0)
        return errno;
    *size = value;
    return 0;
}

/* Ours is the only one. */
int vs_set_vsock_connect_timeout(virtsock_fd fd, int64_t ms)
{
    (void)fd;
    (void)ms;
    return 0;
}

/* A socket without a name has no mode here. It has one before it listens, and until then nobody can connect. */
int vs_set_mode_before(virtsock_fd fd, uint32_t mode)
{
    (void)fd;
    (void)mode;
    return 0;
}

int vs_set_mode_after(const char *path, const struct vs_file_id *id, uint32_t mode)
{
    struct stat file;

    if (lstat(path, &file) != 0)
        return errno;
    if ((uint64_t)file.st_dev != id->device || (uint64_t)file.st_ino != id->inode)
        return EADDRINUSE;
    return lchmod(path, (mode_t)mode) != 0 ? errno : 0;
}
