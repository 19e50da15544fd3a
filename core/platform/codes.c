/* SPDX-License-Identifier: MIT
 *
 * What a system's code means, looked up in its table: see codes.h.
 */
#include <string.h>

#include "platform/codes.h"

/* Schemes that share their causes. */
static virtsock_scheme kind_of(virtsock_scheme scheme)
{
    switch (scheme) {
    case VIRTSOCK_SCHEME_HYPERV:   return VSOCK;
    case VIRTSOCK_SCHEME_MUX:
    case VIRTSOCK_SCHEME_HYPERKIT: return UNIX;
    default:                       return scheme;
    }
}

static const struct vs_code *row_of(const char *op, virtsock_scheme scheme, int code)
{
    for (const struct vs_code *row = vs_codes; row < vs_codes + vs_code_count; row++)
        if (row->code == code && (row->scheme == ANY || row->scheme == scheme || row->scheme == kind_of(scheme))
            && (row->op == NULL || strcmp(row->op, op) == 0))
            return row;
    return NULL;
}

virtsock_status vs_os_cause(struct vs_cause *why, const char *op, virtsock_scheme scheme, int os_code)
{
    const struct vs_code *row = row_of(op, scheme, os_code);

    vs_because(why, row != NULL ? row->status : VIRTSOCK_E_SYSTEM, row != NULL ? row->cause : NULL);
    why->os_code = os_code;
    return why->status;
}

const char *vs_os_advice(const char *op, virtsock_scheme scheme, int os_code)
{
    const struct vs_code *row = row_of(op, scheme, os_code);

    return row != NULL ? row->advice : NULL;
}
