/* SPDX-License-Identifier: MIT
 *
 * AF_HYPERV over TCP of 127.0.0.1, for tests on systems without Hyper-V: the functions of Winsock that take an address or a family, by name.
 * All others are the system's own, and so is everything that these do with a socket once its address was translated.
 */
#ifndef HVSHIM_H
#define HVSHIM_H

#include <winsock2.h>
#include <windows.h>

struct hvshim_function {
    const char *name;
    FARPROC     ours;
};
extern const struct hvshim_function hvshim_functions[];        /* a NULL name ends it */

/* Puts them into the import table of one module; how many there are now, or -1 where Winsock was imported by number. */
int hvshim_patch(HMODULE module);

#endif
