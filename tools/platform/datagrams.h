/* SPDX-License-Identifier: MIT
 *
 * Datagrams that `virtsock relay` takes at the path of a UNIX socket, to forward them. datagrams_posix.c has it;
 * Windows has no such sockets. Codes are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_DATAGRAMS_H
#define TOOL_PLATFORM_DATAGRAMS_H

#include "platform/place.h"

#define DATAGRAMS_SOCKETS 16            /* at once, at most */

/* One of them. Who has it takes from it in one thread, and never frees it. */
struct datagrams {
    virtsock_fd  fd, wake[2], lookout;
    struct place place;                 /* of an abstract name: none */
    int64_t      again_us;              /* 0: it is there; else when it is asked for again */
    bool         ending;
};

/* In place of a count: datagrams_end was called, and nothing lies there any more; the socket was removed, so that
 * nobody can send until datagrams_again. */
#define DATAGRAMS_END     INT64_MIN
#define DATAGRAMS_REMOVED (INT64_MIN + 1)

/* What nobody listens on at the path is replaced; one that begins with @ is a name of Linux's abstract ones. 0 or
 * the code. */
int datagrams_open(struct datagrams *out, const char *path, int mode);
/* Waits. The bytes of one (at most cap; an empty one has 0), one of the above, or minus the code. */
int64_t datagrams_take(struct datagrams *from, void *buf, size_t cap);
/* Makes the socket anew. 0, or the code: then datagrams_take asks for it again in a second. */
int datagrams_again(struct datagrams *from, const char *path, int mode);
/* From any thread: no more come, but those that lie there. */
void datagrams_end(struct datagrams *from);
/* From any thread, at last: the socket is there no more. */
void datagrams_remove(struct datagrams *from);

#endif
