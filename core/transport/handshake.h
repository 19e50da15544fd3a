/* SPDX-License-Identifier: MIT
 *
 * The handshakes of multiplexers, client and server, as pure functions over bytes. A port is text here: a decimal
 * number, or a service GUID where the multiplexer takes those.
 *
 * CONNECT/OK (Firecracker, Cloud Hypervisor, vhost-device-vsock, OpenVMM): "CONNECT 52\n" is answered by "OK
 * 1073741824\n", a number or a GUID that is the multiplexer's to choose. HyperKit: "00000003.00000034\n", CID and port,
 * and no answer.
 */
#ifndef VS_HANDSHAKE_H
#define VS_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#define VS_LINE_MAX      64             /* bytes of the longest line; CONNECT and a GUID are 45 */
#define VS_PORT_TEXT     37             /* a GUID and its NUL */
#define VS_HYPERKIT_LINE 18             /* bytes of HyperKit's request: it reads so many, once */

enum vs_shake {
    VS_SHAKE_MORE,                      /* right so far, and not all of it */
    VS_SHAKE_DONE,
    VS_SHAKE_BAD                        /* whatever may follow */
};

/* What a client sends first, in one piece; its length. port fits VS_PORT_TEXT. */
size_t vs_mux_request(char out[VS_LINE_MAX], const char *port);
/* What a server answers. */
size_t vs_mux_reply(char out[VS_LINE_MAX], const char *port);

/* Look at the first n bytes that came. DONE: the line is the first *used of them (payload may follow), and names port.
 * Words in either case, blanks and a CR at the end are let pass. */
enum vs_shake vs_mux_read_request(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT]);
enum vs_shake vs_mux_read_reply(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT]);

/* CID and port as HyperKit names its listeners' files, with a NUL; a newline in place of the NUL makes its request. */
void vs_hyperkit_name(char out[VS_HYPERKIT_LINE], uint32_t cid, uint32_t port);
void vs_hyperkit_request(char out[VS_HYPERKIT_LINE], uint32_t cid, uint32_t port);
enum vs_shake vs_hyperkit_read_request(const char *data, size_t n, uint32_t *cid, uint32_t *port);

#endif
