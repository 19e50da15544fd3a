/* SPDX-License-Identifier: MIT
 *
 * Ports of AF_VSOCK below 1024, on Linux: see lowport.h. Other systems' kernels make no difference between ports.
 */
#define _GNU_SOURCE             /* SOCK_CLOEXEC */
#include "platform/lowport.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef __linux__

/* linux/vm_sockets.h, which not every C library's headers can reach */
#define VM_FAMILY          40
#define VM_CONNECT_TIMEOUT 6
#define VM_FLAG_TO_HOST    1

struct vm_address {
    sa_family_t    family;
    unsigned short reserved;
    uint32_t       port, cid;
    uint8_t        flags, zero[3];
};
_Static_assert(sizeof(struct vm_address) == 16, "struct sockaddr_vm is 16 bytes");

const bool lowport_has = true;

/* A port of one that was closed is the kernel's for a while: each try begins where the last one ended. */
static int bind_low(int fd)
{
    static atomic_uint  last;
    const unsigned      ports = LOWPORT_LAST - LOWPORT_FIRST + 1;

    for (unsigned i = 0; i < ports; i++) {
        const struct vm_address at = { .family = VM_FAMILY, .port = LOWPORT_LAST - atomic_fetch_add(&last, 1) % ports,
                                       .cid = VIRTSOCK_CID_ANY };

        if (bind(fd, (const struct sockaddr *)&at, sizeof at) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return errno == EACCES ? LOWPORT_DENIED : errno;
    }
    return LOWPORT_TAKEN;
}

/* The kernel ends it by itself after 2 s: a second more than ours, so that ours decides. */
static int set_timer(int fd, int64_t timeout_ms)
{
    const int64_t  ms = timeout_ms < 0 ? (int64_t)INT32_MAX * 1000 : timeout_ms + 1000;
    struct timeval t = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

    return timeout_ms == 0 || setsockopt(fd, VM_FAMILY, VM_CONNECT_TIMEOUT, &t, sizeof t) == 0 ? 0 : errno;
}

int lowport_open(virtsock_fd *out, bool messages, int64_t timeout_ms)
{
    int fd = socket(VM_FAMILY, (messages ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code;

    *out = -1;
    if (fd < 0)
        return errno;
    if ((code = bind_low(fd)) != 0 || (code = set_timer(fd, timeout_ms)) != 0) {
        close(fd);
        return code;
    }
    *out = fd;
    return 0;
}

/* It may be there already. */
int lowport_result(virtsock_fd fd)
{
    struct pollfd p = { .fd = (int)fd, .events = POLLOUT };
    socklen_t     size = sizeof(int);
    int           code = 0, flags;

    if (poll(&p, 1, 0) <= 0)
        return LOWPORT_PENDING;
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0)
        return errno;
    if (code != 0)
        return code;
    flags = fcntl((int)fd, F_GETFL);
    return flags == -1 || fcntl((int)fd, F_SETFL, flags & ~O_NONBLOCK) == -1 ? errno : 0;
}

int lowport_connect(virtsock_fd fd, uint32_t cid, uint32_t port, bool to_host)
{
    const struct vm_address to = { .family = VM_FAMILY, .port = port, .cid = cid,
                                   .flags = to_host ? VM_FLAG_TO_HOST : 0 };

    if (connect((int)fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return lowport_result(fd);
    return errno == EINPROGRESS || errno == EINTR ? LOWPORT_PENDING : errno;
}

#else

const bool lowport_has = false;

int lowport_open(virtsock_fd *out, bool messages, int64_t timeout_ms)
{
    (void)messages, (void)timeout_ms;
    *out = -1;
    return EAFNOSUPPORT;
}

int lowport_connect(virtsock_fd fd, uint32_t cid, uint32_t port, bool to_host)
{
    (void)fd, (void)cid, (void)port, (void)to_host;
    return EAFNOSUPPORT;
}

int lowport_result(virtsock_fd fd)
{
    (void)fd;
    return EAFNOSUPPORT;
}

#endif

void lowport_close(virtsock_fd fd)
{
    close((int)fd);
}

virtsock_status lowport_status(int code, const char **text)
{
    static const struct {
        int             code;
        virtsock_status status;
        const char     *text;
    } known[] = {
        { LOWPORT_DENIED, VIRTSOCK_E_DENIED,
          "a source port below 1024 needs CAP_NET_BIND_SERVICE, and this process has it not (in the kernel's first "
          "user namespace)" },
        { LOWPORT_TAKEN, VIRTSOCK_E_NO_RESOURCES, "every source port from 512 to 1023 is taken" },
        { LOWPORT_LATE, VIRTSOCK_E_TIMEOUT, "no answer in the time for one attempt" },
        { ECONNREFUSED, VIRTSOCK_E_REFUSED, "nobody listens there" },
        { ECONNRESET, VIRTSOCK_E_REFUSED, "nobody listens there" },
        { ETIMEDOUT, VIRTSOCK_E_TIMEOUT, "the peer does not answer" },
        { ENODEV, VIRTSOCK_E_UNREACHABLE, "no transport leads to that CID" },
        { ENETUNREACH, VIRTSOCK_E_UNREACHABLE, "no way to that CID" },
        { EHOSTUNREACH, VIRTSOCK_E_UNREACHABLE, "no way to the peer" },
        { EADDRNOTAVAIL, VIRTSOCK_E_UNREACHABLE, "no way to that CID" },
        { EAFNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "this kernel has no AF_VSOCK" },
        { ESOCKTNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "this kernel's AF_VSOCK has no sockets of this type" },
        { EMFILE, VIRTSOCK_E_NO_RESOURCES, "this process has no descriptor left" },
        { ENFILE, VIRTSOCK_E_NO_RESOURCES, "this system has no descriptor left" },
        { ENOMEM, VIRTSOCK_E_NO_RESOURCES, "out of memory" },
        { ENOBUFS, VIRTSOCK_E_NO_RESOURCES, "out of memory" }
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code) {
            *text = known[i].text;
            return known[i].status;
        }
    *text = NULL;
    return VIRTSOCK_E_SYSTEM;
}
