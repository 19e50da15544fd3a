/* SPDX-License-Identifier: MIT
 *
 * Conversations of `virtsock relay` on a POSIX system, and the threads that they belong to, from below: worker_posix.c has
 * a thread's lists and its inbox, flow_posix.c moves bytes, pair_posix.c begins and ends a conversation, doors_posix.c
 * accepts and deals clients out, loop_posix.c runs the threads and keeps their time. Each uses those before it.
 */
#ifndef TOOL_RELAY_PAIR_H
#define TOOL_RELAY_PAIR_H

#include "platform/loop.h"
#include "relay.h"

#define RELAY_PIPES 16                  /* empty ones that a thread keeps */
#define RELAY_CHUNK 65536
#define RELAY_MESSAGE (1 << 20)         /* the longest */
#define RELAY_THREADS 64
#define RELAY_PAUSE_US     100000       /* after a try for which the system had nothing to give; doubled each time */
#define RELAY_PAUSE_MAX_US 800000

/* What goes from one end to the other. */
struct relay_flow {
    uint64_t carried;
    size_t   pending;                   /* bytes that were taken and not yet given: in the pipe, or else at data + given */
    size_t   given;
    char    *data;                      /* the worker's buffer or message, or the flow's own while it waits */
    int      pipe[2];                   /* -1: none */
    bool     ended;                     /* its sender has ended */
    bool     over;                      /* nothing more goes through */
    bool     stalled;                   /* waits for room */
    bool     broken;                    /* its receiver's end */
    bool     messages;                  /* each is taken and given whole */
};

enum relay_state { RELAY_CONNECTING, RELAY_JOINED, RELAY_THREADED, RELAY_OVER };

struct relay_pair {
    struct loop_watch  watch[2];
    struct relay_pair *next, *before;   /* of the worker's list for its state */
    struct relay_pair *more;            /* of those that are not done yet and let others go first; or of an inbox */
    struct worker     *worker;
    struct relay_rule *rule;
    virtsock_stream   *end[2];
    struct relay_flow  flow[2];         /* from each end to the other */
    int64_t            due_us;          /* CONNECTING: the next step; JOINED: of the last tick before which a byte moved */
    int64_t            look_us;         /* JOINED, and a sender waits: the next look at it */
    int64_t            pause_us;        /* before that, or, starved, before the next step */
    struct relay_talk *talk;            /* THREADED */
    struct relay_try  *naming;          /* CONNECTING, to a name */
    struct privileged *privileged;      /* CONNECTING, from such a port */
    int64_t            child;           /* THREADED, by a thread that waits for its end: the command; 0: none */
    unsigned           number;
    virtsock_status    stepped;         /* for pair_begin */
    enum relay_state   state;
    bool               shared[2];       /* others have that end's socket: its flags are theirs */
    bool               gone[2];         /* that end's peer */
    bool               has_more;        /* is in that list */
    bool               starved;         /* waits for a descriptor */
    bool               moved;           /* since the last tick */
    bool               kept;            /* that end, from TO, where nobody knows what becomes of it; until it is tried after all */
    bool               tried;           /* it was, and nothing has come since */
};

/* A thread of the relay, and what belongs to it. */
struct worker {
    struct loop                *loop;
    _Atomic(struct relay_pair *) inbox; /* from other threads */
    struct relay_pair          *pairs[RELAY_OVER + 1];
    struct relay_pair          *more;
    int                         pipes[RELAY_PIPES][2], pipe_count;
    unsigned                    stalled, kept;  /* flows; ends */
    atomic_uint                 load, starved;  /* conversations, and such as wait for a descriptor */
    unsigned                    ends;           /* of relay.ends, when those were tried */
    int64_t                     ticked_us;      /* the latest tick */
    struct tool_event          *ended;
    char                       *message;        /* as buffer, for flows of messages; made for the first */
    char                        buffer[RELAY_CHUNK];
};

/* --- Threads: worker_posix.c -------------------------------------------------------------------------------------------- */

struct relay_threads {
    struct worker         *worker[RELAY_THREADS];
    int                    workers;
    int64_t                idle_us;     /* how often idle conversations are looked for; INT64_MAX: never */
    int64_t                cut_us;      /* when patience ends */
    bool                   stays;       /* there is more than doors */
    bool                   draining;
    atomic_bool            stop, cut, over;     /* asked to end; out of patience; done */
    _Atomic(struct loop *) first;
    atomic_bool            pausing;     /* a door is */
    atomic_uint            ends;        /* of conversations, which give descriptors back */
    atomic_uint            sending;     /* threads that are about to wake a loop, which must be there */
};
extern struct relay_threads relay;

/* Of its worker: moves a pair to the list of that state; takes it out of its list. */
void pair_enter(struct relay_pair *pair, enum relay_state state);
void pair_leave(struct relay_pair *pair);
/* The next pause after one that was so long, or none. */
int64_t relay_pause_us(int64_t before_us);
/* To its worker: one that is new, or that a thread of its own is done with. From any thread. */
void pair_send(struct worker *worker, struct relay_pair *pair);

/* --- Flows, from one end to the other: flow_posix.c --------------------------------------------------------------------- */

enum flow_next { FLOW_WAITS, FLOW_HAS_MORE, FLOW_BROKE };

/* Takes and gives until an end waits, or it is another's turn. */
enum flow_next flow_carry(struct relay_pair *pair, int from);
/* All that is pending. False: it waits, or the flow is over, or broken. */
bool flow_deliver(struct relay_pair *pair, int from);
/* Nothing more can be given: what was taken is lost, and the sender learns that nobody takes. */
void flow_give_up(struct relay_pair *pair, int from);
/* Whether it waits for room. */
void flow_stall(struct relay_pair *pair, struct relay_flow *flow, bool stalled);
/* What it holds. */
void flow_release(struct relay_pair *pair, struct relay_flow *flow);

/* Whether the client's end is kept from TO. */
void flow_keep_end(struct relay_pair *pair, bool kept);
/* JOINED: nothing moves while it is; TO is told after all. */
void flow_try_end(struct relay_pair *pair);

bool pair_is(const struct relay_pair *pair, int end, virtsock_item item, int64_t what);

/* --- Conversations: pair_posix.c ---------------------------------------------------------------------------------------- */

/* The first step towards TO, by the thread that has accepted the client, before its worker knows of it: so of those who
 * find no descriptor for TO there is one at a time. */
virtsock_status pair_step(struct relay_pair *pair, virtsock_error *err);
/* What comes of it; from then on its worker drives it. err: unless OK or AGAIN. */
void pair_begin(struct relay_pair *pair, virtsock_status stepped, const virtsock_error *err);
/* CONNECTING: the time has come. */
void pair_connect(struct relay_pair *pair);
/* JOINED: moves what can be moved; flows has a bit for each. */
void pair_carry(struct relay_pair *pair, int flows);
/* Any state but OVER: forgets both sockets. Ends that were not reached in order are broken. The worker's list of those that
 * are OVER has it. */
void pair_end(struct relay_pair *pair, enum relay_ending ending, const virtsock_error *err);

/* --- Doors, of the first thread: doors_posix.c -------------------------------------------------------------------------- */

/* Opens those of listeners, and takes clients that are there already. False: the system has no room. */
bool doors_open(struct relay_source *sources);
/* Takes clients that could not be taken before. When the next is to be tried: INT64_MAX at an event, or when others have ended. */
void doors_keep(int64_t now_us);
int64_t doors_due_us(void);
/* Asked to end: those who wait are taken still. */
void doors_drain(void);
bool doors_are_closed(void);
void doors_free(void);

#endif
