/* SPDX-License-Identifier: MIT
 *
 * A listener and a pair of streams for scenarios, over the transport of test_address. What a failed try leaves in a listener's queue is told
 * from the client that is meant by a first byte, which the program moves by system calls of its own.
 */
#ifndef TALK_H
#define TALK_H

#include <sys/socket.h>

#include "torture.h"

struct talk {
    virtsock_address  *address;
    virtsock_listener *listener;
    virtsock_stream   *client, *server;
};

/* The same address in every run of a program: a stale socket of an earlier run is taken over. */
static inline const char *talk_text(void)
{
    static char text[256];

    if (strcmp(test_transport(), "tcp") == 0)
        return "tcp://127.0.0.1:any";
    if (text[0] == '\0')
        strcpy(text, test_address());
    return text;
}

/* Where nobody listens. */
static inline const char *talk_nowhere(void)
{
    return strcmp(test_transport(), "tcp") == 0 ? "tcp://127.0.0.1:1" : talk_text();
}

static inline void talk_listen(struct talk *t, const virtsock_options *options)
{
    memset(t, 0, sizeof *t);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t->address, talk_text(), &e));
    TRY("listen", VIRTSOCK_OK, virtsock_listen(&t->listener, t->address, options, &e));
    virtsock_address_free(t->address);
    TRY("address", VIRTSOCK_OK, virtsock_listener_address(t->listener, &t->address, &e));       /* with the port that the system chose */
}

static inline bool talk_hello(virtsock_stream *from, virtsock_stream *to)
{
    char b = 0;

    return (from == NULL || send((int)virtsock_stream_fd(from), "!", 1, MSG_NOSIGNAL) == 1)
           && (to == NULL || recv((int)virtsock_stream_fd(to), &b, 1, 0) == 1);
}

/* Accepts the client that has said hello. Out of memory, or without its user's name, a client is lost: then another comes. */
static inline void talk_accept(struct talk *t, const char *op)
{
    torture_step = op;
    for (;;) {
        const virtsock_status status = virtsock_accept(&t->server, t->listener, 100, NULL);
        const struct fault    fault = fault_here();

        CHECK(fault_allows(op, fault, status, VIRTSOCK_OK));
        if (status == VIRTSOCK_OK && talk_hello(NULL, t->server))
            return;
        virtsock_stream_free(t->server);
        if (status == VIRTSOCK_OK || strcmp(fault.call, "accept4") == 0 || strcmp(fault.call, "poll") == 0 || strcmp(fault.call, "eventfd") == 0)
            continue;
        virtsock_stream_free(t->client);
        TRY("connect", VIRTSOCK_OK, virtsock_connect(&t->client, t->address, NULL, &e));
        CHECK(talk_hello(t->client, NULL));
    }
}

static inline void talk_begin(struct talk *t, const virtsock_options *options)
{
    talk_listen(t, options);
    TRY("connect", VIRTSOCK_OK, virtsock_connect(&t->client, t->address, options, &e));
    CHECK(talk_hello(t->client, NULL));
    talk_accept(t, "accept");
}

static inline void talk_end(struct talk *t)
{
    virtsock_stream_free(t->client);
    virtsock_stream_free(t->server);
    if (t->listener != NULL)
        TRY("unlisten", VIRTSOCK_OK, virtsock_listener_close(t->listener, &e));
    virtsock_listener_free(t->listener);
    if (strncmp(talk_text(), "unix", 4) == 0)
        unlink(virtsock_address_text(t->address, VIRTSOCK_PART_PATH));
    virtsock_address_free(t->address);
}

/* All of it, from *at on: what a failed try has moved is moved. */
static inline virtsock_status give(virtsock_stream *s, const char *data, size_t size, size_t *at, int timeout_ms, virtsock_error *e)
{
    size_t          n = 0;
    virtsock_status status = test_is_seqpacket() ? virtsock_stream_send(s, data, size, &n, timeout_ms, e)
                                                 : virtsock_stream_send_all(s, data + *at, size - *at, &n, timeout_ms, e);

    *at += n;
    return status;
}

static inline virtsock_status take(virtsock_stream *s, char *buf, size_t size, size_t *at, int timeout_ms, virtsock_error *e)
{
    size_t          n = 0;
    virtsock_status status = test_is_seqpacket() ? virtsock_stream_recv(s, buf, size, &n, timeout_ms, e)
                                                 : virtsock_stream_recv_exact(s, buf + *at, size - *at, &n, timeout_ms, e);

    *at += n;
    return status;
}

static inline void talk_echo(virtsock_stream *from, virtsock_stream *to, int timeout_ms)
{
    size_t sent = 0, got = 0;
    char   buf[8];

    TRY("send", VIRTSOCK_OK, give(from, "hello", 5, &sent, timeout_ms, &e));
    TRY("recv", VIRTSOCK_OK, take(to, buf, 5, &got, timeout_ms, &e));
    CHECK(sent == 5 && got == 5 && memcmp(buf, "hello", 5) == 0);
}

#endif
