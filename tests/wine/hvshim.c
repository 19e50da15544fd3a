/* SPDX-License-Identifier: MIT
 *
 * The shim's functions. A socket of AF_HYPERV is one of TCP with an entry in a table, which has its addresses; what its caller may not do
 * with a Hyper-V socket is refused, and said in the log with "judge". Switches of the environment, each read when it matters:
 *
 *   HVSHIM_NOHV          this system has no Hyper-V
 *   HVSHIM_PEER=GUID     of which VM accepted connections come; otherwise of this machine (LOOPBACK)
 *   HVSHIM_LOSSY         closing a socket discards what the peer has not read, as old builds of Windows do
 *   HVSHIM_BROKEN_PIPE   the end of a stream is ERROR_BROKEN_PIPE
 *   HVSHIM_SEND_MAX=N    a longer send is refused; 65,536 otherwise
 *   HVSHIM_NO_OPTION=N   this build of Windows has no such option
 */
#include <ws2tcpip.h>
#include <mswsock.h>
#include <string.h>

#include "hvshim.h"
#include "hvshim_table.h"

#ifndef HVSOCKET_HIGH_VTL
#define HVSOCKET_HIGH_VTL 0x08
#endif
#define ADDRESS_GAP 16                  /* AcceptEx wants so much more than an address */

/* --- Addresses ---------------------------------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in in = { .sin_family = AF_INET };

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((u_short)port);
    return in;
}

static unsigned port_of(SOCKET s)
{
    struct sockaddr_in in;
    int                size = sizeof in;

    return REAL(getsockname)(s, (struct sockaddr *)&in, &size) == 0 ? ntohs(in.sin_port) : 0;
}

/* Of a socket that was accepted from one that listens. */
static void inherit(struct slot *slot, const struct slot *listener)
{
    slot->local = listener->local;
    slot->bound = slot->connected = true;
    slot->peer.ServiceId = listener->local.ServiceId;
    if (!board_guid("HVSHIM_PEER", &slot->peer.VmId))
        slot->peer.VmId = HV_GUID_LOOPBACK;
}

/* --- Making, binding, listening -------------------------------------------------------------------------------------------- */

static SOCKET make(int type, int protocol, DWORD flags)
{
    const DWORD at_once = 1;
    SOCKET      s;

    board_log("socket type=%d protocol=%d flags=%lx", type, protocol, flags);
    if (board_flag("HVSHIM_NOHV"))
        return WSASetLastError(WSAEAFNOSUPPORT), INVALID_SOCKET;
    if (type != SOCK_STREAM)
        return hvshim_refuse(WSAESOCKTNOSUPPORT, "type"), INVALID_SOCKET;
    if (protocol != HV_PROTOCOL_RAW)
        return hvshim_refuse(WSAEPROTONOSUPPORT, "protocol"), INVALID_SOCKET;
    s = REAL(WSASocketW)(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, flags);
    if (s != INVALID_SOCKET) {
        REAL(setsockopt)(s, IPPROTO_TCP, TCP_NODELAY, (const char *)&at_once, sizeof at_once);
        hvshim_add(s);
    }
    return s;
}

SOCKET WSAAPI hv_socket(int family, int type, int protocol)
{
    return family == AF_HYPERV ? make(type, protocol, WSA_FLAG_OVERLAPPED) : hvshim_forget(REAL(socket)(family, type, protocol));
}

SOCKET WSAAPI hv_WSASocketW(int family, int type, int protocol, LPWSAPROTOCOL_INFOW info, GROUP group, DWORD flags)
{
    return family == AF_HYPERV ? make(type, protocol, flags) : hvshim_forget(REAL(WSASocketW)(family, type, protocol, info, group, flags));
}

int WSAAPI hv_bind(SOCKET s, const struct sockaddr *a, int size)
{
    const SOCKADDR_HV *hv = (const SOCKADDR_HV *)a;
    struct slot       *slot = hvshim_get(s);
    struct sockaddr_in in = loopback(0);
    char               key[KEY_SIZE];

    if (slot == NULL)
        return REAL(bind)(s, a, size);
    if (hvshim_is_wrong(a, size, "bind"))
        return SOCKET_ERROR;
    if (slot->bound)
        return hvshim_refuse(WSAEINVAL, "bind twice");
    if (REAL(bind)(s, (const struct sockaddr *)&in, sizeof in) != 0)
        return SOCKET_ERROR;
    board_key(key, hv);
    board_log("bind %s", key);
    slot->local = *hv;
    slot->bound = true;
    if (memcmp(&hv->ServiceId, &HV_GUID_ZERO, sizeof(GUID)) != 0 && !board_take(key, port_of(s))) {
        slot->local.ServiceId = HV_GUID_ZERO;
        WSASetLastError(WSAEADDRINUSE);
        return SOCKET_ERROR;
    }
    return 0;
}

int WSAAPI hv_listen(SOCKET s, int backlog)
{
    struct slot *slot = hvshim_get(s);
    char         key[KEY_SIZE];

    if (slot == NULL)
        return REAL(listen)(s, backlog);
    if (!slot->bound)
        return hvshim_refuse(WSAEINVAL, "listen without an address");
    if (REAL(listen)(s, backlog) != 0)
        return SOCKET_ERROR;
    slot->listens = true;
    board_key(key, &slot->local);
    board_log("listen %s", key);
    board_open(key);
    return 0;
}

/* --- Connecting and accepting ------------------------------------------------------------------------------------------------ */

/* Where an address leads; false, with the error set: nowhere. */
static bool route(struct slot *slot, const struct sockaddr *a, int size, struct sockaddr_in *to)
{
    unsigned port;

    if (hvshim_is_wrong(a, size, "connect"))
        return false;
    if ((port = board_find((const SOCKADDR_HV *)a)) == 0) {
        WSASetLastError(WSAECONNREFUSED);
        return false;
    }
    *to = loopback(port);
    memcpy(&slot->peer, a, sizeof slot->peer);
    return true;
}

int WSAAPI hv_connect(SOCKET s, const struct sockaddr *a, int size)
{
    struct slot       *slot = hvshim_get(s);
    struct sockaddr_in to;

    if (slot == NULL)
        return REAL(connect)(s, a, size);
    if (!route(slot, a, size, &to) || REAL(connect)(s, (const struct sockaddr *)&to, sizeof to) != 0)
        return SOCKET_ERROR;
    slot->bound = slot->connected = true;
    return 0;
}

static LPFN_CONNECTEX real_connect_ex;
static LPFN_ACCEPTEX  real_accept_ex;

static BOOL PASCAL hv_connect_ex(SOCKET s, const struct sockaddr *a, int size, PVOID data, DWORD data_size, LPDWORD sent, LPOVERLAPPED o)
{
    struct slot       *slot = hvshim_get(s);
    struct sockaddr_in to;

    if (slot == NULL)
        return real_connect_ex(s, a, size, data, data_size, sent, o);
    if (!slot->bound)
        return hvshim_refuse(WSAEINVAL, "ConnectEx without bind"), FALSE;
    if (!route(slot, a, size, &to))
        return FALSE;
    return real_connect_ex(s, (const struct sockaddr *)&to, sizeof to, data, data_size, sent, o);
}

static BOOL PASCAL hv_accept_ex(SOCKET listener, SOCKET s, PVOID buffer, DWORD data, DWORD local, DWORD remote, LPDWORD n, LPOVERLAPPED o)
{
    struct slot *slot = hvshim_get(s);

    if (hvshim_get(listener) != NULL) {
        if (slot == NULL || slot->bound)
            return hvshim_refuse(WSAEINVAL, "AcceptEx into a socket of another kind, or used"), FALSE;
        if (local < sizeof(SOCKADDR_HV) + ADDRESS_GAP || remote < sizeof(SOCKADDR_HV) + ADDRESS_GAP)
            return hvshim_refuse(WSAEINVAL, "AcceptEx without room for addresses"), FALSE;
    }
    return real_accept_ex(listener, s, buffer, data, local, remote, n, o);
}

SOCKET WSAAPI hv_accept(SOCKET listener, struct sockaddr *a, int *size)
{
    struct slot *from = hvshim_get(listener);
    SOCKET       s;

    if (from == NULL)
        return hvshim_forget(REAL(accept)(listener, a, size));
    if ((s = REAL(accept)(listener, NULL, NULL)) == INVALID_SOCKET)
        return s;
    hvshim_add(s);
    inherit(hvshim_get(s), from);
    if (a != NULL)
        hvshim_tell(a, size, &hvshim_get(s)->peer);
    return s;
}

int WSAAPI hv_WSAIoctl(SOCKET s, DWORD code, LPVOID in, DWORD in_size, LPVOID out, DWORD out_size, LPDWORD n, LPWSAOVERLAPPED o,
                       LPWSAOVERLAPPED_COMPLETION_ROUTINE done)
{
    const GUID connect_ex = WSAID_CONNECTEX, accept_ex = WSAID_ACCEPTEX, addresses = WSAID_GETACCEPTEXSOCKADDRS;
    int        result;

    if (code != SIO_GET_EXTENSION_FUNCTION_POINTER || in_size != sizeof(GUID))
        return REAL(WSAIoctl)(s, code, in, in_size, out, out_size, n, o, done);
    if (hvshim_get(s) != NULL && memcmp(in, &addresses, sizeof addresses) == 0)
        return hvshim_refuse(WSAEOPNOTSUPP, "GetAcceptExSockaddrs: the shim has getpeername alone");
    if ((result = REAL(WSAIoctl)(s, code, in, in_size, out, out_size, n, o, done)) != 0)
        return result;
    if (memcmp(in, &connect_ex, sizeof connect_ex) == 0) {
        real_connect_ex = *(LPFN_CONNECTEX *)out;
        *(LPFN_CONNECTEX *)out = hv_connect_ex;
    } else if (memcmp(in, &accept_ex, sizeof accept_ex) == 0) {
        real_accept_ex = *(LPFN_ACCEPTEX *)out;
        *(LPFN_ACCEPTEX *)out = hv_accept_ex;
    }
    return 0;
}

/* --- Names, options ------------------------------------------------------------------------------------------------------------ */

int WSAAPI hv_getsockname(SOCKET s, struct sockaddr *a, int *size)
{
    struct slot *slot = hvshim_get(s);

    if (slot == NULL)
        return REAL(getsockname)(s, a, size);
    return slot->bound ? hvshim_tell(a, size, &slot->local) : hvshim_refuse(WSAEINVAL, "getsockname without an address");
}

int WSAAPI hv_getpeername(SOCKET s, struct sockaddr *a, int *size)
{
    struct slot *slot = hvshim_get(s);

    if (slot == NULL)
        return REAL(getpeername)(s, a, size);
    if (slot->listens)
        return WSASetLastError(WSAENOTCONN), SOCKET_ERROR;
    return slot->connected ? hvshim_tell(a, size, &slot->peer) : hvshim_refuse(WSAENOTCONN, "getpeername before the context was updated");
}

/* The ranges that Microsoft's documentation gives. */
static int set_hyperv(int option, const char *value, int size)
{
    DWORD number;

    if (value == NULL || size != sizeof number)
        return hvshim_refuse(WSAEFAULT, "size of a Hyper-V option");
    memcpy(&number, value, sizeof number);
    board_log("option %d=%lu", option, number);
    if (option == (int)board_number("HVSHIM_NO_OPTION", 0))
        return hvshim_refuse(WSAENOPROTOOPT, "an option of another build");
    switch (option) {
    case HVSOCKET_CONNECT_TIMEOUT:
        return number <= HVSOCKET_CONNECT_TIMEOUT_MAX ? 0 : hvshim_refuse(WSAEINVAL, "HVSOCKET_CONNECT_TIMEOUT");
    case HVSOCKET_CONTAINER_PASSTHRU:
    case HVSOCKET_CONNECTED_SUSPEND:
    case HVSOCKET_HIGH_VTL:
        return number <= 1 ? 0 : hvshim_refuse(WSAEINVAL, "a Hyper-V flag");
    default:
        return hvshim_refuse(WSAENOPROTOOPT, "a Hyper-V option");
    }
}

int WSAAPI hv_setsockopt(SOCKET s, int level, int option, const char *value, int size)
{
    struct slot *slot = hvshim_get(s), *from;
    SOCKET       listener;

    if (slot == NULL)
        return REAL(setsockopt)(s, level, option, value, size);
    if (level == HV_PROTOCOL_RAW)
        return set_hyperv(option, value, size);
    if (level != SOL_SOCKET)
        return hvshim_refuse(WSAENOPROTOOPT, "an option of another protocol");
    if (option == SO_UPDATE_ACCEPT_CONTEXT) {
        if (value == NULL || size != sizeof listener)
            return hvshim_refuse(WSAEFAULT, "SO_UPDATE_ACCEPT_CONTEXT");
        memcpy(&listener, value, sizeof listener);
        if ((from = hvshim_get(listener)) == NULL || !from->listens)
            return hvshim_refuse(WSAENOTSOCK, "SO_UPDATE_ACCEPT_CONTEXT: not of a listener");
        inherit(slot, from);
    }
    if (option == SO_UPDATE_CONNECT_CONTEXT)
        slot->connected = true;
    return REAL(setsockopt)(s, level, option, value, size);
}

/* What the provider calls itself, where that is asked; how long an option of its level is; all else is the system's. */
int WSAAPI hv_getsockopt(SOCKET s, int level, int option, char *value, int *size)
{
    int                 result;
    WSAPROTOCOL_INFOW   info;

    if (hvshim_get(s) == NULL)
        return REAL(getsockopt)(s, level, option, value, size);
    if (level != SOL_SOCKET)
        return hvshim_refuse(WSAENOPROTOOPT, "an option of another protocol");
    result = REAL(getsockopt)(s, level, option, value, size);
    if (result == 0 && option == SO_PROTOCOL_INFOW && *size >= (int)sizeof info) {
        memcpy(&info, value, sizeof info);
        info.iAddressFamily = AF_HYPERV;
        info.iProtocol = HV_PROTOCOL_RAW;
        info.iMinSockAddr = info.iMaxSockAddr = sizeof(SOCKADDR_HV);
        memcpy(value, &info, sizeof info);
    }
    return result;
}

#define ROW(name) { #name, (FARPROC)(void *)hv_##name }

const struct hvshim_function hvshim_functions[] = {
    ROW(socket), ROW(WSASocketW), ROW(bind), ROW(listen), ROW(connect), ROW(accept), ROW(WSAIoctl), ROW(getsockname), ROW(getpeername),
    ROW(setsockopt), ROW(getsockopt), ROW(WSASend), ROW(WSARecv), ROW(WSAGetOverlappedResult), ROW(shutdown), ROW(closesocket), ROW(select),
    ROW(WSAPoll), { NULL, NULL },
};
