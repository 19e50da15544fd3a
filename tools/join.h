/* SPDX-License-Identifier: MIT
 *
 * Two streams made one conversation: what comes from either end goes to the other, and so does how it ends.
 */
#ifndef TOOL_JOIN_H
#define TOOL_JOIN_H

#include <stdatomic.h>

#include "platform.h"

struct join {
    virtsock_stream   *end[2];
    bool               breaks;          /* at the first byte of end[0], which stays unread */
    bool               ends_both;       /* end[0]'s end of sending is the end of both directions: what comes back is lost */
    bool               keeps_end;       /* end[1]'s end of sending is not told to end[0], until end[1] has gone */
    bool               keeps_back;      /* end[0]'s end of sending is not told to end[1] */
    int                end_ms;          /* with ends_both: so much later end[0] hears of it */
    atomic_uint_least64_t *counts;      /* of both directions, counted while it runs; NULL: nobody asks */
    uint64_t           carried[2];      /* bytes that came from each end and went to the other */
    bool               broke;           /* an end broke off, or something was lost; else it ended in order, as far as can be told */
    atomic_bool        broken, over[2]; /* this and what follows is join_streams' own */
    struct tool_event *back;
};

/* Carries bytes until both directions have ended, or one end has gone altogether. Half-closes are carried over. The streams stay open,
 * for the caller to free. False: the system had no thread to give. */
bool join_streams(struct join *join);

#endif
