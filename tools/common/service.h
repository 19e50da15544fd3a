/* SPDX-License-Identifier: MIT
 *
 * Registering on the way: for subcommands that listen.
 */
#ifndef TOOL_SERVICE_H
#define TOOL_SERVICE_H

#include "virtsock.h"

/* Registers the Hyper-V service of an address that is about to be listened on, under that name unless it has one. EXIT_DONE, or it was
 * said why not, and what an administrator can do. */
int service_register(const virtsock_address *address, const char *name);

#endif
