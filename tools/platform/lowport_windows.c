/* SPDX-License-Identifier: MIT
 *
 * Hyper-V sockets have no ports of their own: see lowport.h.
 */
#include "platform/lowport.h"

const bool lowport_has = false;

int lowport_open(virtsock_fd *out, bool messages, int64_t timeout_ms)
{
    (void)messages, (void)timeout_ms;
    *out = -1;
    return LOWPORT_DENIED;
}

int lowport_connect(virtsock_fd fd, uint32_t cid, uint32_t port, bool to_host)
{
    (void)fd, (void)cid, (void)port, (void)to_host;
    return LOWPORT_DENIED;
}

int lowport_result(virtsock_fd fd)
{
    (void)fd;
    return LOWPORT_DENIED;
}

void lowport_close(virtsock_fd fd)
{
    (void)fd;
}

virtsock_status lowport_status(int code, const char **text)
{
    (void)code;
    *text = "this system has no such ports";
    return VIRTSOCK_E_UNSUPPORTED;
}
