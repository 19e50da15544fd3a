/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest: what a behaviour has to work with. A behaviour is a function without arguments that returns when it has passed; it runs
 * in a process of its own, so that CHECK may end it, and over the transport that `under_test` describes. It stands on the public header
 * alone. What differs between transports is in the traits, never in a behaviour.
 */
#ifndef SUITE_H
#define SUITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "virtsock.h"

/* --- The table (behaviours.c) ---------------------------------------------------------------------------------------- */

enum need {
    NEEDS_LISTENER  = 1,        /* skipped over a socketpair */
    NEEDS_BYTES     = 2,        /* skipped over messages */
    NEEDS_MESSAGES  = 4,        /* skipped over streams */
    NEEDS_REPLY     = 8,        /* skipped where a connection succeeds before anybody answers */
    NEEDS_SENDING   = 16,       /* after a send that timed out; skipped where that send was the last */
    NEEDS_FD        = 32,       /* skipped where a stream has no descriptor to give */
    NEEDS_HALF_CLOSE = 128,     /* skipped where one end is both */
    NEEDS_DELIVERY  = 64        /* of what was sent before a close that does not wait; skipped where that is dropped */
};

struct behaviour {
    const char *name;
    void      (*run)(void);
    int         needs;
    const char *shows;
};
extern const struct behaviour behaviours[];
extern const int              behaviour_count;

/* --- The transport (transport.c) ------------------------------------------------------------------------------------- */

enum full { FULL_WAITS, FULL_REFUSES, FULL_UNKNOWN };
enum unread { UNREAD_RESETS, UNREAD_ENDS, UNREAD_EITHER };

/* Facts about a transport, each with its reason in the table. */
struct traits {
    virtsock_scheme scheme;             /* NONE: a socketpair */
    bool            replies;            /* a connection fails when nobody listens */
    enum full       full;               /* what a connection meets when the backlog is full */
    bool            silent;             /* a handshake, so that a peer can be silent in it */
    enum unread     unread;             /* what our end sees when the peer closes with our data unread */
    bool            probes;             /* listening asks by a connection whether an address is in use */
    bool            drops;              /* a close that does not wait may drop what was sent */
    const char     *no_any_port;        /* why the system chooses no port; NULL: it does */
    const char     *rules[3][4];        /* admitted, refused, unsupported: rules that NULL ends; "uid" stands for this user's rule */
};
enum { ADMITTED, REFUSED, UNSUPPORTED };

struct under_test {
    const char          *text;          /* the template */
    const struct traits *traits;
    bool                 messages;
    bool                 torn;          /* a message that did not go in time was the last: AF_VSOCK */
    bool                 framed;        /* half-close=framed: streams have no descriptor */
    bool                 whole;         /* half-close=none or unknown: a direction ends by count, or both do */
    int                  number;        /* of the first fresh address, different for each behaviour */
    int                  rounds, connections, mib, slow;
    uint64_t             seed;
};
extern struct under_test under_test;

/* How the peer sees an end that it was not told of: frames tell. */
static inline virtsock_status unsaid_end(void)
{
    return under_test.framed ? VIRTSOCK_E_RESET : VIRTSOCK_E_EOF;
}

/* False, with words on standard error: no address that can be tested. */
bool transport_open(const char *text);

/* An address at which nobody listens, nor did. For the caller to free. */
virtsock_address *fresh_address(void);

/* An address whose port the system is to choose; not of a transport that has no such. */
virtsock_address *any_address(void);

/* An address that refuses: nobody is there at all. */
virtsock_address *nobody_address(void);

/* Listens at a fresh address; *address is what to connect to. */
void listen_fresh(virtsock_listener **l, virtsock_address **address, const virtsock_options *options);

/* A connected pair; s[0] connected, s[1] was accepted. */
void make_pair(virtsock_stream *s[2], const virtsock_options *options);
void free_pair(virtsock_stream *s[2]);

/* A pair from a listener that is there already. */
void connect_pair(virtsock_stream *s[2], virtsock_listener *l, const virtsock_address *a);

/* Somewhere a connection gets no answer, neither yes nor no. */
struct hole {
    virtsock_address  *address;
    virtsock_listener *l;
    virtsock_stream   *fill[16];
    int                filled;
};
bool hole_dig(struct hole *h);          /* false: this transport has none */
void hole_fill(struct hole *h);

virtsock_options *with(virtsock_option option, int64_t value);
void set(virtsock_options *o, virtsock_option option, int64_t value);

/* --- Saying what was seen (run.c) ------------------------------------------------------------------------------------- */

/* Does not return: the behaviour has failed. In a process that it forked, that process exits with 1. */
_Noreturn void fail_at(const char *where, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The behaviour is left out, and says why; it must return after that. */
void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A figure, beside the result. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where the behaviour is, for the report of one that does not end. */
void seen_at(const char *where);

/* --- What the system gives (run_posix.c, run_windows.c) ---------------------------------------------------------------- */

/* fork: 0 in the new process, which must leave by _exit. POSIX only. */
pid_t fork_peer(void);
void  check_peer(pid_t pid);            /* it exited with 0 */

/* Two that are connected, with buffers of about that size; false: not on this system. */
bool small_sockets(virtsock_fd out[2], int size);

/* Memory that is zero and costs nothing until it is written; NULL: there is not so much. */
char *zeros(uint64_t size);
bool  free_zeros(char *data, uint64_t size);

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)
#define WHERE       __FILE__ ":" TEXT_OF(__LINE__)

#define CHECK(condition)                                \
    do {                                                \
        seen_at(WHERE);                                 \
        if (!(condition))                               \
            fail_at(WHERE, "%s", #condition);           \
    } while (0)

#define CHECK_EQUAL(got, want)                                                                          \
    do {                                                                                                \
        unsigned long long got_ = (unsigned long long)(got), want_ = (unsigned long long)(want);        \
        if (got_ != want_)                                                                              \
            fail_at(WHERE, "%s is %llu, not %llu", #got, got_, want_);                                  \
    } while (0)

/* A status, with what the library said about it. */
#define CHECK_STATUS(call, want, error)                                                                                         \
    do {                                                                                                                        \
        virtsock_status got_, want_ = (want);                                                                                   \
        seen_at(WHERE);                                                                                                         \
        if ((got_ = (call)) != want_)                                                                                           \
            fail_at(WHERE, "%s is %s, not %s: %s", #call, virtsock_status_name(got_), virtsock_status_name(want_), (error).message); \
    } while (0)
#define CHECK_OK(call, error) CHECK_STATUS(call, VIRTSOCK_OK, error)

#include "../c/watch.h"

/* The call since the watch began took so long at least, and less than so long without what the machine took from it. */
#define CHECK_TOOK(watch, least_ms, most_ms)                                                                                    \
    do {                                                                                                                        \
        test_watch_end(&(watch));                                                                                               \
        if (test_took_us(&(watch)) < (least_ms) * INT64_C(1000) || test_used_us(&(watch)) >= (most_ms) * INT64_C(1000))         \
            fail_at(WHERE, "%.3f ms, of which the machine took %.3f: not within %d and %d ms", (double)test_took_us(&(watch)) / 1000,  \
                    (double)(test_took_us(&(watch)) - test_used_us(&(watch))) / 1000, (int)(least_ms), (int)(most_ms));         \
    } while (0)
/* It waited for ms: never less, and not much more. */
#define CHECK_TIME(watch, ms) CHECK_TOOK(watch, ms, (ms) + late_ms())

/* --- Tools (tools.c) ---------------------------------------------------------------------------------------------------- */

void    nap_us(int64_t us);
int64_t late_ms(void);                  /* how late a wait may end: 100 ms, --slow times */
int     patient_ms(void);               /* a time that is long enough for everything that is to happen */

void start(pthread_t *t, void *(*run)(void *), void *argument);
void end(pthread_t t);

/* A sequence of numbers that the seed and n determine. */
uint64_t random_begin(uint64_t n);
uint64_t random_next(uint64_t *state);

/* FNV-1a, 64 bits. */
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)
uint64_t hash(uint64_t h, const void *data, size_t size);

/* All of it: one message, or as many bytes. */
void put(virtsock_stream *s, const void *data, size_t size);
void get(virtsock_stream *s, void *buf, size_t size);
void check_echo(virtsock_stream *a, virtsock_stream *b);

/* Sends 4,096 bytes at a time until no more goes for a while; how many bytes went. drain takes so many; messages of at most 8,192. */
uint64_t fill(virtsock_stream *s);
void drain(virtsock_stream *s, uint64_t size);

/* Data in one direction, for a thread of its own: total bytes of sequence n in pieces of random lengths, then the end of the direction; or
 * what comes, to the end. Both tell how much it was and what it hashed to. */
struct flow {
    virtsock_stream *s;
    uint64_t         n, total;
    size_t           piece;             /* at most */
    uint64_t         expects;           /* bytes that come, where no end tells: half-close=none; 0: until the end */
    bool             goes_on;           /* no end after it */
    uint64_t         moved, hashed;
    virtsock_status  status;            /* the last: OK of a sender, EOF of a receiver */
    pthread_t        thread;
};
void *flow_out(void *flow);
void *flow_in(void *flow);
void  check_flow(const struct flow *out, const struct flow *in);

#endif
