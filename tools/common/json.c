/* SPDX-License-Identifier: MIT
 *
 * Writes one JSON document (RFC 8259): see json.h.
 */
#include "common/json.h"

#include <inttypes.h>

size_t json_utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t               n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    unsigned             second = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned             last = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

    for (size_t i = 1; i < n; i++) {
        if (s[i] < second || s[i] > last)
            return 0;
        second = 0x80;
        last = 0xbf;
    }
    return n;
}

static void quoted(FILE *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    putc('"', out);
    while (*s != '\0') {
        size_t n = json_utf8_length((const char *)s);

        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s);
        } else if (*s < 0x20 || *s == 0x7f) {
            fprintf(out, "\\u%04x", *s);
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
