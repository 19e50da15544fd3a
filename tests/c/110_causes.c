/* SPDX-License-Identifier: MIT
 *
 * How an error is told, by the core's own functions: what a code of the system means, and what becomes of text that is not clean.
 */
#include "check.h"
#include "platform/platform.h"

/* What is said about bad text stays readable UTF-8, whatever the text was, and ends on a whole character. */
TEST(messages_are_clean_utf8)
{
    char           text[600];
    virtsock_error e;

    for (int length = 1; length < 500; length++) {
        for (int i = 0; i < length; i++)
            memcpy(text + 3 * i % 500, "\xe2\x82\xac", 3);
        text[length] = '\0';
        CHECK(vs_failf(&e, "parse", text, VIRTSOCK_E_INVALID, "no scheme") == VIRTSOCK_E_INVALID);
        CHECK(strlen(e.message) < sizeof e.message && strstr(e.message, ": no scheme") != NULL);
        for (const unsigned char *p = (const unsigned char *)e.message; *p != '\0'; p++) {
            if (*p < 0x80)
                continue;
            CHECK(p[0] == 0xe2 && p[1] == 0x82 && p[2] == 0xac);
            p += 2;
        }
    }
    vs_failf(&e, "parse", "a\nb\x7f\xff\xc3\xa9\xed", VIRTSOCK_E_INVALID, "bad");
    CHECK_TEXT(e.message, "parse a?b??\xc3\xa9?: bad");
}

/* The table of the system's codes, by operation and transport. */
/* proves: L8 */
TEST(codes_mean_what_the_table_says)
{
    static const struct {
        const char     *op;
        virtsock_scheme scheme;
        int             code;
        virtsock_status status;
        const char     *advice;
    } rows[] = {
#ifdef _WIN32
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAECONNREFUSED, VIRTSOCK_E_REFUSED, "start the service" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAENETUNREACH, VIRTSOCK_E_UNREACHABLE, "VM runs" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, WSAEADDRNOTAVAIL, VIRTSOCK_E_UNREACHABLE, "hvsock://wsl" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAETIMEDOUT, VIRTSOCK_E_TIMEOUT, "VM runs" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAEACCES, VIRTSOCK_E_DENIED, "service register" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAEAFNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "VirtualMachinePlatform" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAENOPROTOOPT, VIRTSOCK_E_UNSUPPORTED, "1709" },
        { "connect", VIRTSOCK_SCHEME_UNIX, WSAEAFNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "1803" },
        { "connect", VIRTSOCK_SCHEME_TCP, WSAETIMEDOUT, VIRTSOCK_E_TIMEOUT, "more time" },
        { "listen", VIRTSOCK_SCHEME_HYPERV, WSAEACCES, VIRTSOCK_E_DENIED, "service register" },
        { "listen", VIRTSOCK_SCHEME_TCP, WSAEADDRINUSE, VIRTSOCK_E_IN_USE, "another one" },
        { "accept", VIRTSOCK_SCHEME_HYPERV, WSAEACCES, VIRTSOCK_E_SYSTEM, "security" },
        { "accept", VIRTSOCK_SCHEME_HYPERV, WSAEMFILE, VIRTSOCK_E_NO_RESOURCES, "close some" },
        { "send", VIRTSOCK_SCHEME_HYPERV, WSAECONNABORTED, VIRTSOCK_E_RESET, "HYPERV_SUSPEND" },
        { "send", VIRTSOCK_SCHEME_HYPERV, WSAESHUTDOWN, VIRTSOCK_E_RESET, "shut" },
        { "send", VIRTSOCK_SCHEME_HYPERV, ERROR_BROKEN_PIPE, VIRTSOCK_E_RESET, "closed" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAENETDOWN, VIRTSOCK_E_UNREACHABLE, "VM runs" },
        { "connect", VIRTSOCK_SCHEME_HYPERV, WSAEINVAL, VIRTSOCK_E_INVALID, "one peer" },
        { "listen", VIRTSOCK_SCHEME_HYPERV, WSAEADDRNOTAVAIL, VIRTSOCK_E_UNREACHABLE, "wildcard" },
        { "recv", VIRTSOCK_SCHEME_HYPERV, WSAECONNRESET, VIRTSOCK_E_RESET, "connect again" },
        { "shutdown", VIRTSOCK_SCHEME_HYPERV, WSAENOTCONN, VIRTSOCK_E_RESET, "connect again" },
        { "send", VIRTSOCK_SCHEME_HYPERV, WSAEMSGSIZE, VIRTSOCK_E_MESSAGE_TOO_LONG, "MESSAGE_MAX" },
#else
        { "connect", VIRTSOCK_SCHEME_VSOCK, ECONNRESET, VIRTSOCK_E_REFUSED, "start the service" },
        { "recv", VIRTSOCK_SCHEME_VSOCK, ECONNRESET, VIRTSOCK_E_RESET, "connect again" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, ENODEV, VIRTSOCK_E_UNREACHABLE, "vhost_vsock" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, ENETUNREACH, VIRTSOCK_E_UNREACHABLE, "vsock_loopback" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, ETIMEDOUT, VIRTSOCK_E_TIMEOUT, "registered" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EADDRNOTAVAIL, VIRTSOCK_E_UNREACHABLE, "VM runs" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EPERM, VIRTSOCK_E_DENIED, "seccomp" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EAFNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "modprobe vsock" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, ESOCKTNOSUPPORT, VIRTSOCK_E_UNSUPPORTED, "type=" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EPROTO, VIRTSOCK_E_PROTOCOL, "hypervisor" },
        { "connect", VIRTSOCK_SCHEME_UNIX, ECONNREFUSED, VIRTSOCK_E_REFUSED, "start it again" },
        { "connect", VIRTSOCK_SCHEME_UNIX, ENOENT, VIRTSOCK_E_REFUSED, "path" },
        { "connect", VIRTSOCK_SCHEME_UNIX, EACCES, VIRTSOCK_E_DENIED, "permissions" },
        { "listen", VIRTSOCK_SCHEME_VSOCK, EADDRNOTAVAIL, VIRTSOCK_E_UNREACHABLE, "vsock://:PORT" },
        { "listen", VIRTSOCK_SCHEME_VSOCK, EADDRINUSE, VIRTSOCK_E_IN_USE, "another port" },
        { "listen", VIRTSOCK_SCHEME_VSOCK, EACCES, VIRTSOCK_E_DENIED, "1024" },
        { "listen", VIRTSOCK_SCHEME_VSOCK, EINVAL, VIRTSOCK_E_INVALID, "vsock_loopback" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EINVAL, VIRTSOCK_E_INVALID, "one peer" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, EACCES, VIRTSOCK_E_DENIED, "security module" },
        { "connect", VIRTSOCK_SCHEME_VSOCK, ENOPROTOOPT, VIRTSOCK_E_UNSUPPORTED, "option" },
        { "recv", VIRTSOCK_SCHEME_VSOCK, ENOTCONN, VIRTSOCK_E_RESET, "connect again" },
        { "accept", VIRTSOCK_SCHEME_UNIX, EMFILE, VIRTSOCK_E_NO_RESOURCES, "ulimit" },
        { "accept", VIRTSOCK_SCHEME_VSOCK, EPERM, VIRTSOCK_E_SYSTEM, "security" },
        { "send", VIRTSOCK_SCHEME_UNIX, EPIPE, VIRTSOCK_E_RESET, "shut" },
        { "send", VIRTSOCK_SCHEME_UNIX, EMSGSIZE, VIRTSOCK_E_MESSAGE_TOO_LONG, "send less" },
        { "recv", VIRTSOCK_SCHEME_VSOCK, ENOBUFS, VIRTSOCK_E_NO_RESOURCES, "BUFFER_SIZE" },
        { "local cid", VIRTSOCK_SCHEME_VSOCK, ENOENT, VIRTSOCK_E_UNSUPPORTED, "/dev/vsock" },
        { "local cid", VIRTSOCK_SCHEME_VSOCK, EACCES, VIRTSOCK_E_DENIED, "root" },
#endif
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        virtsock_error  e = { 0 };
        struct vs_cause why;

        CHECK_STATUS(vs_os_cause(&why, rows[i].op, rows[i].scheme, rows[i].code), rows[i].status, e);
        vs_fail(&e, rows[i].op, NULL, &why);
        e.scheme = rows[i].scheme;
        if (virtsock_advice(&e) == NULL || strstr(virtsock_advice(&e), rows[i].advice) == NULL)
            CHECK_TEXT(virtsock_advice(&e), rows[i].advice);
    }
}

#define NEVER_SEEN 11717

TEST(an_unknown_code_is_kept)
{
    struct vs_cause why;
    virtsock_error  e = { 0 };

    CHECK(vs_os_cause(&why, "send", VIRTSOCK_SCHEME_VSOCK, NEVER_SEEN) == VIRTSOCK_E_SYSTEM);
    vs_fail(&e, "send", NULL, &why);
    CHECK(e.os_code == NEVER_SEEN && strstr(e.message, "system error 11717") != NULL);
    CHECK(virtsock_advice(&e) == NULL);
}
