/* SPDX-License-Identifier: MIT
 *
 * What the files of the address grammar share: address.c makes values, address_part.c reads single parts, address_parse.c reads whole
 * texts, address_text.c writes them.
 */
#ifndef VS_ADDRESS_H
#define VS_ADDRESS_H

#include "internal.h"

struct vs_span {
    const char *s;                      /* not NUL-terminated */
    size_t      n;
};

/* Zero, with the defaults of every scheme. */
void vs_address_begin(virtsock_address *head, virtsock_scheme scheme);
/* An address from its fixed part and its text. INVALID: its canonical form would be too long to parse; NO_RESOURCES. about is for err. */
virtsock_status vs_address_new(virtsock_address **out, const virtsock_address *head, struct vs_span text, const char *about,
                               virtsock_error *err);
/* The service's text, or NULL. */
const char *vs_address_service(const virtsock_address *address);

bool vs_span_is(struct vs_span span, const char *word);

/* All below read a whole span, and give NULL, or why it is no such thing: static text. */

const char *vs_read_cid(struct vs_span span, uint32_t *cid);
const char *vs_read_port(struct vs_span span, uint32_t *port);
/* A port of the system's choice is none here. Nothing at all is no service. */
const char *vs_read_service(struct vs_span span, virtsock_address *head);
/* Decoded; *span becomes what stands in the canonical form: static, in buf, or as it was. */
const char *vs_read_vm(struct vs_span *span, virtsock_address *head, char buf[VS_GUID_TEXT]);
/* An IP address or `localhost`; buf has the canonical text, without brackets. */
#define VS_HOST_TEXT 40
const char *vs_read_host(struct vs_span span, char buf[VS_HOST_TEXT]);
/* Decodes percent signs into buf, which has room for span->n bytes; *span becomes what is there. */
const char *vs_decode(struct vs_span *span, char *buf);

#endif
