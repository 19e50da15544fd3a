/* SPDX-License-Identifier: MIT
 *
 * An echo server for many clients at once.
 */
#ifndef TOOL_SERVE_H
#define TOOL_SERVE_H

#include "virtsock.h"

/* Listens and echoes, a thread a client, until the program is asked to end; bye (NULL: none) follows a client's end. The exit code. */
int serve(const virtsock_address *address, const char *bye);

#endif
