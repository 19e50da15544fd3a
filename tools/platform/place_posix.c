/* SPDX-License-Identifier: MIT
 *
 * Files of UNIX sockets: see place.h.
 */
#define _GNU_SOURCE

#include "platform/place.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/inotify.h>
#endif

static bool look(const char *path, struct stat *at)
{
    return path[0] != '\0' && lstat(path, at) == 0 && S_ISSOCK(at->st_mode);
}

bool place_of(struct place *out, virtsock_fd socket)
{
    struct sockaddr_un name = { .sun_family = AF_UNSPEC };
    socklen_t          size = sizeof name;
    struct stat        at;
    size_t             n;

    *out = (struct place){ .path = "" };
    if (getsockname((int)socket, (struct sockaddr *)&name, &size) != 0 || name.sun_family != AF_UNIX
        || size <= offsetof(struct sockaddr_un, sun_path))
        return false;
    n = strnlen(name.sun_path, size - offsetof(struct sockaddr_un, sun_path));
    if (n >= sizeof out->path)
        return false;
    memcpy(out->path, name.sun_path, n);
    if (!look(out->path, &at))          /* removed already: it is none that will be found there */
        return true;
    out->device = (uint64_t)at.st_dev;
    out->inode = (uint64_t)at.st_ino;
    return true;
}

bool place_is_there(const struct place *place)
{
    struct stat at;

    return look(place->path, &at) && (uint64_t)at.st_dev == place->device && (uint64_t)at.st_ino == place->inode;
}

void place_remove(const struct place *place)
{
    if (place_is_there(place))
        unlink(place->path);
}

#ifdef __linux__

/* Of the socket itself a removal is told as a change: its links. Folders tell of themselves alone, and not of what
 * others do in them. One that may not be read cannot be watched; the rest is. */
#define OF_ITSELF (IN_DELETE_SELF | IN_MOVE_SELF)

virtsock_fd place_lookout(void)
{
    return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

void place_watch(virtsock_fd lookout, const struct place *place)
{
    char path[sizeof place->path];

    if (lookout == -1)
        return;
    memcpy(path, place->path, sizeof path);
    inotify_add_watch((int)lookout, path, OF_ITSELF | IN_ATTRIB);
    for (char *slash; (slash = strrchr(path, '/')) != NULL && slash > path;) {
        *slash = '\0';
        inotify_add_watch((int)lookout, path, OF_ITSELF | IN_ONLYDIR);
    }
}

void place_heard(virtsock_fd lookout)
{
    char events[4096];

    while (read((int)lookout, events, sizeof events) > 0)
        continue;
}

#else

virtsock_fd place_lookout(void)
{
    return -1;
}

void place_watch(virtsock_fd lookout, const struct place *place)
{
    (void)lookout, (void)place;
}

void place_heard(virtsock_fd lookout)
{
    (void)lookout;
}

#endif
