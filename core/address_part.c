/* SPDX-License-Identifier: MIT
 *
 * What each part of an address may be: number, CID, port, VM, service, host, path. Every reader takes all of what it is
 * given or refuses it; none depends on the locale.
 */
#include <stdio.h>
#include <string.h>

#include "address.h"

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

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

/* How many hexadecimal digits stand at the start, of at most `most`; *out is their number. */
static size_t read_hex(const char *s, size_t most, uint32_t *out)
{
    size_t n = 0;

    for (*out = 0; n < most && vs_hex_digit(s[n]) >= 0; n++)
        *out = *out << 4 | (uint32_t)vs_hex_digit(s[n]);
    return n;
}

/* Decimal, or `0x` and one to eight hexadecimal digits. */
static bool read_number(const char *s, uint32_t *out)
{
    if (s[0] == '0' && s[1] == 'x' && s[2] != '\0')
        return s[2 + read_hex(s + 2, 8, out)] == '\0';
    return vs_parse_u32(s, strlen(s), out);
}

static bool is(const char *s, const char *word)
{
    return strcmp(s, word) == 0;
}

static bool is_any(const char *s)
{
    return is(s, "any") || is(s, "*") || is(s, "-1");
}

static const char *read_cid(virtsock_address *a, const char *s)
{
    static const char words[][sizeof "hypervisor"] = {
        [VIRTSOCK_CID_HYPERVISOR] = "hypervisor", [VIRTSOCK_CID_LOCAL] = "local", [VIRTSOCK_CID_HOST] = "host"
    };

    a->cid = VIRTSOCK_CID_ANY;
    if (read_number(s, &a->cid) || *s == '\0' || is_any(s))
        return NULL;
    for (a->cid = 0; a->cid < sizeof words / sizeof words[0]; a->cid++)
        if (is(s, words[a->cid]))
            return NULL;
    return "a CID is a number from 0 to 4294967295, decimal or after 0x, or any, hypervisor, local or host; "
           "`virtsock resolve NAME` finds a VM's";
}

static const char *read_port(virtsock_address *a, const char *s)
{
    a->port = VIRTSOCK_PORT_ANY;
    if (a->scheme == VIRTSOCK_SCHEME_MUX && vs_guid_parse(&a->service, s, strlen(s))) {
        a->has_service = true;
        return NULL;
    }
    if (!read_number(s, &a->port) && !is_any(s))
        return "a port is a number from 0 to 4294967295, decimal or after 0x, or any, with nothing around it";
    if (a->scheme == VIRTSOCK_SCHEME_TCP && a->port > 65535 && a->port != VIRTSOCK_PORT_ANY)
        return "a TCP port ends at 65535";
    return NULL;
}

/* A port of the system's choice is none here. Nothing at all is no service. */
static const char *read_service(virtsock_address *a, const char *s)
{
    uint32_t port;

    a->has_service = *s != '\0';
    if (*s == '\0' || vs_guid_parse(&a->service, s, strlen(s)))
        return NULL;
    if (strpbrk(s, "/:") != NULL)
        return "hvsock:// is Hyper-V and has no path; the socket of a multiplexer is vsock-mux://:PORT/PATH";
    if (!read_number(s, &port))
        return "a service is a GUID of 36 characters or a port number from 0 to 2147483647";
    if (port > INT32_MAX)
        return "a Hyper-V port ends at 2147483647; a service GUID may stand for a greater one";
    vs_guid_from_port(&a->service, port);
    return NULL;
}

static const char *read_fd(virtsock_address *a, const char *s)
{
    uint32_t number;

    if (!vs_parse_u32(s, strlen(s), &number) || number > INT32_MAX)
        return "N is the decimal number of an open socket";
    a->fd = (int32_t)number;
    return NULL;
}

/* --- Names and paths ---------------------------------------------------------------------------------------------- */

/* Undoes percent signs. NULL, or why not. */
static const char *decode(char *to, const char *s)
{
    while (*s != '\0') {
        uint32_t byte = (unsigned char)*s++;

        if (byte == '%') {
            if (read_hex(s, 2, &byte) != 2)
                return "two hexadecimal digits follow a %, and the sign itself is %25";
            if (byte == 0)
                return "no name and no path has a NUL: leave %00 out";
            s += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return NULL;
}

/* From the slash on, which a relative path has not; or from the @ of an abstract name. */
static const char *read_path(virtsock_address *a, const char *s)
{
    char       *path = a->text;
    const char *why = s[1] == '\0' ? "the path is missing" : decode(path, s);

    if (why == NULL && path[0] == '/' && vs_is_relative(path + 1))
        memmove(path, path + 1, strlen(path));
    return why;
}

/* Digits alone, how many there may be, and other ways to write a CID are never taken for a name. */
static const char *check_name(const char *s)
{
    uint32_t cid;

    if (s[strspn(s, "0123456789")] == '\0' || is(s, "-1") || read_number(s, &cid))
        return "a CID is for vsock://CID:PORT; a VM is a GUID, a name, parent, loopback, children or wildcard";
    while (*s != '\0') {
        const unsigned char *c = (const unsigned char *)s;
        size_t               length = vs_utf8_length(s);

        if (length == 0)
            return "a VM's name is UTF-8 text";
        if (c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0) || c[0] == '/')
            return "a VM's name has no control character and no slash: write the VM's GUID";
        s += length;
    }
    return NULL;
}

static const char *read_vm(virtsock_address *a, const char *s)
{
    static const struct {
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
    const char *why = strchr(s, ':') != NULL ? "a colon in a VM's name is %3A" : decode(a->text, s);
    size_t      n, braces;
    bool        guid;

    if (why != NULL)
        return why;
    n = strlen(a->text);
    braces = n == VS_GUID_TEXT + 1 && a->text[0] == '{' && a->text[n - 1] == '}';
    guid = vs_guid_parse(&a->vm, a->text + braces, n - 2 * braces);
    if (guid)
        vs_guid_format(a->text, &a->vm);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is(a->text, guid ? words[i].guid : words[i].word)) {
            a->vm_kind = words[i].kind;
            vs_guid_parse(&a->vm, words[i].guid, strlen(words[i].guid));
            strcpy(a->text, a->vm_kind == VS_VM_WILDCARD ? "" : words[i].word);
            return NULL;
        }
    }
    a->vm_kind = guid ? VS_VM_GUID : VS_VM_NAME;
    return guid ? NULL : check_name(a->text);
}

/* --- Hosts -------------------------------------------------------------------------------------------------------- */

/* Four numbers without leading zeros, which some systems take for octal ones, and then end. */
static bool read_ipv4(const char *s, char end, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        size_t   n = strspn(s, "0123456789");
        uint32_t value;

        if (!vs_parse_u32(s, n, &value) || value > 255 || (n > 1 && *s == '0') || s[n] != (i < 3 ? '.' : end))
            return false;
        *out = *out << 8 | value;
        s += n + 1;
    }
    return true;
}

/* RFC 4291, 2.2, up to a bracket: eight groups, `::` once for at least one of zeros, the last two perhaps as IPv4. No
 * zone. */
static bool read_ipv6(const char *s, uint32_t groups[8])
{
    const size_t none = 9;
    size_t       n = 0, gap = none;

    while (*s != ']') {
        size_t   digits;
        uint32_t ipv4;

        if (gap == none && strncmp(s, "::", 2) == 0) {
            gap = n;
            s += 2;
            if (*s == ']')
                break;
        } else if (n > 0 && *s++ != ':') {
            return false;
        }
        if (n <= 6 && read_ipv4(s, ']', &ipv4)) {
            groups[n++] = ipv4 >> 16;
            groups[n++] = ipv4 & 0xffff;
            break;
        }
        digits = n < 8 ? read_hex(s, 4, &groups[n++]) : 0;
        if (digits == 0)
            return false;
        s += digits;
    }
    if (gap == none || n == 8)
        return gap == none && n == 8;
    memmove(groups + 8 - (n - gap), groups + gap, (n - gap) * sizeof groups[0]);
    memset(groups + gap, 0, (8 - n) * sizeof groups[0]);
    return true;
}

/* RFC 5952: lower case, no leading zeros, the first longest run of at least two zero groups as `::`. */
static void format_ipv6(char *to, const uint32_t groups[8])
{
    size_t start = 8, longest = 1;

    for (size_t i = 0, run = 0; i < 8; i++) {
        run = groups[i] == 0 ? run + 1 : 0;
        if (run > longest) {
            longest = run;
            start = i + 1 - run;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (i == start) {
            memcpy(to, "::", 3);
            to += 2;
            i += longest - 1;
        } else {
            to += snprintf(to, 6, i == 0 || i == start + longest ? "%x" : ":%x", (unsigned)groups[i]);
        }
    }
}

static const char *read_host(virtsock_address *a, const char *s)
{
    uint32_t ipv4, ipv6[8];

    if (*s == '[' && strchr(s, ']') == s + strlen(s) - 1 && read_ipv6(s + 1, ipv6))
        format_ipv6(a->text, ipv6);
    else if (is(s, "localhost") || read_ipv4(s, '\0', &ipv4))
        strcpy(a->text, s);
    else
        return "no name is looked up: HOST is localhost, an IPv4 address, or an IPv6 address in brackets; for every interface 0.0.0.0 or [::]";
    return NULL;
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

const char *vs_read_part(virtsock_address *a, virtsock_part part, const char *s)
{
    static const char *(*const readers[])(virtsock_address *, const char *) = {
        [VIRTSOCK_PART_CID] = read_cid,   [VIRTSOCK_PART_PORT] = read_port, [VIRTSOCK_PART_VM] = read_vm, [VIRTSOCK_PART_SERVICE] = read_service,
        [VIRTSOCK_PART_PATH] = read_path, [VIRTSOCK_PART_HOST] = read_host, [VIRTSOCK_PART_FD] = read_fd,
    };

    return part != 0 ? readers[part](a, s) : NULL;
}
