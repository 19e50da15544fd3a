/* SPDX-License-Identifier: MIT
 *
 * Entering, waiting, closing: see handle.h. Sequentially consistent operations are those on which a waiter and a closer
 * must agree: the waiter publishes its wake and then looks at the mark, the closer sets the mark and then looks for a
 * wake.
 */
#include "handle.h"

#include <string.h>

void vs_give_way(uint64_t word)
{
    if ((word & VS_CLOSED) == 0)
        vs_nap_us(0);
}

void vs_handle_init(struct vs_handle *h, bool interruptible)
{
    memset(h, 0, sizeof *h);
    h->process = vs_process();
    h->interruptible = interruptible;
    atomic_store_explicit(&h->fd, -1, memory_order_relaxed);
    atomic_store_explicit(&h->linger_until, VS_FOREVER, memory_order_relaxed);
}

bool vs_handle_is_foreign(const struct vs_handle *h)
{
    return h->process != vs_process();
}

int64_t vs_deadline(int64_t timeout_ms)
{
    return timeout_ms < 0 ? VS_FOREVER : timeout_ms == 0 ? 0 : vs_now_ms() + timeout_ms + 1;
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static bool is_ours(uint64_t wake)
{
    return wake >> 32 == vs_process();
}

static virtsock_fd wake_number(uint64_t wake)
{
    return (virtsock_fd)(wake & UINT32_MAX) - 1;
}

/* This process's wake: a child never shares its parent's, so it makes its own. */
static int wake_of(struct vs_handle *h, virtsock_fd *out)
{
    uint64_t old = atomic_load(&h->wake), mine;
    int      code;

    if (old != 0 && is_ours(old)) {
        *out = wake_number(old);
        return 0;
    }
    if ((code = vs_wake_open(out)) != 0)
        return code;
    mine = (uint64_t)vs_process() << 32 | (uint32_t)(*out + 1);
    if (atomic_compare_exchange_strong(&h->wake, &old, mine)) {
        if (old != 0)
            vs_wake_close(wake_number(old));    /* the parent's, inherited: no call of this process waits for it */
        return 0;
    }
    vs_wake_close(*out);
    *out = wake_number(old);
    return 0;
}

/* The call itself has waited: OK is "begin it again". */
static virtsock_status waited_inside(struct vs_handle *h, int64_t deadline, struct vs_cause *why)
{
    if (vs_is_closing(h))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    if (vs_now_ms() < deadline)
        return VIRTSOCK_OK;
    return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
}

/* What is waited for before a stream is open mostly comes at once: a wake is made for what does not. A close is seen so
 * late at most. */
#define BRIEF_MS 1

static enum vs_waited wait_with_wake(struct vs_handle *h, virtsock_fd fd, int events, int64_t deadline, int *code)
{
    const int64_t  brief = vs_deadline(BRIEF_MS);
    virtsock_fd    wake;
    enum vs_waited waited = VS_TIMED_OUT;

    if (atomic_load_explicit(&h->wake, memory_order_relaxed) == 0)
        waited = vs_wait(fd, events, -1, brief < deadline ? brief : deadline, h->interruptible, code);
    if (waited != VS_TIMED_OUT)
        return waited;
    if ((*code = wake_of(h, &wake)) != 0)
        return VS_WAIT_FAILED;
    return vs_is_closing(h) ? VS_WOKEN : vs_wait(fd, events, wake, deadline, h->interruptible, code);
}

virtsock_status vs_handle_wait(struct vs_handle *h, virtsock_fd fd, int events, int64_t deadline, struct vs_cause *why)
{
    const bool     shuts = (atomic_load_explicit(&h->word, memory_order_relaxed) & VS_SHUTS) != 0;
    enum vs_waited waited;
    int            code;

    if (VS_WAITS_INSIDE && fd >= 0 && fd == vs_handle_fd(h))
        return waited_inside(h, deadline, why);
    if (vs_is_closing(h))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    waited = shuts || deadline == 0 ? vs_wait(fd, events, -1, deadline, h->interruptible, &code) : wait_with_wake(h, fd, events, deadline, &code);
    if (vs_is_closing(h))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    switch (waited) {
    case VS_READY:     return VIRTSOCK_OK;
    case VS_WOKEN:     return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    case VS_TIMED_OUT: return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
    case VS_SIGNALLED: return vs_because(why, VIRTSOCK_E_INTERRUPTED, NULL);
    default:           return vs_os_cause(why, "wait", VIRTSOCK_SCHEME_NONE, code);
    }
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

bool vs_handle_publish(struct vs_handle *h, virtsock_fd fd, uint64_t bits)
{
    uint64_t word = atomic_load(&h->word), wake;

    atomic_store(&h->fd, fd);
    do {
        if ((word & VS_CLOSING) != 0) {
            atomic_store(&h->fd, -1);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&h->word, &word, word | bits));
    /* From here on no closer fires the wake of a stream, so it can go: one descriptor a stream. */
    if ((bits & VS_SHUTS) != 0 && (wake = atomic_exchange(&h->wake, 0)) != 0)
        vs_wake_close(wake_number(wake));
    return true;
}

/* --- Closing ------------------------------------------------------------------------------------------------------ */

static bool is_settled(struct vs_handle *h, uint64_t mask, uint64_t value)
{
    return (atomic_load_explicit(&h->word, memory_order_acquire) & mask) == value;
}

/* The n-th pause of somebody who waits for others to leave. */
static void nap(int n)
{
    vs_nap_us(n < 100 ? 0 : n < 120 ? 50 : 1000);
}

/* Until the masked bits of the word have the value. */
static void settle(struct vs_handle *h, uint64_t mask, uint64_t value)
{
    for (int n = 0; !is_settled(h, mask, value); n++)
        nap(n);
}

/* Whoever is inside gets out. word: as it was when the mark was set; until: of the close, which may need the socket
 * whole. */
static void wake_all(struct vs_handle *h, uint64_t word, int64_t until)
{
    uint64_t wake;

    if (VS_WAITS_INSIDE || ((word & VS_SHUTS) != 0 && ((word & VS_LOOKS) == 0 || until == 0)))
        vs_cancel(vs_handle_fd(h));
    if ((word & VS_SHUTS) == 0 && (wake = atomic_load(&h->wake)) != 0 && is_ours(wake))
        vs_wake_fire(wake_number(wake));
}

/* So that the earliest deadline of all closers holds. */
static void shorten_linger(struct vs_handle *h, int64_t until)
{
    int64_t old = atomic_load(&h->linger_until);

    while (until < old && !atomic_compare_exchange_weak(&h->linger_until, &old, until))
        ;
}

bool vs_handle_close(struct vs_handle *h, int64_t *until, bool *alone)
{
    uint64_t old;

    *alone = true;
    atomic_fetch_add(&h->word, VS_CLOSER);              /* so that a free waits for us */
    shorten_linger(h, *until);
    while (((old = atomic_fetch_or(&h->word, VS_CLOSING | VS_ENDING)) & VS_ENDING) != 0) {
        if ((old & VS_CLOSED) != 0 || vs_handle_is_foreign(h))
            return (old & VS_CLOSED) == 0;              /* the closer in the word is the parent's */
        for (int n = 0; is_settled(h, VS_CLOSED | VS_ENDING, VS_ENDING); n++)
            nap(n);
    }
    if ((old & VS_CLOSING) != 0) {                      /* whoever counts as inside by now sees that, and leaves */
        *until = atomic_load(&h->linger_until);
        return true;
    }
    *alone = (old & VS_USERS) == 0 || vs_handle_is_foreign(h);
    for (int n = 0; !*alone && !is_settled(h, VS_USERS, 0); n++) {
        if (n == 0 || VS_WAITS_INSIDE)
            wake_all(h, old, *until);
        nap(n);
    }
    return true;
}

/* In slices, because a second close may shorten the time, and must not touch a wake that the first is about to
 * close. */
virtsock_status vs_handle_linger(struct vs_handle *h, int64_t own, int64_t (*drain)(void *stream, int64_t until), void *stream,
                                 struct vs_cause *why)
{
    virtsock_fd fd = vs_handle_fd(h);
    int64_t     until, now;
    int         code;

    while ((until = atomic_load(&h->linger_until)) > (now = vs_now_ms())) {
        int64_t slice = until < now + 20 ? until : now + 20, n = drain(stream, slice);

        if (n == 0)
            return VIRTSOCK_OK;
        if (n < 0 && !vs_would_block((int)-n))
            return vs_os_cause(why, "close", VIRTSOCK_SCHEME_NONE, (int)-n);
        if (n > 0)
            continue;
        switch (vs_wait(fd, VIRTSOCK_WANT_RECV, -1, slice, h->interruptible, &code)) {
        case VS_SIGNALLED:   return vs_because(why, VIRTSOCK_E_INTERRUPTED, "a signal came while the peer's end was waited for");
        case VS_WAIT_FAILED: return vs_os_cause(why, "close", VIRTSOCK_SCHEME_NONE, code);
        default:             break;
        }
    }
    return until < own ? vs_because(why, VIRTSOCK_E_CANCELLED, "another close cut the wait for the peer's end short")
                       : vs_because(why, VIRTSOCK_E_TIMEOUT, "the peer did not end in time");
}

void vs_handle_closed(struct vs_handle *h)
{
    uint64_t    wake = atomic_exchange(&h->wake, 0);
    /* before the close: a fork in between sees no number without an owner */
    virtsock_fd fd = atomic_exchange(&h->fd, -1);

    if (wake != 0)
        vs_wake_close(wake_number(wake));
    if (fd >= 0)
        vs_close(fd);
    atomic_fetch_or_explicit(&h->word, VS_CLOSED, memory_order_release);
}

void vs_handle_rest(struct vs_handle *h)
{
    atomic_fetch_and_explicit(&h->word, ~VS_ENDING, memory_order_release);
}

void vs_handle_leave_close(struct vs_handle *h)
{
    atomic_fetch_sub_explicit(&h->word, VS_CLOSER, memory_order_release);
}

void vs_handle_settle(struct vs_handle *h)
{
    if ((atomic_load_explicit(&h->word, memory_order_acquire) & (VS_USERS | VS_CLOSERS)) != 0 && !vs_handle_is_foreign(h))
        settle(h, VS_USERS | VS_CLOSERS, 0);
}

virtsock_status vs_handle_detach(struct vs_handle *h, virtsock_fd *fd)
{
    uint64_t word = atomic_load(&h->word);

    do {
        if ((word & VS_CLOSING) != 0)
            return VIRTSOCK_E_CANCELLED;
        if ((word & VS_OPEN) == 0)
            return VIRTSOCK_E_INVALID;
        if ((word & (VS_USERS | VS_CLOSERS)) != 0)
            return VIRTSOCK_E_IN_USE;
    } while (!atomic_compare_exchange_weak(&h->word, &word, (word | VS_CLOSING | VS_ENDING) + VS_CLOSER));
    *fd = atomic_exchange(&h->fd, -1);
    vs_handle_closed(h);
    vs_handle_leave_close(h);
    return VIRTSOCK_OK;
}
