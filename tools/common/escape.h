/* SPDX-License-Identifier: MIT
 *
 * Text that others chose (a name of a process, a string of the firmware, a label, what a peer says), as it may be shown
 * on a terminal: what a terminal would obey is written out.
 */
#ifndef TOOL_ESCAPE_H
#define TOOL_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#define ESCAPED(size) (4 * (size))      /* room for any text that has room in size */

/* Of the well-formed character of UTF-8 at text (RFC 3629: no surrogates, nothing overlong); 0: there is none. */
size_t escape_length(const char *text);
/* Whether the character of n bytes is a control character (C0, C1, DEL), ends a line, or turns the direction of
 * text. */
bool escape_wanted(const char *text, size_t n);
/* Its number. */
unsigned escape_number(const char *text, size_t n);

/* The same text with such characters as \u009b, and bytes that are no UTF-8, or of ASCII, as \x1b. What does not fit is
 * cut, between characters. Gives out. */
const char *escape_text(char *out, size_t cap, const char *text);

#endif
