/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest: how a behaviour is run in a process of its own with a time limit, so that one that crashes or hangs is a failure with a
 * name and the others go on. run.c has what is the same on all systems.
 */
#ifndef RUN_H
#define RUN_H

#include "suite.h"

enum { EXIT_PASSED, EXIT_FAILED, EXIT_USAGE };

#ifdef _WIN32
#define FLUSHED _IONBF                  /* _IOLBF is _IOFBF there */
#else
#define FLUSHED _IOLBF
#endif

struct outcome {
    char        text[1024];             /* what it said: F and why it failed, S and why it was skipped, or nothing */
    char        crash[40];              /* what ended it, if it did not end by itself */
    const char *seen;                   /* where it was last */
    bool        ended;
    int         code;
    int64_t     took_us;
};

/* --- Of a system ------------------------------------------------------------------------------------------------------------ */

/* Once. Does not return where this process is one of a behaviour already. *address NULL: may be chosen. */
void run_begin(const char **address, void (*here)(const struct behaviour *));

/* Runs here(b) in another process. */
void run_apart(const struct behaviour *b, void (*here)(const struct behaviour *), int limit_s, struct outcome *o);

/* In the behaviour's process: says it to the other. False: this is not the behaviour's process, but one that it made. */
bool run_say(const char *text, size_t size);
_Noreturn void run_leave(int code);

/* Before the behaviour: whatever the system makes once and keeps. How often it may be run again, for something that is made once in it. */
int run_warm_up(void);

/* --- Of all ------------------------------------------------------------------------------------------------------------------ */

/* Runs it, and fails where descriptors are open after it. */
void run_and_count(const struct behaviour *b);

/* Where the last place that was seen is kept: shared by both processes. */
extern _Atomic intptr_t *run_seen;
const char *run_last_seen(void);

#endif
