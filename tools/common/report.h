/* SPDX-License-Identifier: MIT
 *
 * What the command says on standard error, and its exit codes.
 */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include "virtsock.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#if defined __GNUC__
#define REPORT_FORMAT __attribute__((format(printf, 1, 2)))
#else
#define REPORT_FORMAT
#endif

/* "virtsock: " and the text, as one piece whichever thread says it. */
void report_line(const char *format, ...) REPORT_FORMAT;

/* From now on such lines go there instead, with neither "virtsock: " nor a line's end. */
void report_through(void (*say)(const char *text));

/* The same, and EXIT_USAGE. */
int report_usage(const char *format, ...) REPORT_FORMAT;

/* An error of the library: its message, then its advice if there is any; EXIT_FAILED. */
int report_error(const virtsock_error *err);

/* The same about what the user wrote: EXIT_USAGE where that is what is wrong. */
int report_argument(const virtsock_error *err);

/* An error of the system: "what: its words"; EXIT_FAILED. */
int report_system(const char *what, int code);

/* That there is no memory; EXIT_FAILED. */
int report_no_memory(void);

#endif
