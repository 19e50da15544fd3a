/* SPDX-License-Identifier: MIT
 *
 * The registry: a const table by scheme, and what is asked before a transport is used.
 */
#include <stdio.h>

#include "transport/transport.h"

static const struct vs_transport *const transports[] = {
    [VIRTSOCK_SCHEME_VSOCK] = &vs_vsock,
    [VIRTSOCK_SCHEME_UNIX]  = &vs_unix,
    [VIRTSOCK_SCHEME_FD]    = &vs_fd,
};

static const char *const reasons[] = {
    [VIRTSOCK_SCHEME_NONE]     = "no such scheme",
    [VIRTSOCK_SCHEME_HYPERV]   = "Hyper-V sockets are for Windows, which this version does not run on; a Linux guest writes vsock://host:PORT",
    [VIRTSOCK_SCHEME_HYPERKIT] = "this version has no hyperkit transport",
    [VIRTSOCK_SCHEME_MUX]      = "this version has no vsock-mux transport",
    [VIRTSOCK_SCHEME_TCP]      = "this version has no tcp transport",
};

const struct vs_transport *vs_transport_of(virtsock_scheme scheme, struct vs_cause *why)
{
    const size_t known = sizeof transports / sizeof transports[0];

    if (scheme > 0 && (size_t)scheme < known && transports[scheme] != NULL)
        return transports[scheme];
    vs_because(why, VIRTSOCK_E_UNSUPPORTED, scheme > 0 && (size_t)scheme < known ? reasons[scheme] : reasons[VIRTSOCK_SCHEME_NONE]);
    return NULL;
}

virtsock_scheme vs_scheme_of(enum vs_family family)
{
    switch (family) {
    case VS_FAMILY_UNIX:  return VIRTSOCK_SCHEME_UNIX;
    case VS_FAMILY_VSOCK: return VIRTSOCK_SCHEME_VSOCK;
    case VS_FAMILY_INET:  return VIRTSOCK_SCHEME_TCP;
    default:              return VIRTSOCK_SCHEME_NONE;
    }
}

const struct vs_transport *vs_transport_for(const virtsock_address *address, const virtsock_options *options, const char *op, virtsock_error *err)
{
    const struct vs_transport *t;
    struct vs_cause            why;
    uint32_t                   odd;

    if ((t = vs_transport_of(address->scheme, &why)) == NULL) {
        vs_fail(err, op, address, &why);
        return NULL;
    }
    if (address->type == VIRTSOCK_TYPE_DGRAM) {
        vs_refuse(err, op, address, VIRTSOCK_E_UNSUPPORTED, "no transport has datagrams: use type=stream or type=seqpacket");
        return NULL;
    }
    if (address->half_close == VIRTSOCK_HALF_CLOSE_FRAMED) {
        vs_refuse(err, op, address, VIRTSOCK_E_UNSUPPORTED, "this version has no framed half-close");
        return NULL;
    }
    odd = vs_options_set_mask(options) & ~(t->options | VS_OPTIONS_COMMON);
    for (int option = 1; option < VS_OPTIONS_END; option++) {
        char text[80];

        if ((odd >> option & 1) == 0)
            continue;
        snprintf(text, sizeof text, "the %s transport has no use for option %s", t->name, vs_option_name(option));
        vs_refuse(err, op, address, VIRTSOCK_E_UNSUPPORTED, text);
        return NULL;
    }
    return t;
}
