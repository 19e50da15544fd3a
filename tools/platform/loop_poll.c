/* SPDX-License-Identifier: MIT
 *
 * Many sockets by few threads on any POSIX system: see loop.h. Events are levels, and each step looks at every socket.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

struct loop {
    struct pollfd      *fds;            /* the first is the pipe that wakes it */
    struct loop_watch **watches;        /* of each */
    int                 count, room;
    int                 wake[2];
};

static bool grow(struct loop *loop)
{
    int                 room = loop->room == 0 ? 64 : loop->room * 2;
    struct pollfd      *fds = realloc(loop->fds, (size_t)room * sizeof *fds);
    struct loop_watch **watches;

    if (fds == NULL)
        return false;
    loop->fds = fds;
    if ((watches = realloc(loop->watches, (size_t)room * sizeof *watches)) == NULL)
        return false;
    loop->watches = watches;
    loop->room = room;
    return true;
}

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return NULL;
    if (!grow(loop) || pipe(loop->wake) != 0) {
        free(loop->fds);
        free(loop->watches);
        free(loop);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(loop->wake[i], F_SETFD, FD_CLOEXEC);
        fcntl(loop->wake[i], F_SETFL, O_NONBLOCK);
    }
    loop->fds[0] = (struct pollfd){ .fd = loop->wake[0], .events = POLLIN };
    loop->watches[0] = NULL;
    loop->count = 1;
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    close(loop->wake[0]);
    close(loop->wake[1]);
    free(loop->fds);
    free(loop->watches);
    free(loop);
}

static short asked(int events)
{
    return (short)((events & LOOP_RECV ? POLLIN : 0) | (events & LOOP_SEND ? POLLOUT : 0));
}

bool loop_watch(struct loop *loop, struct loop_watch *watch, virtsock_fd fd, int events)
{
    watch->fd = -1;
    if (loop->count == loop->room && !grow(loop))
        return false;
    watch->fd = fd;
    watch->events = events;
    watch->place = loop->count;
    loop->fds[loop->count] = (struct pollfd){ .fd = (int)fd, .events = asked(events) };
    loop->watches[loop->count++] = watch;
    return true;
}

/* A hang-up is told whatever is asked for, so one that has been told and is waited for in no other way is looked away from. */
static void look(struct loop *loop, const struct loop_watch *watch)
{
    loop->fds[watch->place].events = asked(watch->events);
    loop->fds[watch->place].fd = watch->events == LOOP_GONE ? -1 : (int)watch->fd;
}

void loop_want(struct loop *loop, struct loop_watch *watch, int events)
{
    if (watch->fd == -1)
        return;
    watch->events = (watch->events & LOOP_GONE) | events;
    look(loop, watch);
}

void loop_forget(struct loop *loop, struct loop_watch *watch)
{
    int last = loop->count - 1;

    if (watch->fd == -1)
        return;
    loop->fds[watch->place] = loop->fds[last];
    loop->watches[watch->place] = loop->watches[last];
    loop->watches[watch->place]->place = watch->place;
    loop->count = last;
    watch->fd = -1;
}

static void tell(struct loop *loop, struct loop_watch *watch, short found)
{
    int events = 0;

    if (found & POLLIN)
        events |= LOOP_RECV;
    if (found & POLLOUT)
        events |= LOOP_SEND;
    if (found & (POLLHUP | POLLERR | POLLNVAL)) {
        events |= LOOP_GONE | LOOP_RECV | LOOP_SEND;
        watch->events |= LOOP_GONE;
        look(loop, watch);
    }
    watch->ready(watch->owner, events);
}

/* From the last to the first: whoever takes a forgotten one's place has been told already, or is told next time. */
void loop_step(struct loop *loop, int timeout_ms)
{
    char scrap[64];

    if (poll(loop->fds, (nfds_t)loop->count, timeout_ms) <= 0)
        return;
    for (int i = loop->count - 1; i > 0; i--)
        if (i < loop->count && loop->fds[i].revents != 0)
            tell(loop, loop->watches[i], loop->fds[i].revents);
    if (loop->fds[0].revents != 0)
        while (read(loop->wake[0], scrap, sizeof scrap) > 0)
            continue;
}

void loop_wake(struct loop *loop)
{
    if (write(loop->wake[1], "", 1) < 0)
        return;                         /* full: it will wake */
}

void loop_yield(void)
{
    sched_yield();
}

/* --- Pipes ------------------------------------------------------------------------------------------------------------- */

bool loop_pipe_open(int pipes[2])
{
    (void)pipes;
    return false;
}

void loop_pipe_close(int pipes[2])
{
    (void)pipes;
}

int64_t loop_pipe_fill(const int pipes[2], virtsock_fd from)
{
    (void)pipes;
    (void)from;
    return LOOP_UNABLE;
}

int64_t loop_pipe_pour(const int pipes[2], virtsock_fd to, size_t size)
{
    (void)pipes;
    (void)to;
    (void)size;
    return LOOP_UNABLE;
}
