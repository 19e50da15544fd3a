/* SPDX-License-Identifier: MIT
 *
 * The library's system calls under test: each is made as it was asked for, unless the plan says that it fails. A call that fails has no effect,
 * as in the kernel; where the kernel's has one in spite of its answer, it has one here. Blocks of memory are counted, and a descriptor that is
 * closed twice ends the program.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- The plan ---------------------------------------------------------------------------------------------------------- */

static struct {
    _Atomic unsigned  calls;
    unsigned          at, nth;
    enum fault_mode   mode;
    _Atomic(const char *) call;
    _Atomic int       code;
    atomic_bool       armed, reached;
} plan;
static struct {
    _Atomic(const char *) call;
    _Atomic int           code;
    _Atomic unsigned      made;
} always;
static _Thread_local struct fault here;
static _Thread_local struct {
    const char *call;
    bool        interrupted;
} turns[16];                            /* in a storm: of each call that may be interrupted, whether it was when it was last made */
static atomic_long blocks;

void fault_arm(enum fault_mode mode, unsigned at, unsigned nth)
{
    plan.mode = mode;
    plan.at = at;
    plan.nth = nth;
    plan.calls = 0;
    memset(turns, 0, sizeof turns);
    plan.call = NULL;
    plan.reached = false;
    here.call = NULL;
    plan.armed = true;
}

bool fault_disarm(struct fault *fault)
{
    plan.armed = false;
    fault->call = plan.call;
    fault->code = plan.code;
    return plan.reached;
}

void fault_always(const char *call, int code)
{
    always.code = code;
    always.made = 0;
    always.call = call;
}

unsigned fault_made(void)
{
    return always.made;
}

struct fault fault_here(void)
{
    const struct fault was = here;

    here.call = NULL;
    return was;
}

long fault_blocks(void)
{
    return blocks;
}

static bool storm(const char *call)
{
    size_t i = 0;

    while (turns[i].call != NULL && strcmp(turns[i].call, call) != 0)
        i++;
    turns[i].call = call;
    return turns[i].interrupted = !turns[i].interrupted;
}

/* True, with errno: this call fails. codes ends in 0, and begins with EINTR where a signal may interrupt. */
static bool fails(const char *call, const int *codes)
{
    const char *each = always.call;
    unsigned    n = 0;

    if (each != NULL && strcmp(call, each) == 0) {
        always.made++;
        if (always.code != 0) {
            errno = always.code;
            return true;
        }
    }
    if (!plan.armed)
        return false;
    if (++plan.calls == plan.at) {
        plan.reached = true;
        while (n < plan.nth && codes[n] != 0)
            n++;
        if (codes[n] == 0)
            return false;
        plan.code = codes[n];
        plan.call = call;
        here = (struct fault){ call, codes[n] };
        errno = codes[n];
        return true;
    }
    if (plan.mode != FAULT_STORM || codes[0] != EINTR || !storm(call))
        return false;
    here = (struct fault){ call, EINTR };
    errno = EINTR;
    return true;
}

#define FAILS(call, ...) fails(call, (const int[]){ __VA_ARGS__, 0 })

/* --- Memory ------------------------------------------------------------------------------------------------------------- */

void *fault_malloc(size_t size);
void *fault_calloc(size_t count, size_t size);
void  fault_free(void *block);

void *fault_malloc(size_t size)
{
    void *block = FAILS("malloc", ENOMEM) ? NULL : malloc(size);

    blocks += block != NULL;
    return block;
}

void *fault_calloc(size_t count, size_t size)
{
    void *block = FAILS("calloc", ENOMEM) ? NULL : calloc(count, size);

    blocks += block != NULL;
    return block;
}

void fault_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

/* --- Making and ending descriptors ---------------------------------------------------------------------------------------- */

int fault_socket(int family, int type, int protocol);
int fault_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags);
int fault_open(const char *path, int flags, ...);
int fault_eventfd(unsigned count, int flags);
int fault_close(int fd);

int fault_socket(int family, int type, int protocol)
{
    return FAILS("socket", EMFILE, ENFILE, ENOMEM, EPERM, EAFNOSUPPORT) ? -1 : socket(family, type, protocol);
}

int fault_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags)
{
    return FAILS("accept4", EINTR, EMFILE, ENOMEM, ECONNABORTED, EAGAIN, EPERM) ? -1 : accept4(fd, from, length, flags);
}

int fault_open(const char *path, int flags, ...)
{
    return FAILS("open", EINTR, EMFILE, EACCES, ENOENT) ? -1 : open(path, flags);       /* the library makes no file */
}

int fault_eventfd(unsigned count, int flags)
{
    return FAILS("eventfd", EMFILE, ENFILE, ENOMEM) ? -1 : eventfd(count, flags);
}

/* The number is free whatever close answers: a second close of it would be another's. */
int fault_close(int fd)
{
    const bool failing = FAILS("close", EIO, EINTR);
    const int  code = errno;

    if (close(fd) != 0) {
        printf("FAIL close(%d): errno %d\n", fd, errno);
        abort();
    }
    errno = code;
    return failing ? -1 : 0;
}

/* --- Sockets ---------------------------------------------------------------------------------------------------------------- */

int fault_connect(int fd, const struct sockaddr *to, socklen_t length);
int fault_bind(int fd, const struct sockaddr *at, socklen_t length);
int fault_listen(int fd, int backlog);
int fault_getsockname(int fd, struct sockaddr *name, socklen_t *length);
int fault_getpeername(int fd, struct sockaddr *name, socklen_t *length);
int fault_getsockopt(int fd, int level, int option, void *value, socklen_t *length);
int fault_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int fault_shutdown(int fd, int how);

/* Where nobody shall be reached, which is outside a virtual machine, nobody listens. */
static int connect_vsock(int fd, const struct sockaddr *to, socklen_t length)
{
    const char *transport = getenv("VIRTSOCK_TEST_TRANSPORT");

    if (FAILS("connect", ENODEV, ETIMEDOUT, EPROTO, ENOBUFS))
        return -1;
    if (transport != NULL && strncmp(transport, "vsock", 5) == 0)
        return connect(fd, to, length);
    errno = ECONNRESET;
    return -1;
}

/* But on UNIX sockets, a connection that a signal interrupts goes on by itself. */
int fault_connect(int fd, const struct sockaddr *to, socklen_t length)
{
    if (to->sa_family == AF_VSOCK)
        return connect_vsock(fd, to, length);

    const bool failing = to->sa_family == AF_UNIX ? FAILS("connect", EINTR, ECONNREFUSED, ENOENT, EACCES, EAGAIN, EPROTOTYPE)
                                                  : FAILS("connect", EINTR, ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, ENOBUFS);

    if (failing && errno == EINTR && to->sa_family != AF_UNIX) {
        connect(fd, to, length);
        errno = EINTR;
    }
    return failing ? -1 : connect(fd, to, length);
}

int fault_bind(int fd, const struct sockaddr *at, socklen_t length)
{
    return FAILS("bind", EADDRINUSE, EACCES, ENOMEM) ? -1 : bind(fd, at, length);
}

int fault_listen(int fd, int backlog)
{
    return FAILS("listen", EADDRINUSE) ? -1 : listen(fd, backlog);
}

int fault_getsockname(int fd, struct sockaddr *name, socklen_t *length)
{
    return FAILS("getsockname", ENOBUFS) ? -1 : getsockname(fd, name, length);
}

int fault_getpeername(int fd, struct sockaddr *name, socklen_t *length)
{
    return FAILS("getpeername", ENOTCONN, ENOBUFS) ? -1 : getpeername(fd, name, length);
}

int fault_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    return FAILS("getsockopt", ENOMEM, ENOPROTOOPT) ? -1 : getsockopt(fd, level, option, value, length);
}

int fault_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    return FAILS("setsockopt", ENOMEM, ENOPROTOOPT) ? -1 : setsockopt(fd, level, option, value, length);
}

/* It is done in spite of the answer: a closer relies on it for its wake. */
int fault_shutdown(int fd, int how)
{
    const bool failing = FAILS("shutdown", ENOTCONN, ENOBUFS);
    const int  code = errno;
    const int  result = shutdown(fd, how);

    if (failing)
        errno = code;
    return failing ? -1 : result;
}

/* --- Data ------------------------------------------------------------------------------------------------------------------- */

ssize_t fault_send(int fd, const void *data, size_t size, int flags);
ssize_t fault_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t fault_recv(int fd, void *buf, size_t cap, int flags);
ssize_t fault_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t fault_write(int fd, const void *data, size_t size);
int     fault_poll(struct pollfd *waits, nfds_t count, int timeout);

static size_t cut(size_t size)
{
    return plan.armed && plan.mode == FAULT_SHORT && size > 1 ? 1 : size;
}

static bool is_stream(int fd)
{
    int       type = 0;
    socklen_t length = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

ssize_t fault_send(int fd, const void *data, size_t size, int flags)
{
    return FAILS("send", EINTR, ECONNRESET, EPIPE, ENOBUFS, EAGAIN) ? -1 : send(fd, data, is_stream(fd) ? cut(size) : size, flags);
}

ssize_t fault_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr one = *message;
    struct iovec  piece;

    if (FAILS("sendmsg", EINTR, ECONNRESET, EPIPE, ENOBUFS, EAGAIN))
        return -1;
    while (one.msg_iovlen > 1 && one.msg_iov->iov_len == 0) {
        one.msg_iov++;
        one.msg_iovlen--;
    }
    if (!is_stream(fd) || one.msg_iovlen == 0 || cut(2) == 2)
        return sendmsg(fd, message, flags);
    piece = one.msg_iov[0];
    piece.iov_len = cut(piece.iov_len);
    one.msg_iov = &piece;
    one.msg_iovlen = 1;
    return sendmsg(fd, &one, flags);
}

ssize_t fault_recv(int fd, void *buf, size_t cap, int flags)
{
    return FAILS("recv", EINTR, ECONNRESET, ENOTCONN, ETIMEDOUT, ENOMEM, EAGAIN) ? -1 : recv(fd, buf, is_stream(fd) ? cut(cap) : cap, flags);
}

ssize_t fault_recvmsg(int fd, struct msghdr *message, int flags)
{
    return FAILS("recvmsg", EINTR, ECONNRESET, ENOTCONN, ENOMEM, EAGAIN) ? -1 : recvmsg(fd, message, flags);
}

/* Of a wake alone, which has always room. */
ssize_t fault_write(int fd, const void *data, size_t size)
{
    return FAILS("write", EINTR) ? -1 : write(fd, data, size);
}

/* A signal interrupts a wait, and no look. */
int fault_poll(struct pollfd *waits, nfds_t count, int timeout)
{
    const bool failing = timeout == 0 ? FAILS("poll", ENOMEM, EAGAIN, EINVAL) : FAILS("poll", EINTR, ENOMEM, EAGAIN, EINVAL);

    return failing ? -1 : poll(waits, count, timeout);
}

/* --- Files and time ------------------------------------------------------------------------------------------------------------ */

int     fault_flock(int fd, int operation);
int     fault_lstat(const char *path, struct stat *file);
int     fault_fstat(int fd, struct stat *file);
int     fault_unlink(const char *path);
int     fault_chmod(const char *path, mode_t mode);
int     fault_fchmod(int fd, mode_t mode);
int     fault_ioctl(int fd, unsigned long request, void *value);
int     fault_nanosleep(const struct timespec *time, struct timespec *left);
long    fault_syscall(long number, ...);

int fault_flock(int fd, int operation)
{
    return FAILS("flock", EINTR, EWOULDBLOCK, ENOLCK) ? -1 : flock(fd, operation);
}

int fault_lstat(const char *path, struct stat *file)
{
    return FAILS("lstat", EACCES, ENOENT, ENOMEM) ? -1 : lstat(path, file);
}

int fault_fstat(int fd, struct stat *file)
{
    return FAILS("fstat", EIO) ? -1 : fstat(fd, file);
}

int fault_unlink(const char *path)
{
    return FAILS("unlink", EACCES, EROFS) ? -1 : unlink(path);
}

int fault_chmod(const char *path, mode_t mode)
{
    return FAILS("chmod", EPERM, ENOENT) ? -1 : chmod(path, mode);
}

int fault_fchmod(int fd, mode_t mode)
{
    return FAILS("fchmod", EPERM, EINVAL) ? -1 : fchmod(fd, mode);
}

/* Of /dev/vsock, or of a socket that becomes blocking or not. */
int fault_ioctl(int fd, unsigned long request, void *value)
{
    return (request == FIONBIO ? FAILS("ioctl", EPERM) : FAILS("ioctl", ENODEV, EPERM, ENOTTY)) ? -1
           : (int)syscall(SYS_ioctl, fd, request, value);       /* a request is an int in musl, a long in glibc */
}

int fault_nanosleep(const struct timespec *time, struct timespec *left)
{
    return FAILS("nanosleep", EINTR) ? -1 : nanosleep(time, left);
}

/* Of a descriptor, a name, a mode and flags: fchmodat2, where there is no /proc. */
long fault_syscall(long number, ...)
{
    va_list more;
    long    fd, name, mode, flags;

    va_start(more, number);
    fd = va_arg(more, int);
    name = (long)va_arg(more, const char *);
    mode = va_arg(more, int);
    flags = va_arg(more, int);
    va_end(more);
    return FAILS("syscall", ENOSYS, EPERM) ? -1 : syscall(number, fd, name, mode, flags);
}
