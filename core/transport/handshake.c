/* SPDX-License-Identifier: MIT
 *
 * Handshakes of multiplexers as bytes: see handshake.h. Nothing here knows a socket, and what comes from outside is
 * bounded before it is looked at.
 */
#include "transport/handshake.h"

#include <stdio.h>
#include <string.h>

#include "internal.h"

/* --- CONNECT and OK ----------------------------------------------------------------------------------------------- */

size_t vs_mux_request(char out[VS_LINE_MAX], const char *port)
{
    return (size_t)snprintf(out, VS_LINE_MAX, "CONNECT %.*s\n", VS_PORT_TEXT - 1, port);
}

size_t vs_mux_reply(char out[VS_LINE_MAX], const char *port)
{
    return (size_t)snprintf(out, VS_LINE_MAX, "OK %.*s\n", VS_PORT_TEXT - 1, port);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_port(const char *s, size_t n)
{
    struct vs_guid guid;
    uint32_t       number;

    return vs_parse_u32(s, n, &number) || vs_guid_parse(&guid, s, n);
}

static bool is_printed(char c)
{
    return (c >= ' ' && c <= '~') || c == '\t' || c == '\r';
}

/* Whether the line can begin with the first n of these bytes: the word in either case, a blank, then what is
 * printed. */
static bool begins(const char *s, size_t n, const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i < n; i++) {
        if (i < length ? (s[i] & ~0x20) != word[i] : i == length ? !is_blank(s[i]) : !is_printed(s[i]))
            return false;
    }
    return true;
}

/* A line without its newline, of which begins() holds: what stands after the word. */
static bool take_port(const char *s, const char *end, char port[VS_PORT_TEXT])
{
    size_t n;

    while (s < end && is_blank(*s))
        s++;
    if (s < end && end[-1] == '\r')
        end--;
    while (s < end && is_blank(end[-1]))
        end--;
    n = (size_t)(end - s);
    if (!is_port(s, n))
        return false;
    memcpy(port, s, n);
    port[n] = '\0';
    return true;
}

static enum vs_shake read_line(const char *word, const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT])
{
    size_t      most = n < VS_LINE_MAX ? n : VS_LINE_MAX, length = strlen(word);
    const char *newline = memchr(data, '\n', most);
    size_t      line = newline != NULL ? (size_t)(newline - data) : most;

    if (!begins(data, line, word) || (newline == NULL && n >= VS_LINE_MAX))
        return VS_SHAKE_BAD;
    if (newline == NULL)
        return VS_SHAKE_MORE;
    if (line <= length || !take_port(data + length, newline, port))
        return VS_SHAKE_BAD;
    *used = line + 1;
    return VS_SHAKE_DONE;
}

enum vs_shake vs_mux_read_request(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT])
{
    return read_line("CONNECT", data, n, used, port);
}

enum vs_shake vs_mux_read_reply(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT])
{
    return read_line("OK", data, n, used, port);
}

/* --- HyperKit ----------------------------------------------------------------------------------------------------- */

void vs_hyperkit_name(char out[VS_HYPERKIT_LINE], uint32_t cid, uint32_t port)
{
    snprintf(out, VS_HYPERKIT_LINE, "%08lx.%08lx", (unsigned long)cid, (unsigned long)port);
}

void vs_hyperkit_request(char out[VS_HYPERKIT_LINE], uint32_t cid, uint32_t port)
{
    vs_hyperkit_name(out, cid, port);
    out[VS_HYPERKIT_LINE - 1] = '\n';
}

enum vs_shake vs_hyperkit_read_request(const char *data, size_t n, uint32_t *cid, uint32_t *port)
{
    uint32_t numbers[2] = { 0, 0 };

    for (size_t i = 0; i < n && i < VS_HYPERKIT_LINE; i++) {
        int digit = vs_hex_digit(data[i]);

        if (i == 8 || i == 17 ? data[i] != (i == 8 ? '.' : '\n') : digit < 0)
            return VS_SHAKE_BAD;
        if (digit >= 0)
            numbers[i > 8] = numbers[i > 8] << 4 | (uint32_t)digit;
    }
    if (n < VS_HYPERKIT_LINE)
        return VS_SHAKE_MORE;
    *cid = numbers[0];
    *port = numbers[1];
    return VS_SHAKE_DONE;
}
