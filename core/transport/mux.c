/* SPDX-License-Identifier: MIT
 *
 * vsock-mux: the UNIX socket of a hypervisor that joins a port of its guest after CONNECT and OK (Firecracker, Cloud
 * Hypervisor, vhost-device-vsock, OpenVMM). A guest that connects to a port of its host comes to PATH_PORT, without a
 * handshake.
 */
#include <stdio.h>

#include "transport/transport.h"

#define ANSWER_MS 5000                  /* for the handshake, unless CONNECT_TIMEOUT says otherwise */

/* The port or service as both handshake and file name have it. */
static virtsock_status port_of(char out[VS_PORT_TEXT], const virtsock_address *address, struct vs_cause *why)
{
    if (!address->has_service && address->port == VIRTSOCK_PORT_ANY)
        return vs_because(why, VIRTSOCK_E_INVALID, "a multiplexer chooses no port: write vsock-mux://:PORT/PATH");
    if (address->has_service)
        vs_guid_format(out, &address->service);
    else
        snprintf(out, VS_PORT_TEXT, "%lu", (unsigned long)address->port);
    return VIRTSOCK_OK;
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

static virtsock_status ask(struct vs_attempt *a, const char *port, struct vs_cause *why)
{
    if (vs_ask(a, vs_mux_request(a->line, port), why) != VIRTSOCK_OK)
        return why->status;
    a->asked = true;
    a->heard = 0;
    if (a->timeout_ms == 0 && a->until > vs_now_ms() + ANSWER_MS)
        a->until = vs_now_ms() + ANSWER_MS;
    return VIRTSOCK_OK;
}

/* Byte by byte: what follows the line is the guest's. */
static virtsock_status hear(struct vs_attempt *a, struct vs_cause *why)
{
    char    port[VS_PORT_TEXT];
    size_t  used;
    int64_t n;
    int     code;

    vs_abandon(a->fd, &a->pending);
    while ((n = vs_recv(a->fd, a->line + a->heard, 1, 0)) == 1) {
        switch (vs_mux_read_reply(a->line, ++a->heard, &used, port)) {
        case VS_SHAKE_DONE: return VIRTSOCK_OK;
        case VS_SHAKE_BAD:  return vs_because(why, VIRTSOCK_E_PROTOCOL, "the multiplexer answers with something else than OK and a port");
        default:            break;
        }
    }
    if (n == 0)
        return a->heard == 0 ? vs_because(why, VIRTSOCK_E_REFUSED, "the multiplexer hung up: nobody listens on that port of the guest")
                             : vs_because(why, VIRTSOCK_E_PROTOCOL, "the multiplexer hung up in the middle of its answer");
    if ((code = vs_would_block((int)-n) ? vs_await(a->fd, &a->pending) : (int)-n) != 0)
        return vs_os_cause(why, "connect", VIRTSOCK_SCHEME_MUX, code);
    a->events = VIRTSOCK_WANT_RECV;
    a->again_at = VS_FOREVER;
    return VIRTSOCK_E_AGAIN;
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    char            port[VS_PORT_TEXT];
    struct vs_end   to;
    virtsock_status status = VIRTSOCK_OK;

    if (a->asked)
        return hear(a, why);
    if (port_of(port, a->address, why) != VIRTSOCK_OK || vs_unix_end(&to, a->address, "", why) != VIRTSOCK_OK)
        return why->status;
    status = vs_unix_connect(a, &to, why);
    if (status == VIRTSOCK_OK)
        status = ask(a, port, why);
    return status == VIRTSOCK_OK ? hear(a, why) : status;
}

/* --- Listening ---------------------------------------------------------------------------------------------------- */

static virtsock_status end_of(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    char tail[VS_PORT_TEXT + 1] = "_";

    if (port_of(tail + 1, address, why) != VIRTSOCK_OK)
        return why->status;
    return vs_unix_end(end, address, tail, why);
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options, struct vs_cause *why)
{
    struct vs_end at;

    return end_of(&at, address, why) != VIRTSOCK_OK ? why->status : vs_unix_listen(out, &at, address->type, options, why);
}

const struct vs_transport vs_mux = {
    .name = "vsock-mux", .family = VS_FAMILY_UNIX,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE) | VS_OPTION_BIT(VIRTSOCK_OPTION_SOCKET_MODE),
    .rules = VS_RULES_OF_USERS,      /* of the hypervisor's process */
    .supported = vs_unix_supported, .connect = connect_step, .listen = listen_at, .unlisten = vs_unix_unlisten,
};
