/* SPDX-License-Identifier: MIT
 *
 * The one canonical form of every address: what is written here, address_parse.c reads as an equal address. Equality is that of the form.
 */
#include <stdio.h>
#include <string.h>

#include "address.h"

struct writer {
    char  *buf;
    size_t cap, n;                      /* n: also what did not fit */
};

static void put_bytes(struct writer *w, const char *s, size_t n)
{
    if (w->n < w->cap)
        memcpy(w->buf + w->n, s, n < w->cap - w->n ? n : w->cap - w->n);
    w->n += n;
}

static void put(struct writer *w, const char *s)
{
    put_bytes(w, s, strlen(s));
}

static void put_number(struct writer *w, uint32_t number)
{
    char digits[11];

    snprintf(digits, sizeof digits, "%lu", (unsigned long)number);
    put(w, digits);
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
}

static void put_encoded(struct writer *w, const char *s, char also_plain)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        const char    escape[3] = { '%', digits[c >> 4], digits[c & 15] };

        if (is_plain(c) || *s == also_plain)
            put_bytes(w, s, 1);
        else
            put_bytes(w, escape, 3);
    }
}

static void put_path(struct writer *w, const virtsock_address *a)
{
    if (a->text[0] != '/' && !a->docker)
        put(w, "/");
    put_encoded(w, a->text, '/');
}

static void put_cid_port(struct writer *w, const virtsock_address *a)
{
    if (a->cid != VIRTSOCK_CID_ANY)
        put_number(w, a->cid);
    put(w, ":");
    if (a->port == VIRTSOCK_PORT_ANY)
        put(w, "any");
    else
        put_number(w, a->port);
}

static void put_place(struct writer *w, const virtsock_address *a)
{
    bool bracket = a->scheme == VIRTSOCK_SCHEME_TCP && strchr(a->text, ':') != NULL;

    switch (a->scheme) {
    case VIRTSOCK_SCHEME_VSOCK:
        put_cid_port(w, a);
        break;
    case VIRTSOCK_SCHEME_HYPERV:
        put_encoded(w, a->text, '\0');
        put(w, "/");
        put(w, a->has_service ? vs_address_service(a) : "");
        break;
    case VIRTSOCK_SCHEME_MUX:
        if (a->has_service) {
            put(w, ":");
            put(w, vs_address_service(a));
            put_path(w, a);
            break;
        }
        /* fall through */
    case VIRTSOCK_SCHEME_HYPERKIT:
        put_cid_port(w, a);
        put_path(w, a);
        break;
    case VIRTSOCK_SCHEME_UNIX:
        put_path(w, a);
        break;
    case VIRTSOCK_SCHEME_TCP:
        put(w, bracket ? "[" : "");
        put(w, a->text);
        put(w, bracket ? "]" : "");
        put_cid_port(w, a);
        break;
    default:
        put_number(w, (uint32_t)a->fd);
    }
}

static void put_options(struct writer *w, const virtsock_address *a)
{
    const char *separator = "?";

    if (a->type != VIRTSOCK_TYPE_STREAM) {
        put(w, a->type == VIRTSOCK_TYPE_SEQPACKET ? "?type=seqpacket" : "?type=dgram");
        separator = "&";
    }
    if (a->to_host) {
        put(w, separator);
        put(w, "to-host=1");
        separator = "&";
    }
    if (a->half_close == VIRTSOCK_HALF_CLOSE_FRAMED) {
        put(w, separator);
        put(w, "half-close=framed");
    }
}

size_t virtsock_address_format(const virtsock_address *address, char *buf, size_t cap)
{
    static const char *const schemes[] = {
        [VIRTSOCK_SCHEME_VSOCK] = "vsock://",   [VIRTSOCK_SCHEME_HYPERV] = "hvsock://", [VIRTSOCK_SCHEME_HYPERKIT] = "hyperkit://",
        [VIRTSOCK_SCHEME_MUX] = "vsock-mux://", [VIRTSOCK_SCHEME_UNIX] = "unix://",     [VIRTSOCK_SCHEME_TCP] = "tcp://",
        [VIRTSOCK_SCHEME_FD] = "fd://",
    };
    struct writer w = { buf, buf == NULL ? 0 : cap, 0 };

    if (address != NULL) {
        put(&w, address->docker ? "hyperkit+docker://" : schemes[address->scheme]);
        put_place(&w, address);
        put_options(&w, address);
    }
    if (w.cap > 0)
        w.buf[w.n < w.cap ? w.n : w.cap - 1] = '\0';
    return w.n;
}

int virtsock_address_equal(const virtsock_address *a, const virtsock_address *b)
{
    char text[2][VS_TEXT_MAX + 1];

    if (a == NULL || b == NULL)
        return 0;
    virtsock_address_format(a, text[0], sizeof text[0]);
    virtsock_address_format(b, text[1], sizeof text[1]);
    return strcmp(text[0], text[1]) == 0;
}
