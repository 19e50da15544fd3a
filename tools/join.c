/* SPDX-License-Identifier: MIT
 *
 * Two streams made one conversation: see join.h. A thread a direction, so that an end that reads slowly stops nothing but what is sent
 * to it. No stream is closed here: a thread may stand in a wait for its descriptor.
 */
#include "join.h"

#include "peer.h"

#define CHUNK   65536
#define LOOK_MS 1000                    /* how often it is looked whether the other direction has ended the conversation */

static void shut(const struct join *join, int end, int how)
{
    virtsock_stream_shutdown(join->end[end], how, NULL);
}

/* Wakes both threads, and tells both peers. */
static void break_off(struct join *join)
{
    join->broken = true;
    shut(join, 0, VIRTSOCK_SHUT_BOTH);
    shut(join, 1, VIRTSOCK_SHUT_BOTH);
}

/* Until a direction can go on no more: how receiving ended, or OK: sending did. */
static virtsock_status carry(struct join *join, int from)
{
    char            buf[CHUNK];
    virtsock_status status;
    size_t          n;

    while ((status = virtsock_stream_recv(join->end[from], buf, sizeof buf, &n, -1, NULL)) == VIRTSOCK_OK) {
        if (peer_send(join->end[!from], buf, n, -1, NULL) != VIRTSOCK_OK)
            return VIRTSOCK_OK;
        join->carried[from] += n;
    }
    return status;
}

/* One direction. Its end is carried over; then what is left to wait for is that the sender goes, or that the other direction ends, which
 * shuts this end's sending side: a hang-up either way, and where the system tells of none, the other thread does. */
static void run_direction(struct join *join, int from)
{
    virtsock_fd     fd = virtsock_stream_fd(join->end[from]);
    virtsock_status status = carry(join, from);

    if (join->broken)
        return;
    if (status == VIRTSOCK_OK)
        shut(join, from, VIRTSOCK_SHUT_RECV);
    else if (status == VIRTSOCK_E_EOF)
        shut(join, !from, VIRTSOCK_SHUT_SEND);
    join->over[from] = true;
    while ((status == VIRTSOCK_OK || status == VIRTSOCK_E_EOF) && !join->over[!from] && !tool_peer_is_gone(fd, false, LOOK_MS))
        continue;
    break_off(join);
}

static void run_back(void *argument)
{
    struct join *join = argument;

    run_direction(join, 1);
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
    begun = join->back != NULL && tool_thread(run_back, join);
    if (begun && join->breaks)
        run_to_the_first_byte(join);
    else if (begun)
        run_direction(join, 0);
    if (begun)
        tool_event_wait(join->back, -1);
    tool_event_free(join->back);
    return begun;
}
