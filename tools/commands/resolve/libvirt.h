/* SPDX-License-Identifier: MIT
 *
 * What libvirt says of a domain, as virsh prints it.
 */
#ifndef TOOL_LIBVIRT_H
#define TOOL_LIBVIRT_H

#include <stdint.h>

enum libvirt_answer {
    LIBVIRT_CID,
    LIBVIRT_OFF,                        /* its CID is chosen when it starts */
    LIBVIRT_NO_VSOCK,
    LIBVIRT_OTHER,                      /* another domain: virsh took the name for an id or a UUID */
    LIBVIRT_UNREADABLE
};

/* xml is all that `virsh dumpxml -- domain` said. */
enum libvirt_answer libvirt_read(const char *xml, const char *domain, uint32_t *cid);

#endif
