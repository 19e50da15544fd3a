/* SPDX-License-Identifier: MIT
 *
 * Sockets for datagrams: udp_posix.c and udp_windows.c have them. Codes are the system's own, 0 is success.
 */
#ifndef TOOL_PLATFORM_UDP_H
#define TOOL_PLATFORM_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udp_end {
    char     host[64];                  /* a number of IPv4 or IPv6; "": this is none */
    uint16_t port;
};

struct udp;                             /* a socket */

#define UDP_NOTHING (-1)                /* timeout_ms passed first, or less of it */

/* Whether the code says that nobody has that port. */
bool udp_is_refused(int code);

/* One that is bound there, or one that sends there and hears that end alone. *port: where it is bound, which the system chooses for 0. */
int  udp_open(struct udp **out, const struct udp_end *end, bool listening, uint16_t *port);
void udp_close(struct udp *udp);        /* NULL is fine */

/* To the end that it was opened for; listening, to the one that was heard last. May wait for room. */
int udp_send(struct udp *udp, const void *data, size_t size);
/* One datagram; what is beyond cap is dropped. */
int udp_receive(struct udp *udp, void *buf, size_t cap, size_t *size, int timeout_ms);

/* Listening: remembers the end that was heard last; and whether that is who was remembered. */
void udp_remember(struct udp *udp);
bool udp_is_remembered(const struct udp *udp);

/* Listening: the port of the end that was heard last, and a number that hardly any other end has. */
uint16_t udp_heard(const struct udp *udp, uint64_t *number);

#endif
