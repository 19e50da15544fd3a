/* SPDX-License-Identifier: MIT
 *
 * Sending AF_VSOCK messages. The kernel (Linux 6.1) lets go of the socket while a message waits for room in its middle,
 * and does not tell how much of it has left when that ends early: another message would be mixed with it, and the next
 * one be glued to it. So one call sends at a time, and a message that was cut short is the last one.
 */
#include "stream.h"

#define LOOK_AGAIN_MS 30                /* well within the time in which a close ends calls */

/* --- Turns -------------------------------------------------------------------------------------------------------- */

enum { FREE, TAKEN, GIVEN };            /* GIVEN: to one of those who wait, before whoever comes again and again */

/* A child of the maker does not know whose turn it is, and waits for none of its parent's threads. */
static virtsock_status wait_for_turn(virtsock_stream *s, int64_t deadline, struct vs_cause *why)
{
    for (bool waited = false;; waited = true) {
        const int64_t now = vs_now_ms(), look = now + LOOK_AGAIN_MS;
        uint32_t      turn = FREE;

        if (atomic_compare_exchange_strong(&s->turn, &turn, TAKEN) || vs_handle_is_foreign(&s->handle)
            || (turn == GIVEN && waited && atomic_compare_exchange_strong(&s->turn, &turn, TAKEN)))
            return VIRTSOCK_OK;
        if (vs_is_closing(&s->handle))
            return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
        if (now >= deadline)
            return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
        if (vs_sleep_on(&s->turn, turn, look < deadline ? look : deadline) && s->handle.interruptible)
            return vs_because(why, VIRTSOCK_E_INTERRUPTED, NULL);
    }
}

static virtsock_status take_turn(virtsock_stream *s, int64_t deadline, struct vs_cause *why)
{
    uint32_t        turn = FREE;
    virtsock_status status;

    if (atomic_compare_exchange_strong(&s->turn, &turn, TAKEN))
        return VIRTSOCK_OK;
    atomic_fetch_add(&s->waiting, 1);
    status = wait_for_turn(s, deadline, why);
    atomic_fetch_sub(&s->waiting, 1);
    turn = GIVEN;
    if (status != VIRTSOCK_OK && atomic_compare_exchange_strong(&s->turn, &turn, FREE))     /* it may have been ours */
        vs_wake_one(&s->turn);
    return status;
}

/* Whoever begins to wait meanwhile sees that it is free, or is seen. */
static void give_turn(virtsock_stream *s)
{
    uint32_t turn = GIVEN;

    atomic_store(&s->turn, atomic_load(&s->waiting) > 0 ? GIVEN : FREE);
    if (atomic_load(&s->waiting) > 0)
        vs_wake_one(&s->turn);
    else
        atomic_compare_exchange_strong(&s->turn, &turn, FREE);
}

/* --- A message ---------------------------------------------------------------------------------------------------- */

/* Room for its beginning: before there is, a call may end and leaves nothing behind. A poll is not told that the peer
 * takes no more, so an empty send asks for that now and then. */
static virtsock_status wait_for_room(virtsock_stream *s, int64_t deadline, struct vs_cause *why)
{
    const virtsock_fd fd = vs_handle_fd(&s->handle);
    virtsock_status   status = vs_handle_wait(&s->handle, fd, VIRTSOCK_WANT_SEND, 0, why);

    while (status == VIRTSOCK_E_AGAIN || status == VIRTSOCK_E_TIMEOUT) {
        const int64_t now = vs_now_ms(), look = now + 1000, n = vs_send(fd, "", 0, 0);

        if (n < 0 && !vs_would_block((int)-n) && !vs_is_closing(&s->handle))
            return vs_os_cause(why, "message", s->scheme, (int)-n);
        if (now >= deadline)
            return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
        status = vs_handle_wait(&s->handle, fd, VIRTSOCK_WANT_SEND, look < deadline ? look : deadline, why);
    }
    return status;
}

static virtsock_status send_message(virtsock_stream *s, const virtsock_slice *slices, size_t count, int64_t deadline,
                                    size_t *done, struct vs_cause *why)
{
    virtsock_status status;
    int64_t         n;

    if (s->torn)
        return vs_because(why, VIRTSOCK_E_RESET, "an earlier message was cut short: no more can be sent");
    if ((status = wait_for_room(s, deadline, why)) != VIRTSOCK_OK)
        return status;
    if ((n = vs_sendv_whole(vs_handle_fd(&s->handle), slices, count, deadline, s->timed)) > 0) {
        *done = (size_t)n;
        return VIRTSOCK_OK;
    }
    if (vs_is_closing(&s->handle))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    if (!vs_would_block((int)-n))
        return vs_os_cause(why, "message", s->scheme, (int)-n);
    s->torn = true;
    if (vs_was_interrupted((int)-n) && s->handle.interruptible)
        return vs_because(why, VIRTSOCK_E_INTERRUPTED, NULL);
    if (vs_was_interrupted((int)-n))
        return vs_because(why, VIRTSOCK_E_RESET, "a signal cut the message short: no more can be sent");
    return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
}

virtsock_status vs_message_send(virtsock_stream *s, const virtsock_slice *slices, size_t count, int64_t deadline,
                                size_t *done, struct vs_cause *why)
{
    virtsock_status status = take_turn(s, deadline, why);

    if (status != VIRTSOCK_OK)
        return status;
    status = send_message(s, slices, count, deadline, done, why);
    give_turn(s);
    return status;
}
