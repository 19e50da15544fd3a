/* SPDX-License-Identifier: MIT
 *
 * The address grammar (docs/address.md), both ways: a text becomes an address, or a message that says what to write
 * instead; an address becomes its one canonical text, which reads as an equal address. No I/O, and no name is looked
 * up.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

#define PART(name) VIRTSOCK_PART_##name
#define TYPE(name) VIRTSOCK_TYPE_##name

/* In the order in which they are written, but for what goes without saying. */
static const struct option {
    const char   *text;
    virtsock_part part;
    int           value;
} options[] = {
    { "type=stream",        PART(TYPE),       TYPE(STREAM) },
    { "type=seqpacket",     PART(TYPE),       TYPE(SEQPACKET) },
    { "type=dgram",         PART(TYPE),       TYPE(DGRAM) },
    { "to-host=1",          PART(TO_HOST),    1 },
    { "half-close=native",  PART(HALF_CLOSE), VIRTSOCK_HALF_CLOSE_NATIVE },
    { "half-close=framed",  PART(HALF_CLOSE), VIRTSOCK_HALF_CLOSE_FRAMED },
    { "half-close=none",    PART(HALF_CLOSE), VIRTSOCK_HALF_CLOSE_NONE },
    { "half-close=unknown", PART(HALF_CLOSE), VIRTSOCK_HALF_CLOSE_UNKNOWN },
};
#define OPTIONS (sizeof options / sizeof options[0])

/* Multiplexers differ, and most carry none from their host. */
static int usual_half_close(virtsock_scheme scheme)
{
    return scheme == VIRTSOCK_SCHEME_MUX ? VIRTSOCK_HALF_CLOSE_UNKNOWN : VIRTSOCK_HALF_CLOSE_NATIVE;
}

/* What goes without saying. */
static int unsaid(const virtsock_address *a, virtsock_part part)
{
    return part == PART(TYPE) ? TYPE(STREAM) : part == PART(HALF_CLOSE) ? usual_half_close(a->scheme) : 0;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* NULL, or why this is no text of an address. */
static const char *copy_text(char copy[VS_TEXT_MAX + 1], const char *text)
{
    size_t n = strlen(text);

    if (n > VS_TEXT_MAX)
        return "an address has at most 4096 bytes";
    memcpy(copy, text, n + 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return "control characters must be encoded, as %0A";
    return NULL;
}

/* Ends a text at what strchr found in it, and gives what follows; NULL where it found nothing. */
static char *cut(char *at)
{
    if (at != NULL)
        *at++ = '\0';
    return at;
}

/* Whether s begins with the name, in any case. */
static bool has_name(const char *s, const char *name)
{
    for (; *name != '\0'; name++, s++)
        if (*s != *name && !(*s >= 'A' && *s <= 'Z' && *s - 'A' + 'a' == *name))
            return false;
    return true;
}

/* An option of this scheme. NULL, or why it is none. */
static const char *set_option(virtsock_address *a, virtsock_part part, int value)
{
    if (part == VIRTSOCK_PART_TYPE)
        a->type = value;
    else if (part == VIRTSOCK_PART_HALF_CLOSE)
        a->half_close = value;
    else if (a->scheme == VIRTSOCK_SCHEME_VSOCK)
        a->to_host = value != 0;
    else
        return "only vsock:// has to-host";
    return NULL;
}

const char *vs_set_choice(virtsock_address *a, virtsock_part part, uint32_t number)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].part == part && ((uint32_t)options[i].value == number || (part == PART(TO_HOST) && number == 0)))
            return set_option(a, part, (int)number);
    return "there is no such choice";
}

/* *seen: a bit for every part that was given. NULL, or why not. */
static const char *read_option(virtsock_address *a, const char *s, unsigned *seen)
{
    const struct option *option = options;

    while (option < options + OPTIONS && strcmp(s, option->text) != 0)
        option++;
    if (option == options + OPTIONS)
        return "the options after ? are type=stream|seqpacket|dgram, half-close=native|framed|none|unknown and (vsock) "
               "to-host=1, joined by &; a ? in a path is %3F";
    if ((*seen >> option->part & 1) != 0)
        return "an option is given twice";
    *seen |= 1u << option->part;
    return set_option(a, option->part, option->value);
}

/* What stands between a form's name and the options: `[LEFT][:RIGHT][/PATH]`. NULL, or why not. */
static const char *read_place(virtsock_address *a, const struct vs_form *form, char *left)
{
    char       *path = cut(strchr(left, '/'));
    /* the last colon: an IPv6 address has others */
    const char *right = form->right != 0 ? cut(strrchr(left, ':')) : NULL;
    const char *why;

    if (form->path == VS_SLASH && path != NULL && *path == '\0')
        path = NULL;
    if (form->right == VIRTSOCK_PART_SERVICE && right == NULL) {
        right = path != NULL ? path : "";
        path = NULL;
    } else if (form->right != 0 && (right == NULL || *right == '\0')) {
        return "the port is missing";
    }
    if (form->left == 0 && *left != '\0')
        return "there is a part too many (a relative path is /./PATH)";
    if (form->path != VS_PATH && path != NULL)
        return "there is a part too many";
    if (form->path == VS_PATH && path == NULL)
        return "the path is missing";

    why = vs_read_part(a, form->left, left);
    if (why == NULL)
        why = vs_read_part(a, form->right, right);
    if (why != NULL || path == NULL)
        return why;
    *--path = '/';
    return vs_read_part(a, VIRTSOCK_PART_PATH, path);
}

/* NULL, or why this is no address. */
static const char *read_text(virtsock_address *a, const char *text)
{
    char                  copy[VS_TEXT_MAX + 1], *s = copy, *item;
    const char           *why = copy_text(copy, text);
    const struct vs_form *form = vs_forms;
    unsigned              seen = 0;

    if (why != NULL)
        return why;
    while (!has_name(s, form->name))
        form++;
    s += strlen(form->name);
    if (form->scheme == VIRTSOCK_SCHEME_NONE)
        return "no known scheme";
    a->scheme = form->scheme;
    a->half_close = usual_half_close(a->scheme);
    a->docker = form->scheme == VIRTSOCK_SCHEME_HYPERKIT && form->path != VS_PATH;
    if (form->type != 0) {
        a->type = form->type;
        seen = 1u << VIRTSOCK_PART_TYPE;
    }

    item = cut(strchr(s, '?'));
    while (why == NULL && item != NULL) {
        char *next = cut(strchr(item, '&'));

        why = read_option(a, item, &seen);
        item = next;
    }
    if (why == NULL && *s == '@' && a->scheme == VIRTSOCK_SCHEME_UNIX)
        return vs_read_part(a, VIRTSOCK_PART_PATH, s);
    return why != NULL ? why : read_place(a, form, s);
}

/* What is left to do when all parts were read. NULL, or why this is no address after all. */
static const char *settle(virtsock_address *a)
{
    size_t text = strlen(a->text) + 1;

    a->size = sizeof *a + text;
    if (a->has_service) {
        vs_guid_format(a->text + text, &a->service);
        a->size += VS_GUID_TEXT;
    }
    /* A byte is written as three at most: short texts cannot become too long. */
    if (text > VS_TEXT_MAX / 4 && virtsock_address_format(a, NULL, 0) > VS_TEXT_MAX)
        return "the canonical form is longer than 4096 bytes";
    return NULL;
}

virtsock_address *vs_draft(union vs_draft *draft)
{
    virtsock_address *a = &draft->address;

    memset(a, 0, sizeof *a);
    a->type = VIRTSOCK_TYPE_STREAM;
    a->half_close = VIRTSOCK_HALF_CLOSE_NATIVE;
    a->text[0] = '\0';
    return a;
}

virtsock_status vs_finish(virtsock_address **out, virtsock_address *a, const char *why, const char *text, virtsock_error *err)
{
    if (why == NULL)
        why = settle(a);
    if (why != NULL)
        return vs_failf(err, "parse", text, VIRTSOCK_E_INVALID, "%s; write %s%s", why, vs_form(a)->name, vs_form(a)->shape);
    if (vs_address_copy(out, a) != VIRTSOCK_OK)
        return vs_failf(err, "parse", text, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    return VIRTSOCK_OK;
}

virtsock_status virtsock_address_parse(virtsock_address **out, const char *text, virtsock_error *err)
{
    union vs_draft    draft;
    virtsock_address *a = vs_draft(&draft);

    if (out != NULL)
        *out = NULL;
    if (out == NULL || text == NULL)
        return vs_failf(err, "parse", NULL, VIRTSOCK_E_INVALID, "no text, or no place for the address");
    return vs_finish(out, a, read_text(a, text), text, err);
}

/* --- Writing ------------------------------------------------------------------------------------------------------ */

void vs_put(struct vs_writer *w, const char *format, ...)
{
    size_t  at = w->n < w->cap ? w->n : w->cap;
    va_list args;

    va_start(args, format);
    w->n += (size_t)vsnprintf(at < w->cap ? w->buf + at : NULL, w->cap - at, format, args);
    va_end(args);
}

/* A slash is plain: no VM's name has one. */
void vs_put_encoded(struct vs_writer *w, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    while (*s != '\0') {
        size_t n = strspn(s, plain);

        vs_put(w, "%.*s", n < VS_TEXT_MAX ? (int)n : VS_TEXT_MAX, s);     /* of what is longer no address is made */
        s += n;
        if (*s != '\0')
            vs_put(w, "%%%02X", (unsigned char)*s++);
    }
}

/* With what stands before it. */
static void put_part(struct vs_writer *w, const virtsock_address *a, virtsock_part part)
{
    const bool relative = a->text[0] == '.';    /* of a path: others begin with a slash, abstract names with @ */

    switch (part) {
    case VIRTSOCK_PART_CID:
        if (a->cid != VIRTSOCK_CID_ANY)
            vs_put(w, "%u", (unsigned)a->cid);
        break;
    case VIRTSOCK_PART_FD:
        vs_put(w, "%d", (int)a->fd);
        break;
    case VIRTSOCK_PART_HOST:
        vs_put(w, strchr(a->text, ':') != NULL ? "[%s]" : "%s", a->text);
        break;
    case VIRTSOCK_PART_VM:
        vs_put_encoded(w, a->text);
        break;
    case VIRTSOCK_PART_PATH:
        vs_put(w, "%c", relative ? '/' : a->text[0]);
        vs_put_encoded(w, a->text + !relative);
        break;
    case VIRTSOCK_PART_SERVICE:
        vs_put(w, "/%s", a->has_service ? vs_address_service(a) : "");
        break;
    case VIRTSOCK_PART_PORT:
        if (a->has_service)
            vs_put(w, ":%s", vs_address_service(a));
        else
            vs_put(w, a->port == VIRTSOCK_PORT_ANY ? ":any" : ":%u", (unsigned)a->port);
        break;
    }
}

static void put_options(struct vs_writer *w, const virtsock_address *a)
{
    char mark = '?';

    for (size_t i = 0; i < OPTIONS; i++) {
        uint32_t value;

        if (options[i].value == unsaid(a, options[i].part)
            || virtsock_address_number(a, options[i].part, &value) != VIRTSOCK_OK || (int)value != options[i].value)
            continue;
        vs_put(w, "%c%s", mark, options[i].text);
        mark = '&';
    }
}

size_t virtsock_address_format(const virtsock_address *address, char *buf, size_t cap)
{
    const struct vs_form *form;
    struct vs_writer         w = { buf, buf == NULL ? 0 : cap, 0 };

    vs_put(&w, "");
    if (address == NULL)
        return 0;
    form = vs_form(address);
    vs_put(&w, "%s", form->name);
    put_part(&w, address, form->left);
    put_part(&w, address, form->right);
    put_part(&w, address, form->path == VS_PATH ? VIRTSOCK_PART_PATH : 0);
    put_options(&w, address);
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
