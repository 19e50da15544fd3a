/* SPDX-License-Identifier: MIT
 *
 * One conversation of `virtsock relay`: connecting, then two flows (flow_posix.c), and how it ends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/peer.h"
#include "common/privileged.h"
#include "platform/child.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "pair.h"

enum { FIRST = 1, SECOND = 2, BOTH = 3 };       /* flows */

/* --- Both -------------------------------------------------------------------------------------------------------------- */

static int wanted(const struct relay_pair *pair, int end)
{
    const struct relay_flow *from = &pair->flow[end], *to = &pair->flow[!end];

    return (from->over || from->ended || from->stalled ? 0 : LOOP_RECV) | (to->stalled ? LOOP_SEND : 0);
}

/* An end that sends no more may have gone altogether. UNIX sockets tell so; of others some tell who asks. False: it broke what it was sent. */
static bool look_at(struct relay_pair *pair, int end)
{
    bool tells = pair_is(pair, end, VIRTSOCK_ITEM_SCHEME, VIRTSOCK_SCHEME_VSOCK) || pair_is(pair, end, VIRTSOCK_ITEM_SCHEME, VIRTSOCK_SCHEME_TCP);

    enum peer_state peer = PEER_THERE;

    if ((tells || pair->gone[end]) && pair_is(pair, end, VIRTSOCK_ITEM_TYPE, VIRTSOCK_TYPE_STREAM))
        peer = peer_look(pair->end[end]);
    if (peer == PEER_LEFT)
        pair->gone[end] = true;
    return peer != PEER_BROKE;
}

void pair_carry(struct relay_pair *pair, int flows)
{
    bool more = false, broke = false;

    for (int from = 0; from < 2 && !broke; from++) {
        enum flow_next next = flows & (FIRST << from) ? flow_carry(pair, from) : FLOW_WAITS;

        broke = next == FLOW_BROKE;
        more |= next == FLOW_HAS_MORE;
    }
    for (int end = 0; end < 2 && !broke; end++) {
        if (pair->flow[end].ended && !pair->flow[!end].over)
            broke = !look_at(pair, end);
        if (pair->gone[end])
            flow_give_up(pair, !end);
    }
    if (broke) {
        pair_end(pair, RELAY_BROKEN, NULL);
        return;
    }
    if (pair->flow[0].over && pair->flow[1].over) {
        pair_end(pair, pair->tried && !pair->gone[0] ? RELAY_IDLE : RELAY_ENDED, NULL);
        return;
    }
    for (int end = 0; end < 2; end++)
        loop_want(pair->worker->loop, &pair->watch[end], wanted(pair, end));
    if (more && !pair->has_more) {
        pair->has_more = true;
        pair->more = pair->worker->more;
        pair->worker->more = pair;
    }
}

/* --- Beginning and ending ---------------------------------------------------------------------------------------------- */

static void run_threaded(void *from)
{
    struct relay_pair *pair = from;

    relay_talk(pair->talk);
    pair_send(pair->worker, pair);
}

/* A stream of frames has no socket to look at: two threads have the conversation. */
static bool begin_threaded(struct relay_pair *pair)
{
    loop_forget(pair->worker->loop, &pair->watch[0]);
    if ((pair->talk = calloc(1, sizeof *pair->talk)) == NULL)
        return false;
    *pair->talk = relay_talk_of(pair->end[0], pair->end[1], pair->rule, pair->number);
    pair_enter(pair, RELAY_THREADED);
    return tool_thread(run_threaded, pair);
}

static void await_command(void *from)
{
    struct relay_pair *pair = from;

    child_await(pair->child);
    pair_send(pair->worker, pair);
}

#define PEER 4200                       /* room for any address, and the variable's name */

static void tell_peer(char variable[PEER], const virtsock_stream *client)
{
    virtsock_address *address = NULL;
    char             *text = NULL;

    if (virtsock_stream_peer(client, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    snprintf(variable, PEER, "VIRTSOCK_PEER=%s", text != NULL ? text : "");
    free(text);
    virtsock_address_free(address);
}

/* The client's socket is the command's. */
static bool begin_command(struct relay_pair *pair)
{
    virtsock_error err = { .status = VIRTSOCK_E_SYSTEM, .op = "connect" };
    virtsock_fd    fd;
    char           text[TOOL_CODE_TEXT], peer[PEER];

    loop_forget(pair->worker->loop, &pair->watch[0]);
    tell_peer(peer, pair->end[0]);
    if ((pair->talk = calloc(1, sizeof *pair->talk)) == NULL
        || virtsock_stream_detach(pair->end[0], &fd, NULL) != VIRTSOCK_OK)
        return false;
    if ((err.os_code = child_start(&pair->child, pair->rule->to.argv, fd, peer)) != 0) {
        pair->child = 0;
        tool_code_text(err.os_code, text, sizeof text);
        snprintf(err.message, sizeof err.message, "%.100s: %.100s", pair->rule->to.text, text);
        pair_end(pair, RELAY_UNREACHED, &err);
        return true;
    }
    pair_enter(pair, RELAY_THREADED);
    if (tool_thread(await_command, pair))
        return true;
    child_kill(pair->child);
    return false;
}

static bool begin_joined(struct relay_pair *pair)
{
    virtsock_fd fd[2] = { virtsock_stream_fd(pair->end[0]), virtsock_stream_fd(pair->end[1]) };

    if (fd[0] == -1 || fd[1] == -1)
        return begin_threaded(pair);
    for (int i = 0; i < 2; i++)
        if (!pair->shared[i])
            daemon_set_nonblocking(fd[i]);
    if (pair->watch[0].fd == -1 && !loop_watch(pair->worker->loop, &pair->watch[0], fd[0], LOOP_RECV))
        return false;
    if (!loop_watch(pair->worker->loop, &pair->watch[1], fd[1], LOOP_RECV))
        return false;
    for (int i = 0; i < 2; i++)
        if (!pair_is(pair, !i, VIRTSOCK_ITEM_TYPE, VIRTSOCK_TYPE_STREAM) || !pair_is(pair, i, VIRTSOCK_ITEM_TYPE, VIRTSOCK_TYPE_STREAM))
            pair->flow[i].messages = true;
    pair->due_us = tool_now_us();
    pair_enter(pair, RELAY_JOINED);
    pair_carry(pair, BOTH);
    return true;
}

/* The library says what to wait for, which may be another descriptor after every step. */
static void await_step(struct relay_pair *pair)
{
    virtsock_fd fd;
    int         events, timeout_ms;

    if (pair->privileged != NULL)
        privileged_wants(pair->privileged, &fd, &events, &timeout_ms);
    else if (pair->end[1] == NULL)      /* a name is looked up: it is due already */
        return;
    else
        virtsock_stream_wants(pair->end[1], &fd, &events, &timeout_ms);
    pair->due_us = timeout_ms < 0 ? INT64_MAX : tool_now_us() + (int64_t)timeout_ms * 1000;
    if (fd != -1 && !loop_watch(pair->worker->loop, &pair->watch[1], fd, events))
        pair->due_us = tool_now_us() + RELAY_PAUSE_US;
}

virtsock_status pair_step(struct relay_pair *pair, virtsock_error *err)
{
    const struct relay_rule *rule = pair->rule;
    virtsock_status          status = VIRTSOCK_OK;

    if (pair->end[1] == NULL && rule->to.kind == RELAY_STANDARD)
        return relay_connect(&pair->end[1], rule, err);
    if (rule->to.kind == RELAY_COMMAND)
        return VIRTSOCK_OK;
    if (rule->to.kind == RELAY_NAMED)
        return relay_try_named(&pair->naming, &pair->end[1], rule, &pair->due_us, err);
    if (rule->limits.privileged) {
        const struct privileged_way way = { rule->to.address, rule->limits.timeout_ms, rule->limits.wait_ms };

        return privileged_step(&pair->privileged, &pair->end[1], &way, err);
    }
    if (pair->end[1] == NULL)
        status = virtsock_connect_start(&pair->end[1], rule->to.address, rule->connecting, err);
    if (status == VIRTSOCK_OK)
        status = virtsock_stream_connect(pair->end[1], 0, err);
    return status;
}

static void starve(struct relay_pair *pair, bool starved)
{
    if (pair->starved != starved)
        pair->worker->starved += starved ? 1 : -1u;
    pair->starved = starved;
}

/* After a step. What the system lacks there will be, when others have ended. */
static void go_on(struct relay_pair *pair, virtsock_status status, const virtsock_error *err)
{
    static const virtsock_error no_memory = { .status = VIRTSOCK_E_NO_RESOURCES, .message = "out of memory" };

    starve(pair, status == VIRTSOCK_E_NO_RESOURCES);
    pair->pause_us = pair->starved ? relay_pause_us(pair->pause_us) : 0;
    if (status == VIRTSOCK_OK && (pair->rule->to.kind == RELAY_COMMAND ? begin_command(pair) : begin_joined(pair)))
        return;
    if (status == VIRTSOCK_E_AGAIN) {
        await_step(pair);
    } else if (status == VIRTSOCK_E_NO_RESOURCES) {
        virtsock_stream_free(pair->end[1]);
        pair->end[1] = NULL;
        pair->due_us = tool_now_us() + pair->pause_us;
    } else {
        pair_end(pair, RELAY_UNREACHED, status == VIRTSOCK_OK ? &no_memory : err);
    }
}

void pair_connect(struct relay_pair *pair)
{
    virtsock_error  err;
    virtsock_status status;

    loop_forget(pair->worker->loop, &pair->watch[1]);
    status = pair_step(pair, &err);
    go_on(pair, status, &err);
}

static void on_first(void *owner, int events);
static void on_second(void *owner, int events);

void pair_begin(struct relay_pair *pair, virtsock_status stepped, const virtsock_error *err)
{
    virtsock_fd fd = virtsock_stream_fd(pair->end[0]);

    for (int i = 0; i < 2; i++) {
        pair->watch[i] = (struct loop_watch){ .ready = i == 0 ? on_first : on_second, .owner = pair, .fd = -1 };
        pair->flow[i].pipe[0] = -1;
    }
    pair->shared[1] = pair->rule->to.kind == RELAY_ADDRESS && virtsock_address_scheme(pair->rule->to.address) == VIRTSOCK_SCHEME_FD;
    pair_enter(pair, RELAY_CONNECTING);
    if (fd != -1)
        loop_watch(pair->worker->loop, &pair->watch[0], fd, 0);         /* if only to see that it leaves */
    go_on(pair, stepped, err);
}

/* What an end may receive goes one way, and what it has room for comes the other. */
static void on_joined(struct relay_pair *pair, int end, int events)
{
    if (events & LOOP_GONE)
        pair->gone[end] = true;
    pair_carry(pair, (events & LOOP_RECV ? FIRST << end : 0) | (events & LOOP_SEND ? FIRST << !end : 0));
}

/* A client that has gone, with nothing to be read from it, has no use for TO any more. */
static void on_first(void *owner, int events)
{
    struct relay_pair *pair = owner;

    if (pair->state == RELAY_JOINED) {
        on_joined(pair, 0, events);
    } else if (events & LOOP_GONE) {
        pair->gone[0] = true;
        if (!daemon_has_bytes(virtsock_stream_fd(pair->end[0])))
            pair_end(pair, RELAY_LEFT, NULL);
    }
}

static void on_second(void *owner, int events)
{
    struct relay_pair *pair = owner;

    if (pair->state == RELAY_JOINED)
        on_joined(pair, 1, events);
    else
        pair_connect(pair);
}

/* A peer is to see that it was no orderly end, where its system can tell it. */
static void close_end(struct relay_pair *pair, int end, bool broken)
{
    virtsock_fd fd = virtsock_stream_fd(pair->end[end]);

    if (broken && fd != -1 && !pair->shared[end])
        tool_break(fd);
    virtsock_stream_free(pair->end[end]);
    pair->end[end] = NULL;
}

void pair_end(struct relay_pair *pair, enum relay_ending ending, const virtsock_error *err)
{
    uint64_t bytes[2];

    for (int i = 0; i < 2; i++) {
        loop_forget(pair->worker->loop, &pair->watch[i]);
        if (pair->talk != NULL)
            pair->flow[i].carried = pair->talk->join.carried[i];
        if (pair->state == RELAY_JOINED)
            flow_deliver(pair, i);
        flow_stall(pair, &pair->flow[i], false);
        flow_release(pair, &pair->flow[i]);
        bytes[i] = pair->flow[i].carried;
    }
    for (int end = 0; end < 2; end++)
        close_end(pair, end, ending != RELAY_ENDED && ending != RELAY_LEFT);
    if (pair->child != 0)
        relay_tell_command(pair->rule, pair->number, child_forget(pair->child));
    relay_tell_end(pair->rule, pair->number, ending, bytes, err);
    free(pair->talk);
    free(pair->naming);
    privileged_free(pair->privileged);
    pair->talk = NULL;
    pair->privileged = NULL;
    pair->naming = NULL;
    starve(pair, false);
    flow_keep_end(pair, false);
    pair_enter(pair, RELAY_OVER);
}
