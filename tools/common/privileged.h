/* SPDX-License-Identifier: MIT
 *
 * Connections of AF_VSOCK from a source port below 1024 (--privileged-port), for peers whose rules ask for one:
 * `:privileged` of --allow, and systemd. The library chooses no source ports, so the command binds such a socket itself
 * and hands it over once it is connected.
 */
#ifndef TOOL_PRIVILEGED_H
#define TOOL_PRIVILEGED_H

#include <stdbool.h>
#include <stdint.h>

#include "virtsock.h"

struct privileged;                      /* a connection under way */

#define PRIVILEGED_HELP "connecting by vsock://: from a source port below 1024, which :privileged asks for"

struct privileged_way {
    const virtsock_address *to;
    int64_t                 timeout_ms, wait_ms;        /* as --timeout and --wait say; ARG_UNSET, or -1 for ever */
};

/* Why there can be no such connection to that address (NULL: it is none of the library's); NULL: there may be. */
const char *privileged_never(const virtsock_address *to);

/* A step, never waiting, as virtsock_stream_connect. *it is NULL at first, and the caller's to free at the end. */
virtsock_status privileged_step(struct privileged **it, virtsock_stream **out, const struct privileged_way *way,
                                virtsock_error *err);
/* After AGAIN, what to wait for, as virtsock_stream_wants. */
void privileged_wants(const struct privileged *it, virtsock_fd *fd, int *events, int *timeout_ms);
void privileged_free(struct privileged *it);

/* The whole way. */
virtsock_status privileged_connect(virtsock_stream **out, const struct privileged_way *way, virtsock_error *err);

#endif
