/* SPDX-License-Identifier: MIT
 *
 * Why something is not to be had: see reason.h.
 */
#include "common/reason.h"

#include <string.h>

const char *reason_text(const virtsock_error *err)
{
    size_t n = strlen(err->op);

    return strncmp(err->message, err->op, n) == 0 && strncmp(err->message + n, ": ", 2) == 0 ? err->message + n + 2 : err->message;
}

void reason_json(struct json *j, const virtsock_error *err)
{
    json_text(j, "status", virtsock_status_name(err->status));
    json_number(j, "system_code", err->os_code);
    json_text(j, "message", reason_text(err));
    json_text(j, "advice", virtsock_advice(err));
}
