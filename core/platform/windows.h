/* SPDX-License-Identifier: MIT
 *
 * What the files of the Windows platform share: overlapped calls. One is begun with an event of its own, waited for,
 * and taken back at its deadline; none is left pending between calls of the library but a connection under way.
 */
#ifndef VS_WINDOWS_H
#define VS_WINDOWS_H

#define WIN32_LEAN_AND_MEAN
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00             /* Windows 10, the first with Hyper-V sockets */
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>

#include "platform/platform.h"

/* 0, or the code: the event is made. */
int vs_call_new(OVERLAPPED *call);

/* What became of a call whose beginning said code (0, WSA_IO_PENDING, or why there is none): bytes, or minus the code.
 * Waits until the deadline, then takes it back; the system's answer wins, so what had moved by then counts.
 * WSAEWOULDBLOCK: nothing had. The event is gone after. */
int64_t vs_call_end(SOCKET s, OVERLAPPED *call, int code, int64_t until);

/* Milliseconds until the deadline, for the system's waits. */
DWORD vs_left_ms(int64_t deadline);

/* A UTF-8 path for the system's wide calls; a `/` before a drive's letter, as addresses have it, is left out. 0, or the
 * code. */
int vs_wide_path(wchar_t *out, size_t cap, const char *path);
/* The same for the narrow ones. */
const char *vs_local_path(const char *path);

#endif
