/* SPDX-License-Identifier: MIT
 *
 * Datagrams, as a baseline for stress and bench alone: udp:// is no address of this project's grammar. Here are its
 * addresses; the sockets are the platform's.
 */
#ifndef TOOL_UDP_H
#define TOOL_UDP_H

#include "platform/udp.h"

#define UDP_PORT    5303                /* of sock_stress, for tcp:// as well */
#define UDP_BIGGEST 65507               /* bytes of a datagram over IPv4 */
#define UDP_TEXT    80                  /* room for the text of any */

/* udp://HOST:PORT, with the hosts of tcp://; without a port UDP_PORT is taken, and told. EXIT_DONE, or it was said why not. False from udp_is:
 * not such a text. */
bool udp_is(const char *text);
int  udp_read(struct udp_end *out, const char *text);
void udp_write(char out[UDP_TEXT], const struct udp_end *end);

#endif
