/* SPDX-License-Identifier: MIT
 *
 * macOS: AF_VSOCK in a guest (struct sockaddr_vm of 12 bytes, bsd/sys/vsock.h), and what takes two calls here where
 * others need one. Compiled and linked by the tests, run by nobody yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/posix.h"

#define VM_IOCTL_GET_LOCAL_CID _IOR('s', 209, uint32_t)

struct vm_address {
    uint8_t  length, family, reserved[2];
    uint32_t port, cid;
};
_Static_assert(sizeof(struct vm_address) == VS_VM_ADDRESS_SIZE, "struct sockaddr_vm is 12 bytes");

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

static bool own(int fd, int non_blocking)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && ioctl(fd, FIONBIO, &non_blocking) == 0;
}

/* A socket that was just made; -1 stays. SO_NOSIGPIPE fails on one whose peer has left, which says so at its first
 * use. */
static int made(int fd, int non_blocking)
{
    const int on = 1;

    if (fd < 0)
        return fd;
    if (!own(fd, non_blocking)) {
        vs_close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    return fd;
}

int vs_new_socket(int family, int type)
{
    return made(socket(family, type, 0), true);
}

/* It has its listener's O_NONBLOCK. */
int vs_new_accepted(int listener, struct sockaddr *from, socklen_t *length)
{
    return made(accept(listener, from, length), false);
}

/* SO_ACCEPTCONN is among a socket's options, and getsockopt does not know it. */
int vs_is_listening(int fd, int *listens)
{
    struct socket_fdinfo about;

    if (proc_pidfdinfo(getpid(), fd, PROC_PIDFDSOCKETINFO, &about, sizeof about) != (int)sizeof about)
        return errno;
    *listens = (about.psi.soi_options & SO_ACCEPTCONN) != 0;
    return 0;
}

bool vs_vm_to_system(void *out, const struct vs_end *end, bool peer)
{
    const struct vm_address vm = { .length = sizeof vm, .family = VS_VM_FAMILY, .port = end->port, .cid = end->cid };

    (void)peer;
    if (end->to_host)
        return false;
    memcpy(out, &vm, sizeof vm);
    return true;
}

void vs_vm_from_system(struct vs_end *end, const void *from, bool peer)
{
    struct vm_address vm;

    (void)peer;
    memcpy(&vm, from, sizeof vm);
    end->cid = vm.cid;
    end->port = vm.port;
}

int vs_peer_user(virtsock_fd fd, uint32_t *uid, int64_t *pid)
{
    uid_t     user;
    gid_t     group;
    pid_t     process;
    socklen_t length = sizeof process;

    if (getpeereid((int)fd, &user, &group) != 0
        || getsockopt((int)fd, SOL_LOCAL, LOCAL_PEERPID, &process, &length) != 0)
        return errno;
    *uid = (uint32_t)user;
    *pid = process;
    return 0;
}

/* --- Waking, this machine ----------------------------------------------------------------------------------------- */

/* A pipe that nobody reads, its two ends in the 32 bits that a handle has for a wake. */
int vs_wake_open(virtsock_fd *out)
{
    int ends[2], code;

    if (pipe(ends) != 0)
        return errno;
    code = ends[0] >= 0xffff || ends[1] >= 0xffff ? EMFILE : own(ends[0], true) && own(ends[1], true) ? 0 : errno;
    *out = (virtsock_fd)ends[1] << 16 | ends[0];
    if (code != 0) {
        close(ends[0]);
        close(ends[1]);
    }
    return code;
}

void vs_wake_fire(virtsock_fd wake)
{
    ssize_t n;

    do
        n = write((int)(wake >> 16), "", 1);
    while (n < 0 && errno == EINTR);
}

void vs_wake_close(virtsock_fd wake)
{
    vs_close(wake & 0xffff);
    vs_close(wake >> 16);
}

int vs_local_cid(uint32_t *cid)
{
    int      fd = vs_new_socket(VS_VM_FAMILY, SOCK_STREAM), code = 0;
    uint32_t value;

    if (fd < 0)
        return errno;
    if (ioctl(fd, VM_IOCTL_GET_LOCAL_CID, &value) != 0)
        code = errno;
    else
        *cid = value;
    vs_close(fd);
    return code;
}
