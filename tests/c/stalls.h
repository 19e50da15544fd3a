/* SPDX-License-Identifier: MIT
 *
 * How long the processors of an emulated machine stood still. The emulator waits for those of its host, and the guest's kernel counts none of
 * that. So a thread on each processor wakes every 5 ms, and what it sleeps beyond that its processor was not there.
 */
#ifndef STALLS_H
#define STALLS_H

#include <stdatomic.h>
#include <stdlib.h>

#include "os.h"

/* 10 and more: the machine is emulated (tests/vm/test_suites.py). */
static inline int test_slowness(void)
{
    const char *scale = getenv("VIRTSOCK_TEST_SLOW");

    return scale ? atoi(scale) : 1;
}

#ifdef __linux__
#include <sched.h>

#define TEST_TICK_US 5000

struct test_ticker {
    pthread_t       thread;
    _Atomic int64_t last_us, stood_us;
};

static struct test_ticker test_tickers[4];
static int                test_ticker_count;
static _Atomic bool       test_tickers_end;

static inline int64_t test_beyond_tick(const struct test_ticker *t, int64_t now_us)
{
    const int64_t beyond = now_us - t->last_us - TEST_TICK_US;

    return beyond > TEST_TICK_US ? beyond : 0;              /* less is what waking costs there */
}

static inline void *test_ticker_run(void *ticker)
{
    struct test_ticker *t = ticker;
    cpu_set_t           one;

    CPU_ZERO(&one);
    CPU_SET((size_t)(t - test_tickers), &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    for (t->last_us = test_us(); !test_tickers_end; t->last_us = test_us()) {
        test_nap_us(TEST_TICK_US);
        t->stood_us += test_beyond_tick(t, test_us());
    }
    return NULL;
}

/* Where the machine is emulated, from here to test_stalls_end(). */
static inline void test_stalls_begin(void)
{
    const long there = sysconf(_SC_NPROCESSORS_ONLN);

    test_tickers_end = false;
    if (test_slowness() < 10)
        return;
    for (test_ticker_count = 0; test_ticker_count < there && test_ticker_count < 4; test_ticker_count++) {
        test_tickers[test_ticker_count].last_us = test_us();
        if (pthread_create(&test_tickers[test_ticker_count].thread, NULL, test_ticker_run, &test_tickers[test_ticker_count]) != 0)
            return;
    }
}

static inline void test_stalls_end(void)
{
    test_tickers_end = true;
    while (test_ticker_count > 0)
        pthread_join(test_tickers[--test_ticker_count].thread, NULL);
}

/* All processors' together, one that stands still now among them. */
static inline int64_t test_stalled_us(void)
{
    const int64_t now_us = test_us();
    int64_t       sum_us = 0;

    for (int i = 0; i < test_ticker_count; i++)
        sum_us += test_tickers[i].stood_us + test_beyond_tick(&test_tickers[i], now_us);
    return sum_us;
}
#else
static inline void test_stalls_begin(void) {}
static inline void test_stalls_end(void) {}
static inline int64_t test_stalled_us(void) { return 0; }
#endif

#endif
