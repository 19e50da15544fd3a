/* SPDX-License-Identifier: MIT
 *
 * Writes one JSON document (RFC 8259): see json.h.
 */
#include "common/json.h"

#include <inttypes.h>

#include "common/escape.h"

static void quoted(FILE *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    putc('"', out);
    while (*s != '\0') {
        size_t n = escape_length((const char *)s);

        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s);
        } else if (escape_wanted((const char *)s, n)) {         /* none is beyond U+FFFF */
            fprintf(out, "\\u%04x", escape_number((const char *)s, n));
        } else {
            fwrite(s, 1, n, out);
        }
        s += n;
    }
    putc('"', out);
}

static void member(struct json *j, const char *key)
{
    if (j->comma)
        putc(',', j->out);
    j->comma = true;
    if (key != NULL) {
        quoted(j->out, key);
        putc(':', j->out);
    }
}

void json_open(struct json *j, const char *key, char bracket)
{
    member(j, key);
    putc(bracket, j->out);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    putc(bracket, j->out);
    j->comma = true;
}

void json_text(struct json *j, const char *key, const char *text)
{
    member(j, key);
    if (text != NULL)
        quoted(j->out, text);
    else
        fputs("null", j->out);
}

void json_number(struct json *j, const char *key, int64_t number)
{
    member(j, key);
    fprintf(j->out, "%" PRId64, number);
}

void json_bool(struct json *j, const char *key, bool value)
{
    member(j, key);
    fputs(value ? "true" : "false", j->out);
}

void json_ms(struct json *j, const char *key, int64_t us)
{
    member(j, key);
    fprintf(j->out, "%" PRId64 ".%03d", us / 1000, (int)(us % 1000));
}
