/* SPDX-License-Identifier: MIT
 *
 * hyperkit: HyperKit's directory of UNIX sockets. A connection to a guest's port goes to DIRECTORY/connect and says
 * which, and HyperKit answers nothing, whatever comes of it. A guest that connects to a port of its host comes to
 * DIRECTORY/00000002.PORT.
 */
#include "transport/transport.h"

/* of the one guest that Docker and vpnkit have, unless the address says otherwise */
#define CID_GUEST 3u

static uint32_t cid_of(const virtsock_address *address, uint32_t unset)
{
    return address->cid == VIRTSOCK_CID_ANY ? unset : address->cid;
}

static virtsock_status check(const virtsock_address *address, struct vs_cause *why)
{
    if (address->port == VIRTSOCK_PORT_ANY)
        return vs_because(why, VIRTSOCK_E_INVALID, "HyperKit chooses no port: write hyperkit://:PORT/DIRECTORY");
    return VIRTSOCK_OK;
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    struct vs_end   to;
    virtsock_status status;

    if (check(a->address, why) != VIRTSOCK_OK || vs_unix_end(&to, a->address, "/connect", why) != VIRTSOCK_OK)
        return why->status;
    if ((status = vs_unix_connect(a, &to, why)) != VIRTSOCK_OK)
        return status;
    vs_hyperkit_request(a->line, cid_of(a->address, CID_GUEST), a->address->port);
    return vs_ask(a, VS_HYPERKIT_LINE, why);
}

static virtsock_status end_of(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    char tail[VS_HYPERKIT_LINE + 1] = "/";

    if (check(address, why) != VIRTSOCK_OK)
        return why->status;
    vs_hyperkit_name(tail + 1, cid_of(address, VIRTSOCK_CID_HOST), address->port);
    return vs_unix_end(end, address, tail, why);
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options, struct vs_cause *why)
{
    struct vs_end at;

    return end_of(&at, address, why) != VIRTSOCK_OK ? why->status : vs_unix_listen(out, &at, address->type, options, why);
}

const struct vs_transport vs_hyperkit = {
    .name = "hyperkit", .family = VS_FAMILY_UNIX,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE) | VS_OPTION_BIT(VIRTSOCK_OPTION_SOCKET_MODE),
    .rules = VS_RULES_OF_USERS,      /* of HyperKit's process */
    .supported = vs_unix_supported, .connect = connect_step, .listen = listen_at, .unlisten = vs_unix_unlisten,
};
