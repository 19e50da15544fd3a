/* SPDX-License-Identifier: MIT
 *
 * What transports have in common: their sockets by family, the ends of a step, a request, listening.
 */
#include "transport/transport.h"

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

virtsock_status vs_has_family(enum vs_family family, virtsock_scheme scheme, struct vs_cause *why)
{
    virtsock_fd fd;
    int         code = vs_socket(&fd, family, VIRTSOCK_TYPE_STREAM);

    if (code != 0)
        return vs_os_cause(why, "supported", scheme, code);
    vs_close(fd);
    return VIRTSOCK_OK;
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
