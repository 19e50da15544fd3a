/* SPDX-License-Identifier: MIT
 *
 * Which statuses a failed system call may become, as virtsock.h promises them: by the operation in which it failed, the call and its code. The
 * first row that fits is taken. A failure without a row may become nothing: whoever adds a code to fault.c says here what it means.
 */
#include "fault.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SAME          (1u << 31)        /* as if nothing had failed */
#define FINE          1u                /* OK, whatever it is without the failure */
#define OF(status)    (1u << -VIRTSOCK_E_##status)
#define ANY           NULL

static const struct row {
    const char *op, *call;              /* ANY: every one; "accept" is "accept by rule" too */
    int         code;                   /* 0: every one */
    unsigned    allowed;
} rows[] = {
    /* What is nobody's business, or tried again. */
    { ANY, "close", 0, SAME },
    { ANY, "nanosleep", 0, SAME },
    { ANY, "write", 0, SAME },
    { "recv interruptible", "poll", EINTR, OF(INTERRUPTED) },
    { "connect interruptible", "poll", EINTR, OF(INTERRUPTED) },
    { "recv untimed", "recv", EINTR, OF(INTERRUPTED) },
    { "recv untimed", "recvmsg", EINTR, OF(INTERRUPTED) },
    { "send untimed", "send", EINTR, OF(INTERRUPTED) },
    { ANY, ANY, EINTR, SAME },

    /* Resources. */
    { ANY, "malloc", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "calloc", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "eventfd", 0, OF(NO_RESOURCES) },
    { ANY, "socket", EMFILE, OF(NO_RESOURCES) },
    { ANY, "socket", ENFILE, OF(NO_RESOURCES) },
    { ANY, "socket", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "socket", EPERM, OF(DENIED) },
    { ANY, "socket", EAFNOSUPPORT, OF(UNSUPPORTED) },

    /* Waiting. A look that fails (at a connection under way, at a listener, after an empty message) is followed by one that
     * tells. */
    { ANY, "poll", EAGAIN, SAME },
    { "recv", "poll", ENOMEM, OF(NO_RESOURCES) | SAME },
    { "recv", "poll", EINVAL, OF(SYSTEM) | SAME },
    { "send", "poll", ENOMEM, OF(NO_RESOURCES) },
    { "send", "poll", EINVAL, OF(SYSTEM) },
    { "close", "poll", ENOMEM, OF(NO_RESOURCES) },
    { "close", "poll", EINVAL, OF(SYSTEM) },
    { "connect", "poll", ENOMEM, OF(NO_RESOURCES) | SAME },
    { "connect", "poll", EINVAL, OF(SYSTEM) | SAME },
    { "accept", "poll", ENOMEM, OF(NO_RESOURCES) | SAME },
    { "accept", "poll", EINVAL, OF(SYSTEM) | SAME },

    /* Connecting. */
    { "connect and wait", "connect", ECONNREFUSED, SAME },
    { "connect and wait", "connect", ENOENT, SAME },
    { "connect and wait", "connect", ETIMEDOUT, SAME },
    { "connect and wait", "connect", EADDRNOTAVAIL, SAME },
    { "connect and wait", "connect", ENODEV, SAME },
    { "connect", "send", EAGAIN, OF(REFUSED) },         /* a request leaves in one piece, or not */
    { "connect", "send", ECONNRESET, OF(REFUSED) },
    { "connect", "send", EPIPE, OF(REFUSED) },
    { "connect", "send", ENOBUFS, OF(NO_RESOURCES) },
    { "connect", "recv", ECONNRESET, OF(REFUSED) },
    { "connect", "recv", ENOTCONN, OF(REFUSED) | OF(PROTOCOL) },    /* the end: before an answer, or in the middle of it */
    { "connect", "recv", ETIMEDOUT, OF(TIMEOUT) },
    { "connect", "connect", EAGAIN, SAME },
    { "connect", "connect", ENODEV, OF(UNREACHABLE) },
    { "connect", "connect", EPROTO, OF(PROTOCOL) },
    { "connect", "connect", ECONNREFUSED, OF(REFUSED) },
    { "connect", "connect", ENOENT, OF(REFUSED) },
    { "connect", "connect", EACCES, OF(DENIED) },
    { "connect", "connect", EPROTOTYPE, OF(UNSUPPORTED) },
    { "connect", "connect", ETIMEDOUT, OF(TIMEOUT) },
    { "connect", "connect", EADDRNOTAVAIL, OF(UNREACHABLE) },
    { "connect", "connect", ENOBUFS, OF(NO_RESOURCES) },
    { "connect", "ioctl", EPERM, OF(DENIED) },
    { "connect", "getsockname", 0, SAME },              /* asked for, to see whether tcp met itself */
    { "connect", "getpeername", 0, SAME },

    /* Listening: the connection that asks who has a socket proves nothing unless it is refused. */
    { "listen", "connect", ECONNREFUSED, SAME },
    { "listen", "connect", 0, OF(IN_USE) },
    { "listen", "bind", EADDRINUSE, OF(IN_USE) },
    { "listen", "bind", EACCES, OF(DENIED) },
    { "listen", "bind", ENOMEM, OF(NO_RESOURCES) },
    { "listen", "listen", EADDRINUSE, OF(IN_USE) },
    { "listen", "open", EMFILE, OF(NO_RESOURCES) | SAME },             /* the lock is done without */
    { "listen", "open", EACCES, OF(DENIED) | SAME },
    { "listen", "open", ENOENT, OF(NOT_FOUND) | SAME },
    { "listen", "flock", 0, SAME },
    { "listen", "lstat", EACCES, OF(DENIED) },
    { "listen", "lstat", ENOENT, OF(IN_USE) | SAME },
    { "listen", "lstat", ENOMEM, OF(NO_RESOURCES) },
    { "listen", "fstat", EIO, OF(IN_USE) },
    { "listen", "unlink", EACCES, OF(DENIED) },
    { "listen", "unlink", EROFS, OF(DENIED) },
    { "listen", "chmod", EPERM, OF(DENIED) },
    { "listen", "chmod", ENOENT, OF(UNSUPPORTED) | SAME },         /* no /proc: Linux 6.6 has another way */
    { "listen", "fchmod", EPERM, OF(DENIED) },
    { "listen", "fchmod", EINVAL, OF(SYSTEM) },
    { "listen", "ioctl", EPERM, OF(DENIED) },
    { "listen", "getpeername", 0, SAME },

    /* Accepting. A client whose user cannot be told is refused. */
    { "accept", "accept4", EMFILE, OF(NO_RESOURCES) },
    { "accept", "accept4", ENOMEM, OF(NO_RESOURCES) },
    { "accept", "accept4", ECONNABORTED, SAME },
    { "accept", "accept4", EAGAIN, SAME },
    { "accept", "accept4", EPERM, OF(SYSTEM) },
    { "accept by rule", "getsockopt", 0, OF(TIMEOUT) },

    /* Adopting and asking. */
    { "adopt listener", "getpeername", 0, SAME },
    { "adopt by address", "getpeername", 0, OF(INVALID) | SAME },   /* looked at twice, and needed once */
    { "adopt", "getpeername", 0, OF(INVALID) },
    { "adopt", "ioctl", EPERM, OF(DENIED) },
    { "get", "poll", 0, SAME },                         /* of the peer's ends nothing is seen then */
    { "get", "send", 0, SAME },
    { ANY, "getpeername", ENOTCONN, OF(RESET) },
    { ANY, "getpeername", ENOBUFS, OF(NO_RESOURCES) },
    { ANY, "getsockname", ENOBUFS, OF(NO_RESOURCES) },
    { ANY, "getsockopt", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "getsockopt", ENOPROTOOPT, OF(UNSUPPORTED) },
    { ANY, "setsockopt", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "setsockopt", ENOPROTOOPT, OF(UNSUPPORTED) },

    /* Data. */
    { "recv now", ANY, EAGAIN, OF(AGAIN) },
    { "send", "send", EAGAIN, SAME },
    { "send", "send", ECONNRESET, OF(RESET) },
    { "send", "send", EPIPE, OF(RESET) },
    { "send", "send", ENOBUFS, OF(NO_RESOURCES) },
    { "send", "sendmsg", EAGAIN, SAME },
    { "send", "sendmsg", ECONNRESET, OF(RESET) },
    { "send", "sendmsg", EPIPE, OF(RESET) },
    { "send", "sendmsg", ENOBUFS, OF(NO_RESOURCES) },
    { "send framed", "recv", ENOTCONN, OF(RESET) },     /* it looks at what the peer says: the end */
    { "recv framed end", "recv", 0, OF(RESET) | OF(NO_RESOURCES) | SAME },      /* before it is heard, or after */
    { "recv framed", "recv", ENOTCONN, OF(RESET) },     /* the end without a word */
    { "recv framed", "sendmsg", 0, SAME },              /* the answer to a Close is kept */
    { "shutdown framed", "recv", ENOMEM, OF(NO_RESOURCES) },
    { "shutdown framed", "sendmsg", ENOBUFS, OF(NO_RESOURCES) },
    { "shutdown framed", "poll", ENOMEM, OF(NO_RESOURCES) },
    { "shutdown framed", "poll", EINVAL, OF(SYSTEM) },
    { "shutdown framed", ANY, 0, SAME },                /* nobody is there to hear of it */
    { "close framed", "sendmsg", 0, SAME },
    { "close framed", "recv", ENOTCONN, OF(RESET) | FINE },     /* once the peer has said Close */
    { "close framed", "recv", ECONNRESET, OF(RESET) | FINE },
    { "close framed", "recv", ETIMEDOUT, OF(RESET) | FINE },
    { ANY, "recv", EAGAIN, SAME },
    { ANY, "recv", ECONNRESET, OF(RESET) },
    { ANY, "recv", ETIMEDOUT, OF(RESET) },
    { ANY, "recv", ENOMEM, OF(NO_RESOURCES) },
    { "close", "recv", ENOTCONN, FINE },                /* AF_VSOCK's way to tell the end */
    { ANY, "recv", ENOTCONN, OF(EOF) },
    { ANY, "recvmsg", EAGAIN, SAME },
    { ANY, "recvmsg", ECONNRESET, OF(RESET) },
    { ANY, "recvmsg", ENOMEM, OF(NO_RESOURCES) },
    { ANY, "recvmsg", ENOTCONN, OF(EOF) },

    /* Ending. What a listener leaves behind, the next one takes for stale. */
    { "shutdown", "shutdown", ENOBUFS, OF(NO_RESOURCES) },
    { ANY, "shutdown", 0, SAME },
    { "unlisten", "lstat", 0, SAME },
    { "unlisten", "unlink", 0, SAME },

    /* This machine. */
    { "cid", "open", EMFILE, OF(NO_RESOURCES) },
    { "cid", "open", EACCES, OF(DENIED) },
    { "cid", "open", ENOENT, OF(UNSUPPORTED) },
    { "cid", "ioctl", ENODEV, OF(UNREACHABLE) },
    { "cid", "ioctl", EPERM, OF(DENIED) },
    { "cid", "ioctl", ENOTTY, OF(SYSTEM) },
};

static bool fits(const struct row *row, const char *op, struct fault fault)
{
    const size_t n = row->op == ANY ? 0 : strlen(row->op);

    return (row->op == ANY || (strncmp(row->op, op, n) == 0 && (op[n] == '\0' || op[n] == ' ')))
           && (row->call == ANY || strcmp(row->call, fault.call) == 0) && (row->code == 0 || row->code == fault.code);
}

/* A close has the last word: where CANCELLED is wanted it may come before the failure is told. */
bool fault_allows(const char *op, struct fault fault, virtsock_status status, virtsock_status want)
{
    if (fault.call == NULL || (want == VIRTSOCK_E_CANCELLED && status == want))
        return status == want;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (fits(&rows[i], op, fault))
            return ((rows[i].allowed & SAME) != 0 && status == want) || (rows[i].allowed >> -status & 1) != 0;
    return false;
}
