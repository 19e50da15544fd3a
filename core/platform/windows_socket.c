/* SPDX-License-Identifier: MIT
 *
 * The porting contract on Windows, sockets: all overlapped, none inherited. mingw lacks some of Hyper-V's constants.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "platform/windows.h"

#define HV_FAMILY   34                  /* ws2def.h: AF_HYPERV */
#define HV_PROTOCOL 1                   /* hvsocket.h: HV_PROTOCOL_RAW, also the level of its options */

struct hv_address {                     /* hvsocket.h: SOCKADDR_HV */
    unsigned short family, reserved;
    struct vs_guid vm, service;
};
_Static_assert(sizeof(struct hv_address) == 36, "SOCKADDR_HV is 36 bytes");

struct un_address {                     /* afunix.h */
    unsigned short family;
    char           path[108];
};

union any_address {
    struct sockaddr     any;
    struct hv_address   hv;
    struct un_address   un;
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
};

const size_t vs_path_max = sizeof(((struct un_address *)0)->path) - 1;

/* --- Addresses of ends -------------------------------------------------------------------------------------------- */

static int to_system(union any_address *out, int *length, const struct vs_end *end)
{
    const char *path = vs_local_path(end->path);
    const bool  six = end->family == VS_FAMILY_INET6;

    memset(out, 0, sizeof *out);
    switch (end->family) {
    case VS_FAMILY_HYPERV:
        out->hv.family = HV_FAMILY;
        out->hv.vm = end->vm;
        out->hv.service = end->service;
        *length = sizeof out->hv;
        return 0;
    case VS_FAMILY_UNIX:
        if (strlen(path) > vs_path_max)
            return WSAENAMETOOLONG;
        out->un.family = AF_UNIX;
        memcpy(out->un.path, path, strlen(path) + 1);
        *length = (int)(offsetof(struct un_address, path) + strlen(path) + 1);
        return 0;
    case VS_FAMILY_INET:
    case VS_FAMILY_INET6:
        out->any.sa_family = six ? AF_INET6 : AF_INET;
        out->in.sin_port = htons((u_short)end->port);           /* IPv6's port stands there, too */
        *length = six ? sizeof out->in6 : sizeof out->in;
        return inet_pton(out->any.sa_family, end->path, six ? (void *)&out->in6.sin6_addr : &out->in.sin_addr) == 1 ? 0 : WSAEINVAL;
    default:
        return WSAEAFNOSUPPORT;
    }
}

static void from_system(struct vs_end *end, const union any_address *from)
{
    const bool six = from->any.sa_family == AF_INET6;

    memset(end, 0, sizeof *end);
    switch (from->any.sa_family) {
    case HV_FAMILY:
        end->family = VS_FAMILY_HYPERV;
        end->vm = from->hv.vm;
        end->service = from->hv.service;
        break;
    case AF_UNIX:
        end->family = VS_FAMILY_UNIX;
        memcpy(end->path, from->un.path, sizeof from->un.path);
        break;
    case AF_INET:
    case AF_INET6:
        end->family = six ? VS_FAMILY_INET6 : VS_FAMILY_INET;
        end->port = ntohs(from->in.sin_port);
        inet_ntop(from->any.sa_family, six ? (const void *)&from->in6.sin6_addr : &from->in.sin_addr, end->path, sizeof end->path);
        break;
    default:
        break;
    }
}

static int end_of(int (WSAAPI *ask)(SOCKET, struct sockaddr *, int *), virtsock_fd fd, struct vs_end *end)
{
    union any_address address;
    int               length = sizeof address;

    memset(&address, 0, sizeof address);
    if (ask((SOCKET)fd, &address.any, &length) != 0)
        return WSAGetLastError();
    from_system(end, &address);
    return 0;
}

int vs_local_end(virtsock_fd fd, struct vs_end *end)
{
    return end_of(getsockname, fd, end);
}

int vs_peer_end(virtsock_fd fd, struct vs_end *end)
{
    return end_of(getpeername, fd, end);
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

/* Whoever comes first starts Winsock; it is never ended, since others of this process may use it. */
static int open_socket(virtsock_fd *out, int family, int protocol)
{
    const DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    SOCKET      s = WSASocketW(family, SOCK_STREAM, protocol, NULL, 0, flags);
    WSADATA     about;

    if (s == INVALID_SOCKET && WSAGetLastError() == WSANOTINITIALISED && WSAStartup(MAKEWORD(2, 2), &about) == 0)
        s = WSASocketW(family, SOCK_STREAM, protocol, NULL, 0, flags);
    *out = s == INVALID_SOCKET ? -1 : (virtsock_fd)s;
    return s == INVALID_SOCKET ? WSAGetLastError() : 0;
}

int vs_socket(virtsock_fd *out, enum vs_family family, int type)
{
    const BOOL on = TRUE;
    int        code;

    *out = -1;
    if (type != VIRTSOCK_TYPE_STREAM)
        return WSAESOCKTNOSUPPORT;
    if (family == VS_FAMILY_HYPERV)
        return open_socket(out, HV_FAMILY, HV_PROTOCOL);
    if (family == VS_FAMILY_UNIX)
        return open_socket(out, AF_UNIX, 0);
    if ((code = open_socket(out, family == VS_FAMILY_INET ? AF_INET : AF_INET6, IPPROTO_TCP)) != 0)
        return code;
    return setsockopt((SOCKET)*out, IPPROTO_TCP, TCP_NODELAY, (char *)&on, sizeof on) != 0 ? WSAGetLastError() : 0;
}

/* A function of Winsock that has no name to be linked by. */
static int extension(SOCKET s, GUID id, void *function, DWORD size)
{
    DWORD n;

    return WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, function, size, &n, NULL, NULL) != 0
           ? WSAGetLastError() : 0;
}

/* What ConnectEx wants. */
static int bind_anywhere(SOCKET s, const union any_address *to, int length)
{
    union any_address any;

    memset(&any, 0, sizeof any);
    any.any.sa_family = to->any.sa_family;
    return bind(s, &any.any, length) != 0 ? WSAGetLastError() : 0;
}

/* The operation is over: its memory goes, and its answer is the code, or 0. */
static int take_answer(virtsock_fd fd, struct vs_pending *pending)
{
    OVERLAPPED *call = pending->operation;
    int64_t     n = vs_call_end((SOCKET)fd, call, WSA_IO_PENDING, 0);

    free(call);
    pending->operation = NULL;
    pending->fd = -1;
    return n < 0 ? (int)-n : 0;
}

static int call_connect(SOCKET s, const union any_address *to, int length, struct vs_pending *pending)
{
    LPFN_CONNECTEX connect_ex;
    OVERLAPPED    *call;
    int            code = bind_anywhere(s, to, length);

    if (code != 0 || (code = extension(s, (GUID)WSAID_CONNECTEX, &connect_ex, sizeof connect_ex)) != 0)
        return code;
    if ((call = malloc(sizeof *call)) == NULL)
        return WSA_NOT_ENOUGH_MEMORY;
    if ((code = vs_call_new(call)) != 0) {
        free(call);
        return code;
    }
    code = connect_ex(s, &to->any, length, NULL, 0, NULL, call) ? 0 : WSAGetLastError();
    pending->operation = call;
    pending->fd = (virtsock_fd)(intptr_t)call->hEvent;
    if (code == 0 || code == WSA_IO_PENDING)
        return VS_PENDING;
    vs_call_end(s, call, code, 0);
    free(call);
    pending->operation = NULL;
    pending->fd = -1;
    return code;
}

/* AF_UNIX has no ConnectEx; its connect answers at once. */
int vs_connect(virtsock_fd fd, const struct vs_end *to, struct vs_pending *pending)
{
    union any_address address;
    int               length, code = to_system(&address, &length, to);

    if (code != 0)
        return code;
    if (to->family == VS_FAMILY_UNIX)
        return connect((SOCKET)fd, &address.any, length) == 0 ? 0 : WSAGetLastError();
    code = call_connect((SOCKET)fd, &address, length, pending);
    return code == VS_PENDING ? vs_connect_result(fd, pending) : code;
}

/* There is one type of socket alone, so who does not listen yet refuses a connection as nobody does. */
enum vs_holder vs_holder_of(const struct vs_end *at, int type, int *code)
{
    struct vs_pending pending = { -1, NULL };
    virtsock_fd       fd;

    if ((*code = vs_socket(&fd, VS_FAMILY_UNIX, type)) != 0)
        return VS_UNKNOWN;
    *code = vs_connect(fd, at, &pending);
    vs_abandon(fd, &pending);
    vs_close(fd);
    return *code == WSAECONNREFUSED ? VS_STALE : VS_HELD;
}

int vs_connect_result(virtsock_fd fd, struct vs_pending *pending)
{
    int code;

    if (WaitForSingleObject((HANDLE)(intptr_t)pending->fd, 0) != WAIT_OBJECT_0)
        return VS_PENDING;
    if ((code = take_answer(fd, pending)) != 0)
        return code;
    return setsockopt((SOCKET)fd, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) != 0 ? WSAGetLastError() : 0;
}

/* A receive of nothing ends when there is something. */
int vs_await(virtsock_fd fd, struct vs_pending *pending)
{
    WSABUF      nothing = { 0, NULL };
    DWORD       flags = 0;
    OVERLAPPED *call = malloc(sizeof *call);
    int         code = call == NULL ? WSA_NOT_ENOUGH_MEMORY : vs_call_new(call);

    if (code == 0) {
        pending->operation = call;
        pending->fd = (virtsock_fd)(intptr_t)call->hEvent;
        code = WSARecv((SOCKET)fd, &nothing, 1, NULL, &flags, call, NULL) == 0 ? 0 : WSAGetLastError();
        if (code == 0 || code == WSA_IO_PENDING)
            return 0;
        vs_call_end((SOCKET)fd, call, code, 0);
    }
    free(call);
    pending->operation = NULL;
    pending->fd = -1;
    return code;
}

void vs_abandon(virtsock_fd fd, struct vs_pending *pending)
{
    if (pending->operation != NULL)
        take_answer(fd, pending);
}

int vs_bind(virtsock_fd fd, const struct vs_end *at)
{
    const BOOL        on = TRUE;
    union any_address address;
    int               length, code = to_system(&address, &length, at);

    if (code != 0)
        return code;
    if (at->family == VS_FAMILY_INET || at->family == VS_FAMILY_INET6)  /* SO_REUSEADDR would let others take it */
        setsockopt((SOCKET)fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on);
    return bind((SOCKET)fd, &address.any, length) != 0 ? WSAGetLastError() : 0;
}

int vs_listen(virtsock_fd fd, int backlog)
{
    return listen((SOCKET)fd, backlog) != 0 ? WSAGetLastError() : 0;
}

/* --- Accepting ---------------------------------------------------------------------------------------------------- */

static int call_accept(SOCKET from, SOCKET s, int64_t until)
{
    enum { ROOM = sizeof(union any_address) + 16 };     /* AcceptEx wants 16 bytes more than an address */
    char          addresses[2 * ROOM];
    LPFN_ACCEPTEX accept_ex;
    OVERLAPPED    call;
    DWORD         n;
    int64_t       accepted;
    int           code = extension(from, (GUID)WSAID_ACCEPTEX, &accept_ex, sizeof accept_ex);

    if (code != 0 || (code = vs_call_new(&call)) != 0)
        return code;
    code = accept_ex(from, s, addresses, 0, ROOM, ROOM, &n, &call) ? 0 : WSAGetLastError();
    accepted = vs_call_end(from, &call, code, until);
    if (accepted < 0)
        return (int)-accepted;
    return setsockopt(s, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&from, sizeof from) != 0 ? WSAGetLastError() : 0;
}

/* What a client's leaving makes of an accept, or of asking for its name. */
static bool has_left(int code)
{
    return code == WSAECONNRESET || code == WSAECONNABORTED || code == WSAENOTCONN || code == ERROR_NETNAME_DELETED;
}

int vs_accept(virtsock_fd fd, enum vs_family family, virtsock_fd *out, struct vs_end *from, int64_t until)
{
    struct vs_end at;
    int           code = vs_local_end(fd, &at);         /* tells INET from INET6 */

    *out = -1;
    if (code == 0)
        code = vs_socket(out, family == VS_FAMILY_INET ? at.family : family, VIRTSOCK_TYPE_STREAM);
    if (code == 0)
        code = call_accept((SOCKET)fd, (SOCKET)*out, until);
    if (code == 0)
        code = vs_peer_end(*out, from);
    if (code == 0)
        return 0;
    if (*out >= 0)
        vs_close(*out);
    return vs_would_block(code) ? VS_EMPTY : has_left(code) ? VS_LEFT : code;
}

/* --- Ending ------------------------------------------------------------------------------------------------------- */

int vs_set_blocking(virtsock_fd fd, bool blocking)
{
    (void)fd;
    (void)blocking;             /* overlapped calls never block */
    return 0;
}

/* A receive under way is not told: it is taken back, and sees it when it is begun again. */
int vs_shutdown(virtsock_fd fd, int how)
{
    int code = shutdown((SOCKET)fd, how) == 0 ? 0 : WSAGetLastError();

    if (how != VIRTSOCK_SHUT_SEND)
        vs_cancel(fd);
    return code == WSAENOTCONN ? 0 : code;
}

void vs_close(virtsock_fd fd)
{
    closesocket((SOCKET)fd);
}

void vs_cancel(virtsock_fd fd)
{
    CancelIoEx((HANDLE)(intptr_t)fd, NULL);
}

/* --- Asking and setting ------------------------------------------------------------------------------------------- */

static int number_of(virtsock_fd fd, int option, int *value)
{
    int length = sizeof *value;

    return getsockopt((SOCKET)fd, SOL_SOCKET, option, (char *)value, &length) != 0 ? WSAGetLastError() : 0;
}

static int set_number(virtsock_fd fd, int level, int option, int value)
{
    return setsockopt((SOCKET)fd, level, option, (const char *)&value, sizeof value) != 0 ? WSAGetLastError() : 0;
}

/* A socket that has no name yet is of no family: nothing here would adopt it. */
int vs_socket_kind(virtsock_fd fd, struct vs_socket_kind *kind)
{
    struct vs_end end = { .family = VS_FAMILY_OTHER };
    int           type = 0, listens = 0, code;

    if (fd < 0)
        return WSAENOTSOCK;
    if ((code = number_of(fd, SO_TYPE, &type)) != 0 || (code = number_of(fd, SO_ACCEPTCONN, &listens)) != 0)
        return code;
    vs_local_end(fd, &end);
    kind->family = end.family == VS_FAMILY_INET6 ? VS_FAMILY_INET : end.family;
    kind->type = type == SOCK_STREAM ? VIRTSOCK_TYPE_STREAM : 0;
    kind->listens = listens != 0;
    kind->connected = vs_peer_end(fd, &end) == 0;
    return 0;
}

int vs_set_buffers(virtsock_fd fd, enum vs_family family, int64_t min, int64_t size, int64_t max)
{
    int code;

    (void)family;
    (void)min;
    (void)max;
    if (size == 0)
        return 0;
    code = set_number(fd, SOL_SOCKET, SO_SNDBUF, (int)size);
    return code != 0 ? code : set_number(fd, SOL_SOCKET, SO_RCVBUF, (int)size);
}

int vs_get_buffer(virtsock_fd fd, enum vs_family family, int64_t *size)
{
    int value = 0, code = number_of(fd, SO_RCVBUF, &value);

    (void)family;
    *size = value;
    return code;
}

int vs_set_hyperv(virtsock_fd fd, int option, uint32_t value)
{
    return set_number(fd, HV_PROTOCOL, option, (int)value);
}

/* Nothing here tells, of Hyper-V's sockets. */
int vs_peer_state(virtsock_fd fd, bool ask, int *code)
{
    (void)fd;
    (void)ask;
    *code = 0;
    return 0;
}

bool vs_may_have_ended(virtsock_fd fd)
{
    (void)fd;
    return true;
}

int vs_peer_user(virtsock_fd fd, uint32_t *uid, int64_t *pid)
{
    (void)fd;
    (void)uid;
    (void)pid;
    return WSAEOPNOTSUPP;
}
