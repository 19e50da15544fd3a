/* SPDX-License-Identifier: MIT
 *
 * What the shim's files share: the table of sockets that are Hyper-V's to their callers, with their addresses, and how one is refused what a
 * Hyper-V socket does not do.
 */
#ifndef HVSHIM_TABLE_H
#define HVSHIM_TABLE_H

#include "switchboard.h"

/* The system's own function of that name. */
#define REAL(function) ((__typeof__(&function))(void *)GetProcAddress(hvshim_winsock(), #function))
HMODULE hvshim_winsock(void);

struct slot {
    SOCKET      socket;                 /* 0: free */
    SOCKADDR_HV local, peer;
    bool        bound, listens, connected;
};

/* NULL: not one of ours. */
struct slot *hvshim_get(SOCKET s);
void hvshim_add(SOCKET s);
/* A number that another family has now, or nobody. */
SOCKET hvshim_forget(SOCKET s);

/* SOCKET_ERROR, and a line of the log with "judge". */
int hvshim_refuse(int error, const char *what);
/* Not an address of Hyper-V's: refused. */
bool hvshim_is_wrong(const struct sockaddr *a, int size, const char *what);
int hvshim_tell(struct sockaddr *a, int *size, const SOCKADDR_HV *hv);

/* Those of hvshim_data.c. */
__typeof__(WSASend)                hv_WSASend;
__typeof__(WSARecv)                hv_WSARecv;
__typeof__(WSAGetOverlappedResult) hv_WSAGetOverlappedResult;
__typeof__(shutdown)               hv_shutdown;
__typeof__(closesocket)            hv_closesocket;
__typeof__(select)                 hv_select;
__typeof__(WSAPoll)                hv_WSAPoll;

#endif
