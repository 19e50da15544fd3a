/* SPDX-License-Identifier: MIT
 *
 * Names of machines in networks of TCP, as the system knows them: names_posix.c and names_windows.c have it.
 */
#ifndef TOOL_PLATFORM_NAMES_H
#define TOOL_PLATFORM_NAMES_H

#define NAMES_MOST 8                    /* addresses of a name; what is beyond is left out */
#define NAMES_TEXT 48                   /* room for one: a number of IPv4, or of IPv6 without a zone */

struct names {
    int  count;
    char text[NAMES_MOST][NAMES_TEXT];
};

/* Asks the system, and waits for it; both families, in its order. NULL, or why there are none: static text. */
const char *names_look_up(struct names *out, const char *host);

#endif
