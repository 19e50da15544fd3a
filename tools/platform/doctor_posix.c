/* SPDX-License-Identifier: MIT
 *
 * What virtsock doctor asks of a POSIX system: see doctor.h.
 */
#define _GNU_SOURCE                     /* S_ISSOCK; on macOS the POSIX level would hide ESOCKTNOSUPPORT */

#include "platform/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the folder that a path names its file in. */
static bool has_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char        folder[1024];
    struct stat at;

    if (slash == NULL || slash == path)
        return true;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return stat(folder, &at) == 0 && S_ISDIR(at.st_mode);
}

enum doctor_file doctor_file_at(const char *path)
{
    struct stat at;

    if (stat(path, &at) == 0)
        return S_ISSOCK(at.st_mode) ? DOCTOR_SOCKET : DOCTOR_OTHER;
    if (errno == EACCES)
        return DOCTOR_HIDDEN;
    return has_folder(path) ? DOCTOR_NO_FILE : DOCTOR_NO_FOLDER;
}

int doctor_may_open(const char *path, bool write)
{
    return access(path, write ? R_OK | W_OK : R_OK) == 0 ? 0 : errno;
}

#define VSOCK VIRTSOCK_SCHEME_VSOCK
#define UNIX  VIRTSOCK_SCHEME_UNIX
#define MUX   VIRTSOCK_SCHEME_MUX
#define ANY   VIRTSOCK_SCHEME_NONE

const struct doctor_cause doctor_causes[] = {
    { "local cid", ANY, ENOENT, "no-device" },
    { "local cid", ANY, EACCES, "device-denied" },
    { "local cid", ANY, EPERM, "device-denied" },
    { "local cid", ANY, ENODEV, "no-transport" },
    { "listen", VSOCK, EACCES, "privileged-port" },
    { "listen", VSOCK, EADDRNOTAVAIL, "not-our-cid" },
    { NULL, VSOCK, EAFNOSUPPORT, "no-module" },
    { NULL, VSOCK, EPROTONOSUPPORT, "no-module" },
    { NULL, VSOCK, EPERM, "seccomp" },
    { NULL, VSOCK, EACCES, "security-module" },
    { NULL, VSOCK, ESOCKTNOSUPPORT, "no-socket-type" },
    { "connect", VSOCK, ENODEV, "no-such-cid" },
    { "connect", VSOCK, ENETUNREACH, "unreachable-cid" },
    { "connect", VSOCK, EPROTO, "out-of-turn" },
    { "connect", MUX, EPIPE, "connection-limit" },
    { "connect", MUX, ECONNRESET, "connection-limit" },
    { "connect", ANY, ECONNRESET, "nobody-listens" },
    { "connect", UNIX, ECONNREFUSED, "stale-socket" },
    { "connect", ANY, ECONNREFUSED, "nobody-listens" },
    { "connect", UNIX, EPROTOTYPE, "no-socket-type" },
    { NULL, UNIX, EACCES, "path-denied" },
    { NULL, UNIX, EPERM, "path-denied" },
    { "connect", VSOCK, EADDRNOTAVAIL, "unreachable-cid" },
    { NULL, ANY, EINVAL, "bad-address" }
};
const size_t doctor_cause_count = sizeof doctor_causes / sizeof *doctor_causes;
