/* SPDX-License-Identifier: MIT
 *
 * Where the services of the shim are: a directory (HVSHIM_DIR) with a file "VMID.SERVICEID" for each, in which the number of a TCP port of
 * 127.0.0.1 stands. Peers of other systems read and write the same files. A number below zero is bound and does not listen yet.
 */
#ifndef SWITCHBOARD_H
#define SWITCHBOARD_H

#include <winsock2.h>
#include <windows.h>
#include <hvsocket.h>
#include <stdbool.h>

#ifndef AF_HYPERV
#define AF_HYPERV 34
#endif

#define KEY_SIZE 74                     /* two GUIDs, a point, a NUL */

void board_key(char key[KEY_SIZE], const SOCKADDR_HV *address);

/* Takes a service for a port; false: somebody has it. */
bool board_take(const char *key, unsigned port);
/* It listens from now on. */
void board_open(const char *key);
void board_give_back(const char *key);

/* Where a connection to that service goes: its port; that of the file "nolisten", at which no connection ever comes to an end, as it is with
 * a VM in which nobody listens; or 0, refused: within one machine (LOOPBACK), and where there is no such file. */
unsigned board_find(const SOCKADDR_HV *address);

/* A variable of the environment is set. */
bool board_flag(const char *name);
/* Its number, or what there is otherwise. */
unsigned long board_number(const char *name, unsigned long otherwise);
/* A GUID from a variable; false: not set. */
bool board_guid(const char *name, GUID *guid);

/* A line of the file HVSHIM_LOG, if that is set; with HVSHIM_QUIET those alone that begin with "judge". Keeps the last error. */
void board_log(const char *format, ...) __attribute__((format(gnu_printf, 1, 2)));

#endif
