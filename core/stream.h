/* SPDX-License-Identifier: MIT
 *
 * A stream, as connect.c, listen.c and stream*.c share it: a handle, what kind of conversation it is, and whom it is
 * with.
 */
#ifndef VS_STREAM_H
#define VS_STREAM_H

#include "handle.h"
#include "transport/transport.h"

struct vs_connecting;                   /* connecting.h's: a connection under way */
struct vs_framed;                       /* framed.c's: the frames of both directions */

struct virtsock_stream {
    struct vs_handle      handle;
    virtsock_scheme       scheme;       /* of the conversation; of an adopted socket its family's */
    enum vs_family        family;
    int                   type;         /* VIRTSOCK_TYPE_ */
    int                   half_close;   /* VIRTSOCK_HALF_CLOSE_ */
    int                   linger_ms;    /* -1: the family's default */
    size_t                message_max;
    /* untimed calls may, in the kernel: no signal is to end them, or only one that does so there */
    bool                  blocks;
    bool                  whole;        /* AF_VSOCK messages, which message.c sends */
    bool                  timed;        /* its socket, which is nobody else's, keeps the time that untimed ones need */
    _Atomic uint32_t      turn, waiting; /* whose turn that is, and how many wait for it */
    bool                  torn;         /* one was cut short: for whose turn it is */
    /* VIRTSOCK_PEER_: bits that tell of this side's shutdown; that calls have met */
    _Atomic int           shut, seen;
    _Atomic int           told;         /* the code of a break that only a question has met: for the next receive */
    _Atomic int           attempts, last_status, last_code;
    virtsock_address     *about;        /* whom with, for messages; NULL: nobody known */
    struct vs_connecting *connecting;   /* NULL once connected */
    struct vs_framed     *framed;       /* NULL unless half-close=framed */
};

/* With nothing open yet; options may be NULL. about is copied, says how it half-closes, and may be NULL. NULL: out of
 * memory. */
virtsock_stream *vs_stream_new(const virtsock_address *about, const virtsock_options *options);

/* Makes a connected socket the stream's. False: a close came first, and fd stays the caller's. */
bool vs_stream_open(virtsock_stream *s, virtsock_fd fd, enum vs_family family, int type);

/* As virtsock_stream_sendv, of an AF_VSOCK message: message.c. */
virtsock_status vs_message_send(virtsock_stream *s, const virtsock_slice *slices, size_t count, int64_t deadline,
                                size_t *done, struct vs_cause *why);

#endif
