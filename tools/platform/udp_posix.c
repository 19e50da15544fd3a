/* SPDX-License-Identifier: MIT
 *
 * Sockets for datagrams on a POSIX system: see udp.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (4 << 20)                /* asked for; the system gives what it may */

union end {
    struct sockaddr     any;
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
};

struct udp {
    int       fd;
    bool      listening;
    union end peer, remembered;         /* peer: heard last, while listening; size 0: nobody yet, or connected */
    socklen_t size;
};

static socklen_t fill(union end *out, const struct udp_end *end)
{
    bool six = strchr(end->host, ':') != NULL;

    memset(out, 0, sizeof *out);
    if (six) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons(end->port);
    } else {
        out->in.sin_family = AF_INET;
        out->in.sin_port = htons(end->port);
    }
    inet_pton(out->any.sa_family, end->host, six ? (void *)&out->in6.sin6_addr : &out->in.sin_addr);
    return six ? sizeof out->in6 : sizeof out->in;
}

static int prepare(struct udp *udp, const struct udp_end *end, bool listening, uint16_t *port)
{
    union end at;
    socklen_t size = fill(&at, end);
    int       buffer = BUFFER;

    if ((udp->fd = socket(at.any.sa_family, SOCK_DGRAM, 0)) < 0 || fcntl(udp->fd, F_SETFD, FD_CLOEXEC) < 0
        || fcntl(udp->fd, F_SETFL, O_NONBLOCK) < 0)
        return errno;
    udp->listening = listening;
    setsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if ((listening ? bind(udp->fd, &at.any, size) : connect(udp->fd, &at.any, size)) != 0)
        return errno;
    if (listening && getsockname(udp->fd, &at.any, &size) != 0)
        return errno;
    *port = ntohs(at.any.sa_family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
    return 0;
}

int udp_open(struct udp **out, const struct udp_end *end, bool listening, uint16_t *port)
{
    int code = ENOMEM;

    if ((*out = calloc(1, sizeof **out)) != NULL && (code = prepare(*out, end, listening, port)) == 0)
        return 0;
    udp_close(*out);
    *out = NULL;
    return code;
}

void udp_close(struct udp *udp)
{
    if (udp != NULL && udp->fd >= 0)
        close(udp->fd);
    free(udp);
}

bool udp_is_refused(int code)
{
    return code == ECONNREFUSED;
}

int udp_send(struct udp *udp, const void *data, size_t size)
{
    struct pollfd p = { .fd = udp->fd, .events = POLLOUT };

    while (sendto(udp->fd, data, size, 0, udp->size > 0 ? &udp->peer.any : NULL, udp->size) < 0) {
        const bool queue = errno == ENOBUFS;    /* macOS, FreeBSD: that of the interface is full, which no poll sees */

        if (!queue && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return errno;
        poll(&p, !queue, queue ? 1 : -1);
    }
    return 0;
}

int udp_receive(struct udp *udp, void *buf, size_t cap, size_t *size, int timeout_ms)
{
    struct pollfd p = { .fd = udp->fd, .events = POLLIN };
    union end     from = { .in6 = { 0 } };
    socklen_t     n = sizeof from;
    ssize_t       came;

    for (bool waited = false; (came = recvfrom(udp->fd, buf, cap, 0, &from.any, &n)) < 0; waited = true) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return errno;
        if (waited || poll(&p, 1, timeout_ms) != 1)
            return UDP_NOTHING;
    }
    *size = (size_t)came;
    if (udp->listening) {
        udp->peer = from;
        udp->size = n;
    }
    return 0;
}

void udp_remember(struct udp *udp)
{
    udp->remembered = udp->peer;
}

bool udp_is_remembered(const struct udp *udp)
{
    return memcmp(&udp->remembered, &udp->peer, sizeof udp->peer) == 0;
}

uint16_t udp_heard(const struct udp *udp, uint64_t *number)
{
    const unsigned char *at = (const unsigned char *)&udp->peer;

    *number = 0;
    for (size_t i = 0; i < sizeof udp->peer; i++)
        *number = *number * 0x100000001b3u + at[i];
    return ntohs(udp->peer.any.sa_family == AF_INET6 ? udp->peer.in6.sin6_port : udp->peer.in.sin_port);
}
