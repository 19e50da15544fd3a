/* SPDX-License-Identifier: MIT
 *
 * The error record: operation, address and cause in the message, what is shortened, the advice, and that each transport that is missing
 * says so.
 */
#include "check.h"

TEST(message_names_operation_address_and_cause)
{
    virtsock_address *a = test_parse(test_is_unix() ? "unix:///nobody/is/here" : test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              begins[300] = "connect ";

    CHECK(virtsock_connect(&s, a, NULL, &e) == VIRTSOCK_E_REFUSED);
    CHECK_TEXT(e.op, "connect");
    if (test_is_unix()) {
        CHECK_TEXT(e.message, "connect unix:///nobody/is/here: no such socket (ENOENT)");
        CHECK(e.os_code == ENOENT && strstr(virtsock_advice(&e), "path") != NULL);
    }
    strcpy(begins + 8 + virtsock_address_format(a, begins + 8, 280), ": ");
    CHECK(strncmp(e.message, begins, strlen(begins)) == 0 && strchr(e.message, '(') != NULL);
    CHECK(e.os_code != 0 && e.scheme == virtsock_address_scheme(a) && e.status == VIRTSOCK_E_REFUSED && e.attempts == 1);
    CHECK(virtsock_advice(&e) != NULL);
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

/* What a terminal would obey: C0, C1, ends of lines, what turns the direction of text. Its neighbours are shown. */
TEST(messages_have_no_control_characters)
{
    static const char *const hidden[] = {
        "\x1b", "\x7f", "\xc2\x80", "\xc2\x9b", "\xc2\x9f", "\xd8\x9c", "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9",
        "\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9", "\x9b", "\xff",
    };
    static const char *const shown[] = {
        "~", "\xc2\xa0", "\xd8\x9b", "\xe2\x80\x90", "\xe2\x80\xa7", "\xe2\x80\xaf", "\xe2\x81\xa5",
        "\xf0\x9f\x98\x80",
    };
    virtsock_address        *a;
    virtsock_error           e = { 0 };
    char                     text[40], want[40];

    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        snprintf(text, sizeof text, "no:%s.", hidden[i]);
        CHECK(virtsock_address_parse(&a, text, &e) == VIRTSOCK_E_INVALID && strstr(e.message, hidden[i]) == NULL);
        CHECK(strncmp(e.message, "parse no:?", 10) == 0 && strstr(e.message, "?.: ") != NULL);
    }
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        snprintf(text, sizeof text, "no:%s.", shown[i]);
        snprintf(want, sizeof want, "parse no:%s.: ", shown[i]);
        CHECK(virtsock_address_parse(&a, text, &e) == VIRTSOCK_E_INVALID && strncmp(e.message, want, strlen(want)) == 0);
    }
}

static void check_whole(const virtsock_error *e, virtsock_status status, const char *op, const char *message)
{
    CHECK(e->status == status && e->os_code == 0 && e->attempts == 0);
    CHECK_TEXT(e->op, op);
    CHECK_TEXT(e->message, message);
    CHECK(virtsock_advice(e) == NULL);
}

/* Whoever prints the message of whatever is not OK is right, and reads nothing that was there before. */
TEST(again_and_eof_are_told_like_failures)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[2], *none;
    virtsock_error     e;
    size_t             n;
    char               b[8];

    test_pair(s, NULL);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    memset(&e, 0x5a, sizeof e);
    CHECK_STATUS(virtsock_accept(&none, l, 0, &e), VIRTSOCK_E_AGAIN, e);
    check_whole(&e, VIRTSOCK_E_AGAIN, "accept", "accept: not ready");
    memset(&e, 0x5a, sizeof e);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    check_whole(&e, VIRTSOCK_E_AGAIN, "recv", "recv: not ready");
    virtsock_stream_free(s[1]);
    memset(&e, 0x5a, sizeof e);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), VIRTSOCK_E_EOF, e);
    check_whole(&e, VIRTSOCK_E_EOF, "recv", "recv: the peer has ended");
    memset(&e, 0x5a, sizeof e);
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), VIRTSOCK_E_CANCELLED, e);
    check_whole(&e, VIRTSOCK_E_CANCELLED, "recv", "recv: the stream is closed");
    virtsock_stream_free(s[0]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* proves: T9 */
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
#ifdef _WIN32
        { "vsock://3:80", "hvsock://VM/SERVICE" },
#else
        { "hvsock://8ba03980-174a-43e7-852a-e5ec79a671c7/80", "vsock://CID:PORT" }, { "hvsock://children/80", "knows VMs by CID" },
        { "hvsock://parent/8ba03980-174a-43e7-852a-e5ec79a671c7", "no vsock port" },
        { "hvsock://some%20vm/80", "looked up" }, { "hvsock://wsl/80", "looked up" },
#endif
        { "unix:///x?type=dgram", "datagram" },    { "vsock://3:1?type=dgram", "datagram" }, { "tcp://127.0.0.1:80?type=seqpacket", "streams" },
        { "vsock-mux://:80/x?type=seqpacket", "streams" },
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
#ifndef _WIN32                          /* there it is looked up: tests/wine */
    CHECK(virtsock_resolve(&out, a, NULL, &e) == VIRTSOCK_E_UNSUPPORTED && out == NULL);
#endif
    virtsock_address_free(a);
    a = test_parse("vsock://3:80");
    CHECK_OK(virtsock_resolve(&out, a, NULL, &e), e);
    CHECK(out != a && virtsock_address_equal(out, a));
    virtsock_address_free(out);
    virtsock_address_free(a);
}
