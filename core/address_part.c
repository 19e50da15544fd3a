/* SPDX-License-Identifier: MIT
 *
 * What each part of an address may be: number, CID, port, VM, service, host, and percent-encoded text. Every reader takes all of what it
 * is given or refuses it; none depends on the locale.
 */
#include <stdio.h>
#include <string.h>

#include "address.h"

bool vs_span_is(struct vs_span span, const char *word)
{
    return strlen(word) == span.n && memcmp(span.s, word, span.n) == 0;
}

/* --- Numbers --------------------------------------------------------------------------------------------------------------- */

bool vs_parse_u32(const char *s, size_t n, uint32_t *out)
{
    uint64_t value = 0;

    if (n == 0 || n > 10)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(s[i] - '0');
    }
    if (value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* Decimal, or `0x` and one to eight hexadecimal digits. */
static bool read_number(struct vs_span span, uint32_t *out)
{
    uint32_t value = 0;

    if (span.n < 3 || span.n > 10 || span.s[0] != '0' || span.s[1] != 'x')
        return vs_parse_u32(span.s, span.n, out);
    for (size_t i = 2; i < span.n; i++) {
        int digit = vs_hex_digit(span.s[i]);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *out = value;
    return true;
}

const char *vs_read_cid(struct vs_span span, uint32_t *cid)
{
    static const struct {
        const char *name;
        uint32_t    cid;
    } names[] = {
        { "any", VIRTSOCK_CID_ANY }, { "-1", VIRTSOCK_CID_ANY }, { "*", VIRTSOCK_CID_ANY }, { "", VIRTSOCK_CID_ANY },
        { "hypervisor", VIRTSOCK_CID_HYPERVISOR }, { "local", VIRTSOCK_CID_LOCAL }, { "host", VIRTSOCK_CID_HOST },
    };

    if (read_number(span, cid))
        return NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (vs_span_is(span, names[i].name)) {
            *cid = names[i].cid;
            return NULL;
        }
    }
    if (strchr("+-0123456789", span.s[0]) != NULL)
        return "a CID is a number from 0 to 4294967295, decimal or after 0x";
    return "a CID is a number, any, hypervisor, local or host; `virtsock resolve NAME` finds the number of a VM";
}

const char *vs_read_port(struct vs_span span, uint32_t *port)
{
    if (read_number(span, port))
        return NULL;
    if (span.n == 0)
        return "the port is missing after the colon";
    if (!vs_span_is(span, "any") && !vs_span_is(span, "-1") && !vs_span_is(span, "*"))
        return "a port is a number from 0 to 4294967295, decimal or after 0x, or any, with nothing around it";
    *port = VIRTSOCK_PORT_ANY;
    return NULL;
}

const char *vs_read_service(struct vs_span span, virtsock_address *head)
{
    uint32_t port;

    head->has_service = span.n > 0;
    if (span.n == 0 || vs_guid_parse(&head->service, span.s, span.n))
        return NULL;
    if (!read_number(span, &port))
        return "a service is a GUID of 36 characters or a port number from 0 to 2147483647";
    if (port > INT32_MAX)
        return "a Hyper-V port ends at 2147483647; a service GUID may stand for a greater one";
    vs_guid_from_port(&head->service, port);
    return NULL;
}

/* --- VMs ------------------------------------------------------------------------------------------------------------------- */

static const struct word {
    const char *word;
    enum vs_vm  kind;
    const char *guid;
} words[] = {
    { "",          VS_VM_WILDCARD,  VIRTSOCK_VM_WILDCARD },
    { "any",       VS_VM_WILDCARD,  VIRTSOCK_VM_WILDCARD },
    { "wildcard",  VS_VM_WILDCARD,  VIRTSOCK_VM_WILDCARD },
    { "broadcast", VS_VM_BROADCAST, VIRTSOCK_VM_BROADCAST },
    { "children",  VS_VM_CHILDREN,  VIRTSOCK_VM_CHILDREN },
    { "loopback",  VS_VM_LOOPBACK,  VIRTSOCK_VM_LOOPBACK },
    { "parent",    VS_VM_PARENT,    VIRTSOCK_VM_PARENT },
    { "silohost",  VS_VM_SILOHOST,  VIRTSOCK_VM_SILOHOST },
    { "wsl",       VS_VM_WSL,       "" },
};

static const struct word *find_word(struct vs_span span, bool by_guid)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (vs_span_is(span, by_guid ? words[i].guid : words[i].word))
            return &words[i];
    return NULL;
}

/* Bytes of the well-formed UTF-8 character at s, of at most n; 0: there is none. The ranges are those of Unicode's table 3-7. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    size_t        length = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

    if (length == 1)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static const char *check_name(struct vs_span span)
{
    const unsigned char *s = (const unsigned char *)span.s, *end = s + span.n;
    size_t               length;

    for (; s < end; s += length) {
        length = utf8_length(s, (size_t)(end - s));
        if (length == 0)
            return "a VM's name is UTF-8 text";
        if (s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0) || s[0] == '/')
            return "a VM's name has no control character and no slash: write the VM's GUID";
    }
    return NULL;
}

/* Digits alone, how many there may be, are never taken for a name. */
static bool is_cid(struct vs_span span)
{
    uint32_t cid;
    size_t   digits = 0;

    while (digits < span.n && span.s[digits] >= '0' && span.s[digits] <= '9')
        digits++;
    return digits == span.n || read_number(span, &cid) || vs_span_is(span, "-1");
}

const char *vs_read_vm(struct vs_span *span, virtsock_address *head, char buf[VS_GUID_TEXT])
{
    const struct word *word = find_word(*span, false);
    bool               braces = span->n == VS_GUID_TEXT + 1 && span->s[0] == '{' && span->s[VS_GUID_TEXT] == '}';

    if (word == NULL && vs_guid_parse(&head->vm, span->s + braces, span->n - 2 * (size_t)braces)) {
        vs_guid_format(buf, &head->vm);
        *span = (struct vs_span){ buf, VS_GUID_TEXT - 1 };
        head->vm_kind = VS_VM_GUID;
        word = find_word(*span, true);
        if (word == NULL)
            return NULL;
    }
    if (word != NULL) {
        vs_guid_parse(&head->vm, word->guid, strlen(word->guid));
        head->vm_kind = word->kind;
        *span = word->kind == VS_VM_WILDCARD ? (struct vs_span){ "", 0 } : (struct vs_span){ word->word, strlen(word->word) };
        return NULL;
    }
    if (is_cid(*span))
        return "hvsock:// takes no CID: write vsock://CID:PORT, or the VM's GUID or name, parent, loopback, children or wildcard";
    head->vm_kind = VS_VM_NAME;
    return check_name(*span);
}

/* --- Hosts ------------------------------------------------------------------------------------------------------------------ */

/* Four numbers without leading zeros: some systems take those for octal ones. */
static bool read_ipv4(struct vs_span span, unsigned char out[4])
{
    const char *s = span.s, *end = s + span.n;

    for (size_t i = 0; i < 4; i++) {
        const char *digits = s;
        unsigned    value = 0;

        if (i > 0 && (s == end || *s != '.'))
            return false;
        digits = s += i > 0;
        for (; s < end && s - digits < 3 && *s >= '0' && *s <= '9'; s++)
            value = value * 10 + (unsigned)(*s - '0');
        if (s == digits || value > 255 || (*digits == '0' && s - digits > 1))
            return false;
        out[i] = (unsigned char)value;
    }
    return s == end;
}

/* One group of an IPv6 address at s; gives what follows it, or NULL. */
static const char *read_group(const char *s, const char *end, unsigned *group)
{
    const char *start = s;

    *group = 0;
    for (; s < end && s - start < 5 && vs_hex_digit(*s) >= 0; s++)
        *group = *group << 4 | (unsigned)vs_hex_digit(*s);
    return s == start || s - start > 4 ? NULL : s;
}

/* RFC 4291, 2.2: eight groups, `::` once for at least one of zeros, the last two perhaps as IPv4. No zone. */
static bool read_ipv6(struct vs_span span, unsigned groups[8])
{
    const char  *s = span.s, *end = s + span.n;
    const size_t none = 9;
    size_t       n = 0, gap = none;

    if (span.n >= 2 && s[0] == ':' && s[1] == ':') {
        gap = 0;
        s += 2;
    }
    while (s < end) {
        unsigned char last[4];

        if (n <= 6 && read_ipv4((struct vs_span){ s, (size_t)(end - s) }, last)) {
            groups[n++] = (unsigned)last[0] << 8 | last[1];
            groups[n++] = (unsigned)last[2] << 8 | last[3];
            break;
        }
        if (n == 8 || (s = read_group(s, end, &groups[n++])) == NULL)
            return false;
        if (s < end && (*s++ != ':' || s == end))
            return false;
        if (s < end && *s == ':') {
            if (gap != none)
                return false;
            gap = n;
            s++;
        }
    }
    if (gap == none || n == 8)
        return gap == none && n == 8;
    memmove(groups + 8 - (n - gap), groups + gap, (n - gap) * sizeof groups[0]);
    memset(groups + gap, 0, (8 - n) * sizeof groups[0]);
    return true;
}

/* RFC 5952: lower case, no leading zeros, the first longest run of at least two zero groups as `::`. */
static void format_ipv6(char buf[VS_HOST_TEXT], const unsigned groups[8])
{
    size_t start = 8, longest = 1, n = 0;

    for (size_t i = 0; i < 8; i++) {
        size_t run = 0;

        while (i + run < 8 && groups[i + run] == 0)
            run++;
        if (run > longest) {
            longest = run;
            start = i;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (i == start) {
            n += (size_t)snprintf(buf + n, VS_HOST_TEXT - n, "::");
            i += longest - 1;
        } else {
            n += (size_t)snprintf(buf + n, VS_HOST_TEXT - n, i == 0 || i == start + longest ? "%x" : ":%x", groups[i]);
        }
    }
}

const char *vs_read_host(struct vs_span span, char buf[VS_HOST_TEXT])
{
    unsigned char ipv4[4];
    unsigned      ipv6[8];

    if (vs_span_is(span, "localhost") || read_ipv4(span, ipv4))
        snprintf(buf, VS_HOST_TEXT, "%.*s", (int)span.n, span.s);
    else if (read_ipv6(span, ipv6))
        format_ipv6(buf, ipv6);
    else
        return "no name is looked up: HOST is localhost, an IPv4 address, or an IPv6 address in brackets; "
               "for every interface 0.0.0.0 or [::]";
    return NULL;
}

/* --- Percent-encoding ----------------------------------------------------------------------------------------------------------- */

const char *vs_decode(struct vs_span *span, char *buf)
{
    char *to = buf;

    for (size_t i = 0; i < span->n; i++) {
        const char *s = span->s + i;
        int         high, low;

        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        if (span->n - i < 3 || (high = vs_hex_digit(s[1])) < 0 || (low = vs_hex_digit(s[2])) < 0)
            return "two hexadecimal digits follow a %; the sign itself is %25";
        if (high + low == 0)
            return "no name and no path has a NUL: leave %00 out";
        *to++ = (char)(high * 16 + low);
        i += 2;
    }
    *span = (struct vs_span){ buf, (size_t)(to - buf) };
    return NULL;
}
