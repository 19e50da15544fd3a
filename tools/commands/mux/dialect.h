/* SPDX-License-Identifier: MIT
 *
 * The multiplexers that virtsock mux stands in for: how each takes a request, and how conversations end there.
 */
#ifndef TOOL_MUX_DIALECT_H
#define TOOL_MUX_DIALECT_H

#include <stdbool.h>

#include "transport/handshake.h"
#include "virtsock.h"

struct mux_dialect {
    const char *name;
    size_t      longest;                /* bytes of a request */
    int         patience_ms;            /* for the rest of one that has begun; 0: it must come whole; -1: any time */
    bool        own_port;               /* answers a port of its own, else what was asked for */
    bool        services;               /* takes GUIDs as well */
    bool        forgets;                /* what a client sends before it has its answer */
    bool        loose;                  /* takes a plus before the port, and words behind it */
    bool        plain;                  /* has no request: a socket a port */
    bool        ends_both;              /* the host's end of sending is the end of both directions: what comes back is lost */
    bool        keeps_end;              /* the guest's end of sending is not told to the host, until the guest has closed */
    int         host_ms;                /* so much after its own end the host hears that both have ended */
    int         most;                   /* connections at once; the next is hung up on before its request is read. 0: any number */
};

#define MUX_DIALECTS "firecracker, cloud-hypervisor, vhost-device-vsock, openvmm or libkrun"

/* NULL: there is none of that name. The first, for no name. */
const struct mux_dialect *mux_dialect_find(const char *name);

/* A client's request, and its port or service as programs print it. False: none that this dialect takes. */
bool mux_read_request(const struct mux_dialect *dialect, virtsock_stream *client, char port[VS_PORT_TEXT]);
/* Whether that is a GUID. */
bool mux_is_service(const char *port);
/* Whether a user's word is a port's number. */
bool mux_is_port(const char *word);

#endif
