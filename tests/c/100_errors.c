/* SPDX-License-Identifier: MIT
 *
 * The error record: operation, address and cause in the message, what is shortened, the advice, and that each transport that is missing
 * says so.
 */
#include "check.h"
#include "internal.h"
#include "platform/platform.h"

TEST(message_names_operation_address_and_cause)
{
    virtsock_address *a = test_parse("unix:///nobody/is/here");
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK(virtsock_connect(&s, a, NULL, &e) == VIRTSOCK_E_REFUSED);
    CHECK_TEXT(e.message, "connect unix:///nobody/is/here: no such socket (ENOENT)");
    CHECK_TEXT(e.op, "connect");
    CHECK(e.os_code == ENOENT && e.scheme == VIRTSOCK_SCHEME_UNIX && e.status == VIRTSOCK_E_REFUSED && e.attempts == 1);
    CHECK(strstr(virtsock_advice(&e), "path") != NULL);
    virtsock_address_free(a);
}

TEST(a_long_address_is_shortened_first)
{
    char              text[400] = "unix:///";
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    for (size_t n = strlen(text); n < 390; n++)
        text[n] = (char)('a' + n % 26);
    a = test_parse(text);
    CHECK(virtsock_connect(&s, a, NULL, &e) == VIRTSOCK_E_NAME_TOO_LONG);
    CHECK(strncmp(e.message, "connect unix:///ijkl", 20) == 0);
    CHECK(strstr(e.message, "...: the path does not fit") != NULL);
    CHECK(strlen(e.message) > 200 && strlen(e.message) < sizeof e.message);
    virtsock_address_free(a);
}

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

TEST(again_and_eof_write_the_status_alone)
{
    virtsock_stream *s[2];
    virtsock_error   e;
    size_t           n;
    char             b[8];

    test_pair(s, NULL);
    memset(&e, 0x5a, sizeof e);
    CHECK(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e) == VIRTSOCK_E_AGAIN && e.status == VIRTSOCK_E_AGAIN && e.os_code == 0x5a5a5a5a);
    virtsock_stream_free(s[1]);
    memset(&e, 0x5a, sizeof e);
    CHECK(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e) == VIRTSOCK_E_EOF && e.status == VIRTSOCK_E_EOF && e.message[0] == 0x5a);
    virtsock_stream_free(s[0]);
}

TEST(ok_writes_nothing)
{
    virtsock_stream *s[2];
    virtsock_error   e;
    size_t           n;

    test_pair(s, NULL);
    memset(&e, 0x5a, sizeof e);
    CHECK(virtsock_stream_send(s[0], "x", 1, &n, -1, &e) == VIRTSOCK_OK && e.status == 0x5a5a5a5a);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(schemes_that_are_missing_say_so)
{
    static const struct {
        const char *text, *piece;
    } rows[] = {
        { "hvsock://8ba03980-174a-43e7-852a-e5ec79a671c7/80", "vsock://CID:PORT" }, { "hvsock://children/80", "knows VMs by CID" },
        { "hvsock://parent/8ba03980-174a-43e7-852a-e5ec79a671c7", "no vsock port" },
        { "hvsock://some%20vm/80", "looked up" }, { "hvsock://wsl/80", "looked up" },
        { "unix:///x?type=dgram", "datagram" },    { "vsock://3:1?type=dgram", "datagram" }, { "tcp://127.0.0.1:80?type=seqpacket", "streams" },
        { "unix:///x?half-close=framed", "framed" }, { "vsock-mux://:80/x?type=seqpacket", "streams" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        virtsock_address *a = test_parse(rows[i].text);
        virtsock_stream  *s = NULL;
        virtsock_error    e = { 0 };

        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
        if (strstr(e.message, rows[i].piece) == NULL)
            CHECK_TEXT(e.message, rows[i].piece);
        virtsock_address_free(a);
    }
}

TEST(names_are_resolved_first)
{
    virtsock_address *a = test_parse("hvsock://some%20vm/80"), *out;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK(virtsock_connect_start(&s, a, NULL, &e) == VIRTSOCK_E_INVALID && strstr(e.message, "resolve") != NULL);
    CHECK(virtsock_resolve(&out, a, NULL, &e) == VIRTSOCK_E_UNSUPPORTED && out == NULL);
    virtsock_address_free(a);
    a = test_parse("vsock://3:80");
    CHECK_OK(virtsock_resolve(&out, a, NULL, &e), e);
    CHECK(out != a && virtsock_address_equal(out, a));
    virtsock_address_free(out);
    virtsock_address_free(a);
}

/* The table of the system's codes, by operation and transport. */
TEST(codes_mean_what_the_table_says)
{
    static const struct {
        const char     *op;
        virtsock_scheme scheme;
        int             code;
        virtsock_status status;
        const char     *advice;
    } rows[] = {
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
        { "accept", VIRTSOCK_SCHEME_UNIX, EMFILE, VIRTSOCK_E_NO_RESOURCES, "ulimit" },
        { "accept", VIRTSOCK_SCHEME_VSOCK, EPERM, VIRTSOCK_E_SYSTEM, "security" },
        { "send", VIRTSOCK_SCHEME_UNIX, EPIPE, VIRTSOCK_E_RESET, "shut" },
        { "send", VIRTSOCK_SCHEME_UNIX, EMSGSIZE, VIRTSOCK_E_MESSAGE_TOO_LONG, "send less" },
        { "recv", VIRTSOCK_SCHEME_VSOCK, ENOBUFS, VIRTSOCK_E_NO_RESOURCES, "BUFFER_SIZE" },
        { "local cid", VIRTSOCK_SCHEME_VSOCK, ENOENT, VIRTSOCK_E_UNSUPPORTED, "/dev/vsock" },
        { "local cid", VIRTSOCK_SCHEME_VSOCK, EACCES, VIRTSOCK_E_DENIED, "root" },
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

TEST(an_unknown_code_is_kept)
{
    struct vs_cause why;
    virtsock_error  e = { 0 };

    CHECK(vs_os_cause(&why, "send", VIRTSOCK_SCHEME_VSOCK, EUCLEAN) == VIRTSOCK_E_SYSTEM);
    vs_fail(&e, "send", NULL, &why);
    CHECK(e.os_code == EUCLEAN && strstr(e.message, "system error 117") != NULL);
    CHECK(virtsock_advice(&e) == NULL);
}
