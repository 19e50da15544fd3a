/* SPDX-License-Identifier: MIT
 *
 * The threads of `virtsock relay` on a POSIX system. The first accepts, and deals clients out (doors_posix.c); each serves
 * its own, and keeps their time.
 */
#include <stdlib.h>

#include "common/report.h"
#include "platform/child.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "pair.h"

#define TICK_US     1000000             /* how often it is looked at what no event tells of */
#define LOOK_MAX_US (8 * TICK_US)       /* and at a sender that goes on waiting */
#define IDLE_MAX_US (60 * TICK_US)      /* how late an idle conversation ends, at most */

static void wake_first(void)
{
    struct loop *first = relay.first;

    if (first != NULL)
        loop_wake(first);
}

/* --- Pairs ------------------------------------------------------------------------------------------------------------- */

/* Descriptors, to those who wait for them. Whether a door may be one of them. */
static bool give_back(void)
{
    relay.ends++;
    for (int i = 0; i < relay.workers; i++)
        if (relay.worker[i]->starved > 0)
            loop_wake(relay.worker[i]->loop);
    return relay.pausing;
}

/* Those that have ended since the last step. One that is in the list of those with more is taken out of that first. */
static void free_over(struct worker *w)
{
    struct relay_pair *pair = w->pairs[RELAY_OVER], *next;
    bool               tell = false, ended = false;

    for (; pair != NULL; pair = next) {
        next = pair->next;
        if (pair->has_more)
            continue;
        tell |= pair->rule->limits.max != ARG_UNSET;
        pair_leave(pair);
        free(pair);
        tell |= --w->load == 0;
        ended = true;
    }
    if (ended)
        tell |= give_back();
    if (tell)
        wake_first();
}

static void take_inbox(struct worker *w)
{
    struct relay_pair *pair = atomic_exchange(&w->inbox, NULL), *next;

    for (; pair != NULL; pair = next) {
        next = pair->more;
        if (pair->state == RELAY_THREADED)
            pair_end(pair, relay.cut ? RELAY_CUT : pair->talk->ending, NULL);
        else
            pair_begin(pair, pair->stepped, NULL);
    }
}

static void carry_more(struct worker *w)
{
    struct relay_pair *pair = w->more, *next;

    w->more = NULL;
    for (; pair != NULL; pair = next) {
        next = pair->more;
        pair->has_more = false;
        if (pair->state == RELAY_JOINED)
            pair_carry(pair, 3);
    }
}

/* --- Time -------------------------------------------------------------------------------------------------------------- */

/* A sender that waits tries again, ever more seldom while nothing moves: no event tells that a peer takes no more. */
static void look_again(struct relay_pair *pair, int64_t now_us)
{
    pair->pause_us = pair->due_us == now_us ? 0 : pair->pause_us * 2 + TICK_US;
    pair->pause_us = pair->pause_us > LOOK_MAX_US ? LOOK_MAX_US : pair->pause_us;
    pair->look_us = now_us + pair->pause_us;
    pair_carry(pair, (pair->flow[0].stalled ? 1 : 0) | (pair->flow[1].stalled ? 2 : 0));
}

/* How often: what was not moved lies as long as it may. */
static int64_t ticks_us(const struct worker *w)
{
    int64_t idle_us = w->pairs[RELAY_JOINED] != NULL ? relay.idle_us : INT64_MAX;

    return w->stalled + w->kept > 0 && idle_us > TICK_US ? TICK_US : idle_us;
}

/* Senders that wait try again, and conversations in which nothing moves end. */
static void tick(struct worker *w, int64_t now_us)
{
    struct relay_pair *next;

    w->ticked_us = now_us;
    for (struct relay_pair *pair = w->pairs[RELAY_JOINED]; pair != NULL; pair = next) {
        int64_t idle_ms = pair->rule->limits.idle_ms;

        next = pair->next;
        if (pair->moved)
            pair->due_us = now_us;
        pair->moved = false;
        if (idle_ms >= 0 && now_us - pair->due_us > idle_ms * 1000)
            pair_end(pair, RELAY_IDLE, NULL);
        else if (pair->kept && now_us - pair->due_us > RELAY_KEPT_MS * INT64_C(1000))
            flow_try_end(pair);
        else if ((pair->flow[0].stalled || pair->flow[1].stalled) && (pair->due_us == now_us || now_us >= pair->look_us))
            look_again(pair, now_us);
    }
}

static int64_t tick_due_us(const struct worker *w)
{
    int64_t every_us = ticks_us(w);

    return every_us == INT64_MAX ? INT64_MAX : w->ticked_us + every_us;
}

/* Whatever is under way. Those with threads of their own come back by the inbox. */
static void cut_all(struct worker *w)
{
    while (w->pairs[RELAY_CONNECTING] != NULL)
        pair_end(w->pairs[RELAY_CONNECTING], RELAY_CUT, NULL);
    while (w->pairs[RELAY_JOINED] != NULL)
        pair_end(w->pairs[RELAY_JOINED], RELAY_CUT, NULL);
    for (struct relay_pair *pair = w->pairs[RELAY_THREADED]; pair != NULL; pair = pair->next)
        for (int end = 0; end < 2; end++)
            virtsock_stream_close(pair->end[end], 0, NULL);
    for (struct relay_pair *pair = w->pairs[RELAY_THREADED]; pair != NULL; pair = pair->next)
        if (pair->child != 0)
            child_kill(pair->child);
}

static void keep_time(struct worker *w)
{
    int64_t            now_us = tool_now_us();
    unsigned           ends = relay.ends;
    bool               given = ends != w->ends;
    struct relay_pair *next;

    w->ends = ends;
    for (struct relay_pair *pair = w->pairs[RELAY_CONNECTING]; pair != NULL; pair = next) {
        next = pair->next;
        if (pair->due_us <= now_us || (given && pair->starved))
            pair_connect(pair);
    }
    if (now_us >= tick_due_us(w))
        tick(w, now_us);
    if (relay.cut)
        cut_all(w);
}

/* Until something is due: milliseconds, -1 for ever. */
static int patience(const struct worker *w)
{
    int64_t due_us = tick_due_us(w), left_us;

    if (w->more != NULL || w->pairs[RELAY_OVER] != NULL)
        return 0;
    for (const struct relay_pair *pair = w->pairs[RELAY_CONNECTING]; pair != NULL; pair = pair->next)
        due_us = pair->due_us < due_us ? pair->due_us : due_us;
    if (w == relay.worker[0]) {
        due_us = relay.cut_us < due_us ? relay.cut_us : due_us;
        due_us = doors_due_us() < due_us ? doors_due_us() : due_us;
    }
    if (due_us == INT64_MAX)
        return -1;
    left_us = due_us - tool_now_us();
    return left_us <= 0 ? 0 : left_us > 1000000000 ? 1000000 : (int)((left_us + 999) / 1000);
}

/* --- What the first thread does besides --------------------------------------------------------------------------------- */

static void begin_drain(void)
{
    relay.draining = true;
    relay_notify("STOPPING=1");
    relay_syslog_stop();
    relay.stays = false;
    if (relay_settings.drain_ms >= 0)
        relay.cut_us = tool_now_us() + relay_settings.drain_ms * 1000;
    doors_drain();
}

static bool is_over(void)
{
    for (int i = 0; i < relay.workers; i++)
        if (relay.worker[i]->load > 0)
            return false;
    return !relay.stays && doors_are_closed();
}

static void keep_house(void)
{
    int64_t now_us = tool_now_us();

    if (relay.stop && !relay.draining)
        begin_drain();
    doors_keep(now_us);
    if (now_us >= relay.cut_us && !relay.cut) {
        relay.cut = true;
        relay.cut_us = INT64_MAX;
        for (int i = 0; i < relay.workers; i++)
            loop_wake(relay.worker[i]->loop);
    }
    if (is_over()) {
        relay.over = true;
        for (int i = 1; i < relay.workers; i++)
            loop_wake(relay.worker[i]->loop);
    }
}

/* --- Threads ----------------------------------------------------------------------------------------------------------- */

static void run(void *from)
{
    struct worker *w = from;

    while (!relay.over) {
        loop_step(w->loop, patience(w));
        take_inbox(w);
        carry_more(w);
        keep_time(w);
        free_over(w);
        if (w == relay.worker[0])
            keep_house();
    }
    tool_event_set(w->ended);
}

static void free_worker(struct worker *w)
{
    if (w == NULL)
        return;
    while (w->pipe_count > 0)
        loop_pipe_close(w->pipes[--w->pipe_count]);
    tool_event_free(w->ended);
    loop_free(w->loop);
    free(w->message);
    free(w);
}

static struct worker *new_worker(void)
{
    struct worker *w = calloc(1, sizeof *w);

    if (w == NULL)
        return NULL;
    w->loop = loop_new();
    w->ended = tool_event_new();
    if (w->loop != NULL && w->ended != NULL)
        return w;
    free_worker(w);
    return NULL;
}

/* As many as asked for; fewer where the system gives no more. */
static bool start_workers(void)
{
    int64_t wanted = relay_settings.threads;

    if (wanted == ARG_UNSET)
        wanted = daemon_processors() < 4 ? daemon_processors() : 4;
    wanted = wanted < 1 ? 1 : wanted > RELAY_THREADS ? RELAY_THREADS : wanted;
    if ((relay.worker[0] = new_worker()) == NULL)
        return false;
    for (relay.workers = 1; relay.workers < wanted; relay.workers++) {
        struct worker *w = new_worker();

        relay.worker[relay.workers] = w;
        if (w == NULL || !tool_thread(run, w)) {
            free_worker(w);
            break;
        }
    }
    return true;
}

/* A part of it, so that it ends not much later. */
static int64_t idle_tick_us(int64_t idle_ms)
{
    int64_t tick_us;

    if (idle_ms < 0)
        return INT64_MAX;
    tick_us = idle_ms * 250;
    if (tick_us > TICK_US)
        tick_us = idle_ms * 1000 / 16 > TICK_US ? idle_ms * 1000 / 16 : TICK_US;
    return tick_us < 10000 ? 10000 : tick_us > IDLE_MAX_US ? IDLE_MAX_US : tick_us;
}

static void read_limits(const struct relay_rule *rules)
{
    relay.idle_us = INT64_MAX;
    for (; rules != NULL; rules = rules->next) {
        int64_t idle_us = idle_tick_us(rules->limits.idle_ms);

        relay.stays |= rules->from.kind == RELAY_SYSLOG;
        relay.idle_us = idle_us < relay.idle_us ? idle_us : relay.idle_us;
    }
}

void relay_stop(void *unused)
{
    (void)unused;
    relay.stop = true;
    wake_first();
}

int relay_serve(struct relay_source *sources, const struct relay_rule *rules)
{
    bool begun;

    relay.cut_us = INT64_MAX;
    read_limits(rules);
    daemon_raise_descriptors();
    begun = start_workers() && doors_open(sources);
    if (begun) {
        relay.first = relay.worker[0]->loop;
        keep_house();
        run(relay.worker[0]);
    } else {
        report_line("out of memory");
    }
    relay.over = true;
    for (int i = 1; i < relay.workers; i++) {
        loop_wake(relay.worker[i]->loop);
        tool_event_wait(relay.worker[i]->ended, -1);
    }
    tool_on_stop(NULL, NULL);
    while (relay.sending > 0)
        tool_nap_ms(1);
    for (int i = 0; i < relay.workers; i++)
        free_worker(relay.worker[i]);
    doors_free();
    return begun ? EXIT_DONE : EXIT_FAILED;
}
