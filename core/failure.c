/* SPDX-License-Identifier: MIT
 *
 * Where operation, address and cause meet: it stands above addresses and above the words of failures, neither of which
 * knows the other. No I/O.
 */
#include "internal.h"

virtsock_status vs_fail(virtsock_error *err, const char *op, const virtsock_address *address, const struct vs_cause *why)
{
    char about[512];

    if (err == NULL)
        return why->status;
    if (why->status == VIRTSOCK_E_AGAIN || why->status == VIRTSOCK_E_EOF)
        return vs_note(err, op, why->status);
    if (address != NULL)
        virtsock_address_format(address, about, sizeof about);
    vs_tell(err, op, address != NULL ? about : NULL, why);
    err->scheme = address != NULL ? address->scheme : VIRTSOCK_SCHEME_NONE;
    return why->status;
}

virtsock_status vs_refuse(virtsock_error *err, const char *op, const virtsock_address *address, virtsock_status status, const char *text)
{
    struct vs_cause why;

    vs_because(&why, status, text);
    return vs_fail(err, op, address, &why);
}
