/* SPDX-License-Identifier: MIT
 *
 * Threads that serve clients: one at a time waits for the next client, and serves it itself, while another takes its
 * place. So a client costs neither a new thread nor a hand-over, and short conversations are as quick as their system
 * calls.
 */
#ifndef TOOL_CREW_H
#define TOOL_CREW_H

#include <stdatomic.h>
#include <stdbool.h>

#include "virtsock.h"

struct crew_client {
    virtsock_stream *stream;
    int64_t          number;
};

struct crew_hand;

/* All of it stays as long as the program. */
struct crew {
    /* The next client, by one thread at a time; waits. False: there will be none. */
    bool (*next)(void *owner, struct crew_client *client);
    /* Serves it, and frees the stream. */
    void (*attend)(void *owner, const struct crew_client *client);
    /* The system has no thread to wait in this one's place, so this client waits; told: that was said. False: the
     * stream was freed, as all is over. */
    bool (*wait)(void *owner, const struct crew_client *client, bool told);
    void *owner;
    atomic_flag        locked;          /* this and what follows is crew.c's own */
    struct crew_hand  *idle;
    int                idle_count;
    struct tool_event *over;
};

/* Until next says that there will be none; clients may be served still. False: no memory or no thread for the first. */
bool crew_serve(struct crew *crew);

#endif
