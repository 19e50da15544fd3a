/* SPDX-License-Identifier: MIT
 *
 * The porting contract on POSIX systems, the rest: names of sockets in the file system, without a moment in which somebody else could come
 * between, and this machine's CID.
 */
#define _GNU_SOURCE             /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/posix.h"

/* --- Names in the file system --------------------------------------------------------------------------------------------------- */

/* A file system behind a network or a program may be interrupted here. */
int vs_open_file(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int vs_lock_directory(virtsock_fd *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    char        directory[sizeof((struct vs_end *)0)->path] = ".";
    size_t      n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    int         fd;

    if (n >= sizeof directory)
        return ENAMETOOLONG;
    if (n > 0) {
        memcpy(directory, path, n);
        directory[n] = '\0';
    }
    if ((fd = vs_open_file(directory, O_RDONLY | O_DIRECTORY)) < 0)
        return errno;
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == 200 || (errno != EWOULDBLOCK && errno != EINTR)) {
            int code = errno == EWOULDBLOCK ? EADDRINUSE : errno;

            vs_close(fd);
            return code;
        }
        vs_nap_us(5000);
    }
    *out = fd;
    return 0;
}

void vs_unlock_directory(virtsock_fd lock)
{
    vs_close(lock);
}

int vs_file_at(const char *path, enum vs_file *what, struct vs_file_id *id)
{
    struct stat file;

    *what = VS_FILE_NONE;
    if (lstat(path, &file) != 0)
        return errno == ENOENT ? 0 : errno;
    *what = S_ISSOCK(file.st_mode) ? VS_FILE_SOCKET : VS_FILE_OTHER;
    id->device = (uint64_t)file.st_dev;
    id->inode = (uint64_t)file.st_ino;
    return 0;
}

int vs_remove(const char *path)
{
    return unlink(path) != 0 ? errno : 0;
}
