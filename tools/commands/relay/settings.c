/* SPDX-License-Identifier: MIT
 *
 * What the command line of `virtsock relay` has said: see relay.h.
 */
#include "relay.h"

#define DRAIN_MS 10000                  /* unless --drain says */

struct relay_settings relay_settings = {
    .limits = { .timeout_ms = ARG_UNSET, .wait_ms = ARG_UNSET, .stays_ms = ARG_UNSET, .idle_ms = ARG_UNSET,
                .mode = ARG_UNSET, .max = ARG_UNSET },
    .drain_ms = DRAIN_MS, .threads = ARG_UNSET
};
