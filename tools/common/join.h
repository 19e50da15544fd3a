/* SPDX-License-Identifier: MIT
 *
 * Two streams made one conversation: what comes from either end goes to the other, and so does how it ends.
 */
#ifndef TOOL_JOIN_H
#define TOOL_JOIN_H

#include <stdatomic.h>

#include "platform/tool.h"

struct join {
    virtsock_stream   *end[2];
    bool               breaks;          /* at the first byte of end[0], which stays unread */
    bool               ends_both;       /* end[0]'s end of sending is the end of both directions: what comes back is lost */
    bool               keeps_end;       /* end[1]'s end of sending is not told to end[0], until end[1] has gone */
    bool               keeps_back;      /* end[0]'s end of sending is not told to end[1] */
    int                try_ms;          /* with keeps_back: but for after so long a silence; 0: never */
    void             (*kept)(struct join *);    /* called when it is kept; NULL: nobody asks */
    int                end_ms;          /* with ends_both: so much later end[0] hears of it */
    atomic_uint_least64_t *counts;      /* of both directions, counted while it runs; NULL: nobody asks */
    uint64_t           carried[2];      /* bytes that came from each end and went to the other */
    bool               broke;           /* an end broke off, or something was lost; else it ended in order, as far as can be told */
    bool               silent;          /* end[1] was told after all, and ended without another byte: its answer may be cut */
    atomic_bool        broken, over[2]; /* this and what follows is join_streams' own */
    atomic_bool        tried;           /* end[1] was told after all, and nothing has come from there since */
    atomic_int_least64_t moved_us;      /* when end[1] has said something, or end[0] its end */
    struct tool_event *ended[2], *back; /* each direction; the thread of the second */
};

/* Carries bytes until both directions have ended, or one end has gone altogether. Half-closes are carried over. The streams stay open,
 * for the caller to free. False: the system had no thread to give. */
bool join_streams(struct join *join);

#endif
