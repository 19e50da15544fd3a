/* SPDX-License-Identifier: MIT
 *
 * Faults in the library's system calls, and in no others: programs here are linked with a copy of libvirtsock.a in which the calls of calls.txt
 * have other names (`socket` is `fault_socket`), and those are fault.c's. So a program may call what it likes for itself. fault.c knows which
 * codes a call may fail with; judge.c knows which statuses such a failure may become.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>

#include "virtsock.h"

enum fault_mode {
    FAULT_PLAIN,
    FAULT_SHORT,                        /* every send and receive moves one byte at most */
    FAULT_STORM,                        /* every second call that a signal may interrupt is interrupted */
    FAULT_MODES
};

struct fault {
    const char *call;                   /* NULL: none */
    int         code;
};

/* From now on the at-th call (0: none) fails with the nth of its codes, and mode holds. */
void fault_arm(enum fault_mode mode, unsigned at, unsigned nth);
/* No more faults. True: the at-th call was made; *fault is empty if it has no nth code. */
bool fault_disarm(struct fault *fault);

/* From now on each call of that name fails with the code, in every thread; code 0: it is counted only. NULL: no more. */
void fault_always(const char *call, int code);
/* How often it was made since. */
unsigned fault_made(void);

/* What failed in this thread since it last asked. */
struct fault fault_here(void);

/* Blocks of memory that the library has now. */
long fault_blocks(void);

/* Whether op may end with status, after such a failure inside; want is what it gives without one. */
bool fault_allows(const char *op, struct fault fault, virtsock_status status, virtsock_status want);

#endif
