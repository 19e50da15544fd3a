/* SPDX-License-Identifier: MIT
 *
 * What a multiplexer may do wrong, for virtsock mux to do.
 */
#ifndef TOOL_MUX_FAULT_H
#define TOOL_MUX_FAULT_H

#include <stdbool.h>

#include "virtsock.h"

enum mux_fault {
    FAULT_NONE,
    FAULT_LATE,                         /* the client gets through, after all: */
    FAULT_PIECES,
    FAULT_GLUED,
    FAULT_RESET,
    FAULT_UNREAD,                       /* the client gets an end: */
    FAULT_REFUSED,
    FAULT_SILENT,                       /* or nothing: */
    FAULT_GARBAGE,                      /* or an answer that is none: */
    FAULT_NUL,
    FAULT_ENDLESS,
    FAULT_DIGITS,
    FAULT_CUT
};

#define FAULT_NAMES "late=MS, pieces, glued, reset, unread, refused, silent, garbage, nul, endless, digits or cut"

/* What the user calls one, with the milliseconds of late. */
bool mux_fault_parse(const char *text, enum mux_fault *fault, int *late_ms);

/* After the request: what the client gets in place of a connection, and true once there is nothing more to get; or false, after late_ms if
 * it is LATE: go on. */
bool mux_fault_play(virtsock_stream *client, enum mux_fault fault, int late_ms);

#endif
