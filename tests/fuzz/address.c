/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: any text, as an address, a path and a VM's name. What is accepted has a canonical form that parses to an equal address
 * with the same form; what is refused leaves a message with a NUL.
 */
#include <stdlib.h>
#include <string.h>

#include "virtsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LONGEST 4096                    /* bytes of an address text */

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_refused(virtsock_status status, const virtsock_address *a, const virtsock_error *e)
{
    must(a == NULL && status == VIRTSOCK_E_INVALID && e->status == status);
    must(strcmp(e->op, "parse") == 0);
    must(memchr(e->message, '\0', sizeof e->message) != NULL && strncmp(e->message, "parse", 5) == 0);
}

/* The parts are texts with their NUL, or numbers, or none; never both. */
static void check_parts(const virtsock_address *a)
{
    for (virtsock_part part = 0; part < 16; part++) {
        const char     *text = virtsock_address_text(a, part);
        uint32_t        number;
        virtsock_status status = virtsock_address_number(a, part, &number);

        must(status == VIRTSOCK_OK || status == VIRTSOCK_E_NOT_FOUND);
        must(text == NULL || (status == VIRTSOCK_E_NOT_FOUND && strlen(text) <= LONGEST));
    }
}

static void check(virtsock_status status, virtsock_address *a, const virtsock_error *e)
{
    char              first[LONGEST + 1], second[LONGEST + 1];
    virtsock_address *again;

    if (status != VIRTSOCK_OK) {
        check_refused(status, a, e);
        return;
    }
    must(virtsock_address_format(a, first, sizeof first) <= LONGEST);
    must(virtsock_address_parse(&again, first, NULL) == VIRTSOCK_OK);
    must(virtsock_address_equal(a, again));
    virtsock_address_format(again, second, sizeof second);
    must(strcmp(first, second) == 0);
    check_parts(a);
    virtsock_address_free(again);
    virtsock_address_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char             *text = malloc(size + 1);
    virtsock_address *a;
    virtsock_error    e;
    virtsock_status   status;

    must(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    memset(&e, 'x', sizeof e);

    status = virtsock_address_parse(&a, text, &e);
    check(status, a, &e);
    status = virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, text, 52, &e);
    check(status, a, &e);
    status = virtsock_address_hyperv(&a, text, "80", &e);
    check(status, a, &e);
    free(text);
    return 0;
}
