/* SPDX-License-Identifier: MIT
 *
 * Sockets of AF_VSOCK with a port of their own below 1024, which Linux gives to a process with CAP_NET_BIND_SERVICE
 * alone, and the library's connections do not ask for. lowport_posix.c and lowport_windows.c have it. Codes are the
 * system's own or one of these, 0 is success.
 */
#ifndef TOOL_PLATFORM_LOWPORT_H
#define TOOL_PLATFORM_LOWPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "virtsock.h"

#define LOWPORT_FIRST 512               /* below are ports that services are known by */
#define LOWPORT_LAST  1023

enum { LOWPORT_PENDING = -1, LOWPORT_DENIED = -2, LOWPORT_TAKEN = -3, LOWPORT_LATE = -4 };

/* Whether there is such a thing here. */
extern const bool lowport_has;

/* A socket with such a port, which connecting does not block; for messages, or a stream. timeout_ms: of connecting, -1
 * for ever, 0 the system's. DENIED: this process may have none. TAKEN: none is free. */
int lowport_open(virtsock_fd *out, bool messages, int64_t timeout_ms);
/* PENDING: when it can be written to, the result is there. */
int lowport_connect(virtsock_fd fd, uint32_t cid, uint32_t port, bool to_host);
/* How that ended. 0: its calls block from now on. */
int lowport_result(virtsock_fd fd);
void lowport_close(virtsock_fd fd);

/* What a code means to a user, as the library's statuses have it; *text: static, or NULL where the system's own words
 * have to do. */
virtsock_status lowport_status(int code, const char **text);

#endif
