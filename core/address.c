/* SPDX-License-Identifier: MIT
 *
 * Addresses as values: copied, and asked for their parts. No I/O.
 */
#include <stdlib.h>
#include <string.h>

#include "address.h"

virtsock_status vs_address_copy(virtsock_address **out, const virtsock_address *from)
{
    *out = NULL;
    if (from == NULL)
        return VIRTSOCK_E_INVALID;
    *out = malloc(from->size);
    if (*out == NULL)
        return VIRTSOCK_E_NO_RESOURCES;
    memcpy(*out, from, from->size);
    return VIRTSOCK_OK;
}

void virtsock_address_free(virtsock_address *address)
{
    free(address);
}

virtsock_scheme virtsock_address_scheme(const virtsock_address *address)
{
    return address != NULL ? address->scheme : VIRTSOCK_SCHEME_NONE;
}

const char *vs_address_service(const virtsock_address *address)
{
    return address->has_service ? address->text + strlen(address->text) + 1 : NULL;
}

virtsock_status virtsock_address_number(const virtsock_address *address, virtsock_part part, uint32_t *value)
{
    const struct vs_form *form;

    if (address == NULL || value == NULL)
        return VIRTSOCK_E_INVALID;
    form = vs_form(address);
    if (part == VIRTSOCK_PART_CID && form->left == part)
        *value = address->cid;
    else if (part == VIRTSOCK_PART_PORT && form->right == part && !address->has_service)
        *value = address->port;
    else if (part == VIRTSOCK_PART_FD && form->left == part)
        *value = (uint32_t)address->fd;
    else if (part == VIRTSOCK_PART_TYPE)
        *value = (uint32_t)address->type;
    else if (part == VIRTSOCK_PART_TO_HOST && address->scheme == VIRTSOCK_SCHEME_VSOCK)
        *value = address->to_host;
    else if (part == VIRTSOCK_PART_HALF_CLOSE)
        *value = (uint32_t)address->half_close;
    else
        return VIRTSOCK_E_NOT_FOUND;
    return VIRTSOCK_OK;
}

const char *virtsock_address_text(const virtsock_address *address, virtsock_part part)
{
    const struct vs_form *form;

    if (address == NULL)
        return NULL;
    if (part == VIRTSOCK_PART_SERVICE)
        return vs_address_service(address);
    form = vs_form(address);
    if (part == VIRTSOCK_PART_PATH)
        return form->path == VS_PATH ? address->text : NULL;
    return (part == VIRTSOCK_PART_VM || part == VIRTSOCK_PART_HOST) && form->left == part ? address->text : NULL;
}
