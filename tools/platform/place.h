/* SPDX-License-Identifier: MIT
 *
 * The file that a UNIX socket stands at: whether it is still there, and who tells when it is not. place_posix.c has it;
 * a system without inotify looks from time to time. Windows has none of it.
 */
#ifndef TOOL_PLATFORM_PLACE_H
#define TOOL_PLATFORM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "virtsock.h"

struct place {
    char     path[112];                 /* "": it stands at none */
    uint64_t device, inode;
};

/* Of a socket that is bound. False: it has no file. */
bool place_of(struct place *out, virtsock_fd socket);
/* Whether it is that file still, and not another's. */
bool place_is_there(const struct place *place);
/* If it is still that one. */
void place_remove(const struct place *place);

/* Becomes readable when something has happened to a place, or a folder above it, that is worth a look. -1: nobody tells
 * here, so that a look now and then is all there is. */
virtsock_fd place_lookout(void);
/* From now on for this one, too; again, after it was made anew. */
void place_watch(virtsock_fd lookout, const struct place *place);
/* What was told is forgotten. */
void place_heard(virtsock_fd lookout);

#endif
