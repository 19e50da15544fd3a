/* SPDX-License-Identifier: MIT
 *
 * What `virtsock relay` asks of a system that starts and watches services: sockets that are passed on, pid files, logs, a service manager.
 * daemon_posix.c and daemon_windows.c have it, in this order. Codes are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_DAEMON_H
#define TOOL_PLATFORM_DAEMON_H

#include <stdbool.h>

#include "virtsock.h"

#define DAEMON_NAME 256                 /* room for the name of a passed socket */

/* As many descriptors as this user may have. */
void daemon_raise_descriptors(void);
int daemon_processors(void);
/* This process's; -1: users have no numbers here. */
int64_t daemon_user(void);

/* The socket with that number, from 0, of those that were passed to this process (LISTEN_FDS), close-on-exec, and its name. -1: no more. */
virtsock_fd daemon_passed(int number, char name[DAEMON_NAME]);
/* The descriptor of the one socket that standard input and output are, as inetd has it; -1: they are something else. */
virtsock_fd daemon_inetd(void);
/* What a descriptor is, of what conversations can be had with: a stream's socket, or one of messages (seqpacket). */
enum daemon_socket { DAEMON_CLOSED, DAEMON_NO_SOCKET, DAEMON_STREAM, DAEMON_MESSAGES };
enum daemon_socket daemon_socket_of(virtsock_fd fd);
bool daemon_listens(virtsock_fd fd);
/* Two ends of a UNIX stream. False: the system has none to give. */
bool daemon_pair(virtsock_fd pair[2]);
extern const bool daemon_has_pairs;      /* false: never here */
/* Standard output has its end; what is printed from now on goes nowhere. */
void daemon_end_output(void);
/* Hands a descriptor over to the process behind standard output, a UNIX socket, with one NUL byte. 0 or the code. */
int daemon_pass(virtsock_fd fd);

/* A socket that the relay owns alone: never blocks, whatever call is made. */
void daemon_set_nonblocking(virtsock_fd fd);
/* It is to take messages of that size, if it may. */
void daemon_make_room(virtsock_fd fd, size_t size);
/* Bytes lie there to be received. */
bool daemon_has_bytes(virtsock_fd fd);
/* A listening UNIX socket takes no more clients, but keeps those that wait. Others stay as they are. */
void daemon_refuse_new(virtsock_fd listener);

#define DAEMON_NO_FILE (-1)             /* in place of a code: something stands there that is no file */
/* For this user alone. 0 or the code. */
int daemon_write_pid(const char *path);
/* What was written there, unless it is another instance's by now. */
void daemon_remove_pid(const char *path);
/* A line to the system's log, and to standard error, as "virtsock: " and the line. False: nobody takes it now.
 * Neither waits, and neither feeds what this process forwards (datagrams.h). */
bool daemon_log(const char *line);
bool daemon_say(const char *line);
/* Standard input, output and error become the null device. */
void daemon_detach(void);
/* Sends one datagram to a UNIX socket; a name that begins with @ is of Linux's abstract ones. 0 or the code. */
int daemon_tell(const char *socket, const char *text);
/* Calls report, from a thread of its own, when the user asks for that (SIGUSR1). Before any thread is started. */
void daemon_on_report(void (*report)(void));

#endif
