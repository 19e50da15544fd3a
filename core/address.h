/* SPDX-License-Identifier: MIT
 *
 * What the files of the address grammar share: address_form.c has the table of forms, address_part.c reads single parts,
 * address.c knows the values, address_text.c reads and writes whole texts.
 */
#ifndef VS_ADDRESS_H
#define VS_ADDRESS_H

#include "internal.h"

/* How an address looks: NAME[LEFT][:RIGHT][/PATH]. What is read, what is written and which parts there are all go by it. */
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

/* Reads all of s into an address whose text has room for VS_TEXT_MAX bytes and a NUL. NULL, or why it is no such part: static text.
 * Part 0 reads nothing. */
const char *vs_read_part(virtsock_address *a, virtsock_part part, const char *s);

#endif
