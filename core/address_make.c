/* SPDX-License-Identifier: MIT
 *
 * Addresses from parts: written, then read, so that there is one maker. No I/O.
 */
#include <stdio.h>
#include <string.h>

#include "address.h"

#define PART(name) VIRTSOCK_PART_##name

/* --- Whole ones --------------------------------------------------------------------------------------------------- */

virtsock_status virtsock_address_vsock(virtsock_address **out, uint32_t cid, uint32_t port, virtsock_error *err)
{
    char text[sizeof "vsock://4294967295:4294967295"];

    snprintf(text, sizeof text, "vsock://%u:%u", (unsigned)cid, (unsigned)port);
    return virtsock_address_parse(out, text, err);
}

virtsock_status virtsock_address_hyperv(virtsock_address **out, const char *vm, const char *service, virtsock_error *err)
{
    char             text[VS_TEXT_MAX + 2];
    struct vs_writer w = { text, sizeof text, 0 };

    if (vm == NULL || service == NULL)
        return virtsock_address_parse(out, NULL, err);
    vs_put(&w, "hvsock://");
    vs_put_encoded(&w, vm);
    vs_put(&w, "/");
    vs_put_encoded(&w, service);
    return virtsock_address_parse(out, text, err);
}

virtsock_status virtsock_address_path(virtsock_address **out, virtsock_scheme scheme, const char *path, uint32_t port, virtsock_error *err)
{
    const virtsock_address any = { .scheme = scheme };
    const struct vs_form  *form = vs_form(&any);
    char                   text[VS_TEXT_MAX + 2];
    struct vs_writer       w = { text, sizeof text, 0 };

    if (out != NULL)
        *out = NULL;
    if (path == NULL || form->path != VS_PATH)
        return vs_failf(err, "parse", path, VIRTSOCK_E_INVALID, "only unix, vsock-mux and hyperkit addresses are made from a path");

    /* To a system these are `/x`, in the text of an address `./x` and `../x`. */
    while (path[0] == '/' && vs_is_relative(path + 1))
        path += path[2] == '/' ? 2 : 3;
    vs_put(&w, form->right != 0 ? "%s:%u" : "%s", form->name, (unsigned)port);
    if (path[0] == '@' && scheme == VIRTSOCK_SCHEME_UNIX)
        vs_put(&w, "%c", *path++);
    else if (path[0] != '/' && path[0] != '\0')
        vs_put(&w, vs_is_relative(path) ? "/" : "/./");
    vs_put_encoded(&w, path);
    return virtsock_address_parse(out, text, err);
}

/* --- One part changed --------------------------------------------------------------------------------------------- */

static bool is_text(virtsock_part part)
{
    return part == VIRTSOCK_PART_VM || part == VIRTSOCK_PART_SERVICE || part == VIRTSOCK_PART_PATH || part == VIRTSOCK_PART_HOST;
}

/* The scheme of an address that begins with that part; NONE: no address does. */
static virtsock_scheme scheme_of(virtsock_part part)
{
    static const virtsock_scheme schemes[] = {
        [PART(CID)] = VIRTSOCK_SCHEME_VSOCK, [PART(PORT)] = VIRTSOCK_SCHEME_VSOCK, [PART(VM)] = VIRTSOCK_SCHEME_HYPERV,
        [PART(SERVICE)] = VIRTSOCK_SCHEME_HYPERV, [PART(PATH)] = VIRTSOCK_SCHEME_UNIX, [PART(HOST)] = VIRTSOCK_SCHEME_TCP,
        [PART(FD)] = VIRTSOCK_SCHEME_FD,
    };

    return part > 0 && (size_t)part < sizeof schemes / sizeof schemes[0] ? schemes[part] : VIRTSOCK_SCHEME_NONE;
}

/* The value as an address has it: a number, an encoded name or path, a host in its brackets. */
static void write_value(struct vs_writer *w, virtsock_part part, uint32_t number, const char *text)
{
    if (text == NULL)
        vs_put(w, "%u", (unsigned)number);
    else if (part == VIRTSOCK_PART_VM)
        vs_put_encoded(w, text);
    else
        vs_put(w, part == VIRTSOCK_PART_HOST && strchr(text, ':') != NULL && *text != '[' ? "[%s]" : "%s", text);
}

/* NULL, or why not. */
static const char *set_part(virtsock_address *a, virtsock_part part, uint32_t number, const char *value)
{
    const struct vs_form *form = vs_form(a);

    if (form->scheme == VIRTSOCK_SCHEME_NONE)
        return "no address has that part alone";
    if (part == PART(TYPE) || part == PART(TO_HOST) || part == PART(HALF_CLOSE))
        return vs_set_choice(a, part, number);
    if (part == PART(SERVICE) && form->right == PART(PORT))             /* a multiplexer's */
        part = PART(PORT);
    if (part == 0 || (part != form->left && part != form->right))
        return "this scheme has no such part";
    if (part == form->right)
        a->has_service = false;
    if (part == PART(VM))
        memset(&a->vm, 0, sizeof a->vm);
    return vs_read_part(a, part, value);
}

virtsock_status virtsock_address_with(virtsock_address **out, const virtsock_address *from, virtsock_part part,
                                      uint32_t number, const char *text, virtsock_error *err)
{
    char              value[VS_TEXT_MAX + 2];
    struct vs_writer  w = { value, sizeof value, 0 };
    union vs_draft    draft;
    virtsock_address *a, *path;
    virtsock_status   status;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || is_text(part) != (text != NULL))
        return vs_failf(err, "parse", text, VIRTSOCK_E_INVALID, "no place for the address, or a part that is a number as a text or the reverse");
    a = vs_draft(&draft);
    a->cid = a->port = VIRTSOCK_PORT_ANY;
    a->scheme = scheme_of(part);
    if (from != NULL)
        memcpy(a, from, from->size);
    else if (part == PART(SERVICE))
        a->vm_kind = VS_VM_WILDCARD;
    if (part == VIRTSOCK_PART_PATH && vs_form(a)->path == VS_PATH) {
        if ((status = virtsock_address_path(&path, a->scheme, text, 0, err)) != VIRTSOCK_OK)
            return status;
        memcpy(a->text, path->text, strlen(path->text) + 1);
        virtsock_address_free(path);
        return vs_finish(out, a, NULL, text, err);
    }
    write_value(&w, part, number, text);
    return vs_finish(out, a, w.n > VS_TEXT_MAX ? "an address has at most 4096 bytes" : set_part(a, part, number, value), value, err);
}
