/* SPDX-License-Identifier: MIT
 *
 * How a row of tests/vectors/addresses.tsv is checked; the head of that file says what the columns mean.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include "check.h"
#include "internal.h"

static int digit(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0';
}

/* Undoes \xHH, \t, \n and \\ in place. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s != '\0'; s++) {
        if (*s != '\\') {
            *to++ = *s;
            continue;
        }
        s++;
        CHECK(*s != '\0' && strchr("xtn\\", *s) != NULL);
        *to++ = *s == 'x' ? (char)(digit(s[1]) * 16 + digit(s[2])) : *s == 't' ? '\t' : *s == 'n' ? '\n' : '\\';
        s += *s == 'x' ? 2 : 0;
    }
    *to = '\0';
}

static const struct part {
    const char   *name;
    virtsock_part part;
    bool          is_text;
    const char   *words[8];             /* of a number */
} parts[] = {
    { "cid",        VIRTSOCK_PART_CID,        false, { NULL } },
    { "port",       VIRTSOCK_PART_PORT,       false, { NULL } },
    { "vm",         VIRTSOCK_PART_VM,         true,  { NULL } },
    { "service",    VIRTSOCK_PART_SERVICE,    true,  { NULL } },
    { "path",       VIRTSOCK_PART_PATH,       true,  { NULL } },
    { "host",       VIRTSOCK_PART_HOST,       true,  { NULL } },
    { "fd",         VIRTSOCK_PART_FD,         false, { NULL } },
    { "type",       VIRTSOCK_PART_TYPE,       false, { "", "stream", "seqpacket", "dgram" } },
    { "to_host",    VIRTSOCK_PART_TO_HOST,    false, { NULL } },
    { "half_close", VIRTSOCK_PART_HALF_CLOSE, false, { "", "native", "framed", "none", "unknown" } },
};

static void check_part(const virtsock_address *a, const char *name, const char *want)
{
    static const char *const schemes[] = { "", "vsock", "hvsock", "hyperkit", "vsock-mux", "unix", "tcp", "fd" };
    const struct part *p = parts;
    uint32_t           number = 0;
    char               digits[16];

    if (strcmp(name, "scheme") == 0) {
        CHECK_TEXT(schemes[virtsock_address_scheme(a)], want);
        return;
    }
    while (p < parts + sizeof parts / sizeof parts[0] && strcmp(p->name, name) != 0)
        p++;
    CHECK(p < parts + sizeof parts / sizeof parts[0]);
    if (strcmp(want, "-") == 0) {
        CHECK(virtsock_address_text(a, p->part) == NULL);
        CHECK(virtsock_address_number(a, p->part, &number) == VIRTSOCK_E_NOT_FOUND);
    } else if (p->is_text) {
        CHECK_TEXT(virtsock_address_text(a, p->part), want);
        CHECK(virtsock_address_number(a, p->part, &number) == VIRTSOCK_E_NOT_FOUND);
    } else {
        CHECK(virtsock_address_number(a, p->part, &number) == VIRTSOCK_OK);
        CHECK(virtsock_address_text(a, p->part) == NULL);
        snprintf(digits, sizeof digits, "%u", number);
        CHECK_TEXT(p->words[0] != NULL ? p->words[number] : digits, want);
    }
}

static inline void check_valid(const char *text, const char *canonical, char *list)
{
    char              formatted[VS_TEXT_MAX + 1];
    virtsock_address *a = test_parse(text), *again;

    CHECK(virtsock_address_format(a, formatted, sizeof formatted) == strlen(canonical));
    CHECK_TEXT(formatted, canonical);
    again = test_parse(canonical);
    CHECK(virtsock_address_equal(a, again));
    virtsock_address_format(again, formatted, sizeof formatted);
    CHECK_TEXT(formatted, canonical);
    for (char *item = list; strcmp(list, "-") != 0 && item != NULL;) {
        char *end = strchr(item, '|'), *value;

        if (end != NULL)
            *end++ = '\0';
        value = strchr(item, '=');
        CHECK(value != NULL);
        *value++ = '\0';
        unescape(value);
        check_part(a, item, value);
        item = end;
    }
    virtsock_address_free(a);
    virtsock_address_free(again);
}

/* The message has that piece, and says what to write. */
static inline void check_invalid(const char *text, const char *piece)
{
    virtsock_address *a = (virtsock_address *)&a;
    virtsock_error    e;

    memset(&e, 'x', sizeof e);
    if (virtsock_address_parse(&a, text, &e) != VIRTSOCK_E_INVALID) {
        printf("FAIL %s: \"%s\" is not refused\n", test_now, text);
        exit(1);
    }
    CHECK(a == NULL && e.status == VIRTSOCK_E_INVALID && e.os_code == 0);
    CHECK_TEXT(e.op, "parse");
    CHECK(memchr(e.message, '\0', sizeof e.message) != NULL);
    if (strstr(e.message, piece) == NULL || strstr(e.message, "; write ") == NULL) {
        printf("FAIL %s: \"%s\" says \"%s\", not \"%s\"\n", test_now, text, e.message, piece);
        exit(1);
    }
    CHECK(virtsock_address_parse(&a, text, NULL) == VIRTSOCK_E_INVALID);
}

#endif
