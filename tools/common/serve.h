/* SPDX-License-Identifier: MIT
 *
 * Servers for many clients at once, a thread a client at a time (crew.h); and the echo server.
 */
#ifndef TOOL_SERVE_H
#define TOOL_SERVE_H

#include "virtsock.h"

/* What is done for a client, in a thread of its own. Frees the stream. */
typedef void serve_attend(virtsock_stream *stream, unsigned number, const void *argument);

/* Accepts until the listener is closed. Numbers count the program's clients, from 1. */
void serve_clients(virtsock_listener *listener, serve_attend *attend, const void *argument);

/* Listens and echoes until the program is asked to end; bye (NULL: none) follows a client's end. The exit code. */
int serve(const virtsock_address *address, const char *bye);

#endif
