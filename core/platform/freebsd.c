/* SPDX-License-Identifier: MIT
 *
 * FreeBSD: a guest of Hyper-V has sockets to its host, by port alone (struct sockaddr_hvs, sys/dev/hyperv/hvsock).
 * Compiled and linked by the tests, run by nobody yet.
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <sys/ucred.h>
#include <sys/un.h>

#include "platform/posix.h"

struct vm_address {
    uint8_t  length, family, reserved[2];
    uint32_t port, zero[3];
};
_Static_assert(sizeof(struct vm_address) == VS_VM_ADDRESS_SIZE, "struct sockaddr_hvs is 20 bytes");

bool vs_vm_to_system(void *out, const struct vs_end *end, bool peer)
{
    const struct vm_address vm = { .length = sizeof vm, .family = VS_VM_FAMILY, .port = end->port };

    if (end->cid != (peer ? VIRTSOCK_CID_HOST : VIRTSOCK_CID_ANY) || end->port == VIRTSOCK_PORT_ANY || end->to_host)
        return false;                   /* nor does bind() choose a port */
    memcpy(out, &vm, sizeof vm);
    return true;
}

void vs_vm_from_system(struct vs_end *end, const void *from, bool peer)
{
    struct vm_address vm;

    memcpy(&vm, from, sizeof vm);
    end->cid = peer ? VIRTSOCK_CID_HOST : VIRTSOCK_CID_ANY;
    end->port = vm.port;
}

int vs_peer_user(virtsock_fd fd, uint32_t *uid, int64_t *pid)
{
    struct xucred peer = { .cr_version = XUCRED_VERSION };
    socklen_t     length = sizeof peer;

    if (getsockopt((int)fd, SOL_LOCAL, LOCAL_PEERCRED, &peer, &length) != 0)
        return errno;
    *uid = (uint32_t)peer.cr_uid;
    *pid = peer.cr_pid;
    return 0;
}

int vs_local_cid(uint32_t *cid)
{
    (void)cid;
    return EPFNOSUPPORT;
}
