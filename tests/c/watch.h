/* SPDX-License-Identifier: MIT
 *
 * How long a call took, and how much of that the machine took from it: a thread that is ready may have to wait for a processor, and a virtual
 * machine for its host. The kernel counts both, and stalls.h sees what an emulator takes; a judge of lateness subtracts them, so a busy machine
 * is as good a judge as an idle one. Where nobody counts (Windows, FreeBSD) a control stands beside the calls: what it is late is subtracted.
 * What is early is never excused. Stands on CHECK of who includes it.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdatomic.h>

#include "stalls.h"

/* What the host took from the whole machine: its kernel knows, or stalls.h saw. */
static inline int64_t test_taken_us(void)
{
    const int64_t steal_us = test_steal_us();

    return steal_us < 0 ? steal_us : steal_us + test_stalled_us();
}

/* Begun and ended by the thread that calls, next to the call: afterwards it may lose its processor, which nobody is to pay for. */
struct test_watch {
    int64_t began_us, ended_us;
    int64_t delay_us, steal_us;         /* what the thread, and the whole machine, had to wait; until the end, the counts at the beginning */
};

static inline struct test_watch test_watch_begin(void)
{
    struct test_watch w = { .delay_us = test_delay_us(), .steal_us = test_taken_us() };

    w.began_us = test_us();
    return w;
}

/* Nothing, if there was no count at either of the two times. */
static inline int64_t test_grown(int64_t before, int64_t after)
{
    return before >= 0 && after > before ? after - before : 0;
}

static inline void test_watch_end(struct test_watch *w)
{
    w->ended_us = test_us();
    w->delay_us = test_grown(w->delay_us, test_delay_us());
    w->steal_us = test_grown(w->steal_us, test_taken_us());
}

static inline int64_t test_took_us(const struct test_watch *w)
{
    return w->ended_us - w->began_us;
}

/* Without what the machine took. Not for judging what is early. */
static inline int64_t test_used_us(const struct test_watch *w)
{
    return test_took_us(w) - w->delay_us - w->steal_us;
}

/* Two threads that did the same at once: from when the first began, with the delays of both. */
static inline struct test_watch test_watch_both(const struct test_watch *a, const struct test_watch *b)
{
    struct test_watch both = *a;

    if (b->began_us < a->began_us)
        both.began_us = b->began_us;
    if (b->ended_us > a->ended_us)
        both.ended_us = b->ended_us;
    if (b->steal_us > a->steal_us)
        both.steal_us = b->steal_us;
    both.delay_us += b->delay_us;
    return both;
}

/* --- A call in a thread of its own, which another thread is to end ----------------------------------------------------------- */

struct test_call {
    void            *(*run)(void *);
    void             *argument, *result;
    struct test_watch watch;
    _Atomic long      inside;           /* the system's number of the thread, once it is about to call */
    pthread_t         thread;
};

static inline void *test_call_run(void *call)
{
    struct test_call *c = call;

    c->watch = test_watch_begin();
    c->inside = test_thread();
    c->result = c->run(c->argument);
    test_watch_end(&c->watch);
    return NULL;
}

static inline void test_call_begin(struct test_call *c, void *(*run)(void *), void *argument)
{
    c->run = run;
    c->argument = argument;
    c->inside = 0;
    CHECK(pthread_create(&c->thread, NULL, test_call_run, c) == 0);
}

/* Until it is about to call. */
static inline void test_call_comes(struct test_call *c)
{
    while (c->inside == 0)
        sched_yield();
}

/* Until it waits inside, or has come back. */
static inline void test_call_waits(struct test_call *c)
{
    test_call_comes(c);
    while (test_runs(c->inside))
        test_nap_us(200);
}

static inline void *test_call_end(struct test_call *c)
{
    CHECK(pthread_join(c->thread, NULL) == 0);
    return c->result;
}

/* How long after its cause the last of the calls ended, or after its own beginning if that came later, without what the machine took from
 * any of those threads. Who was held up may have held up the others. */
static inline int64_t test_wake_us(const struct test_call *calls, int n, const struct test_watch *cause)
{
    int64_t worst = 0, excuse = cause->delay_us, steal = cause->steal_us;

    for (int i = 0; i < n; i++) {
        const struct test_watch *w = &calls[i].watch;
        const int64_t            took = w->ended_us - (w->began_us > cause->began_us ? w->began_us : cause->began_us);

        worst = took > worst ? took : worst;
        excuse += w->delay_us;
        steal = w->steal_us > steal ? w->steal_us : steal;
    }
    excuse += steal;
    return worst > excuse ? worst - excuse : 0;
}

/* --- A control: a thread of the test's own that waits as the calls do, and is woken at the same moment ----------------------- */

#define TEST_ASKS 10        /* what a call asks its system from its wake to its end; under Wine each is a turn of another process */

struct test_control {
    pthread_mutex_t mutex;
    pthread_cond_t  cond;
    pthread_t       thread;
    bool            fired;
    int64_t         fired_us, woke_us;
};

static inline void *test_control_run(void *control)
{
    struct test_control *c = control;

    pthread_mutex_lock(&c->mutex);
    while (!c->fired)
        pthread_cond_wait(&c->cond, &c->mutex);
    test_ask_system(TEST_ASKS);
    c->woke_us = test_us();
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* Where the machine's part is counted there is none. */
static inline void test_control_begin(struct test_control *c)
{
    *c = (struct test_control){ .fired = test_delay_us() >= 0 };
    if (c->fired)
        return;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->cond, NULL);
    CHECK(pthread_create(&c->thread, NULL, test_control_run, c) == 0);
}

/* At the cause; this is none of what the calls take. */
static inline void test_control_wake(struct test_control *c)
{
    if (c->fired)
        return;
    pthread_mutex_lock(&c->mutex);
    c->fired = true;
    c->fired_us = test_us();
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

/* How late it was, which is no fault of the calls. */
static inline int64_t test_control_end(struct test_control *c)
{
    if (c->fired_us == 0)
        return 0;
    CHECK(pthread_join(c->thread, NULL) == 0);
    pthread_cond_destroy(&c->cond);
    pthread_mutex_destroy(&c->mutex);
    return c->woke_us - c->fired_us;
}

#endif
