/* SPDX-License-Identifier: MIT
 *
 * How the end of one direction is told on the way to a peer. Some hypervisors take this end's for the end of both, and lose what is on its
 * way back; a program can be asked for at the other end of their sockets.
 */
#ifndef TOOL_WAY_H
#define TOOL_WAY_H

#include <stdbool.h>

#include "virtsock.h"

enum way_kind {
    WAY_HALF_CLOSES,                    /* it is carried, and answers come still */
    WAY_ENDS_BOTH,
    WAY_UNKNOWN                         /* a multiplexer that nobody knows */
};

struct way {
    enum way_kind kind;
    const char   *name;                 /* of the program that serves it; NULL: nobody that is known */
    const char   *known;                /* what is known of it, for people; NULL: nothing to tell */
};

/* What the user says of it. */
struct way_told {
    bool half_closes, ends_both;
};

#define ARGS_WAY(told)                                                                                                             \
    { 0, "no-half-close", NULL, ARG_FLAG, &(told).ends_both, "keep the end of this direction back: for a way on which it is the end of both" }, \
    { 0, "half-close", NULL, ARG_FLAG, &(told).half_closes, "pass it on at once, whatever is known of the way" }

/* Of a stream that was connected to that address, or accepted there; NULL: nobody knows any more. */
struct way way_of(const virtsock_stream *stream, const virtsock_address *address, const struct way_told *told);

/* Ends this direction alone; the library by itself does not where the address leaves it open. For where way_of, or the user, allows it. */
virtsock_status way_half_close(virtsock_stream *stream, virtsock_error *err);

/* Says what was found, and what follows from it. */
void way_tell(const struct way *way);

#define WAY_BLAME 128
/* Why an end of one direction may have become the end of both, and what does without it; "" where half-closes are carried. */
const char *way_blame(char out[WAY_BLAME], const struct way *way, const char *remedy);

#endif
