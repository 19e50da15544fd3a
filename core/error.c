/* SPDX-License-Identifier: MIT
 *
 * How a failure is told: the words of statuses, and a record filled from operation, object and cause. All three are
 * texts: what an address is nobody here knows. No I/O, no system: what a system's code means is the platform's to say.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(virtsock_error) == 256, "virtsock_error is ABI: 256 bytes for ever");
_Static_assert(sizeof(virtsock_slice) == 2 * sizeof(void *), "virtsock_slice is ABI: a pointer and a size");

static const struct {
    const char *name, *cause;
} statuses[] = {
    [-VIRTSOCK_OK]                 = { "ok", "no error" },
    [-VIRTSOCK_E_INVALID]          = { "invalid", "not allowed here" },
    [-VIRTSOCK_E_UNSUPPORTED]      = { "unsupported", "not supported here" },
    [-VIRTSOCK_E_REFUSED]          = { "refused", "connection refused" },
    [-VIRTSOCK_E_TIMEOUT]          = { "timeout", "the time has passed" },
    [-VIRTSOCK_E_UNREACHABLE]      = { "unreachable", "no way to the peer" },
    [-VIRTSOCK_E_DENIED]           = { "denied", "permission denied" },
    [-VIRTSOCK_E_IN_USE]           = { "in use", "already in use" },
    [-VIRTSOCK_E_EOF]              = { "eof", "the peer has ended" },
    [-VIRTSOCK_E_RESET]            = { "reset", "the conversation broke" },
    [-VIRTSOCK_E_CANCELLED]        = { "cancelled", "closed here" },
    [-VIRTSOCK_E_AGAIN]            = { "again", "not ready" },
    [-VIRTSOCK_E_INTERRUPTED]      = { "interrupted", "a signal came" },
    [-VIRTSOCK_E_PROTOCOL]         = { "protocol", "the peer broke the protocol" },
    [-VIRTSOCK_E_NAME_TOO_LONG]    = { "name too long", "the path does not fit a socket address" },
    [-VIRTSOCK_E_MESSAGE_TOO_LONG] = { "message too long", "the message is too long" },
    [-VIRTSOCK_E_NOT_FOUND]        = { "not found", "there is none" },
    [-VIRTSOCK_E_AMBIGUOUS]        = { "ambiguous", "several have that name" },
    [-VIRTSOCK_E_NO_RESOURCES]     = { "no resources", "out of memory or descriptors" },
    [-VIRTSOCK_E_SYSTEM]           = { "system", "system error" },
};
#define STATUSES ((int)(sizeof statuses / sizeof statuses[0]))

const char *virtsock_status_name(virtsock_status status)
{
    return statuses[status <= 0 && status > -STATUSES ? -status : -VIRTSOCK_E_SYSTEM].name;
}

virtsock_status vs_because(struct vs_cause *why, virtsock_status status, const char *text)
{
    why->status = status;
    why->os_code = 0;
    why->text = text;
    return status;
}

size_t vs_utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t               length = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    unsigned char        low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char        high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

    if (length > 1 && (s[0] < 0xc2 || s[0] > 0xf4 || s[1] < low || s[1] > high))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* What a terminal would obey instead of showing: C0 and C1 control characters, ends of lines, and what turns the
 * direction of text. */
static bool is_control(const char *text, size_t n)
{
    static const char *const turning[] = { "\u061c", "\u200e", "\u200f", "\u2066", "\u2067", "\u2068", "\u2069" };
    const unsigned char     *c = (const unsigned char *)text;

    if (n == 1)
        return c[0] < 0x20 || c[0] == 0x7f;
    for (size_t i = 0; i < sizeof turning / sizeof turning[0]; i++)
        if (memcmp(text, turning[i], 2) == 0 && strncmp(text, turning[i], n) == 0)
            return true;
    return (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xe2 && c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae);
}

/* Appends text at *at, whole characters alone, with `?` for what is none or is a control character; ends with a NUL
 * before end. */
static void put(char **at, const char *end, const char *text)
{
    while (*text != '\0') {
        size_t n = vs_utf8_length(text);
        bool   readable = n > 0 && !is_control(text, n);

        n = n == 0 ? 1 : n;
        if ((size_t)(end - *at) <= n)
            break;
        if (readable)
            memcpy(*at, text, n);
        else
            **at = '?';
        *at += readable ? n : 1;
        text += n;
    }
    **at = '\0';
}

/* "op about: cause". Where that does not fit, about is shortened first. */
static void compose(char *out, size_t cap, const char *op, const char *about, const char *cause)
{
    const char *end = out + cap, *stop = end;
    size_t      others = strlen(op) + strlen(cause) + sizeof " : ";

    put(&out, end, op);
    if (about != NULL) {
        put(&out, end, " ");
        if (others + strlen(about) > cap) {
            size_t room = others + 24 > cap ? 24 : cap - others;

            stop = (size_t)(end - out) > room ? out + room - 2 : end;
        }
        put(&out, stop, about);
        if (stop != end)
            put(&out, end, "...");
    }
    put(&out, end, ": ");
    put(&out, end, cause);
}

void vs_tell(virtsock_error *err, const char *op, const char *about, const struct vs_cause *why)
{
    char        code[32];
    const char *cause = why->text != NULL ? why->text : statuses[-why->status].cause;

    if (why->status == VIRTSOCK_E_SYSTEM && why->os_code != 0) {
        snprintf(code, sizeof code, "system error %d", why->os_code);
        cause = code;
    }
    memset(err, 0, sizeof *err);
    err->status = why->status;
    err->os_code = why->os_code;
    snprintf(err->op, sizeof err->op, "%s", op);
    compose(err->message, sizeof err->message, op, about, cause);
}

virtsock_status vs_note(virtsock_error *err, const char *op, virtsock_status status)
{
    const char *const cause = statuses[-status].cause;
    const size_t      n = strlen(op);

    err->status = status;
    err->os_code = err->scheme = err->attempts = 0;
    memcpy(err->op, op, n + 1);
    memcpy(err->message, op, n);
    memcpy(err->message + n, ": ", 2);
    memcpy(err->message + n + 2, cause, strlen(cause) + 1);
    return status;
}

virtsock_status vs_failf(virtsock_error *err, const char *op, const char *about, virtsock_status status, const char *format, ...)
{
    char            text[sizeof err->message];
    struct vs_cause why;
    va_list         args;

    if (err == NULL)
        return status;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vs_because(&why, status, text);
    vs_tell(err, op, about, &why);
    return status;
}
