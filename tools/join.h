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
    uint64_t           carried[2];      /* bytes that came from each end and went to the other */
    atomic_bool        broken, over[2]; /* this and what follows is join_streams' own */
    struct tool_event *back;
};

/* Carries bytes until both directions have ended, or one end has gone altogether. Half-closes are carried over. The streams stay open,
 * for the caller to free. False: the system had no thread to give. */
bool join_streams(struct join *join);

#endif
