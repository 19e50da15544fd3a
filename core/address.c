/* SPDX-License-Identifier: MIT
 *
 * Addresses as values: made from parts, copied, and asked for their parts. No I/O, and no name is looked up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

/* --- Making -------------------------------------------------------------------------------------------------------------- */

void vs_address_begin(virtsock_address *head, virtsock_scheme scheme)
{
    memset(head, 0, sizeof *head);
    head->scheme = scheme;
    head->type = VIRTSOCK_TYPE_STREAM;
    head->half_close = VIRTSOCK_HALF_CLOSE_NATIVE;
    head->cid = VIRTSOCK_CID_ANY;
}

virtsock_status vs_address_new(virtsock_address **out, const virtsock_address *head, struct vs_span text, const char *about,
                               virtsock_error *err)
{
    size_t            size = sizeof *head + text.n + 1 + (head->has_service ? VS_GUID_TEXT : 0);
    virtsock_address *a = malloc(size);

    if (a == NULL)
        return vs_failf(err, "parse", about, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    *a = *head;
    a->size = size;
    memcpy(a->text, text.s, text.n);
    a->text[text.n] = '\0';
    if (a->has_service)
        vs_guid_format(a->text + text.n + 1, &a->service);

    /* A byte is written as three at most: short texts cannot become too long. */
    if (text.n > VS_TEXT_MAX / 4 && virtsock_address_format(a, NULL, 0) > VS_TEXT_MAX) {
        free(a);
        return vs_failf(err, "parse", about, VIRTSOCK_E_INVALID, "the canonical form is longer than %d bytes", VS_TEXT_MAX);
    }
    *out = a;
    return VIRTSOCK_OK;
}

virtsock_status virtsock_address_vsock(virtsock_address **out, uint32_t cid, uint32_t port, virtsock_error *err)
{
    virtsock_address head;

    if (out == NULL)
        return vs_refuse(err, "parse", NULL, VIRTSOCK_E_INVALID, "no place for the address");
    *out = NULL;
    vs_address_begin(&head, VIRTSOCK_SCHEME_VSOCK);
    head.cid = cid;
    head.port = port;
    return vs_address_new(out, &head, (struct vs_span){ "", 0 }, NULL, err);
}

virtsock_status virtsock_address_hyperv(virtsock_address **out, const char *vm, const char *service, virtsock_error *err)
{
    char             buf[VS_GUID_TEXT];
    virtsock_address head;
    struct vs_span   text;
    const char      *why;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || vm == NULL || service == NULL)
        return vs_refuse(err, "parse", NULL, VIRTSOCK_E_INVALID, "a Hyper-V address is made from a VM and a service");
    vs_address_begin(&head, VIRTSOCK_SCHEME_HYPERV);
    text = (struct vs_span){ vm, strlen(vm) };
    why = vs_read_vm(&text, &head, buf);
    if (why == NULL)
        why = vs_read_service((struct vs_span){ service, strlen(service) }, &head);
    if (why != NULL)
        return vs_failf(err, "parse", vm, VIRTSOCK_E_INVALID, "%s", why);
    return vs_address_new(out, &head, text, vm, err);
}

/* What must stand before a path so that the canonical form means the same, after *path has lost its empty beginnings: in address
 * text `/./x` is relative, and to a system `/./x` and `/../x` are `/x`. */
static const char *path_prefix(const char **path)
{
    while (strncmp(*path, "/./", 3) == 0 || strncmp(*path, "/../", 4) == 0)
        *path += (*path)[2] == '/' ? 2 : 3;
    return **path == '/' || strncmp(*path, "./", 2) == 0 || strncmp(*path, "../", 3) == 0 ? "" : "./";
}

virtsock_status virtsock_address_path(virtsock_address **out, virtsock_scheme scheme, const char *path, uint32_t port, virtsock_error *err)
{
    char             buf[VS_TEXT_MAX + 1];
    virtsock_address head;
    const char      *rest = path, *prefix;
    int              n;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || path == NULL || path[0] == '\0')
        return vs_refuse(err, "parse", NULL, VIRTSOCK_E_INVALID, "the path is missing");
    if (scheme != VIRTSOCK_SCHEME_UNIX && scheme != VIRTSOCK_SCHEME_MUX && scheme != VIRTSOCK_SCHEME_HYPERKIT)
        return vs_failf(err, "parse", path, VIRTSOCK_E_INVALID, "only unix, vsock-mux and hyperkit addresses are made from a path");
    prefix = path_prefix(&rest);
    if (strcmp(rest, "/") == 0)
        return vs_failf(err, "parse", path, VIRTSOCK_E_INVALID, "the root directory is no socket and holds none");
    n = strlen(rest) <= VS_TEXT_MAX ? snprintf(buf, sizeof buf, "%s%s", prefix, rest) : VS_TEXT_MAX + 1;
    if (n > VS_TEXT_MAX)
        return vs_failf(err, "parse", path, VIRTSOCK_E_INVALID, "the canonical form is longer than %d bytes", VS_TEXT_MAX);
    vs_address_begin(&head, scheme);
    head.port = port;
    return vs_address_new(out, &head, (struct vs_span){ buf, (size_t)n }, path, err);
}

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

/* --- Parts --------------------------------------------------------------------------------------------------------------------- */

virtsock_scheme virtsock_address_scheme(const virtsock_address *address)
{
    return address != NULL ? address->scheme : VIRTSOCK_SCHEME_NONE;
}

const char *vs_address_service(const virtsock_address *address)
{
    return address->has_service ? address->text + strlen(address->text) + 1 : NULL;
}

#define OF(scheme) (1u << VIRTSOCK_SCHEME_##scheme)

/* Whether an address of that scheme can have the part. */
static bool has_part(const virtsock_address *a, virtsock_part part)
{
    static const unsigned schemes[] = {
        [VIRTSOCK_PART_CID] = OF(VSOCK) | OF(HYPERKIT),
        [VIRTSOCK_PART_PORT] = OF(VSOCK) | OF(HYPERKIT) | OF(MUX) | OF(TCP),
        [VIRTSOCK_PART_VM] = OF(HYPERV),
        [VIRTSOCK_PART_SERVICE] = OF(HYPERV) | OF(MUX),
        [VIRTSOCK_PART_PATH] = OF(HYPERKIT) | OF(MUX) | OF(UNIX),
        [VIRTSOCK_PART_HOST] = OF(TCP),
        [VIRTSOCK_PART_FD] = OF(FD),
        [VIRTSOCK_PART_TYPE] = ~0u,
        [VIRTSOCK_PART_TO_HOST] = OF(VSOCK),
        [VIRTSOCK_PART_HALF_CLOSE] = ~0u,
    };

    return part >= 0 && part < (int)(sizeof schemes / sizeof schemes[0]) && (schemes[part] >> a->scheme & 1) != 0;
}

virtsock_status virtsock_address_number(const virtsock_address *address, virtsock_part part, uint32_t *value)
{
    if (address == NULL || value == NULL)
        return VIRTSOCK_E_INVALID;
    if (!has_part(address, part))
        return VIRTSOCK_E_NOT_FOUND;
    switch (part) {
    case VIRTSOCK_PART_CID:        *value = address->cid; break;
    case VIRTSOCK_PART_FD:         *value = (uint32_t)address->fd; break;
    case VIRTSOCK_PART_TYPE:       *value = (uint32_t)address->type; break;
    case VIRTSOCK_PART_TO_HOST:    *value = address->to_host; break;
    case VIRTSOCK_PART_HALF_CLOSE: *value = (uint32_t)address->half_close; break;
    case VIRTSOCK_PART_PORT:
        if (address->has_service)
            return VIRTSOCK_E_NOT_FOUND;
        *value = address->port;
        break;
    default:
        return VIRTSOCK_E_NOT_FOUND;
    }
    return VIRTSOCK_OK;
}

const char *virtsock_address_text(const virtsock_address *address, virtsock_part part)
{
    if (address == NULL || !has_part(address, part))
        return NULL;
    switch (part) {
    case VIRTSOCK_PART_SERVICE:
        return vs_address_service(address);
    case VIRTSOCK_PART_PATH:
        return address->docker ? NULL : address->text;
    case VIRTSOCK_PART_VM:
    case VIRTSOCK_PART_HOST:
        return address->text;
    default:
        return NULL;
    }
}
