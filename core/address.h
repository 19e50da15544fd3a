/* SPDX-License-Identifier: MIT
 *
 * What the files of the address grammar share: address_form.c has the table of forms, address_part.c reads single
 * parts, address.c knows the values, address_text.c reads and writes whole texts, address_make.c makes them of parts.
 */
#ifndef VS_ADDRESS_H
#define VS_ADDRESS_H

#include "internal.h"

/* How an address looks: NAME[LEFT][:RIGHT][/PATH]. What is read, what is written and which parts there are all go by
 * it. */
struct vs_form {
    const char     *name;               /* "vsock://" */
    const char     *shape;              /* what a message writes after it: "CID:PORT" */
    virtsock_scheme scheme;
    virtsock_part   left, right;        /* 0: nothing stands there */
    enum { VS_NO_PATH, VS_SLASH, VS_PATH } path;        /* VS_SLASH: none, but a slash at the end does no harm */
    int             type;               /* VIRTSOCK_TYPE_ that the name says, or 0 */
};

/* Of a scheme the first is the canonical one; the last stands for all that has none. */
extern const struct vs_form vs_forms[];
/* The form in which the address is written. */
const struct vs_form *vs_form(const virtsock_address *address);

/* The service's text, or NULL. */
const char *vs_address_service(const virtsock_address *address);

/* Reads all of s into an address whose text has room for VS_TEXT_MAX bytes and a NUL. NULL, or why it is no such part:
 * static text. Part 0 reads nothing. */
const char *vs_read_part(virtsock_address *a, virtsock_part part, const char *s);

/* --- address_text.c, for those that make addresses of parts ------------------------------------------------------- */

/* An address in the making: of no scheme yet, a native stream. */
union vs_draft {
    virtsock_address address;
    char             room[sizeof(virtsock_address) + VS_TEXT_MAX + 1 + VS_GUID_TEXT];
};
virtsock_address *vs_draft(union vs_draft *draft);
/* Chooses a type, a half-close, to-host. NULL, or why there is no such choice. */
const char *vs_set_choice(virtsock_address *a, virtsock_part part, uint32_t number);
/* Copies it out. why: NULL, or why what was read of text is no address. */
virtsock_status vs_finish(virtsock_address **out, virtsock_address *a, const char *why, const char *text,
                          virtsock_error *err);

/* "./x" or "../x". */
static inline bool vs_is_relative(const char *path)
{
    return path[0] == '.' && path[1 + (path[1] == '.')] == '/';
}

struct vs_writer {
    char  *buf;
    size_t cap, n;                      /* n: also what did not fit */
};
void vs_put(struct vs_writer *w, const char *format, ...);
/* With percent signs, where the text of an address has them. */
void vs_put_encoded(struct vs_writer *w, const char *s);

#endif
