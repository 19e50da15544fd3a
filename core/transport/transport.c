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

virtsock_scheme vs_scheme_of(enum vs_family family)
{
    switch (family) {
    case VS_FAMILY_UNIX:  return VIRTSOCK_SCHEME_UNIX;
    case VS_FAMILY_VSOCK: return VIRTSOCK_SCHEME_VSOCK;
    case VS_FAMILY_HYPERV: return VIRTSOCK_SCHEME_HYPERV;
    case VS_FAMILY_INET:
    case VS_FAMILY_INET6: return VIRTSOCK_SCHEME_TCP;
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

virtsock_status vs_ask(struct vs_attempt *a, size_t size, struct vs_cause *why)
{
    int64_t n;

    do
        n = vs_send(a->fd, a->line, size, 0);
    while (vs_was_interrupted((int)-n));
    if (n == (int64_t)size)
        return VIRTSOCK_OK;
    if (n >= 0 || vs_would_block((int)-n))
        return vs_because(why, VIRTSOCK_E_REFUSED, "the request did not leave in one piece");
    return vs_os_cause(why, "connect", a->address->scheme, (int)-n);
}

virtsock_status vs_connected(struct vs_attempt *a, int code, struct vs_cause *why)
{
    if (code == VS_PENDING) {
        a->events = VIRTSOCK_WANT_SEND;
        a->again_at = VS_FOREVER;
        return VIRTSOCK_E_AGAIN;
    }
    if (code == 0)
        code = vs_set_blocking(a->fd, true);
    return code == 0 ? VIRTSOCK_OK : vs_os_cause(why, "connect", a->address->scheme, code);
}

virtsock_status vs_listening(struct vs_bound *out, const struct vs_end *at, int code, virtsock_scheme scheme, const virtsock_options *options,
                             struct vs_cause *why)
{
    if (code == 0)
        code = vs_bind(out->fd, at);
    if (code == 0)
        code = vs_listen(out->fd, (int)vs_option(options, VIRTSOCK_OPTION_BACKLOG, VS_BACKLOG));
    if (code == 0)
        return VIRTSOCK_OK;
    if (out->fd >= 0)
        vs_close(out->fd);
    return vs_os_cause(why, "listen", scheme, code);
}
