/* SPDX-License-Identifier: MIT
 *
 * Sockets for datagrams on Windows: see udp.h. A port that nobody has comes back as WSAECONNRESET, which a server takes for nothing.
 */
#define WIN32_LEAN_AND_MEAN

#include "platform/udp.h"

#include <winsock2.h>
#include <ws2tcpip.h>

#include <stdlib.h>
#include <string.h>

#define BUFFER (4 << 20)                /* asked for; the system gives what it may */

union end {
    struct sockaddr     any;
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
};

struct udp {
    SOCKET    socket;
    bool      listening;
    union end peer, remembered;         /* peer: heard last, while listening; size 0: nobody yet, or connected */
    int       size;
};

static int fill(union end *out, const struct udp_end *end)
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
    return six ? (int)sizeof out->in6 : (int)sizeof out->in;
}

static int prepare(struct udp *udp, const struct udp_end *end, bool listening, uint16_t *port)
{
    union end at;
    WSADATA   data;
    int       size = fill(&at, end), buffer = BUFFER, code;
    u_long    on = 1;

    udp->socket = INVALID_SOCKET;
    if ((code = WSAStartup(MAKEWORD(2, 2), &data)) != 0)
        return code;
    if ((udp->socket = WSASocketW(at.any.sa_family, SOCK_DGRAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT)) == INVALID_SOCKET)
        return WSAGetLastError();
    if (ioctlsocket(udp->socket, (long)FIONBIO, &on) != 0)      /* a poll may take the error that it tells of, and then nothing would come */
        return WSAGetLastError();
    udp->listening = listening;
    setsockopt(udp->socket, SOL_SOCKET, SO_RCVBUF, (const char *)&buffer, sizeof buffer);
    if ((listening ? bind(udp->socket, &at.any, size) : connect(udp->socket, &at.any, size)) != 0)
        return WSAGetLastError();
    if (listening && getsockname(udp->socket, &at.any, &size) != 0)
        return WSAGetLastError();
    *port = ntohs(at.any.sa_family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
    return 0;
}

int udp_open(struct udp **out, const struct udp_end *end, bool listening, uint16_t *port)
{
    int code = ERROR_NOT_ENOUGH_MEMORY;

    if ((*out = calloc(1, sizeof **out)) != NULL && (code = prepare(*out, end, listening, port)) == 0)
        return 0;
    udp_close(*out);
    *out = NULL;
    return code;
}

/* Winsock stays started: the program ends soon. */
void udp_close(struct udp *udp)
{
    if (udp != NULL && udp->socket != INVALID_SOCKET)
        closesocket(udp->socket);
    free(udp);
}

bool udp_is_refused(int code)
{
    return code == WSAECONNRESET;
}

int udp_send(struct udp *udp, const void *data, size_t size)
{
    WSAPOLLFD p = { .fd = udp->socket, .events = POLLWRNORM };

    while (sendto(udp->socket, data, (int)size, 0, udp->size > 0 ? &udp->peer.any : NULL, udp->size) < 0) {
        if (WSAGetLastError() != WSAEWOULDBLOCK)
            return WSAGetLastError();
        WSAPoll(&p, 1, -1);
    }
    return 0;
}

int udp_receive(struct udp *udp, void *buf, size_t cap, size_t *size, int timeout_ms)
{
    WSAPOLLFD p = { .fd = udp->socket, .events = POLLRDNORM };
    union end from = { .in6 = { 0 } };
    int       n = sizeof from, came, code;

    if (WSAPoll(&p, 1, timeout_ms) != 1)
        return UDP_NOTHING;
    came = recvfrom(udp->socket, buf, (int)cap, 0, &from.any, &n);
    code = came < 0 ? WSAGetLastError() : 0;
    if (code == WSAEMSGSIZE)
        came = (int)cap;
    else if (code != 0)
        return code == WSAEWOULDBLOCK || (code == WSAECONNRESET && udp->listening) ? UDP_NOTHING : code;
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
