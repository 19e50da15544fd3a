/* SPDX-License-Identifier: MIT
 *
 * The table of a system's codes: posix_error.c and windows_error.c have one each, codes.c reads it. The first row that
 * fits is taken, so a row for one transport or one operation stands above the general one.
 */
#ifndef VS_CODES_H
#define VS_CODES_H

#include "platform/platform.h"

struct vs_code {
    const char     *op;                 /* NULL: every one */
    /* NONE: every one. VSOCK and HYPERV are one thing, and UNIX has MUX and HYPERKIT in it */
    virtsock_scheme scheme;
    int             code;
    virtsock_status status;
    const char     *cause, *advice;
};

extern const struct vs_code vs_codes[];
extern const size_t         vs_code_count;

#define ANY VIRTSOCK_SCHEME_NONE
#define VSOCK VIRTSOCK_SCHEME_VSOCK
#define UNIX VIRTSOCK_SCHEME_UNIX
#define MUX VIRTSOCK_SCHEME_MUX
#define ROW(op, scheme, code, status, cause, advice) \
    { op, scheme, code, VIRTSOCK_E_##status, cause " (" #code ")", advice }

#endif
