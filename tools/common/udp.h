/* SPDX-License-Identifier: MIT
 *
 * Datagrams, as a baseline for stress and bench alone: udp:// is no address of this project's grammar. udp.c reads the addresses,
 * udp_posix.c and udp_windows.c have the sockets.
 */
#ifndef TOOL_UDP_H
#define TOOL_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_PORT    5303                /* of sock_stress, for tcp:// as well */
#define UDP_BIGGEST 65507               /* bytes of a datagram over IPv4 */

struct udp_end {
    char     host[64];                  /* a number of IPv4 or IPv6; "": this is none */
    uint16_t port;
};

#define UDP_TEXT    80                  /* room for the text of any */

/* udp://HOST:PORT, with the hosts of tcp://; without a port UDP_PORT is taken, and told. EXIT_DONE, or it was said why not. False from udp_is:
 * not such a text. */
bool udp_is(const char *text);
int  udp_read(struct udp_end *out, const char *text);
void udp_write(char out[UDP_TEXT], const struct udp_end *end);

struct udp;                             /* a socket */

/* Codes are the system's own, 0 is success. */
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

#endif
