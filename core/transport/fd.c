/* SPDX-License-Identifier: MIT
 *
 * fd://N and the functions that adopt: a socket that somebody else made. What it is, is asked of the socket, and
 * nothing of it is changed before it is ours.
 */
#include "transport/transport.h"

virtsock_status vs_adoptable(virtsock_fd fd, bool listener, struct vs_socket_kind *kind, struct vs_cause *why)
{
    int code = vs_socket_kind(fd, kind);

    if (code != 0)
        return vs_os_cause(why, "adopt", VIRTSOCK_SCHEME_FD, code);
    if (kind->type == 0)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "neither a stream nor a seqpacket socket");
    if (vs_scheme_of(kind->family) == VIRTSOCK_SCHEME_NONE)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "a socket of a family that is none of ours");
    if (listener && !kind->listens)
        return vs_because(why, VIRTSOCK_E_INVALID, "the socket does not listen");
    if (!listener && kind->listens)
        return vs_because(why, VIRTSOCK_E_INVALID, "the socket listens: adopt it as a listener");
    if (!listener && !kind->connected)
        return vs_because(why, VIRTSOCK_E_INVALID, "the socket is not connected");
    return VIRTSOCK_OK;
}

static virtsock_status check(const virtsock_address *address, bool listener, struct vs_cause *why)
{
    struct vs_socket_kind kind;
    virtsock_status       status = vs_adoptable(address->fd, listener, &kind, why);

    if (status == VIRTSOCK_OK && address->type == VIRTSOCK_TYPE_SEQPACKET && kind.type != VIRTSOCK_TYPE_SEQPACKET)
        return vs_because(why, VIRTSOCK_E_INVALID, "the socket is a stream, and the address says seqpacket");
    if (status == VIRTSOCK_OK && address->half_close == VIRTSOCK_HALF_CLOSE_FRAMED && kind.type != VIRTSOCK_TYPE_STREAM)
        return vs_because(why, VIRTSOCK_E_INVALID, "the socket has messages, and half-close=framed is for streams");
    return status;
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    virtsock_status status = check(a->address, false, why);

    if (status == VIRTSOCK_OK)
        a->fd = a->address->fd;
    return status;
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options, struct vs_cause *why)
{
    (void)options;
    out->fd = address->fd;
    return check(address, true, why);
}

const struct vs_transport vs_fd = {
    .name = "fd", .family = VS_FAMILY_OTHER, .seqpacket = true,
    .rules = UINT32_MAX,                /* the edge asks what the socket's own family can check */
    .connect = connect_step, .listen = listen_at,
};
