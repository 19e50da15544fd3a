/* SPDX-License-Identifier: MIT
 *
 * The shim's functions for data, for the end, and for ways to wait.
 */
#include "hvshim_table.h"

#define SEND_MAX 65536                  /* bytes: cancelled, a longer one could not tell how much of it went */

int WSAAPI hv_WSASend(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD n, DWORD flags, LPWSAOVERLAPPED o,
                      LPWSAOVERLAPPED_COMPLETION_ROUTINE done)
{
    unsigned long long size = 0;

    if (hvshim_get(s) == NULL)
        return REAL(WSASend)(s, buffers, count, n, flags, o, done);
    for (DWORD i = 0; i < count; i++)
        size += buffers[i].len;
    board_log("send %llu", size);
    if (size > board_number("HVSHIM_SEND_MAX", SEND_MAX))
        return hvshim_refuse(WSAEMSGSIZE, "too much in one send");
    return REAL(WSASend)(s, buffers, count, n, flags, o, done);
}

/* Nothing came, on a connection: the end of the stream, which some builds call so. */
static bool breaks(SOCKET s, DWORD n)
{
    const struct slot *slot = hvshim_get(s);

    return slot != NULL && slot->connected && n == 0 && board_flag("HVSHIM_BROKEN_PIPE");
}

int WSAAPI hv_WSARecv(SOCKET s, LPWSABUF buffers, DWORD count, LPDWORD n, LPDWORD flags, LPWSAOVERLAPPED o,
                      LPWSAOVERLAPPED_COMPLETION_ROUTINE done)
{
    int result = REAL(WSARecv)(s, buffers, count, n, flags, o, done);

    if (result == 0 && n != NULL && breaks(s, *n)) {
        WSASetLastError(ERROR_BROKEN_PIPE);
        return SOCKET_ERROR;
    }
    return result;
}

BOOL WSAAPI hv_WSAGetOverlappedResult(SOCKET s, LPWSAOVERLAPPED o, LPDWORD n, BOOL wait, LPDWORD flags)
{
    if (!REAL(WSAGetOverlappedResult)(s, o, n, wait, flags))
        return FALSE;
    if (breaks(s, *n))
        return WSASetLastError(ERROR_BROKEN_PIPE), FALSE;
    return TRUE;
}

int WSAAPI hv_shutdown(SOCKET s, int how)
{
    const struct slot *slot = hvshim_get(s);

    if (slot != NULL && !slot->connected)
        return hvshim_refuse(WSAENOTCONN, "shutdown before the context was updated");
    return REAL(shutdown)(s, how);
}

int WSAAPI hv_closesocket(SOCKET s)
{
    const struct linger discard = { 1, 0 };
    struct slot        *slot = hvshim_get(s);
    char                key[KEY_SIZE];

    if (slot != NULL) {
        if (board_flag("HVSHIM_LOSSY") && slot->connected)
            REAL(setsockopt)(s, SOL_SOCKET, SO_LINGER, (const char *)&discard, sizeof discard);
        board_key(key, &slot->local);
        if (slot->bound && !slot->connected && memcmp(&slot->local.ServiceId, &HV_GUID_ZERO, sizeof(GUID)) != 0)
            board_give_back(key);
        slot->socket = 0;
    }
    return REAL(closesocket)(s);
}

/* Ways to wait that old builds of Windows do not have for these sockets. */
int WSAAPI hv_select(int n, fd_set *in, fd_set *out, fd_set *except, PTIMEVAL time)
{
    fd_set *sets[] = { in, out, except };

    for (int i = 0; i < 3; i++)
        for (u_int j = 0; sets[i] != NULL && j < sets[i]->fd_count; j++)
            if (hvshim_get(sets[i]->fd_array[j]) != NULL)
                return hvshim_refuse(WSAEOPNOTSUPP, "select");
    return REAL(select)(n, in, out, except, time);
}

int WSAAPI hv_WSAPoll(LPWSAPOLLFD polled, ULONG n, INT time)
{
    for (ULONG i = 0; i < n; i++)
        if (hvshim_get(polled[i].fd) != NULL)
            return hvshim_refuse(WSAEOPNOTSUPP, "WSAPoll");
    return REAL(WSAPoll)(polled, n, time);
}
