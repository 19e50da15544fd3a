/* SPDX-License-Identifier: MIT
 *
 * What errno means, by operation and transport: status, cause and advice in one table. codes.c reads it.
 */
#include <errno.h>

#include "platform/codes.h"

#define MODULES "load vhost_vsock on the host, vmw_vsock_virtio_transport (or hv_sock) in the guest, vsock_loopback for CID 1"
#define GUEST "start the service in the guest; while it boots, wait for it (option WAIT, --wait)"
#define CONNECTIONS "Firecracker and Cloud Hypervisor take 1,023 a VM: close some, or wait for room (option WAIT, --wait); or its VM is paused"
#define SECCOMP "a container's seccomp profile may forbid AF_VSOCK: allow socket(AF_VSOCK) in a custom profile; no module is missing"

const struct vs_code vs_codes[] = {
#ifdef __APPLE__
    ROW("connect", VSOCK, EAGAIN, REFUSED, "nobody listens on that port of the host", "start the service, or wait for it (option WAIT, --wait)"),
    ROW("connect", VSOCK, EFAULT, UNREACHABLE, "a guest of macOS reaches its host and itself alone", "write vsock://host:PORT"),
    ROW(NULL, VSOCK, ENODEV, UNSUPPORTED, "macOS has AF_VSOCK in its guests alone",
        "on the host, reach a guest by a UNIX socket of the program that runs it (unix://, vsock-mux://)"),
    ROW(NULL, VSOCK, EPFNOSUPPORT, UNSUPPORTED, "macOS has no way from guest to guest", NULL),
    ROW(NULL, ANY, EPROTONOSUPPORT, UNSUPPORTED, "macOS has no sockets of this type", "use a stream"),
#endif
#ifdef __FreeBSD__
    ROW("local cid", ANY, EPFNOSUPPORT, UNSUPPORTED, "a guest of FreeBSD has no CID", NULL),
    ROW(NULL, VSOCK, EPFNOSUPPORT, UNSUPPORTED, "Hyper-V gives a guest of FreeBSD its host and its own ports alone",
        "connect to vsock://host:PORT, listen on vsock://:PORT"),
    ROW(NULL, VSOCK, EAFNOSUPPORT, UNSUPPORTED, "there are no Hyper-V sockets", "they are for guests of Hyper-V: kldload hv_sock"),
    ROW(NULL, VSOCK, EPROTOTYPE, UNSUPPORTED, "Hyper-V sockets are streams alone", "use a stream"),
#endif
    ROW("connect", VSOCK, ECONNRESET, REFUSED, "nobody listens on that port of the peer",
        "start the service in the peer; while it boots, wait for it (option WAIT, --wait)"),
    ROW("connect", MUX, ECONNRESET, REFUSED, "the multiplexer hung up before it had read the request: too many connections", CONNECTIONS),
    ROW("connect", ANY, ECONNRESET, REFUSED, "the peer closed the connection at once", "see whether the service runs, then try again"),
    ROW("connect", MUX, EPIPE, REFUSED, "the multiplexer hung up before it had read the request: too many connections", CONNECTIONS),
    ROW("connect", UNIX, EPIPE, REFUSED, "the hypervisor hung up at once", "see whether its VM runs"),
    ROW("connect", UNIX, ECONNREFUSED, REFUSED, "nobody listens on that socket any more",
        "its program has ended: start it again, or wait for it (option WAIT, --wait)"),
    ROW("connect", ANY, ECONNREFUSED, REFUSED, "nobody listens there", "start the service, or wait for it (option WAIT, --wait)"),
    ROW("connect", UNIX, ENOENT, REFUSED, "no such socket", "see whether the path is right and the service or the VM runs"),
    ROW("connect", UNIX, EPROTOTYPE, UNSUPPORTED, "the socket there is of another type", "choose another type= in the address"),
    ROW("connect", UNIX, ENOTSOCK, REFUSED, "what stands at that path is no socket", "see whether the path is right"),
    ROW("connect", VSOCK, ENODEV, UNREACHABLE, "no VM has that CID, or no transport leads to it",
        "see whether the VM runs and has that CID; " MODULES),
    ROW("connect", VSOCK, ENETUNREACH, UNREACHABLE, "the transport does not lead to that CID", MODULES),
    ROW("connect", ANY, EADDRNOTAVAIL, UNREACHABLE, "no such address", "see whether the VM runs and the address is right"),
    ROW("connect", VSOCK, ETIMEDOUT, TIMEOUT, "the peer does not answer",
        "see whether the VM runs; Hyper-V and WSL hosts must have registered the service; give it more time (CONNECT_TIMEOUT, WAIT)"),
    ROW("connect", ANY, ETIMEDOUT, TIMEOUT, "the peer does not answer", "give it more time (CONNECT_TIMEOUT, WAIT)"),
    ROW("connect", ANY, EHOSTUNREACH, UNREACHABLE, "no way to the peer", "see whether the VM runs"),
    ROW("connect", VSOCK, EPROTO, PROTOCOL, "the hypervisor sent a packet out of turn", "update the hypervisor, and report it there"),
    ROW("connect", VSOCK, ESOCKTNOSUPPORT, UNSUPPORTED, "the transport to that CID has no sockets of this type",
        "choose another type= in the address; seqpacket needs Linux 5.14 and virtio or loopback"),
    ROW("connect", VSOCK, EINVAL, INVALID, "not an address that can be connected to", "CID and port must name one peer, and not be `any`"),
    ROW("listen", VSOCK, EADDRNOTAVAIL, UNREACHABLE, "that CID is not this machine's",
        "listen on any CID (vsock://:PORT) and choose peers with rules; CID 1 needs the module vsock_loopback"),
    ROW("listen", ANY, EADDRNOTAVAIL, UNREACHABLE, "that address is not this machine's", "listen on 127.0.0.1, or on 0.0.0.0 for every interface"),
    ROW("listen", VSOCK, EADDRINUSE, IN_USE, "somebody listens on that port", "choose another port, or end the other listener"),
    ROW("listen", UNIX, EADDRINUSE, IN_USE, "somebody listens there, or what stands there is no stale socket",
        "choose another path, or end the other listener"),
    ROW("listen", VSOCK, EACCES, DENIED, "ports below 1024 need CAP_NET_BIND_SERVICE", "choose a port from 1024, or grant the capability"),
    ROW("listen", VSOCK, EINVAL, INVALID, "not an address that can be listened on", "CID 1 needs Linux 5.6 and the module vsock_loopback"),
    ROW("listen", UNIX, EACCES, DENIED, "the directory may not be searched or written",
        "choose a directory that this user may search and write"),
    ROW("listen", UNIX, EROFS, DENIED, "the file system is read-only", "choose a directory that may be written"),
    ROW("listen", UNIX, ENOSYS, UNSUPPORTED, "the umask took some of SOCKET_MODE, and without /proc only Linux 6.6 gives it back",
        "mount /proc, or listen under a umask that leaves those bits"),
    ROW("listen", UNIX, ENOENT, NOT_FOUND, "no such directory", "make the directory first"),
    ROW("listen", UNIX, ENOTDIR, NOT_FOUND, "a part of the path is no directory", "mend the path"),
    ROW("accept", ANY, EPERM, SYSTEM, "the system forbade it", "see the system's security policy"),
    ROW("accept", ANY, EACCES, SYSTEM, "the system forbade it", "see the system's security policy"),
    /* Linux 6.1 answers ENOMEM for whatever its transport said of a message. */
    ROW("message", VSOCK, ENOMEM, MESSAGE_TOO_LONG, "the message is longer than the peer's buffer, or memory is short",
        "send less at once, or raise BUFFER_SIZE on both sides"),
    ROW("adopt", ANY, ENOTSOCK, INVALID, "the descriptor is no socket", "pass a connected or listening socket"),
    ROW("adopt", ANY, EBADF, INVALID, "no such descriptor", "see that the parent passes it on, under this number"),
    ROW("local cid", ANY, ENOENT, UNSUPPORTED, "there is no /dev/vsock", "load the module vsock; in a container, map /dev/vsock into it"),
    ROW("local cid", ANY, EACCES, DENIED, "/dev/vsock may not be read", "run as root, or permit reading /dev/vsock"),
    ROW("local cid", ANY, EPERM, DENIED, "/dev/vsock may not be read", "run as root, or permit reading /dev/vsock"),
    ROW("local cid", ANY, ENODEV, UNREACHABLE, "no vsock transport is loaded", MODULES),

    ROW(NULL, VSOCK, EAFNOSUPPORT, UNSUPPORTED, "this kernel has no AF_VSOCK", "modprobe vsock"),
    ROW(NULL, VSOCK, EPERM, DENIED, "AF_VSOCK is forbidden here", SECCOMP),
    ROW(NULL, VSOCK, EACCES, DENIED, "AF_VSOCK is forbidden here",
        "a security module (SELinux, AppArmor) may forbid it: see its log (ausearch -m avc, dmesg)"),
    ROW(NULL, VSOCK, ESOCKTNOSUPPORT, UNSUPPORTED, "this kernel's AF_VSOCK has no sockets of this type", "use a stream, or Linux 5.14 or later"),
    ROW(NULL, VSOCK, EPROTONOSUPPORT, UNSUPPORTED, "AF_VSOCK is not what this family is here", "modprobe vsock"),
    ROW(NULL, VSOCK, ENOBUFS, NO_RESOURCES, "the receive buffer is full of small packets", "send larger pieces, or raise BUFFER_SIZE"),
    ROW(NULL, VSOCK, ENOPROTOOPT, UNSUPPORTED, "this kernel's AF_VSOCK has no such option", "leave the option out, or update the kernel"),
    ROW(NULL, ANY, EAFNOSUPPORT, UNSUPPORTED, "this system has no such sockets", NULL),
    ROW(NULL, ANY, EACCES, DENIED, "permission denied", "see the permissions of the path and its directories"),
    ROW(NULL, ANY, EPERM, DENIED, "not permitted", NULL),
    ROW(NULL, ANY, EADDRINUSE, IN_USE, "already in use", NULL),
    ROW(NULL, ANY, ENAMETOOLONG, NAME_TOO_LONG, "the path does not fit a socket address",
        "use a shorter path, or a relative one (unix:///./NAME) from its directory"),
    ROW(NULL, ANY, ECONNRESET, RESET, "the peer broke the connection", NULL),
    ROW(NULL, ANY, ECONNABORTED, RESET, "the connection was aborted", NULL),
    ROW(NULL, ANY, EPIPE, RESET, "nobody receives any more", "the peer has closed, or one side has shut this direction down"),
    ROW(NULL, ANY, ENOTCONN, RESET, "no longer connected", NULL),
    ROW(NULL, ANY, ETIMEDOUT, RESET, "the peer stopped answering", NULL),
    ROW(NULL, ANY, ENODEV, RESET, "the transport is gone", NULL),
    ROW(NULL, ANY, EMSGSIZE, MESSAGE_TOO_LONG, "the message is longer than the transport takes",
        "send less at once, or raise BUFFER_SIZE on both sides"),
    ROW(NULL, ANY, ENOMEM, NO_RESOURCES, "out of memory", NULL),
    ROW(NULL, ANY, ENOBUFS, NO_RESOURCES, "out of buffers", NULL),
    ROW(NULL, ANY, EMFILE, NO_RESOURCES, "this process has no descriptor left", "close some, or raise the limit (ulimit -n)"),
    ROW(NULL, ANY, ENFILE, NO_RESOURCES, "this system has no descriptor left", NULL),
    ROW(NULL, ANY, EAGAIN, AGAIN, "not ready", NULL),
    ROW(NULL, ANY, EOPNOTSUPP, UNSUPPORTED, "not supported on this socket", NULL),
    ROW(NULL, ANY, ENOPROTOOPT, UNSUPPORTED, "this socket has no such option", NULL),
    ROW(NULL, ANY, ENOTSOCK, INVALID, "no socket", NULL),
    ROW(NULL, ANY, EBADF, INVALID, "no such descriptor", NULL),
    ROW(NULL, ANY, EFAULT, INVALID, "not memory of this process", NULL),
};

const size_t vs_code_count = sizeof vs_codes / sizeof vs_codes[0];
