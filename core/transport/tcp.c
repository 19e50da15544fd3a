/* SPDX-License-Identifier: MIT
 *
 * tcp: for relays and baselines. Hosts are numbers, or localhost, which is 127.0.0.1 here: no name is looked up.
 */
#include <stdio.h>
#include <string.h>

#include "transport/transport.h"

static struct vs_end end_of(const virtsock_address *address)
{
    const char   *host = strcmp(address->text, "localhost") == 0 ? "127.0.0.1" : address->text;
    struct vs_end end = { .family = strchr(host, ':') != NULL ? VS_FAMILY_INET6 : VS_FAMILY_INET, .port = address->port };

    snprintf(end.path, sizeof end.path, "%s", host);
    if (address->port == VIRTSOCK_PORT_ANY)
        end.port = 0;
    return end;
}

static int make(virtsock_fd *out, const struct vs_end *end, const virtsock_options *options)
{
    int code = vs_socket(out, end->family, VIRTSOCK_TYPE_STREAM);

    return code != 0 ? code : vs_set_buffers(*out, end->family, 0, vs_option(options, VIRTSOCK_OPTION_BUFFER_SIZE, 0), 0);
}

/* To a port of this machine where nobody listens, and which the system then chose for this very socket, TCP connects it
 * to itself. */
static bool met_itself(virtsock_fd fd, uint32_t port)
{
    struct vs_end local, peer;

    return vs_local_end(fd, &local) == 0 && local.port == port && vs_peer_end(fd, &peer) == 0 && strcmp(local.path, peer.path) == 0;
}

static virtsock_status connected(struct vs_attempt *a, int code, struct vs_cause *why)
{
    virtsock_status status = vs_connected(a, code, why);

    if (status == VIRTSOCK_OK && met_itself(a->fd, a->address->port))
        return vs_because(why, VIRTSOCK_E_REFUSED, "nobody listens there");
    return status;
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    struct vs_end to;
    int           code;

    if (a->fd >= 0)
        return connected(a, vs_connect_result(a->fd, &a->pending), why);
    to = end_of(a->address);
    if (to.port == 0)
        return vs_because(why, VIRTSOCK_E_INVALID, "a port of the system's choice is for listening: a connection needs one");
    if ((code = make(&a->fd, &to, a->options)) == 0)
        code = vs_connect(a->fd, &to, &a->pending);
    return connected(a, code, why);
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options, struct vs_cause *why)
{
    struct vs_end at = end_of(address);

    return vs_listening(out, &at, make(&out->fd, &at, options), address->scheme, options, why);
}

static virtsock_status address_of(virtsock_address **out, const struct vs_end *end, int type)
{
    const char *shape = end->family == VS_FAMILY_INET6 ? "tcp://[%s]:%u" : "tcp://%s:%u";
    char        text[sizeof end->path + 32];

    (void)type;
    snprintf(text, sizeof text, shape, end->path, (unsigned)end->port);
    return virtsock_address_parse(out, text, NULL);
}

const struct vs_transport vs_tcp = {
    .name = "tcp", .family = VS_FAMILY_INET,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE),
    .connect = connect_step, .listen = listen_at, .address_of = address_of,
};
