/* SPDX-License-Identifier: MIT
 *
 * What streams and listeners have in common: one descriptor, calls from any thread, and a close that ends them all. It
 * knows nothing of what the descriptor is for.
 *
 * One atomic word counts the calls inside and holds the state. A call enters, looks, makes its one system call, leaves.
 * A close sets the mark, wakes whoever is inside, waits until nobody is, and only then closes the descriptor, so that
 * no number is reused under a call. On a connected stream shutdown() is the wake, and it is sticky: a call that comes
 * late sees the end at once. Where shutdown() wakes nobody (listeners, connections under way) the wait is for a wake of
 * the handle's own as well, made by the first call that must wait.
 */
#ifndef VS_HANDLE_H
#define VS_HANDLE_H

#include <stdatomic.h>

#include "platform/platform.h"

/* Each count has room for more threads than any system has: a thread is inside once. */
#define VS_USERS   ((UINT64_C(1) << 28) - 1)    /* calls inside */
#define VS_OPEN    (UINT64_C(1) << 28)  /* fd is valid */
#define VS_CLOSING (UINT64_C(1) << 29)  /* the mark: nobody enters, everybody inside leaves */
#define VS_CLOSED  (UINT64_C(1) << 30)  /* the descriptor is gone */
#define VS_SHUTS   (UINT64_C(1) << 31)  /* a connected socket: shutdown() wakes every wait */
/* an untimed call may block in the kernel: SHUTS, and signals that would not end it there do not matter */
#define VS_BLOCKS  (UINT64_C(1) << 32)
#define VS_DRIVEN  (UINT64_C(1) << 33)  /* a thread drives the connection under way */
/* a closer is at it; CLOSING alone: a signal has sent it away, and the next goes on */
#define VS_ENDING  (UINT64_C(1) << 34)
#define VS_LOOKS   (UINT64_C(1) << 35)  /* calls look at the mark by themselves, soon enough for a close that lingers */
#define VS_CLOSER  (UINT64_C(1) << 36)  /* from here on: threads inside a close */
#define VS_CLOSERS (VS_USERS << 36)

struct vs_handle {
    _Atomic uint64_t word;
    uint32_t         process;           /* that made it */
    _Atomic int64_t  fd;                /* -1: none */
    _Atomic uint64_t wake;              /* process << 32 | wake + 1; 0: none yet */
    _Atomic int64_t  linger_until;      /* the earliest deadline that a closer gave */
    bool             interruptible;
};

void vs_handle_init(struct vs_handle *h, bool interruptible);

/* Of who comes again and again, to those inside whom a close waits for. */
void vs_give_way(uint64_t word);

/* True: inside, until vs_leave; *word is as it was before. False: closed, and the handle may be freed by now. The look
 * before the count bounds a close: whoever calls again and again is waited for once, and gives way to those inside. */
static inline bool vs_enter(struct vs_handle *h, uint64_t *word)
{
    if (((*word = atomic_load_explicit(&h->word, memory_order_relaxed)) & VS_CLOSING) == 0) {
        *word = atomic_fetch_add_explicit(&h->word, 1, memory_order_acquire);
        return true;
    }
    vs_give_way(*word);
    return false;
}

static inline void vs_leave(struct vs_handle *h)
{
    atomic_fetch_sub_explicit(&h->word, 1, memory_order_release);
}

static inline bool vs_is_open(uint64_t word)
{
    return (word & (VS_OPEN | VS_CLOSING)) == VS_OPEN;
}

/* Sequentially consistent: pairs with the mark in vs_handle_close. */
static inline bool vs_is_closing(struct vs_handle *h)
{
    return (atomic_load(&h->word) & VS_CLOSING) != 0;
}

static inline virtsock_fd vs_handle_fd(const struct vs_handle *h)
{
    return atomic_load_explicit(&h->fd, memory_order_relaxed);
}

/* Of a timeout_ms below -1: a difference that went wrong, and no wish to wait for ever. */
#define VS_BAD_TIMEOUT "a time is in milliseconds, 0 for no wait or -1 for ever"

/* timeout_ms as a deadline: VS_FOREVER, 0 (only look), or a time, one ms late so that no wait ends early. */
int64_t vs_deadline(int64_t timeout_ms);

/* Until fd (-1: none, a sleep) has an event: OK; or TIMEOUT, CANCELLED, INTERRUPTED, or *why. The caller is inside. */
virtsock_status vs_handle_wait(struct vs_handle *h, virtsock_fd fd, int events, int64_t deadline, struct vs_cause *why);

/* Makes fd the handle's, with bits for the word (VS_OPEN and more). False: a close came first, and fd stays the
 * caller's. */
bool vs_handle_publish(struct vs_handle *h, virtsock_fd fd, uint64_t bits);

/* Begins a close, or goes on with one that a signal has interrupted: until its deadline, if *until is later. True: this
 * caller is the one that ends it, with vs_handle_closed or vs_handle_rest; nobody is inside any more. False: somebody
 * else did, and is through. *alone: nobody had been inside. In a child of the maker nobody is waited for or woken. */
bool vs_handle_close(struct vs_handle *h, int64_t *until, bool *alone);
/* Waits for the peer's end while nobody is inside, until the earliest deadline of all closers: TIMEOUT if that is
 * `own`, this closer's, else CANCELLED; INTERRUPTED. drain takes what came, as vs_recv: bytes, 0 at the end, or minus
 * the code. */
virtsock_status vs_handle_linger(struct vs_handle *h, int64_t own, int64_t (*drain)(void *stream, int64_t until),
                                 void *stream, struct vs_cause *why);
void vs_handle_closed(struct vs_handle *h);
/* Leaves the rest of it to the next closer. */
void vs_handle_rest(struct vs_handle *h);
/* Leaves vs_handle_close: its last word, in both cases. */
void vs_handle_leave_close(struct vs_handle *h);

/* Waits until nobody is inside and no close is under way: before the memory is freed. */
void vs_handle_settle(struct vs_handle *h);

/* Takes the descriptor away, with nobody inside: OK, IN_USE, CANCELLED. INVALID: there is none. */
virtsock_status vs_handle_detach(struct vs_handle *h, virtsock_fd *fd);

/* True in a forked child of the process that made the handle. */
bool vs_handle_is_foreign(const struct vs_handle *h);

#endif
