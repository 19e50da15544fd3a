/* SPDX-License-Identifier: MIT
 *
 * What virtsock doctor asks of a system: files, and what its codes are called. doctor_posix.c and doctor_windows.c have it.
 */
#ifndef TOOL_PLATFORM_DOCTOR_H
#define TOOL_PLATFORM_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "virtsock.h"

enum doctor_file { DOCTOR_SOCKET, DOCTOR_OTHER, DOCTOR_NO_FILE, DOCTOR_NO_FOLDER, DOCTOR_HIDDEN };

/* What stands at a path; HIDDEN: a folder above it may not be looked into. */
enum doctor_file doctor_file_at(const char *path);

/* Whether this process may read a file (and write it): 0 or the code. Nothing is opened: a device's file can load its module. */
int doctor_may_open(const char *path, bool write);

/* The cause behind an error's code, by its first fitting row. */
struct doctor_cause {
    const char     *op;                 /* NULL: every one */
    virtsock_scheme scheme;             /* NONE: every one; HYPERV has the rows of VSOCK, and MUX and HYPERKIT those of UNIX */
    int             code;
    const char     *id;
};
extern const struct doctor_cause doctor_causes[];
extern const size_t              doctor_cause_count;

#endif
