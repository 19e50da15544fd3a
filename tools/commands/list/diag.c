/* SPDX-License-Identifier: MIT
 *
 * Netlink's messages about vsock sockets: see diag.h. The layouts of linux/netlink.h and linux/vm_sockets_diag.h stand here, since not every C
 * library's headers reach those. Numbers are in this machine's own order of bytes.
 */
#include "diag.h"

#include <string.h>

#define FAMILY_VSOCK 40
#define HEAD         16                 /* struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32 */
#define MESSAGE      32                 /* struct vsock_diag_msg */

enum { TYPE_ERROR = 2, TYPE_DONE = 3, TYPE_BY_FAMILY = 20 };
enum { FLAG_REQUEST = 0x001, FLAG_DUMP = 0x300 };

static uint32_t u32_at(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint16_t u16_at(const unsigned char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

void diag_request(unsigned char out[DIAG_REQUEST_SIZE], uint32_t states)
{
    const uint32_t length = DIAG_REQUEST_SIZE;
    const uint16_t type = TYPE_BY_FAMILY, flags = FLAG_REQUEST | FLAG_DUMP;

    memset(out, 0, DIAG_REQUEST_SIZE);
    memcpy(out, &length, sizeof length);
    memcpy(out + 4, &type, sizeof type);
    memcpy(out + 6, &flags, sizeof flags);
    out[HEAD] = FAMILY_VSOCK;           /* struct vsock_diag_req: family u8, protocol u8, pad u16, states u32; the rest is 0 */
    memcpy(out + HEAD + 4, &states, sizeof states);
}

/* What an end or an error says: minus the code, or 0. */
static enum diag_step end_of(const unsigned char *payload, size_t size, int *code)
{
    int32_t value = 0;

    if (size >= sizeof value)
        memcpy(&value, payload, sizeof value);
    if (value > 0 || value == INT32_MIN)
        return DIAG_GARBLED;
    *code = -value;
    return value == 0 ? DIAG_DONE : DIAG_FAILED;
}

static void read_socket(struct diag_socket *out, const unsigned char *message)
{
    *out = (struct diag_socket){
        .type = message[1], .state = message[2], .shutdown = message[3],
        .local_cid = u32_at(message + 4), .local_port = u32_at(message + 8),
        .peer_cid = u32_at(message + 12), .peer_port = u32_at(message + 16), .inode = u32_at(message + 20)
    };
}

enum diag_step diag_next(const unsigned char *data, size_t size, size_t *at, struct diag_socket *socket, int *code)
{
    while (*at < size) {
        const unsigned char *message = data + *at;
        size_t               left = size - *at, length = left < HEAD ? 0 : u32_at(message), step;
        uint16_t             type;

        if (length < HEAD || length > left)
            return DIAG_GARBLED;
        step = (length + 3) & ~(size_t)3;
        *at = step < left ? *at + step : size;
        type = u16_at(message + 4);
        if (type == TYPE_DONE)
            return end_of(message + HEAD, length - HEAD, code);
        if (type == TYPE_ERROR)
            return length < HEAD + 4 ? DIAG_GARBLED : end_of(message + HEAD, length - HEAD, code);
        if (type != TYPE_BY_FAMILY)
            continue;
        if (length < HEAD + MESSAGE)
            return DIAG_GARBLED;
        if (message[HEAD] != FAMILY_VSOCK)
            continue;
        read_socket(socket, message + HEAD);
        return DIAG_SOCKET;
    }
    return DIAG_MORE;
}
