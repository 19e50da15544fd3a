/* SPDX-License-Identifier: MIT
 *
 * How hvecho, hvstress and hvbench of linuxkit/virtsock name a peer: loopback, parent or a VM's GUID, and with -vsock
 * a CID.
 */
#ifndef TOOL_ANCESTOR_H
#define TOOL_ANCESTOR_H

#include <stdbool.h>

#include "virtsock.h"

#define ARG_ANCESTOR(set, whose) { 0, "vsock", NULL, ARG_FLAG, &(set), whose "'s -vsock: the words are CIDs" }

/* Whether a word is one of theirs, and can be no address. */
bool ancestor_is_target(const char *word);

/* The address of a word ("": none was given) on the port that all three have. There loopback was CID 0 with -vsock,
 * which answers nothing: it is CID 1 here. EXIT_DONE, or it was said why not. */
int ancestor_address(virtsock_address **out, const char *word, bool vsock, bool listening);

#endif
