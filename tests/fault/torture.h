/* SPDX-License-Identifier: MIT
 *
 * A program of scenarios: SCENARIO(name) { ... } is a test of check.h that runs again and again, each time with another call of the library
 * failed with another code, in every mode of fault.h, until no call is left. TRY judges each operation: a fault inside becomes a status that
 * judge.c allows, and the operation then succeeds when it is tried again. After each run no descriptor and no block of memory is left.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <signal.h>

#include "../c/check.h"
#include "fault.h"

static struct {
    enum fault_mode mode;
    unsigned        at, nth, runs;
    struct fault    fault;
} torture;
static _Thread_local const char *torture_step;      /* the operation under way */

static inline void torture_tell(void)
{
    static const char *const modes[] = { "plain", "short", "storm" };

    if (torture.runs == 0)
        return;
    fault_disarm(&torture.fault);
    printf("  in %s: mode %s, call %u, try %u: %s errno %d\n", torture_step ? torture_step : "?", modes[torture.mode], torture.at, torture.nth,
           torture.fault.call ? torture.fault.call : "none", torture.fault.code);
}

static inline void torture_hangs(int signal)
{
    (void)signal;
    printf("FAIL %s: hangs\n", test_now);
    torture_tell();
    fflush(stdout);
    _exit(1);
}

static inline void torture_run(void (*scenario)(void))
{
    const int  descriptors = test_open_descriptors();
    const long blocks = fault_blocks();

    torture.runs++;
    alarm(10);
    scenario();
    alarm(0);
    CHECK(test_open_descriptors() == descriptors);
    CHECK(fault_blocks() == blocks);
}

/* Until no call is left: threads make it a little more or less often, so the end is three calls that were not reached. */
static inline void torture_calls(void (*scenario)(void))
{
    int beyond = 0;

    for (torture.at = 1; beyond < 3; torture.at++) {
        torture.nth = 0;
        do {
            fault_arm(torture.mode, torture.at, torture.nth++);
            torture_run(scenario);
            beyond = fault_disarm(&torture.fault) ? 0 : beyond + 1;
        } while (torture.fault.call != NULL);
    }
}

/* A storm of signals is fault enough by itself. modes: a bit each of enum fault_mode. */
static inline void torture_all(void (*scenario)(void), unsigned modes)
{
    if (signal(SIGALRM, torture_hangs) != torture_hangs)
        atexit(torture_tell);
    for (torture.mode = FAULT_PLAIN; torture.mode < FAULT_STORM; torture.mode++)
        if ((modes >> torture.mode & 1) != 0)
            torture_calls(scenario);
    fault_arm(FAULT_STORM, torture.at = 0, torture.nth = 0);
    torture_run(scenario);
    fault_disarm(&torture.fault);
    printf("  %s: %u runs\n", test_now, torture.runs);
    torture.runs = 0;
}

#define SCENARIO(NAME)                              \
    static void scenario_##NAME(void);              \
    TEST(NAME) { torture_all(scenario_##NAME, ~0u); }    \
    static void scenario_##NAME(void)

/* True: it gave what it should, or may: then it has to be tried again if it failed. */
static inline void torture_judge(const char *op, virtsock_status got, virtsock_status want, const virtsock_error *e)
{
    const struct fault fault = fault_here();

    if (!fault_allows(op, fault, got, want)) {
        printf("FAIL %s: %s with %s errno %d is %s, without it %s: %s\n", test_now, op, fault.call ? fault.call : "no fault", fault.code,
               virtsock_status_name(got), virtsock_status_name(want), e->message);
        exit(1);
    }
    if (got == want || got == VIRTSOCK_OK)
        return;
    CHECK(e->status == got);
    if (got != VIRTSOCK_E_EOF && got != VIRTSOCK_E_AGAIN)
        CHECK(e->op[0] != '\0' && e->message[0] != '\0');
}

/* What a call gives when nothing is in its way: at once, or after the one fault that fell into it. */
#define TRY(op, want, call)                                             \
    do {                                                                \
        virtsock_error  e = { 0 };                                      \
        virtsock_status got_;                                           \
        torture_step = #call;                                           \
        fault_here();                                                   \
        got_ = (call);                                                  \
        torture_judge(op, got_, want, &e);                              \
        if (got_ != (want)) {                                           \
            memset(&e, 0, sizeof e);                                    \
            got_ = (call);                                              \
            fault_here();                                               \
            if (got_ != (want)) {                                       \
                printf("FAIL %s: the second try of %s is %s: %s\n", test_now, #call, virtsock_status_name(got_), e.message); \
                exit(1);                                                \
            }                                                           \
        }                                                               \
    } while (0)

#endif
