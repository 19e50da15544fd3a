/* SPDX-License-Identifier: MIT
 *
 * The registry: a const table by scheme, and what is asked before a transport is used.
 */
#include <stdio.h>

#include "transport/transport.h"

static const struct vs_transport *const transports[] = {
    [VIRTSOCK_SCHEME_VSOCK]    = &vs_vm,
    [VIRTSOCK_SCHEME_HYPERV]   = &vs_vm,
    [VIRTSOCK_SCHEME_HYPERKIT] = &vs_hyperkit,
    [VIRTSOCK_SCHEME_MUX]      = &vs_mux,
    [VIRTSOCK_SCHEME_UNIX]     = &vs_unix,
    [VIRTSOCK_SCHEME_TCP]      = &vs_tcp,
    [VIRTSOCK_SCHEME_FD]       = &vs_fd,
};

const struct vs_transport *vs_transport_of(virtsock_scheme scheme, struct vs_cause *why)
{
    if (scheme > 0 && (size_t)scheme < sizeof transports / sizeof transports[0] && transports[scheme] != NULL)
        return transports[scheme];
    vs_because(why, VIRTSOCK_E_UNSUPPORTED, "no such scheme");
    return NULL;
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
    if (address->type == VIRTSOCK_TYPE_SEQPACKET && !t->seqpacket) {
        vs_refuse(err, op, address, VIRTSOCK_E_UNSUPPORTED, "this transport carries streams alone: leave type=seqpacket out");
        return NULL;
    }
    if (address->type == VIRTSOCK_TYPE_SEQPACKET && address->half_close == VIRTSOCK_HALF_CLOSE_FRAMED) {
        vs_refuse(err, op, address, VIRTSOCK_E_INVALID, "frames make a stream of bytes: half-close=framed and type=seqpacket exclude each other");
        return NULL;
    }
    odd = vs_options_set_mask(options) & ~(t->options | VS_OPTIONS_COMMON);
    for (int option = 1; odd != 0 && option < VS_OPTIONS_END; option++) {
        char text[80];

        if ((odd >> option & 1) == 0)
            continue;
        snprintf(text, sizeof text, "the %s transport has no use for option %s", t->name, vs_option_name(option));
        vs_refuse(err, op, address, VIRTSOCK_E_UNSUPPORTED, text);
        return NULL;
    }
    return t;
}
