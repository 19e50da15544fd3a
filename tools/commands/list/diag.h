/* SPDX-License-Identifier: MIT
 *
 * What Linux is asked about its vsock sockets (netlink, sock_diag(7), linux/vm_sockets_diag.h), and how its answer is read: bytes, no I/O.
 */
#ifndef TOOL_DIAG_H
#define TOOL_DIAG_H

#include <stddef.h>
#include <stdint.h>

#define DIAG_REQUEST_SIZE 40

/* States, as in sk_state: the kernel's TCP_ numbers. A set of them has the bit 1 << STATE. */
enum { DIAG_ESTABLISHED = 1, DIAG_SYN_SENT = 2, DIAG_CLOSED = 7, DIAG_LISTEN = 10, DIAG_CLOSING = 11 };

struct diag_socket {
    uint8_t  type, state, shutdown;     /* SOCK_; DIAG_; 1: receives no more, 2: sends no more */
    uint32_t local_cid, local_port, peer_cid, peer_port, inode;
};

enum diag_step {
    DIAG_SOCKET,                        /* *socket is one */
    DIAG_MORE,                          /* the datagram has been read, another follows */
    DIAG_DONE,
    DIAG_FAILED,                        /* *code is the kernel's, positive */
    DIAG_GARBLED                        /* not what a kernel says */
};

void diag_request(unsigned char out[DIAG_REQUEST_SIZE], uint32_t states);

/* The next thing in a datagram, from *at (0 at first), which moves on. Messages that are not about vsock sockets are passed over. */
enum diag_step diag_next(const unsigned char *data, size_t size, size_t *at, struct diag_socket *socket, int *code);

#endif
