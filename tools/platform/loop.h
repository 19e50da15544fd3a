/* SPDX-License-Identifier: MIT
 *
 * What `virtsock relay` asks of a POSIX system to serve many sockets by few threads: readiness, and pipes through which the kernel moves bytes
 * that nobody looks at. loop_epoll.c (Linux) and loop_poll.c (elsewhere) have it, in this order.
 */
#ifndef TOOL_PLATFORM_LOOP_H
#define TOOL_PLATFORM_LOOP_H

#include <stdbool.h>

#include "virtsock.h"

struct loop;                            /* for one thread; loop_wake alone is for any */

enum { LOOP_RECV = VIRTSOCK_WANT_RECV, LOOP_SEND = VIRTSOCK_WANT_SEND, LOOP_GONE = 4 };

/* A socket that is looked at. Its owner is told when something that it wants may be possible, and when the peer is gone in both directions
 * (with LOOP_RECV and LOOP_SEND, since what lies there is to be had still); perhaps also without a reason. Perhaps once only: who was told
 * tries until it would block. */
struct loop_watch {
    void      (*ready)(void *owner, int events);
    void       *owner;
    virtsock_fd fd;                     /* -1: not looked at. This and what follows is the loop's own */
    int         events;
    int         place;
};

/* NULL: the system has none to give. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* False: the system has no room. */
bool loop_watch(struct loop *loop, struct loop_watch *watch, virtsock_fd fd, int events);
void loop_want(struct loop *loop, struct loop_watch *watch, int events);
/* It is told nothing more; its memory must last until loop_step has returned. Nothing happens if it is not looked at. */
void loop_forget(struct loop *loop, struct loop_watch *watch);

/* Waits until there is somebody to tell, the time has passed (-1: never) or loop_wake was called, and tells them. */
void loop_step(struct loop *loop, int timeout_ms);
void loop_wake(struct loop *loop);
/* Lets another thread of the machine have the processor, if one waits for it. */
void loop_yield(void);

/* In place of a count: */
/* It would block; an error; the kernel cannot do that with this socket; its peer takes no more; it has ended. */
enum { LOOP_AGAIN = -1, LOOP_BROKEN = -2, LOOP_UNABLE = -3, LOOP_UNWANTED = -4, LOOP_END = -5 };

/* False: no pipes, or none that sockets can be joined by. */
bool loop_pipe_open(int pipe[2]);
void loop_pipe_close(int pipe[2]);
/* From a non-blocking socket into an empty pipe: bytes, 0 at the peer's end. From the pipe into a socket: bytes. */
int64_t loop_pipe_fill(const int pipe[2], virtsock_fd from);
int64_t loop_pipe_pour(const int pipe[2], virtsock_fd to, size_t size);

#endif
