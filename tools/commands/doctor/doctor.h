/* SPDX-License-Identifier: MIT
 *
 * virtsock doctor: its look at the system (system.c), what that remembers for the judgement of an address (doctor.c), and the names that
 * both give to causes (cause.c).
 */
#ifndef TOOL_DOCTOR_H
#define TOOL_DOCTOR_H

#include <stdbool.h>

#include "virtsock.h"

struct doctor_system {
    bool        modules;                /* the kernel tells of its modules, so what follows is all there is */
    bool        host, guest, loopback;  /* transports: to guests, to the host, to itself */
    bool        has_vsock;              /* AF_VSOCK is there, whoever may use it */
    bool        unfiltered;             /* no seccomp filter is at work */
    const char *guest_advice;           /* how to get the transport of a guest of this hypervisor */
};

#define ADVICE_HOST     "modprobe vhost_vsock, on the host of VMs"
#define ADVICE_LOOPBACK "modprobe vsock_loopback (Linux 5.6 or later)"

/* Looks at the files below root ("": the system's own) and makes a socket; connects to nothing. Tells findings. */
void doctor_look(struct doctor_system *system, const char *root);

/* Whose causes a transport has: VSOCK has those of HYPERV, and UNIX those of MUX and HYPERKIT. */
virtsock_scheme doctor_kind_of(virtsock_scheme scheme);

/* The stable name of an error's cause, by what the system's code or the status says; advice: what to do, or NULL. */
const char *doctor_cause(const virtsock_error *err, const struct doctor_system *system, const char **advice);

#endif
