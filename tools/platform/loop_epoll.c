/* SPDX-License-Identifier: MIT
 *
 * Many sockets by few threads on Linux: see loop.h. Events are edges: a socket is told of once when something has changed. So
 * wanting to receive costs nothing and is always on; only who waits for room asks for that, and is not woken by each read of a peer else.
 */
#define _GNU_SOURCE

#include "platform/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH     128
#define PIPE_SIZE (1 << 18)             /* a socket holds less; where a user has used his share up, a pipe is as large as it is */

struct loop {
    int epoll, wake;
};

struct loop *loop_new(void)
{
    struct loop       *loop = malloc(sizeof *loop);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };

    if (loop == NULL)
        return NULL;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->epoll >= 0)
        close(loop->epoll);
    if (loop->wake >= 0)
        close(loop->wake);
    free(loop);
}

static bool control(struct loop *loop, int operation, struct loop_watch *watch)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = watch };

    if (watch->events & LOOP_SEND)
        event.events |= EPOLLOUT;
    return epoll_ctl(loop->epoll, operation, (int)watch->fd, &event) == 0;
}

bool loop_watch(struct loop *loop, struct loop_watch *watch, virtsock_fd fd, int events)
{
    watch->fd = fd;
    watch->events = events;
    if (control(loop, EPOLL_CTL_ADD, watch))
        return true;
    watch->fd = -1;
    return false;
}

void loop_want(struct loop *loop, struct loop_watch *watch, int events)
{
    bool same = ((watch->events ^ events) & LOOP_SEND) == 0;

    watch->events = events;
    if (!same && watch->fd != -1)
        control(loop, EPOLL_CTL_MOD, watch);
}

void loop_forget(struct loop *loop, struct loop_watch *watch)
{
    if (watch->fd != -1)
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, (int)watch->fd, NULL);
    watch->fd = -1;
}

static void tell(const struct epoll_event *event)
{
    struct loop_watch *watch = event->data.ptr;
    int                events = 0;

    if (watch == NULL || watch->fd == -1)       /* the eventfd; or one before it in the batch has forgotten it */
        return;
    if (event->events & (EPOLLIN | EPOLLRDHUP))
        events |= LOOP_RECV;
    if (event->events & EPOLLOUT)
        events |= LOOP_SEND;
    if (event->events & (EPOLLHUP | EPOLLERR))
        events |= LOOP_GONE | LOOP_RECV | LOOP_SEND;
    watch->ready(watch->owner, events);
}

void loop_step(struct loop *loop, int timeout_ms)
{
    struct epoll_event events[BATCH];
    int                count = epoll_wait(loop->epoll, events, BATCH, timeout_ms);

    for (int i = 0; i < count; i++)
        tell(&events[i]);
}

void loop_wake(struct loop *loop)
{
    eventfd_write(loop->wake, 1);       /* an edge each time, never read: it is full after 2^64 - 2 */
}

void loop_yield(void)
{
    sched_yield();
}

/* --- Pipes ------------------------------------------------------------------------------------------------------------- */

bool loop_pipe_open(int pipe[2])
{
    if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    fcntl(pipe[0], F_SETPIPE_SZ, PIPE_SIZE);
    return true;
}

void loop_pipe_close(int pipe[2])
{
    close(pipe[0]);
    close(pipe[1]);
}

static int64_t result(ssize_t n)
{
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return LOOP_AGAIN;
    if (errno == EPIPE)
        return LOOP_UNWANTED;
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? LOOP_UNABLE : LOOP_BROKEN;
}

int64_t loop_pipe_fill(const int pipe[2], virtsock_fd from)
{
    return result(splice((int)from, NULL, pipe[1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

int64_t loop_pipe_pour(const int pipe[2], virtsock_fd to, size_t size)
{
    return result(splice(pipe[0], NULL, (int)to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}
