/* SPDX-License-Identifier: MIT
 *
 * Two streams made one conversation: see join.h. A thread a direction, so that an end that reads slowly stops nothing but what is sent
 * to it. No stream is closed here: a thread may stand in a wait for its descriptor.
 */
#include "common/join.h"

#include "common/peer.h"
#include "common/way.h"

#define CHUNK   65536
#define LOOK_MS 1000                    /* how often it is looked whether a peer has gone of which nothing tells */
#define CLOSE_MS 60000                  /* for a peer of frames to read what is under way, and to answer Close */

static void shut(const struct join *join, int end, int how)
{
    virtsock_stream_shutdown(join->end[end], how, NULL);
}

/* Wakes both threads, and tells both peers: of a break without an end before it. A stream of frames is closed, which says so to its peer
 * and waits for the answer, or breaks off; nobody waits for its descriptor. */
static void break_off(struct join *join, bool broke)
{
    join->broke |= broke && !join->broken;
    join->broken = true;
    for (int end = 0; end < 2; end++) {
        virtsock_fd fd = virtsock_stream_fd(join->end[end]);

        if (fd == -1) {
            join->broke |= virtsock_stream_close(join->end[end], broke ? 0 : CLOSE_MS, NULL) == VIRTSOCK_E_TIMEOUT;
            continue;
        }
        if (broke)
            tool_break(fd);
        shut(join, end, VIRTSOCK_SHUT_BOTH);
    }
}

/* end[0] has ended its sending where there is no half-close. */
static void end_both(struct join *join)
{
    join->broken = true;
    shut(join, 1, VIRTSOCK_SHUT_BOTH);
    tool_nap_ms(join->end_ms);
    shut(join, 0, VIRTSOCK_SHUT_BOTH);
}

static void keep_talking(struct join *join)
{
    join->moved_us = tool_now_us();
    join->tried = false;
}

/* Where nobody knows what becomes of end[0]'s end at end[1]. */
static void try_end(struct join *join)
{
    if (join->try_ms == 0 || tool_now_us() - join->moved_us < (int64_t)join->try_ms * 1000)
        return;
    join->try_ms = 0;
    join->tried = true;
    way_half_close(join->end[1], NULL);
}

/* The end of what came from end[from], for the other. */
static void carry_end(struct join *join, int from)
{
    if (from == 1)
        join->silent = join->tried;
    else
        join->moved_us = tool_now_us();
    if (!(from == 0 ? join->keeps_back : join->keeps_end || join->silent))
        way_half_close(join->end[!from], NULL);
    else if (from == 0 && join->kept != NULL)
        join->kept(join);
}

/* Until a direction can go on no more: how that came, or OK: the receiver takes no more. What still comes once all is over is taken, and lost, so
 * that its sender sees an end and no break. */
static virtsock_status carry(struct join *join, int from)
{
    char            buf[CHUNK];
    virtsock_status status;
    virtsock_error  err;
    size_t          n;

    while ((status = virtsock_stream_recv(join->end[from], buf, sizeof buf, &n, -1, NULL)) == VIRTSOCK_OK) {
        if (!join->broken)
            status = peer_send(join->end[!from], buf, n, -1, &err);
        if (join->broken)               /* before, or while this waited for room */
            continue;
        if (status != VIRTSOCK_OK)
            return tool_takes_no_more(&err) ? VIRTSOCK_OK : status;
        join->carried[from] += n;
        if (join->counts != NULL)
            join->counts[from] += n;
        if (from == 1)
            keep_talking(join);
    }
    return status;
}

/* For a change at that end, or the end of the other direction, if either wakes; frames have no descriptor to wait for. */
static void wait_for_more(struct join *join, int from)
{
    virtsock_fd fd = virtsock_stream_fd(join->end[from]);

    if (fd == -1)
        tool_event_wait(join->ended[!from], LOOK_MS);
    else
        tool_poll(fd, 0, LOOK_MS);
}

/* One direction. Its end is carried over; then what is left to wait for is that the sender goes, or that the other direction ends, which
 * shuts this end's sending side: a hang-up either way, and where the system tells of none, the other thread does. */
static void run_direction(struct join *join, int from)
{
    virtsock_status status = carry(join, from);
    enum peer_state peer = PEER_THERE;
    bool            over = status == VIRTSOCK_OK || status == VIRTSOCK_E_EOF;

    if (join->broken)
        return;
    if (status == VIRTSOCK_E_EOF && from == 0 && join->ends_both) {
        end_both(join);
        return;
    }
    if (status == VIRTSOCK_OK)
        shut(join, from, VIRTSOCK_SHUT_RECV);
    else if (status == VIRTSOCK_E_EOF)
        carry_end(join, from);
    join->over[from] = true;
    tool_event_set(join->ended[from]);
    while (over && !join->broken && !join->over[!from] && (peer = peer_look(join->end[from])) == PEER_THERE) {
        if (from == 0 && status == VIRTSOCK_E_EOF)
            try_end(join);
        wait_for_more(join, from);
    }
    if (!join->broken)
        break_off(join, (!over && status != VIRTSOCK_E_CANCELLED) || peer == PEER_BROKE || join->silent);
}

static void run_back(void *argument)
{
    struct join *join = argument;

    run_direction(join, 1);
    tool_event_set(join->ended[1]);
    tool_event_set(join->back);
}

/* Unread data makes closing end[0] a break that its peer sees. */
static void run_to_the_first_byte(struct join *join)
{
    while (!join->broken && !tool_may_receive(virtsock_stream_fd(join->end[0]), LOOK_MS))
        continue;
    join->broken = true;
    shut(join, 1, VIRTSOCK_SHUT_BOTH);
}

bool join_streams(struct join *join)
{
    bool begun;

    join->back = tool_event_new();
    for (int i = 0; i < 2; i++)
        join->ended[i] = tool_event_new();
    begun = join->back != NULL && join->ended[0] != NULL && join->ended[1] != NULL && tool_thread(run_back, join);
    if (begun && join->breaks)
        run_to_the_first_byte(join);
    else if (begun)
        run_direction(join, 0);
    if (begun) {
        tool_event_set(join->ended[0]);
        tool_event_wait(join->back, -1);
    }
    tool_event_free(join->back);
    for (int i = 0; i < 2; i++)
        tool_event_free(join->ended[i]);
    return begun;
}
