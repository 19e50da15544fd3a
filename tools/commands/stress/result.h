/* SPDX-License-Identifier: MIT
 *
 * What `virtsock stress` counts, and tells: failures by kind, progress, the result; and what a server has done.
 * From any thread.
 */
#ifndef TOOL_STRESS_RESULT_H
#define TOOL_STRESS_RESULT_H

#include <stdatomic.h>

#include "common/report.h"

enum result_kind {                      /* of a failure; the first three have a status of the library each */
    RESULT_CONNECT,
    RESULT_SEND,
    RESULT_RECEIVE,
    RESULT_CHANGED,
    RESULT_MISSING,
    RESULT_TWICE,
    RESULT_ORDER,
    RESULT_EARLY,
    RESULT_STALLED,
    RESULT_THREAD,
    RESULT_KINDS
};

struct result {
    atomic_uint_least64_t sent, received;       /* bytes */
    atomic_int_least64_t  good, failed;         /* connections; those that were cut short are neither */
    atomic_bool           over;                 /* no more connections, and those under way end */
    atomic_bool           interrupted;          /* by the user */
    struct tool_event    *stop;                 /* set with over */
};
extern struct result result;

/* Counts connection number as failed, tells why, and ends it all if the user wants that. */
#if defined __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
void result_failure(int64_t number, enum result_kind kind, virtsock_status status, const char *format, ...);

void result_stop(void);

/* A line on the terminal that is written again and again; begin with the first, and end with the last. */
void result_begin(int64_t begun_us);
void result_draw(void);

/* The exit code. */
int result_print(void);

/* What a server has done; the exit code: without -i, whatever clients did is no failure of it. */
int result_print_served(int64_t clients, int64_t failed, uint64_t bytes);

#endif
