/* SPDX-License-Identifier: MIT
 *
 * What Windows's codes mean, by operation and transport: status, cause and advice in one table. codes.c reads it. The
 * causes on Hyper-V sockets are those that others met (docs/transports.md); no Windows machine has confirmed them for
 * this library.
 */
#include "platform/windows.h"
#include "platform/codes.h"

#define SERVICE "the host registers services that it serves (`virtsock service register`), " \
                "and may ask for an administrator"
#define LINES "run it as an administrator; `virtsock service` with --script prints lines for PowerShell"
#define RUNS "see whether the VM runs; while it boots, wait for it (option WAIT, --wait)"
#define PROVIDER "enable the Windows feature VirtualMachinePlatform or Hyper-V; in a container, the host decides"
#define BUILDS "HYPERV_PASSTHRU is for Windows 1607 to before 22H2, HYPERV_SUSPEND from 1709, " \
               "HYPERV_HIGH_VTL from 11 22H2"

const struct vs_code vs_codes[] = {
    ROW("connect", UNIX, WSAECONNREFUSED, REFUSED, "nobody listens on that socket any more",
        "its program has ended: start it again, or wait for it (option WAIT, --wait)"),
    ROW("connect", ANY, WSAECONNREFUSED, REFUSED, "nobody listens there",
        "start the service, or wait for it (option WAIT, --wait)"),
    ROW("connect", ANY, WSAECONNRESET, REFUSED, "the peer closed the connection at once",
        "see whether the service runs, then try again"),
    ROW("connect", UNIX, ERROR_FILE_NOT_FOUND, REFUSED, "no such socket",
        "see whether the path is right and the service or the VM runs"),
    ROW("connect", VSOCK, WSAENETDOWN, UNREACHABLE, "the VM is starting, or Hyper-V's service is not there", RUNS),
    ROW("connect", ANY, WSAENETDOWN, UNREACHABLE, "the network is down", NULL),
    ROW("connect", VSOCK, WSAENETUNREACH, UNREACHABLE, "nobody listens, or the VM is gone", RUNS),
    ROW("connect", VSOCK, WSAEADDRNOTAVAIL, UNREACHABLE, "no VM has that id",
        "see whether the VM runs (`hcsdiag list`, as an administrator); "
        "the id of WSL's VM changes with every start (hvsock://wsl finds it)"),
    ROW("connect", ANY, WSAEADDRNOTAVAIL, UNREACHABLE, "no such address",
        "see whether the VM runs and the address is right"),
    ROW("connect", ANY, WSAENETUNREACH, UNREACHABLE, "no way to the peer", NULL),
    ROW("connect", ANY, WSAEHOSTUNREACH, UNREACHABLE, "no way to the peer", RUNS),
    ROW("connect", VSOCK, WSAETIMEDOUT, TIMEOUT, "the peer does not answer",
        "nobody may listen there, and Windows does not tell; " RUNS),
    ROW("connect", VSOCK, WSAEINVAL, INVALID, "not an address that can be connected to",
        "VM and service must name one peer"),
    ROW("connect", ANY, WSAETIMEDOUT, TIMEOUT, "the peer does not answer", "give it more time (CONNECT_TIMEOUT, WAIT)"),
    ROW("connect", VSOCK, WSAEACCES, DENIED, "Windows forbids it: the service is not registered, or this user may not",
        SERVICE),
    ROW("listen", VSOCK, WSAEACCES, DENIED, "Windows forbids it: the service is not registered, or this user may not",
        SERVICE),
    ROW("listen", VSOCK, WSAEADDRNOTAVAIL, UNREACHABLE, "no VM has that id", 
        "see whether the VM runs; the wildcard listens for all (hvsock:///SERVICE)"),
    ROW("listen", ANY, WSAEADDRNOTAVAIL, UNREACHABLE, "that address is not this machine's",
        "listen on 127.0.0.1, or on 0.0.0.0 for every interface"),
    ROW("listen", UNIX, WSAEADDRINUSE, IN_USE, "somebody listens there, or what stands there is no stale socket",
        "choose another path, or end the other listener"),
    ROW("listen", ANY, WSAEADDRINUSE, IN_USE, "somebody listens on that service or port",
        "choose another one, or end the other listener"),
    ROW("listen", UNIX, ERROR_PATH_NOT_FOUND, NOT_FOUND, "no such directory", "make the directory first"),
    ROW("register", ANY, ERROR_ACCESS_DENIED, DENIED, "only an administrator may", LINES),
    ROW("unregister", ANY, ERROR_ACCESS_DENIED, DENIED, "only an administrator may", LINES),
    ROW("accept", ANY, WSAEACCES, SYSTEM, "the system forbade it", "see the system's security policy"),
    ROW("adopt", ANY, WSAENOTSOCK, INVALID, "the handle is no socket", "pass a connected or listening socket"),

    ROW(NULL, VSOCK, WSAEAFNOSUPPORT, UNSUPPORTED, "this Windows has no Hyper-V sockets", PROVIDER),
    ROW(NULL, VSOCK, WSAENOPROTOOPT, UNSUPPORTED, "this build of Windows has no such option", BUILDS),
    ROW(NULL, UNIX, WSAEAFNOSUPPORT, UNSUPPORTED, "this Windows has no AF_UNIX sockets",
        "Windows 10 1803 or later has them"),
    ROW(NULL, ANY, WSAEAFNOSUPPORT, UNSUPPORTED, "this system has no such sockets", NULL),
    ROW(NULL, ANY, WSAESOCKTNOSUPPORT, UNSUPPORTED, "Windows has no sockets of this type here",
        "leave type= out of the address"),
    ROW(NULL, ANY, WSAEPROTONOSUPPORT, UNSUPPORTED, "this system has no such sockets", NULL),
    ROW(NULL, ANY, WSAEOPNOTSUPP, UNSUPPORTED, "not supported on this socket", NULL),
    ROW(NULL, ANY, WSAENOPROTOOPT, UNSUPPORTED, "this socket has no such option", NULL),
    ROW(NULL, ANY, WSAEACCES, DENIED, "permission denied", NULL),
    ROW(NULL, ANY, ERROR_ACCESS_DENIED, DENIED, "permission denied",
        "see the permissions of the path and its directories"),
    ROW(NULL, ANY, WSAEADDRINUSE, IN_USE, "already in use", NULL),
    ROW(NULL, ANY, ERROR_SHARING_VIOLATION, IN_USE, "already in use", NULL),
    ROW(NULL, ANY, WSAENAMETOOLONG, NAME_TOO_LONG, "the path does not fit a socket address", "use a shorter path"),
    ROW(NULL, ANY, WSAECONNRESET, RESET, "the peer broke the connection", NULL),
    ROW(NULL, ANY, ERROR_NETNAME_DELETED, RESET, "the peer broke the connection", NULL),
    ROW(NULL, ANY, WSAECONNABORTED, RESET, "the connection was aborted",
        "the VM has ended or was paused (HYPERV_SUSPEND keeps connections then)"),
    ROW(NULL, ANY, WSAESHUTDOWN, RESET, "nobody receives any more", "this side has shut this direction down"),
    ROW(NULL, ANY, ERROR_BROKEN_PIPE, RESET, "nobody receives any more", "the peer has closed"),
    ROW(NULL, ANY, WSAENOTCONN, RESET, "no longer connected", NULL),
    ROW(NULL, ANY, WSAENETRESET, RESET, "no longer connected", NULL),
    ROW(NULL, ANY, WSAETIMEDOUT, RESET, "the peer stopped answering", NULL),
    ROW(NULL, ANY, WSAENETDOWN, RESET, "the way to the peer is gone", NULL),
    ROW(NULL, ANY, WSAEMSGSIZE, MESSAGE_TOO_LONG, "the message is longer than the transport takes",
        "send less at once (MESSAGE_MAX)"),
    ROW(NULL, ANY, WSAEMFILE, NO_RESOURCES, "this process has no socket left", "close some"),
    ROW(NULL, ANY, WSAENOBUFS, NO_RESOURCES, "out of buffers", NULL),
    ROW(NULL, ANY, WSA_NOT_ENOUGH_MEMORY, NO_RESOURCES, "out of memory", NULL),
    ROW(NULL, ANY, ERROR_NO_SYSTEM_RESOURCES, NO_RESOURCES, "out of memory", NULL),
    ROW(NULL, ANY, WSAEWOULDBLOCK, AGAIN, "not ready", NULL),
    ROW(NULL, ANY, WSAENOTSOCK, INVALID, "no socket", NULL),
    ROW(NULL, ANY, WSAEFAULT, INVALID, "not memory of this process", NULL),
    ROW(NULL, ANY, WSANOTINITIALISED, SYSTEM, "Winsock was ended under the library",
        "somebody called WSACleanup too often"),
};

const size_t vs_code_count = sizeof vs_codes / sizeof vs_codes[0];
