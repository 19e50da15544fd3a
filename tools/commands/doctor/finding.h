/* SPDX-License-Identifier: MIT
 *
 * What the doctor finds, a line each or an element of an array, told as soon as it is known.
 */
#ifndef TOOL_FINDING_H
#define TOOL_FINDING_H

#include <stdbool.h>

#if defined __GNUC__
#define FINDING_FORMAT __attribute__((format(printf, 5, 6)))
#else
#define FINDING_FORMAT
#endif

enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_PROBLEM };

/* address: what is asked about, NULL: the system alone. */
void finding_begin(bool as_json, const char *address);

/* id: what was looked at, or of a problem the cause; docs/virtsock.md has them all. advice NULL: nothing to do. code: the system's; 0: none. */
void finding_tell(enum finding_level level, const char *id, const char *advice, int code, const char *format, ...) FINDING_FORMAT;
#define finding_ok(id, ...)                    finding_tell(FINDING_OK, id, NULL, 0, __VA_ARGS__)
#define finding_note(id, advice, ...)          finding_tell(FINDING_NOTE, id, advice, 0, __VA_ARGS__)
#define finding_problem(id, advice, code, ...) finding_tell(FINDING_PROBLEM, id, advice, code, __VA_ARGS__)

/* True: no problem was told, or good is true. */
bool finding_end(bool good);

#endif
