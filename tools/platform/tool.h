/* SPDX-License-Identifier: MIT
 *
 * What the command asks of a system beyond the library: standard input and output, threads, signals and a clock. posix.c and
 * windows.c have it, in this order. Codes are the system's own, 0 is success. Text is UTF-8, main's arguments too.
 */
#ifndef TOOL_PLATFORM_TOOL_H
#define TOOL_PLATFORM_TOOL_H

#include <stdbool.h>

#include "virtsock.h"

/* First of all: the three standard descriptors are taken, so that no socket becomes one of them; writing into a closed pipe is an error
 * and no signal; what is printed leaves as it is. */
void tool_start(void);

int64_t tool_now_us(void);
int64_t tool_now_ns(void);              /* the same clock */
void tool_nap_ms(int ms);
#define TOOL_CODE_TEXT 256
/* What a system's code means, in its words; TOOL_CODE_TEXT is room for any. */
void tool_code_text(int code, char *text, size_t cap);
/* A terminal that takes control sequences. */
bool tool_errors_on_terminal(void);

/* Standard input: bytes, 0 at its end, or minus the code. Waits. */
int64_t tool_input(void *buf, size_t cap);
/* Standard output, all of it: 0 or the code. */
int tool_output(const void *data, size_t size);
/* What was printed before leaves: 0 or the code. */
int tool_flush(void);

/* Bytes of a UNIX socket's path, at most. */
extern const size_t tool_path_most;

/* Makes it, for this user alone. 0 or the code. */
int tool_make_directory(const char *path);

/* What virtsock_stream_wants asks for; fd -1 is a sleep. May return early. */
void tool_wait(virtsock_fd fd, int events, int timeout_ms);
/* Until a stream's descriptor is ready, after a call that did not block; -1 is a sleep. May return early. */
void tool_poll(virtsock_fd fd, int events, int timeout_ms);
/* Until a UNIX stream has bytes or its end to receive. False: timeout_ms passed first. */
bool tool_may_receive(virtsock_fd fd, int timeout_ms);
/* A process's name, as its system keeps it; false where there is none to be had. */
bool tool_process_name(int64_t pid, char *name, size_t cap);
/* Whether it has loaded a library, "libNAME"; false, too, if it may not be looked at. */
bool tool_process_has(int64_t pid, const char *library);
/* This process's name for those who look at it, where it has one. */
void tool_take_name(const char *name);
/* Whether that send failed as the peer takes no more, which it may do in order; any other failure is a break. */
bool tool_takes_no_more(const virtsock_error *err);
/* Before a close: the peer is to see a break and no end, where the system can tell it. */
void tool_break(virtsock_fd fd);

/* A Linux of LinuxKit, 4.4 to 4.10, with Hyper-V sockets as family 43 (from 4.11 on that number is AF_SMC's). */
bool tool_has_family_43(void);

/* Starts a thread that nobody waits for. False: the system has none to give now. */
bool tool_thread(void (*run)(void *), void *argument);

/* Set by any thread, and once until it is cleared. NULL: out of memory. */
struct tool_event *tool_event_new(void);
void tool_event_free(struct tool_event *event);
void tool_event_set(struct tool_event *event);
void tool_event_clear(struct tool_event *event);
/* False: timeout_ms passed first; -1 for ever. */
bool tool_event_wait(struct tool_event *event, int timeout_ms);

#define TOOL_BREATH_MS 250              /* of a wish: what asks for the same meanwhile is the same, said twice */
/* Calls stop, from a thread of its own, in place of ending when the user or the system asks for that; once: the next such wish, a breath
 * later, ends the program. NULL takes it back: after that, stop is not running and will not be called. */
void tool_on_stop(void (*stop)(void *), void *argument);

#endif
