/* SPDX-License-Identifier: MIT
 *
 * What the command asks of a system beyond the library: standard input and output, threads, signals and a clock. platform_posix.c has it
 * for POSIX. Codes are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_H
#define TOOL_PLATFORM_H

#include <stdbool.h>

#include "virtsock.h"

/* First of all: the three standard descriptors are taken, so that no socket becomes one of them; writing into a closed pipe is an error
 * and no signal. */
void tool_start(void);

int64_t tool_now_us(void);
void tool_nap_ms(int ms);
/* What a system's code means, in its words: static text. */
const char *tool_code_text(int code);
bool tool_errors_on_terminal(void);

/* Standard input: bytes, 0 at its end, or minus the code. Waits. */
int64_t tool_input(void *buf, size_t cap);
/* Standard output, all of it: 0 or the code. */
int tool_output(const void *data, size_t size);

/* Makes it, for this user alone. 0 or the code. */
int tool_make_directory(const char *path);

/* What virtsock_stream_wants asks for; fd -1 is a sleep, events 0 a hang-up. May return early. */
void tool_wait(virtsock_fd fd, int events, int timeout_ms);
/* True if the peer neither sends nor receives any more. ask: it takes an empty send to find out (all sockets but UNIX ones). */
bool tool_peer_is_gone(virtsock_fd fd, bool ask);

/* A Linux of LinuxKit, 4.4 to 4.10, with Hyper-V sockets as family 43 (from 4.11 on that number is AF_SMC's). */
bool tool_has_family_43(void);

/* Starts a thread that nobody waits for. False: the system has none to give now. */
bool tool_thread(void (*run)(void *), void *argument);

/* Set once, by any thread. NULL: out of memory. */
struct tool_event *tool_event_new(void);
void tool_event_free(struct tool_event *event);
void tool_event_set(struct tool_event *event);
/* False: timeout_ms passed first; -1 for ever. */
bool tool_event_wait(struct tool_event *event, int timeout_ms);

/* Calls stop, from a thread of its own, in place of ending when the user or the system asks for that; once: the next such wish ends the
 * program. NULL takes it back: after that, stop is not running and will not be called. */
void tool_on_stop(void (*stop)(void *), void *argument);

#endif
