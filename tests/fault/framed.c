/* SPDX-License-Identifier: MIT
 *
 * Faults in framed conversations: each word and each payload cut after every byte, failed with every code, and tried again. The sockets are the
 * program's own, adopted by address.
 */
#include <sys/socket.h>

#include "talk.h"

struct pair {
    virtsock_stream *s[2];
    int              peer;              /* -1, or the end s[1] would have, without frames */
};

static virtsock_stream *adopt(int fd)
{
    virtsock_address *a;
    virtsock_stream  *s;
    char              text[60];

    snprintf(text, sizeof text, "fd://%d?half-close=framed", fd);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&a, text, &e));
    TRY("adopt by address", VIRTSOCK_OK, virtsock_connect(&s, a, NULL, &e));
    virtsock_address_free(a);
    return s;
}

static void pair_begin(struct pair *p, bool framed)
{
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    p->s[0] = adopt(fds[0]);
    p->s[1] = framed ? adopt(fds[1]) : NULL;
    p->peer = framed ? -1 : fds[1];
}

static void pair_end(struct pair *p)
{
    virtsock_stream_free(p->s[0]);
    virtsock_stream_free(p->s[1]);
    if (p->peer >= 0)
        CHECK(close(p->peer) == 0);
}

static void echo(virtsock_stream *from, virtsock_stream *to, int timeout_ms)
{
    size_t sent = 0, got = 0;
    char   b[8];

    TRY("send framed", VIRTSOCK_OK, give(from, "hello", 5, &sent, timeout_ms, &e));
    TRY("recv framed", VIRTSOCK_OK, take(to, b, 5, &got, timeout_ms, &e));
    CHECK(sent == 5 && got == 5 && memcmp(b, "hello", 5) == 0);
}

SCENARIO(framed_echo)
{
    struct pair p;

    pair_begin(&p, true);
    echo(p.s[0], p.s[1], -1);
    echo(p.s[1], p.s[0], 2000);
    TRY("close framed", VIRTSOCK_OK, virtsock_stream_close(p.s[0], 0, &e));
    pair_end(&p);
}

/* A break that is told where an end is said ends it, too, so the peer may hear of the socket's end alone. */
SCENARIO(framed_ends)
{
    const virtsock_slice slices[] = { { "he", 2 }, { NULL, 0 }, { "llo", 3 } };
    struct pair          p;
    size_t               n = 0, at = 0;
    char                 b[8];

    pair_begin(&p, true);
    TRY("send framed", VIRTSOCK_OK, virtsock_stream_sendv(p.s[0], slices, 3, &n, -1, &e));
    TRY("recv framed", VIRTSOCK_OK, take(p.s[1], b, n, &at, 2000, &e));
    CHECK(n > 0 && at == n && memcmp(b, "hello", n) == 0);
    TRY("shutdown framed", VIRTSOCK_OK, virtsock_stream_shutdown(p.s[1], VIRTSOCK_SHUT_RECV, &e));
    TRY("recv framed end", VIRTSOCK_E_EOF, virtsock_stream_recv(p.s[1], b, sizeof b, &n, -1, &e));
    TRY("close framed", VIRTSOCK_OK, virtsock_stream_close(p.s[0], 0, &e));
    pair_end(&p);
}

static const unsigned char hello_and_close[] = { 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0xad, 0xde, 0xad, 0xde };

/* The peer has closed already: its Close is answered, and lingering sees the end at once. */
SCENARIO(framed_close_that_finishes)
{
    struct pair p;
    size_t      n, at = 0;
    char        b[8];

    pair_begin(&p, false);
    CHECK(send(p.peer, hello_and_close, sizeof hello_and_close, 0) == (ssize_t)sizeof hello_and_close);
    TRY("recv framed", VIRTSOCK_OK, take(p.s[0], b, 5, &at, 2000, &e));
    TRY("recv framed end", VIRTSOCK_E_EOF, virtsock_stream_recv(p.s[0], b, sizeof b, &n, 2000, &e));
    TRY("close framed", VIRTSOCK_OK, virtsock_stream_close(p.s[0], 1000, &e));
    pair_end(&p);
}

SCENARIO(framed_waits_end_in_time)
{
    virtsock_error why = { 0 };
    struct pair    p;
    size_t         n;
    char           b;

    pair_begin(&p, false);
    TRY("recv framed", VIRTSOCK_E_TIMEOUT, virtsock_stream_recv(p.s[0], &b, 1, &n, 1, &e));
    TRY("recv framed", VIRTSOCK_E_AGAIN, virtsock_stream_recv(p.s[0], &b, 1, &n, 0, &e));
    fault_here();
    torture_step = "close";
    torture_judge("close framed", virtsock_stream_close(p.s[0], 1, &why), VIRTSOCK_E_TIMEOUT, &why);
    CHECK(virtsock_stream_close(p.s[0], 1, &why) == VIRTSOCK_OK);
    pair_end(&p);
}
