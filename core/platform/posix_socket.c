/* SPDX-License-Identifier: MIT
 *
 * The porting contract on POSIX systems, sockets: ends as the system has them, making, connecting, accepting, and their
 * settings. AF_UNIX and AF_VSOCK differ here in what a code means while connecting; above, they do not.
 */
#define _GNU_SOURCE             /* SOCK_SEQPACKET */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/posix.h"

#ifdef POLLRDHUP
#define ENDS POLLRDHUP
#else
#define ENDS 0
#endif

union any_address {
    struct sockaddr     any;
    struct sockaddr_un  un;
    unsigned char       vm[VS_VM_ADDRESS_SIZE];
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
};

const size_t vs_path_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

/* --- Addresses of ends -------------------------------------------------------------------------------------------- */

static int to_inet(union any_address *out, socklen_t *length, const struct vs_end *end)
{
    const bool six = end->family == VS_FAMILY_INET6;

    out->any.sa_family = six ? AF_INET6 : AF_INET;
    *(six ? &out->in6.sin6_port : &out->in.sin_port) = htons((uint16_t)end->port);
    *length = six ? sizeof out->in6 : sizeof out->in;
    return inet_pton(out->any.sa_family, end->path,
                     six ? (void *)&out->in6.sin6_addr : &out->in.sin_addr) == 1 ? 0 : EINVAL;
}

static int to_system(union any_address *out, socklen_t *length, const struct vs_end *end, bool peer)
{
    size_t n = strlen(end->path);

    memset(out, 0, sizeof *out);
    if (end->family == VS_FAMILY_INET || end->family == VS_FAMILY_INET6)
        return to_inet(out, length, end);
    if (end->family == VS_FAMILY_VSOCK) {
        *length = sizeof out->vm;
        return vs_vm_to_system(out, end, peer) ? 0 : EPFNOSUPPORT;
    }
    if (n > vs_path_max)
        return ENAMETOOLONG;
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, end->path, n + 1);
    if (end->path[0] == '@') {          /* unix(7): such a name begins with a NUL, and none ends it */
        out->un.sun_path[0] = '\0';
        n--;
    }
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

static void from_system(struct vs_end *end, const union any_address *from, socklen_t length, bool peer)
{
    memset(end, 0, sizeof *end);
    if (length >= sizeof from->vm && from->any.sa_family == VS_VM_FAMILY) {
        end->family = VS_FAMILY_VSOCK;
        vs_vm_from_system(end, from, peer);
    } else if (length >= offsetof(struct sockaddr, sa_data) && from->any.sa_family == AF_UNIX) {
        size_t at = offsetof(struct sockaddr_un, sun_path), n = length > at ? length - at : 0;

        end->family = VS_FAMILY_UNIX;
        if (n > 0 && n <= vs_path_max + 1)
            memcpy(end->path, from->un.sun_path, n);
        /* A NUL first is an @, if there is no other; a file that was bound by a name with @ has no address. */
        if (end->path[0] == '@' || (n > 1 && end->path[0] == '\0' && strlen(end->path + 1) == n - 1))
            end->path[0] ^= '@';
    } else if (length >= sizeof from->in && from->any.sa_family == AF_INET) {
        end->family = VS_FAMILY_INET;
        end->port = ntohs(from->in.sin_port);
        inet_ntop(AF_INET, &from->in.sin_addr, end->path, sizeof end->path);
    } else if (length >= sizeof from->in6 && from->any.sa_family == AF_INET6) {
        end->family = VS_FAMILY_INET6;
        end->port = ntohs(from->in6.sin6_port);
        inet_ntop(AF_INET6, &from->in6.sin6_addr, end->path, sizeof end->path);
    }
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

int vs_socket(virtsock_fd *out, enum vs_family family, int type)
{
    static const int families[] = {
        [VS_FAMILY_UNIX] = AF_UNIX, [VS_FAMILY_VSOCK] = VS_VM_FAMILY, [VS_FAMILY_INET] = AF_INET,
        [VS_FAMILY_INET6] = AF_INET6,
    };
    const int inet = family == VS_FAMILY_INET || family == VS_FAMILY_INET6, on = 1;
    int       fd = vs_new_socket(families[family], type == VIRTSOCK_TYPE_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM);

    *out = fd;
    if (fd < 0)
        return errno;
    return inet && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ? errno : 0;
}

/* AF_UNIX: EAGAIN is a full backlog, which no poll sees the end of, and after EINTR nothing has begun. AF_VSOCK: after
 * EINTR it goes on by itself, and a second connect() would be a second connection. */
int vs_connect(virtsock_fd fd, const struct vs_end *to, struct vs_pending *pending)
{
    union any_address address;
    socklen_t         length;
    int               code = to_system(&address, &length, to, true);

    if (code != 0)
        return code;
    do
        code = connect((int)fd, &address.any, length) == 0 ? 0 : errno;
    while (code == EINTR && to->family == VS_FAMILY_UNIX);
    pending->fd = fd;
    if (to->family == VS_FAMILY_UNIX)
        return code == EAGAIN || (code == ECONNREFUSED && vs_is_full(&address.any, length)) ? VS_FULL : code;
    return code == EINPROGRESS || code == EINTR ? VS_PENDING : code;
}

/* By a socket of another type: where somebody has the file it is refused for its type, and he never hears of it. */
enum vs_holder vs_holder_of(const struct vs_end *at, int type, int *code)
{
    union any_address address;
    socklen_t         length;
    int               fd;

    (void)type;
    if ((*code = to_system(&address, &length, at, true)) != 0)
        return VS_UNKNOWN;
    if ((fd = vs_new_socket(AF_UNIX, SOCK_DGRAM)) < 0) {
        *code = errno;
        return VS_UNKNOWN;
    }
    do
        *code = connect(fd, &address.any, length) == 0 ? EPROTOTYPE : errno;
    while (*code == EINTR);
    vs_close(fd);
    switch (*code) {
    case ECONNREFUSED: return VS_STALE;
    case ENOENT:       return VS_GONE;
    case EACCES:       return VS_HIDDEN;
    default:           return VS_HELD;
    }
}

int vs_connect_result(virtsock_fd fd, struct vs_pending *pending)
{
    union any_address peer;
    struct pollfd     p = { (int)fd, POLLOUT, 0 };
    socklen_t         size = sizeof peer, length = sizeof(int);
    int               code = 0;

    (void)pending;
    if (getpeername((int)fd, &peer.any, &size) == 0)
        return 0;
    if (poll(&p, 1, 0) <= 0)
        return VS_PENDING;
    return getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &code, &length) != 0 ? errno : code;
}

int vs_await(virtsock_fd fd, struct vs_pending *pending)
{
    pending->fd = fd;
    return 0;
}

void vs_abandon(virtsock_fd fd, struct vs_pending *pending)
{
    (void)fd;
    pending->fd = -1;
}

int vs_bind(virtsock_fd fd, const struct vs_end *at)
{
    union any_address address;
    socklen_t         length;
    int               code = to_system(&address, &length, at, false), on = 1;

    if (code != 0)
        return code;
    if (at->family != VS_FAMILY_UNIX && at->family != VS_FAMILY_VSOCK
        && setsockopt((int)fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return errno;
    return bind((int)fd, &address.any, length) != 0 ? errno : 0;
}

int vs_listen(virtsock_fd fd, int backlog)
{
    return listen((int)fd, backlog) != 0 ? errno : 0;
}

/* An AF_VSOCK accept of nothing sleeps for a tick even when it is non-blocking (4 ms, Linux 6.1), so poll first.
 * ETIMEDOUT: Hyper-V. Linux gives errors that TCP had on the new connection as the call's own: accept(2). */
int vs_accept(virtsock_fd fd, enum vs_family family, virtsock_fd *out, struct vs_end *from, int64_t until)
{
    union any_address address = { .any = { 0 } };
    socklen_t         length = sizeof address;
    struct pollfd     p = { (int)fd, POLLIN, 0 };
    int               accepted;

    (void)until;
    if (family == VS_FAMILY_VSOCK && poll(&p, 1, 0) == 0)
        return VS_EMPTY;
    accepted = vs_new_accepted((int)fd, &address.any, &length);
    *out = accepted;
    if (accepted < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return VS_EMPTY;
        return errno == ECONNABORTED || errno == EPROTO || errno == ETIMEDOUT || errno == ECONNRESET
               || errno == EHOSTUNREACH || errno == ENETUNREACH || errno == ENETDOWN ? VS_LEFT : errno;
    }
    from_system(from, &address, length, true);
    return 0;
}

int vs_local_end(virtsock_fd fd, struct vs_end *end)
{
    union any_address address = { .any = { 0 } };
    socklen_t         length = sizeof address;

    if (getsockname((int)fd, &address.any, &length) != 0)
        return errno;
    from_system(end, &address, length, false);
    return 0;
}

int vs_peer_end(virtsock_fd fd, struct vs_end *end)
{
    union any_address address = { .any = { 0 } };
    socklen_t         length = sizeof address;

    if (getpeername((int)fd, &address.any, &length) != 0)
        return errno;
    from_system(end, &address, length, true);
    return 0;
}

int vs_set_blocking(virtsock_fd fd, bool blocking)
{
    int on = !blocking;

    return ioctl((int)fd, FIONBIO, &on) != 0 ? errno : 0;
}

int vs_shutdown(virtsock_fd fd, int how)
{
    if (shutdown((int)fd, how == VIRTSOCK_SHUT_RECV ? SHUT_RD : how == VIRTSOCK_SHUT_SEND ? SHUT_WR : SHUT_RDWR) == 0)
        return 0;
    return errno == ENOTCONN ? 0 : errno;
}

void vs_close(virtsock_fd fd)
{
    int code = errno;

    close((int)fd);             /* never again after EINTR: on Linux the number is free by then */
    errno = code;
}

void vs_cancel(virtsock_fd fd)
{
    vs_shutdown(fd, VIRTSOCK_SHUT_BOTH);
}

/* Of AF_VSOCK a poll tells no hang-up before this side has ended as well, and of no socket that the peer takes no more;
 * a send looks at that before it looks at its length. */
int vs_peer_state(virtsock_fd fd, bool ask, int *code)
{
    struct pollfd p = { (int)fd, POLLIN | ENDS, 0 };
    socklen_t     length = sizeof *code;
    int           state = 0;
    int64_t       n;
    char          b;

    *code = 0;
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0) {
        /* TCP tells no receive after the peer's end */
        if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, code, &length) != 0)
            *code = errno;
        return VS_PEER_BROKE;
    }
    if ((p.revents & POLLHUP) != 0)
        return VIRTSOCK_PEER_GONE;
    if ((p.revents & ENDS) != 0
        || (ENDS == 0 && (p.revents & POLLIN) != 0 && recv((int)fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) == 0))
        state = VIRTSOCK_PEER_ENDED;
    if (!ask || (n = vs_send(fd, "", 0, 0)) >= 0 || vs_would_block((int)-n))
        return state;
    *code = n == -EPIPE ? 0 : (int)-n;
    return *code == 0 ? state | VIRTSOCK_PEER_DEAF : state;
}

bool vs_may_have_ended(virtsock_fd fd)
{
    struct pollfd p = { (int)fd, ENDS, 0 };

    return ENDS == 0 || poll(&p, 1, 0) < 0 || p.revents != 0;
}

static int number_of(virtsock_fd fd, int option, int *value)
{
    socklen_t length = sizeof *value;

    return getsockopt((int)fd, SOL_SOCKET, option, value, &length) != 0 ? errno : 0;
}

int vs_socket_kind(virtsock_fd fd, struct vs_socket_kind *kind)
{
    union any_address address;
    socklen_t         length = sizeof address;
    int               family, type = 0, listens = 0, code;

    if (fd < 0 || fd > INT_MAX)
        return EBADF;
    if ((code = number_of(fd, SO_TYPE, &type)) != 0 || (code = vs_is_listening((int)fd, &listens)) != 0)
        return code;
    if (getsockname((int)fd, &address.any, &length) != 0)
        return errno;
    family = address.any.sa_family;
    kind->family = family == AF_UNIX                         ? VS_FAMILY_UNIX
                   : family == VS_VM_FAMILY                  ? VS_FAMILY_VSOCK
                   : family == AF_INET || family == AF_INET6 ? VS_FAMILY_INET
                                                             : VS_FAMILY_OTHER;
    kind->type = type == SOCK_STREAM ? VIRTSOCK_TYPE_STREAM : type == SOCK_SEQPACKET ? VIRTSOCK_TYPE_SEQPACKET : 0;
    kind->listens = listens != 0;
    length = sizeof address;
    kind->connected = getpeername((int)fd, &address.any, &length) == 0;
    return 0;
}
