/* SPDX-License-Identifier: MIT
 *
 * What the POSIX systems do in different ways: all that posix*.c ask of linux.c, macos.c and freebsd.c, and of what two
 * of them have in common. These have some functions of platform.h as well: modes of sockets, buffers, users, the local
 * CID.
 */
#ifndef VS_POSIX_H
#define VS_POSIX_H

#include <sys/socket.h>

#include "platform/platform.h"

/* VM sockets: their family, the size of their addresses. */
#ifdef __FreeBSD__
#define VS_VM_FAMILY       43           /* AF_HYPERV */
#define VS_VM_ADDRESS_SIZE 20
#else
#define VS_VM_FAMILY       40           /* AF_VSOCK */
#ifdef __APPLE__
#define VS_VM_ADDRESS_SIZE 12
#else
#define VS_VM_ADDRESS_SIZE 16
#endif
#endif

/* macOS: send() looks at MSG_NBIO alone, a flag that the kernel's header keeps to itself. A wake is two descriptors in
 * one number. */
#ifdef __APPLE__
#define VS_SEND_NOW (MSG_DONTWAIT | 0x20000)
#define VS_WAKE_WATCHED(wake) ((wake) < 0 ? -1 : (int)((wake) & 0xffff))
#else
#define VS_SEND_NOW MSG_DONTWAIT
#define VS_WAKE_WATCHED(wake) ((int)(wake))
#endif

/* A non-blocking socket and a blocking accepted one: not inherited by programs that are started, no SIGPIPE. -1:
 * errno. */
int vs_new_socket(int family, int type);
int vs_new_accepted(int listener, struct sockaddr *from, socklen_t *length);
int vs_is_listening(int fd, int *listens);

/* An end of VM sockets as the system has it, VS_VM_ADDRESS_SIZE bytes, and back. peer: another's, else one of this
 * machine. False: there is no such end on this system. */
bool vs_vm_to_system(void *out, const struct vs_end *end, bool peer);
void vs_vm_from_system(struct vs_end *end, const void *from, bool peer);

/* A UNIX socket that refused did so because of its full backlog. */
bool vs_is_full(const struct sockaddr *to, socklen_t length);

/* open() of a name, not inherited; -1: errno. */
int vs_open_file(const char *path, int flags);

#endif
