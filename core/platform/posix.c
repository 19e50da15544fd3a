/* SPDX-License-Identifier: MIT
 *
 * The porting contract on POSIX systems: time, data, waiting. EINTR and what is left of a deadline are taken care of
 * here and nowhere else. Sockets are in posix_socket.c, names in posix_file.c, what the codes mean in posix_error.c,
 * and what one system does in another way in the files of posix.h.
 */
#define _GNU_SOURCE             /* MSG_DONTWAIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "platform/posix.h"

/* --- Time and process --------------------------------------------------------------------------------------------- */

int64_t vs_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void vs_nap_us(unsigned us)
{
    struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

    if (us == 0)
        sched_yield();
    else
        nanosleep(&t, NULL);
}

uint32_t vs_user(void)
{
    return (uint32_t)geteuid();
}

/* --- Data --------------------------------------------------------------------------------------------------------- */

int64_t vs_send(virtsock_fd fd, const void *data, size_t size, int64_t until)
{
    ssize_t n = send((int)fd, data, size, until == VS_FOREVER ? MSG_NOSIGNAL : MSG_NOSIGNAL | VS_SEND_NOW);

    return n < 0 ? -(int64_t)errno : n;
}

#define SLICES 256

static int64_t send_slices(virtsock_fd fd, const virtsock_slice *slices, size_t count, size_t max, int flags)
{
    struct iovec   pieces[SLICES];
    struct msghdr  message;
    unsigned short used = 0;            /* msg_iovlen is an int in musl, a size_t in glibc */
    ssize_t        n;

    memset(&message, 0, sizeof message);
    message.msg_iov = pieces;
    for (; used < count && used < SLICES && max > 0; used++) {
        pieces[used].iov_base = (void *)(uintptr_t)slices[used].data;
        pieces[used].iov_len = slices[used].size < max ? slices[used].size : max;
        max -= pieces[used].iov_len;
    }
    message.msg_iovlen = used;
    n = sendmsg((int)fd, &message, MSG_NOSIGNAL | flags);
    return n < 0 ? -(int64_t)errno : n;
}

int64_t vs_sendv(virtsock_fd fd, const virtsock_slice *slices, size_t count, size_t max, int64_t until)
{
    return send_slices(fd, slices, count, max, until == VS_FOREVER ? 0 : VS_SEND_NOW);
}

/* ENOTCONN is what AF_VSOCK answers in place of an end once both sides have shut down, and when its way went away under
 * the connection: then the socket has an error. */
static int64_t received(virtsock_fd fd, ssize_t n)
{
    int       code = 0;
    socklen_t size = sizeof code;

    if (n >= 0 || errno != ENOTCONN)
        return n >= 0 ? n : -(int64_t)errno;
    return getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0 ? -(int64_t)errno : -(int64_t)code;
}

int64_t vs_recv(virtsock_fd fd, void *buf, size_t cap, int64_t until)
{
    return received(fd, recv((int)fd, buf, cap, until == VS_FOREVER ? 0 : MSG_DONTWAIT));
}

int64_t vs_peek(virtsock_fd fd)
{
    char byte;

    return received(fd, recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
}

int64_t vs_recv_message(virtsock_fd fd, void *buf, size_t cap, bool *cut, int64_t until)
{
    struct iovec  piece = { buf, cap };
    struct msghdr message;
    ssize_t       n;

    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    n = recvmsg((int)fd, &message, until == VS_FOREVER ? 0 : MSG_DONTWAIT);
    *cut = n >= 0 ? (message.msg_flags & MSG_TRUNC) != 0 : errno == ENOTCONN;
    return received(fd, n);
}

bool vs_waits_for_room(virtsock_fd fd)
{
    struct timeval t = { 0, 0 };
    socklen_t      size = sizeof t;
    const int      flags = fcntl((int)fd, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK) == 0
           && getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &t, &size) == 0 && t.tv_sec == 0 && t.tv_usec == 0;
}

bool vs_would_block(int os_code)
{
    return os_code == EAGAIN || os_code == EWOULDBLOCK || os_code == EINTR;
}

bool vs_was_interrupted(int os_code)
{
    return os_code == EINTR;
}

/* --- Waiting and waking ------------------------------------------------------------------------------------------- */

static int left_ms(int64_t deadline)
{
    int64_t left;

    if (deadline == VS_FOREVER)
        return -1;
    left = deadline == 0 ? 0 : deadline - vs_now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

enum vs_waited vs_wait(virtsock_fd fd, int events, virtsock_fd wake, int64_t deadline, bool interruptible, int *os_code)
{
    struct pollfd p[2] = { { (int)fd, 0, 0 }, { VS_WAKE_WATCHED(wake), POLLIN, 0 } };

    p[0].events = (short)(((events & VIRTSOCK_WANT_RECV) != 0 ? POLLIN : 0)
                          | ((events & VIRTSOCK_WANT_SEND) != 0 ? POLLOUT : 0));
    for (;;) {
        int n = poll(p, 2, left_ms(deadline));

        if (n > 0)
            return p[1].revents != 0 ? VS_WOKEN : VS_READY;
        if (n == 0 && left_ms(deadline) == 0)
            return VS_TIMED_OUT;
        if (n < 0 && errno == EINTR && interruptible)
            return VS_SIGNALLED;
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            *os_code = errno;
            return VS_WAIT_FAILED;
        }
    }
}
