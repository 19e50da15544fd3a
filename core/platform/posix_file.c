/* SPDX-License-Identifier: MIT
 *
 * The porting contract on POSIX systems, the rest: names of sockets in the file system, without a moment in which
 * somebody else could come between, and this machine's CID.
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

/* --- Names in the file system ------------------------------------------------------------------------------------- */

/* A file system behind a network or a program may be interrupted here. */
int vs_open_file(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Whoever can read the directory can hold the lock: it is waited for, and then done without. */
virtsock_fd vs_lock_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char        directory[sizeof((struct vs_end *)0)->path] = ".";
    size_t      n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    int         fd;

    if (n > 0 && n < sizeof directory) {
        memcpy(directory, path, n);
        directory[n] = '\0';
    }
    if ((fd = vs_open_file(directory, O_RDONLY | O_DIRECTORY)) < 0)
        return -1;
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == 200 || (errno != EWOULDBLOCK && errno != EINTR)) {
            vs_close(fd);
            return -1;
        }
        vs_nap_us(5000);
    }
    return fd;
}

/* Not by the close alone: a child that was forked meanwhile has the descriptor, too. */
void vs_unlock_directory(virtsock_fd lock)
{
    if (lock < 0)
        return;
    flock((int)lock, LOCK_UN);
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
