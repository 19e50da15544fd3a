/* SPDX-License-Identifier: MIT
 *
 * Registering Hyper-V services with a Windows host: for `virtsock service`, and on the way, for subcommands that
 * listen. What needs an administrator can be had as lines of PowerShell instead.
 */
#ifndef TOOL_SERVICE_H
#define TOOL_SERVICE_H

#include <stdio.h>

#include "virtsock.h"

#define SERVICE_PLACE \
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices"

/* Registers a service, a GUID, under that name unless it has one; name NULL: takes it away. EXIT_DONE, or it was said
 * why not, and what an administrator can do. */
int service_change(const char *service, const char *name);

/* The same of the service of an address that is about to be listened on. */
int service_register(const virtsock_address *address, const char *name);

/* The lines that do what service_change does. */
void service_print_script(FILE *out, const char *service, const char *name);

#endif
