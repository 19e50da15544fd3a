/* SPDX-License-Identifier: MIT
 *
 * The shim's table, and what it refuses.
 */
#include <string.h>

#include "hvshim_table.h"

#define SLOT_COUNT 65536                /* handles are multiples of four */

static struct slot slots[SLOT_COUNT];

HMODULE hvshim_winsock(void)
{
    static HMODULE module;

    if (module == NULL)
        module = LoadLibraryW(L"ws2_32.dll");
    return module;
}

static struct slot *slot_of(SOCKET s)
{
    return &slots[s / 4 % SLOT_COUNT];
}

struct slot *hvshim_get(SOCKET s)
{
    struct slot *slot = slot_of(s);

    return s != INVALID_SOCKET && s != 0 && slot->socket == s ? slot : NULL;
}

void hvshim_add(SOCKET s)
{
    struct slot *slot = slot_of(s);

    memset(slot, 0, sizeof *slot);
    slot->local.Family = slot->peer.Family = AF_HYPERV;
    slot->socket = s;
}

SOCKET hvshim_forget(SOCKET s)
{
    if (hvshim_get(s) != NULL)
        slot_of(s)->socket = 0;
    return s;
}

int hvshim_refuse(int error, const char *what)
{
    board_log("judge %s: %d", what, error);
    WSASetLastError(error);
    return SOCKET_ERROR;
}

bool hvshim_is_wrong(const struct sockaddr *a, int size, const char *what)
{
    const SOCKADDR_HV *hv = (const SOCKADDR_HV *)a;

    if (a == NULL || size != (int)sizeof *hv)
        return hvshim_refuse(WSAEFAULT, what) != 0;
    if (hv->Family != AF_HYPERV)
        return hvshim_refuse(WSAEAFNOSUPPORT, what) != 0;
    if (hv->Reserved != 0)
        return hvshim_refuse(WSAEINVAL, what) != 0;
    return false;
}

int hvshim_tell(struct sockaddr *a, int *size, const SOCKADDR_HV *hv)
{
    if (a == NULL || size == NULL || *size < (int)sizeof *hv)
        return hvshim_refuse(WSAEFAULT, "room for an address");
    memcpy(a, hv, sizeof *hv);
    *size = sizeof *hv;
    return 0;
}
