/* SPDX-License-Identifier: MIT
 *
 * What virtsock doctor asks of Windows: see doctor.h. The causes are those that others met; no Windows machine has confirmed them for
 * this command.
 */
#define WIN32_LEAN_AND_MEAN
#include "platform/doctor.h"

#include <winsock2.h>
#include <windows.h>

#define REPARSE FILE_ATTRIBUTE_REPARSE_POINT    /* a UNIX socket is one, with the tag IO_REPARSE_TAG_AF_UNIX */
#define AF_UNIX_TAG 0x80000023u

enum doctor_file doctor_file_at(const char *path)
{
    WIN32_FIND_DATAW found;
    wchar_t          wide[1024];
    HANDLE           search;

    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 1024) == 0)
        return DOCTOR_NO_FILE;
    if ((search = FindFirstFileW(wide, &found)) == INVALID_HANDLE_VALUE)
        switch (GetLastError()) {
        case ERROR_PATH_NOT_FOUND: return DOCTOR_NO_FOLDER;
        case ERROR_ACCESS_DENIED:  return DOCTOR_HIDDEN;
        default:                   return DOCTOR_NO_FILE;
        }
    FindClose(search);
    return (found.dwFileAttributes & REPARSE) && found.dwReserved0 == AF_UNIX_TAG ? DOCTOR_SOCKET : DOCTOR_OTHER;
}

/* Of devices that no Windows has. */
int doctor_may_open(const char *path, bool write)
{
    (void)path, (void)write;
    return ERROR_FILE_NOT_FOUND;
}

#define VSOCK VIRTSOCK_SCHEME_VSOCK
#define UNIX  VIRTSOCK_SCHEME_UNIX
#define ANY   VIRTSOCK_SCHEME_NONE

const struct doctor_cause doctor_causes[] = {
    { NULL, VSOCK, WSAEAFNOSUPPORT, "no-hyper-v" },
    { NULL, VSOCK, WSAESOCKTNOSUPPORT, "no-socket-type" },
    { NULL, VSOCK, WSAEACCES, "not-registered" },
    { NULL, VSOCK, WSAEADDRNOTAVAIL, "no-such-vm" },
    { "connect", VSOCK, WSAENETDOWN, "vm-starting" },
    { "connect", VSOCK, WSAENETUNREACH, "nobody-listens" },
    { "connect", UNIX, WSAECONNREFUSED, "stale-socket" },
    { "connect", ANY, WSAECONNREFUSED, "nobody-listens" },
    { "connect", ANY, WSAECONNRESET, "nobody-listens" },
    { NULL, UNIX, WSAEACCES, "path-denied" },
    { NULL, UNIX, ERROR_ACCESS_DENIED, "path-denied" },
    { NULL, ANY, WSAEINVAL, "bad-address" }
};
const size_t doctor_cause_count = sizeof doctor_causes / sizeof *doctor_causes;
