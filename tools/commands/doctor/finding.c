/* SPDX-License-Identifier: MIT
 *
 * What the doctor finds: see finding.h.
 */
#include "finding.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/json.h"
#include "virtsock.h"

static const char *const levels[] = { "ok", "note", "problem" };

static bool        as_json, bad;
static struct json j;

void finding_begin(bool json, const char *address)
{
    as_json = json;
    j = (struct json){ stdout, false };
    if (!as_json)
        return;
    json_open(&j, NULL, '{');
    json_text(&j, "version", virtsock_version());
    json_text(&j, "address", address);
    json_open(&j, "findings", '[');
}

void finding_tell(enum finding_level level, const char *id, const char *advice, int code, const char *format, ...)
{
    char    text[1024], shown[ESCAPED(sizeof text)];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    bad |= level == FINDING_PROBLEM;
    if (!as_json) {
        printf("%-9s%-20s%s\n", levels[level], id, escape_text(shown, sizeof shown, text));
        if (advice != NULL)
            printf("%-29s%s\n", "", advice);
        return;
    }
    json_open(&j, NULL, '{');
    json_text(&j, "level", levels[level]);
    json_text(&j, "id", id);
    json_text(&j, "text", text);
    json_text(&j, "advice", advice);
    json_number(&j, "system_code", code);
    json_close(&j, '}');
}

bool finding_end(bool good)
{
    good |= !bad;
    if (as_json) {
        json_close(&j, ']');
        json_bool(&j, "ok", good);
        json_close(&j, '}');
        putchar('\n');
    }
    return good;
}
