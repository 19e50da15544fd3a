/* SPDX-License-Identifier: MIT
 *
 * What a terminal would obey, written out: see escape.h.
 */
#include "common/escape.h"

#include <stdio.h>
#include <string.h>

size_t escape_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t               n = s[0] < 0x80 ? 1 : s[0] < 0xc2 || s[0] > 0xf4 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
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

unsigned escape_number(const char *text, size_t n)
{
    static const unsigned char bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    unsigned                   number = (unsigned char)text[0] & bits[n];

    for (size_t i = 1; i < n; i++)
        number = number << 6 | ((unsigned char)text[i] & 0x3f);
    return number;
}

bool escape_wanted(const char *text, size_t n)
{
    const unsigned c = escape_number(text, n);

    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f
           || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

const char *escape_text(char *out, size_t cap, const char *text)
{
    size_t at = 0;

    while (*text != '\0') {
        const size_t n = escape_length(text), took = n == 0 ? 1 : n;
        char         piece[8];

        if (n == 0 || (n == 1 && escape_wanted(text, n)))
            snprintf(piece, sizeof piece, "\\x%02x", (unsigned)(unsigned char)*text);
        else if (escape_wanted(text, n))
            snprintf(piece, sizeof piece, "\\u%04x", escape_number(text, n) & 0xffff);
        else
            snprintf(piece, sizeof piece, "%.*s", (int)n, text);
        if (at + strlen(piece) >= cap)
            break;
        at += strlen(strcpy(out + at, piece));
        text += took;
    }
    out[at] = '\0';
    return out;
}
