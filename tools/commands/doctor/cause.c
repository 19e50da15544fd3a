/* SPDX-License-Identifier: MIT
 *
 * The names of causes, for what the doctor finds in a system and for what it hears from an address: see doctor.h.
 */
#include "doctor.h"

#include <string.h>

#include "platform/doctor.h"

/* Where no system's code tells. */
static const struct {
    virtsock_status status;
    const char     *op;                 /* NULL: every one */
    const char     *id;
} by_status[] = {
    { VIRTSOCK_E_NOT_FOUND, "resolve", "no-such-vm" },
    { VIRTSOCK_E_NOT_FOUND, "listen", "missing-directory" },
    { VIRTSOCK_E_AMBIGUOUS, NULL, "ambiguous-name" },
    { VIRTSOCK_E_INVALID, NULL, "bad-address" },
    { VIRTSOCK_E_UNSUPPORTED, NULL, "unsupported" },
    { VIRTSOCK_E_REFUSED, NULL, "nobody-listens" },
    { VIRTSOCK_E_TIMEOUT, NULL, "no-answer" },
    { VIRTSOCK_E_UNREACHABLE, NULL, "unreachable" },
    { VIRTSOCK_E_DENIED, NULL, "denied" },
    { VIRTSOCK_E_IN_USE, NULL, "in-use" },
    { VIRTSOCK_E_PROTOCOL, NULL, "other-dialect" },
    { VIRTSOCK_E_NAME_TOO_LONG, NULL, "path-too-long" },
    { VIRTSOCK_E_NO_RESOURCES, NULL, "no-resources" }
};

virtsock_scheme doctor_kind_of(virtsock_scheme scheme)
{
    switch (scheme) {
    case VIRTSOCK_SCHEME_HYPERV:   return VIRTSOCK_SCHEME_VSOCK;
    case VIRTSOCK_SCHEME_MUX:
    case VIRTSOCK_SCHEME_HYPERKIT: return VIRTSOCK_SCHEME_UNIX;
    default:                       return scheme;
    }
}

static const char *cause_of_code(const virtsock_error *err)
{
    for (const struct doctor_cause *row = doctor_causes; row < doctor_causes + doctor_cause_count; row++)
        if (row->code == err->os_code && (row->op == NULL || strcmp(row->op, err->op) == 0)
            && (row->scheme == VIRTSOCK_SCHEME_NONE || row->scheme == err->scheme || row->scheme == doctor_kind_of(err->scheme)))
            return row->id;
    return NULL;
}

const char *doctor_cause(const virtsock_error *err, const struct doctor_system *system, const char **advice)
{
    const char *id = err->os_code != 0 ? cause_of_code(err) : NULL;

    *advice = virtsock_advice(err);
    if (id != NULL && strcmp(id, "seccomp") == 0 && system->unfiltered) {
        *advice = "no seccomp filter is at work, so a security module forbids it: see its log (ausearch -m avc, dmesg)";
        return "security-module";
    }
    if (id != NULL && strcmp(id, "no-module") == 0 && system->has_vsock && !system->unfiltered) {
        *advice = "the kernel has it, so a filter forbids it: add AF_VSOCK to the unit's RestrictAddressFamilies= (systemd), or to the profile";
        return "seccomp";
    }
    if (id != NULL)
        return id;
    for (size_t i = 0; i < sizeof by_status / sizeof *by_status; i++)
        if (by_status[i].status == err->status && (by_status[i].op == NULL || strcmp(by_status[i].op, err->op) == 0))
            return by_status[i].id;
    return "unknown";
}
