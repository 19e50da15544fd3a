/* SPDX-License-Identifier: MIT
 *
 * One direction of a conversation of `virtsock relay`: it takes from one end what it can give to the other, until one of them waits. Short
 * conversations are copied through the thread's buffer; one that goes on is handed to a pipe of the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/daemon.h"
#include "platform/tool.h"
#include "pair.h"

#define TURNS     16                    /* pieces before it lets others go first */
#define SMALL     16384                 /* what is taken at once while it is copied: what a slow reader leaves is kept in memory */
#define PIPE_FROM 262144                /* bytes after which a flow gets a pipe */

bool pair_is(const struct relay_pair *pair, int end, virtsock_item item, int64_t what)
{
    int64_t value = 0;

    return virtsock_stream_get(pair->end[end], item, &value, NULL) == VIRTSOCK_OK && value == what;
}

/* --- Taking and giving ------------------------------------------------------------------------------------------------- */

/* A peer that takes no more may be heard out still; any other failure is a break, or bytes that would be lost. */
static int64_t result(virtsock_status status, const size_t *done, const virtsock_error *err)
{
    if (status == VIRTSOCK_OK)
        return (int64_t)*done;
    if (status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_AGAIN)
        return status == VIRTSOCK_E_EOF ? LOOP_END : LOOP_AGAIN;
    return tool_takes_no_more(err) ? LOOP_UNWANTED : LOOP_BROKEN;
}

/* Of the thread: what lies there is another's next. */
static bool is_shared(const struct relay_pair *pair, const char *data)
{
    return data == pair->worker->buffer || data == pair->worker->message;
}

static bool has_pipe(const struct relay_flow *flow)
{
    return flow->pipe[0] != -1;
}

/* LOOP_UNABLE in place of its second end: this flow never has one. */
static void take_pipe(struct relay_pair *pair, struct relay_flow *flow)
{
    struct worker *w = pair->worker;

    if (w->pipe_count > 0)
        memcpy(flow->pipe, w->pipes[--w->pipe_count], sizeof flow->pipe);
    else if (!loop_pipe_open(flow->pipe))
        flow->pipe[1] = LOOP_UNABLE;
}

/* One with something in it cannot be another's. */
static void give_pipe_back(struct relay_pair *pair, struct relay_flow *flow)
{
    struct worker *w = pair->worker;

    if (!has_pipe(flow))
        return;
    if (flow->pending == 0 && w->pipe_count < RELAY_PIPES)
        memcpy(w->pipes[w->pipe_count++], flow->pipe, sizeof flow->pipe);
    else
        loop_pipe_close(flow->pipe);
    flow->pipe[0] = -1;
}

/* To TCP bytes are copied: in a pipe they would be counted against their sender until the receiver has them, which leaves him less room. */
static void look_for_pipe(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];

    if (has_pipe(flow) || flow->messages || flow->carried < PIPE_FROM || flow->pipe[1] == LOOP_UNABLE)
        return;
    if (pair->shared[0] || pair->shared[1] || pair_is(pair, !from, VIRTSOCK_ITEM_SCHEME, VIRTSOCK_SCHEME_TCP))
        flow->pipe[1] = LOOP_UNABLE;
    else
        take_pipe(pair, flow);
}

/* The next message of an end. One that is longer than any was dropped by the system, in part, and is told by its
 * name. */
static int64_t take_message(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];
    struct worker     *w = pair->worker;
    virtsock_status    status;
    virtsock_error     err;
    size_t             done = 0;

    if (w->message == NULL && (w->message = malloc(RELAY_MESSAGE)) == NULL)
        return LOOP_BROKEN;
    flow->data = w->message;
    flow->given = 0;
    status = virtsock_stream_recv(pair->end[from], flow->data, RELAY_MESSAGE, &done, 0, &err);
    if (status == VIRTSOCK_E_MESSAGE_TOO_LONG)
        relay_tell_message(pair->rule, pair->number, "a message has more than 1048576 bytes, which is the most");
    return result(status, &done, &err);
}

/* Whole. Its sender's system may take longer ones than ours does unless it is asked to. */
static int64_t give_message(struct relay_pair *pair, int from)
{
    const struct relay_flow *flow = &pair->flow[from];
    virtsock_stream         *to = pair->end[!from];
    size_t                   done = 0;
    virtsock_error           err;
    virtsock_status          status = virtsock_stream_send(to, flow->data + flow->given, flow->pending, &done, 0, &err);

    if (status == VIRTSOCK_E_MESSAGE_TOO_LONG && !pair->shared[!from]) {
        daemon_make_room(virtsock_stream_fd(to), flow->pending);
        status = virtsock_stream_send(to, flow->data + flow->given, flow->pending, &done, 0, &err);
    }
    if (status == VIRTSOCK_E_MESSAGE_TOO_LONG)
        relay_tell_message(pair->rule, pair->number, err.message);
    return result(status, &done, &err);
}

/* Bytes from an end into the flow that is empty, or LOOP_. 0: an empty message, of which there is nothing to give. */
static int64_t take(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];
    size_t             done = 0, room;
    virtsock_error     err;
    int64_t            n;

    if (flow->messages)
        return take_message(pair, from);
    look_for_pipe(pair, from);
    if (has_pipe(flow)) {
        flow->given = 0;
        if ((n = loop_pipe_fill(flow->pipe, virtsock_stream_fd(pair->end[from]))) != LOOP_UNABLE)
            return n != 0 ? n : LOOP_END;
        give_pipe_back(pair, flow);
        flow->pipe[1] = LOOP_UNABLE;
    }
    flow->data = pair->worker->buffer;
    flow->given = 0;
    room = flow->pipe[1] == LOOP_UNABLE ? RELAY_CHUNK : SMALL;
    return result(virtsock_stream_recv(pair->end[from], flow->data, room, &done, 0, &err), &done, &err);
}

/* What is pending to the other end: bytes, or LOOP_. */
static int64_t give(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];
    size_t             done = 0;
    virtsock_error     err;

    if (flow->messages)
        return give_message(pair, from);
    if (has_pipe(flow))
        return loop_pipe_pour(flow->pipe, virtsock_stream_fd(pair->end[!from]), flow->pending);
    return result(virtsock_stream_send(pair->end[!from], flow->data + flow->given, flow->pending, &done, 0, &err), &done, &err);
}

void flow_stall(struct relay_pair *pair, struct relay_flow *flow, bool stalled)
{
    if (flow->stalled != stalled)
        pair->worker->stalled += stalled ? 1 : -1u;
    flow->stalled = stalled;
}

/* All but what is the thread's. */
void flow_release(struct relay_pair *pair, struct relay_flow *flow)
{
    if (!is_shared(pair, flow->data))
        free(flow->data);
    flow->data = NULL;
    give_pipe_back(pair, flow);
}

/* --- A client's end ---------------------------------------------------------------------------------------------------- */

void flow_keep_end(struct relay_pair *pair, bool kept)
{
    if (pair->kept != kept)
        pair->worker->kept += kept ? 1 : -1u;
    pair->kept = kept;
}

/* Whether TO is to hear of it, and its answer comes still. */
static bool passes_end(struct relay_pair *pair)
{
    struct way way = way_of(pair->end[1], pair->rule->to.address, &relay_settings.way);

    if (way.kind == WAY_HALF_CLOSES)
        return true;
    pair->moved = true;                 /* the silence begins here */
    flow_keep_end(pair, way.kind == WAY_UNKNOWN);
    relay_tell_kept(pair->rule, pair->number, &way);
    return false;
}

void flow_try_end(struct relay_pair *pair)
{
    flow_keep_end(pair, false);
    pair->tried = true;
    way_half_close(pair->end[1], NULL);
}

/* --- One flow ---------------------------------------------------------------------------------------------------------- */

void flow_give_up(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];

    if (flow->over)
        return;
    flow->over = true;
    flow_stall(pair, flow, false);
    flow_release(pair, flow);
    flow->pending = 0;
    if (!flow->ended)
        virtsock_stream_shutdown(pair->end[from], VIRTSOCK_SHUT_RECV, NULL);
}

bool flow_deliver(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];

    while (flow->pending > 0) {
        int64_t n = give(pair, from);

        if (n == LOOP_AGAIN) {
            flow_stall(pair, flow, true);
            return false;
        }
        if (n <= 0) {
            flow->broken = n != LOOP_UNWANTED;
            if (!flow->broken)
                flow_give_up(pair, from);
            return false;
        }
        flow->given += (size_t)n;
        flow->pending -= (size_t)n;
        flow->carried += (uint64_t)n;
        pair->rule->counts.bytes[from] += (uint64_t)n;
        pair->moved = true;
        pair->tried = false;
    }
    flow_stall(pair, flow, false);
    if (!has_pipe(flow))
        flow_release(pair, flow);
    return true;
}

/* What waits in the thread's buffer gets a place of its own. False: no memory. */
static bool keep(struct relay_pair *pair, struct relay_flow *flow)
{
    char *own;

    if (flow->pending == 0 || has_pipe(flow) || !is_shared(pair, flow->data))
        return true;
    if ((own = malloc(flow->pending)) == NULL)
        return false;
    memcpy(own, flow->data + flow->given, flow->pending);
    flow->data = own;
    flow->given = 0;
    return true;
}

/* The sender's end goes to the receiver, after all that it has sent. */
static void carry_end(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];

    flow->over = true;
    flow_release(pair, flow);
    if (from == 0 ? passes_end(pair) : !pair->tried)      /* what may be cut has no end */
        way_half_close(pair->end[!from], NULL);
}

enum flow_next flow_carry(struct relay_pair *pair, int from)
{
    struct relay_flow *flow = &pair->flow[from];

    if (flow->over)                     /* an event that comes late, or one for the other flow */
        return FLOW_WAITS;
    for (int turn = 0; turn < TURNS; turn++) {
        int64_t n;

        if (!flow_deliver(pair, from))
            return !flow->broken && keep(pair, flow) ? FLOW_WAITS : FLOW_BROKE;
        if (flow->ended && relay_input_broke(pair->rule, from))
            return FLOW_BROKE;
        if (flow->ended) {
            carry_end(pair, from);
            return FLOW_WAITS;
        }
        n = take(pair, from);
        if (n == LOOP_AGAIN && turn > 0 && has_pipe(flow)) {        /* its sender may be about to send more: cheaper than to sleep and be woken */
            loop_yield();
            n = take(pair, from);
        }
        if (n == LOOP_AGAIN) {
            give_pipe_back(pair, flow);
            return FLOW_WAITS;
        }
        flow->ended = n == LOOP_END;
        if (n < 0 && !flow->ended)
            return FLOW_BROKE;
        flow->pending = flow->ended ? 0 : (size_t)n;
    }
    return keep(pair, flow) ? FLOW_HAS_MORE : FLOW_BROKE;
}
