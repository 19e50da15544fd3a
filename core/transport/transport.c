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

/* Why it cannot be had so, in text where an option has to be named. */
static virtsock_status misfit(const struct vs_transport *t, const virtsock_address *address,
                              const virtsock_options *options, char text[80], struct vs_cause *why)
{
    const bool messages = address->type == VIRTSOCK_TYPE_SEQPACKET;
    uint32_t   set = vs_options_set_mask(options), odd = set & ~(t->options | VS_OPTIONS_COMMON);
    int        option = 1;

    if (address->type == VIRTSOCK_TYPE_DGRAM)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "no transport has datagrams: use type=stream or type=seqpacket");
    if (messages && !t->seqpacket)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "this way carries streams alone: leave type=seqpacket out");
    if (messages && address->half_close == VIRTSOCK_HALF_CLOSE_FRAMED)
        return vs_because(why, VIRTSOCK_E_INVALID,
                          "frames make a stream of bytes: half-close=framed and type=seqpacket exclude each other");
    if (odd == 0 && address->text[0] == '@' && (set & VS_OPTION_BIT(VIRTSOCK_OPTION_SOCKET_MODE)) != 0)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "an abstract name has no SOCKET_MODE: rules say whom to take");
    if (odd == 0)
        return VIRTSOCK_OK;
    while ((odd >> option & 1) == 0)
        option++;
    snprintf(text, 80, "the %s transport has no use for option %s", t->name, vs_option_name(option));
    return vs_because(why, VIRTSOCK_E_UNSUPPORTED, text);
}

const struct vs_transport *vs_transport_for(const virtsock_address *address, const virtsock_options *options,
                                            const char *op, virtsock_error *err)
{
    struct vs_cause            why;
    const struct vs_transport *t = vs_transport_of(address->scheme, &why);
    char                       text[80];

    if (t != NULL && misfit(t, address, options, text, &why) == VIRTSOCK_OK)
        return t;
    vs_fail(err, op, address, &why);
    return NULL;
}
