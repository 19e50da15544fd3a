/* SPDX-License-Identifier: MIT
 *
 * Does with Hyper-V sockets, straight through Winsock, what nobody may: a line each, with the error that it got. At the end it says which
 * virtsock-1.dll is loaded in test programs.
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "switchboard.h"
#include "virtsock.h"

static const SOCKADDR_HV here = { AF_HYPERV, 0, { 0xe0e16197, 0xdd56, 0x4a10, { 0x91, 0x95, 0x5e, 0xe7, 0xa1, 0x55, 0xa8, 0x38 } },
                                  { 7, 0xfacb, 0x11e6, { 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 } } };
static char data[65537];

static void say(const char *what, bool ok)
{
    printf("%s: %d\n", what, ok ? 0 : WSAGetLastError());
}

static SOCKET fresh(void)
{
    return WSASocketW(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW, NULL, 0, WSA_FLAG_OVERLAPPED);
}

static int bind_to(SOCKET s, SOCKADDR_HV address, int size)
{
    return bind(s, (const struct sockaddr *)&address, size);
}

static int bind_anywhere(SOCKET s)
{
    return bind_to(s, (SOCKADDR_HV){ .Family = AF_HYPERV }, sizeof here);
}

static void *extension(SOCKET s, GUID id)
{
    void *function = NULL;
    DWORD n;

    return WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function, sizeof function, &n, NULL, NULL) == 0 ? function : NULL;
}

/* What it began comes to an end. */
static bool finish(SOCKET s, BOOL ok, OVERLAPPED *o)
{
    DWORD n, flags;

    return ok || (WSAGetLastError() == ERROR_IO_PENDING && WSAGetOverlappedResult(s, o, &n, TRUE, &flags));
}

static bool connect_ex(SOCKET s)
{
    OVERLAPPED     o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
    LPFN_CONNECTEX function = (LPFN_CONNECTEX)(ULONG_PTR)extension(s, (GUID)WSAID_CONNECTEX);

    return finish(s, function(s, (const struct sockaddr *)&here, sizeof here, NULL, 0, NULL, &o), &o);
}

static bool accept_ex(SOCKET listener, SOCKET s, DWORD room)
{
    static char   addresses[256];
    OVERLAPPED    o = { .hEvent = CreateEventW(NULL, TRUE, FALSE, NULL) };
    LPFN_ACCEPTEX function = (LPFN_ACCEPTEX)(ULONG_PTR)extension(listener, (GUID)WSAID_ACCEPTEX);
    DWORD         n;

    return finish(s, function(listener, s, addresses, 0, room, room, &n, &o), &o);
}

static bool set(SOCKET s, int level, int option, DWORD value)
{
    return setsockopt(s, level, option, (const char *)&value, sizeof value) == 0;
}

static void addresses(void)
{
    SOCKADDR_HV wrong = here;
    SOCKET      s = fresh();
    int         size = sizeof wrong;

    say("a datagram socket", socket(AF_HYPERV, SOCK_DGRAM, HV_PROTOCOL_RAW) != INVALID_SOCKET);
    say("another protocol", socket(AF_HYPERV, SOCK_STREAM, IPPROTO_TCP) != INVALID_SOCKET);
    say("an address that is short", bind_to(s, here, sizeof here - 1) == 0);
    wrong.Reserved = 1;
    say("an address with more in it", bind_to(s, wrong, sizeof wrong) == 0);
    wrong.Family = AF_INET;
    say("an address of TCP", bind_to(s, wrong, sizeof wrong) == 0);
    say("listen without bind", listen(s, 1) == 0);
    say("ConnectEx without bind", connect_ex(s));
    say("getsockname without bind", getsockname(s, (struct sockaddr *)&wrong, &size) == 0);
    say("bind", bind_anywhere(s) == 0);
    say("bind twice", bind_anywhere(s) == 0);
    say("ConnectEx to nobody", connect_ex(s));
    closesocket(s);
}

static void options(SOCKET s)
{
    say("a connect timeout", set(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, HVSOCKET_CONNECT_TIMEOUT_MAX));
    say("a longer one", set(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, HVSOCKET_CONNECT_TIMEOUT_MAX + 1));
    say("a flag", set(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECTED_SUSPEND, 1));
    say("a flag of 2", set(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECTED_SUSPEND, 2));
    say("an option of 99", set(s, HV_PROTOCOL_RAW, 99, 0));
    say("an option of TCP", set(s, IPPROTO_TCP, TCP_NODELAY, 1));
}

static void connections(void)
{
    SOCKET      listener = fresh(), client = fresh(), server = fresh(), tcp = socket(AF_INET, SOCK_STREAM, 0);
    SOCKADDR_HV peer;
    int         size = sizeof peer;
    WSABUF      buffer = { sizeof data, data };
    DWORD       n;

    say("a listener", bind_to(listener, here, sizeof here) == 0 && listen(listener, 4) == 0);
    say("its address again", bind_to(server, here, sizeof here) == 0);
    server = fresh();
    say("ConnectEx", bind_anywhere(client) == 0 && connect_ex(client));
    say("shutdown before the context", shutdown(client, SD_SEND) == 0);
    say("getpeername before the context", getpeername(client, (struct sockaddr *)&peer, &size) == 0);
    say("the context", setsockopt(client, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0);
    say("getpeername", getpeername(client, (struct sockaddr *)&peer, &size) == 0);
    say("GetAcceptExSockaddrs", extension(client, (GUID)WSAID_GETACCEPTEXSOCKADDRS) != NULL);
    say("AcceptEx without room", accept_ex(listener, server, sizeof here + 15));
    say("AcceptEx into TCP's", accept_ex(listener, tcp, sizeof here + 16));
    say("AcceptEx", accept_ex(listener, server, sizeof here + 16));
    say("the context of no listener", setsockopt(server, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&client, sizeof client) == 0);
    say("the listener's", setsockopt(server, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&listener, sizeof listener) == 0);
    say("a send of 65,537 bytes", WSASend(client, &buffer, 1, &n, 0, NULL, NULL) == 0);
    buffer.len = 1;
    say("a send of one", WSASend(client, &buffer, 1, &n, 0, NULL, NULL) == 0);
    options(client);
    say("shutdown", shutdown(client, SD_SEND) == 0);
}

static void waits(void)
{
    SOCKET         s = fresh();
    WSAPOLLFD      polled = { s, POLLOUT, 0 };
    fd_set         set;
    struct timeval none = { 0, 0 };

    FD_ZERO(&set);
    FD_SET(s, &set);
    say("select", select(0, NULL, NULL, &set, &none) >= 0);
    say("WSAPoll", WSAPoll(&polled, 1, 0) >= 0);
}

int main(void)
{
    WSADATA winsock;
    char    path[MAX_PATH];

    if (WSAStartup(MAKEWORD(2, 2), &winsock) != 0)
        return 1;
    addresses();
    connections();
    waits();
    GetModuleFileNameA(GetModuleHandleA("virtsock-1.dll"), path, sizeof path);
    printf("%s %s\nEND\n", virtsock_version(), path);
    return 0;
}
