/* SPDX-License-Identifier: MIT
 *
 * A connection under way, as connect.c drives it and a close ends it.
 */
#ifndef VS_CONNECTING_H
#define VS_CONNECTING_H

#include "stream.h"

struct vs_connecting {
    const struct vs_transport *transport;
    virtsock_options           options;
    struct vs_attempt          attempt;
    bool                       begun;           /* an attempt is under way */
    bool                       adopts;          /* the descriptor is the caller's until OK */
    int64_t                    pause_until;     /* between attempts; 0: none */
    int64_t                    wait_until;      /* 0: one connection */
    int64_t                    until;           /* of this connection, which may take several attempts; 0: none begun */
    int64_t                    try_ms;          /* the next of them; 0: one takes all the time */
    int64_t                    backoff_ms;
    struct vs_cause            last;            /* of the latest attempt that failed */
    virtsock_error             final;           /* once it has failed for good */
};

/* address is the stream's own, and stays. NULL: out of memory. */
struct vs_connecting *vs_connecting_new(const struct vs_transport *t, const virtsock_address *address,
                                        const virtsock_options *options);

/* Closes what it has open, and frees it. */
void vs_connecting_free(struct vs_connecting *c);

/* One step, which does not block. OK: attempt.fd is connected. AGAIN: virtsock_stream_wants tells for what. Else final;
 * text has room for words. */
virtsock_status vs_connecting_step(struct vs_connecting *c, virtsock_stream *s, struct vs_cause *why, char *text,
                                   size_t cap);

/* When a step is due at the latest. */
int64_t vs_connecting_next(const struct vs_connecting *c);

#endif
