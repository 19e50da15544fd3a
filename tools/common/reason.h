/* SPDX-License-Identifier: MIT
 *
 * Why something is not to be had, as info and doctor tell it.
 */
#ifndef TOOL_REASON_H
#define TOOL_REASON_H

#include "common/json.h"
#include "virtsock.h"

/* The message without the operation, which is what is told about anyway. */
const char *reason_text(const virtsock_error *err);

/* Members of the object that is open: status, system_code, message, advice. */
void reason_json(struct json *j, const virtsock_error *err);

#endif
