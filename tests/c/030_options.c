/* SPDX-License-Identifier: MIT
 *
 * Options and rules: ranges, what a version does not know, and that a transport says so when it has no use for one.
 */
#include "check.h"

TEST(ranges)
{
    static const struct {
        virtsock_option option;
        int64_t         value;
        virtsock_status want;
    } rows[] = {
        { VIRTSOCK_OPTION_CONNECT_TIMEOUT, -1, VIRTSOCK_OK },          { VIRTSOCK_OPTION_CONNECT_TIMEOUT, -2, VIRTSOCK_E_INVALID },
        { VIRTSOCK_OPTION_WAIT, INT32_MAX, VIRTSOCK_OK },              { VIRTSOCK_OPTION_WAIT, INT64_C(1) << 31, VIRTSOCK_E_INVALID },
        { VIRTSOCK_OPTION_BACKLOG, 0, VIRTSOCK_E_INVALID },            { VIRTSOCK_OPTION_BACKLOG, 1, VIRTSOCK_OK },
        { VIRTSOCK_OPTION_SOCKET_MODE, 0777, VIRTSOCK_OK },            { VIRTSOCK_OPTION_SOCKET_MODE, 01777, VIRTSOCK_E_INVALID },
        { VIRTSOCK_OPTION_INTERRUPTIBLE, 3, VIRTSOCK_E_INVALID },      { VIRTSOCK_OPTION_LINGER, -1, VIRTSOCK_E_INVALID },
        { VIRTSOCK_OPTION_MESSAGE_MAX, 0, VIRTSOCK_E_INVALID },        { VIRTSOCK_OPTION_MESSAGE_MAX, INT64_MAX, VIRTSOCK_E_INVALID },
        { VIRTSOCK_OPTION_BUFFER_SIZE, INT64_MIN, VIRTSOCK_E_INVALID }, { 0, 1, VIRTSOCK_E_UNSUPPORTED },
        { VIRTSOCK_OPTION_STAYS, 0, VIRTSOCK_OK },                     { VIRTSOCK_OPTION_STAYS, -1, VIRTSOCK_E_INVALID },
        { 17, 1, VIRTSOCK_E_UNSUPPORTED },                             { -1, 1, VIRTSOCK_E_UNSUPPORTED },
    };
    virtsock_options *o = virtsock_options_new();
    virtsock_error    e;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_STATUS(virtsock_options_set(o, rows[i].option, rows[i].value, &e), rows[i].want, e);
    CHECK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKLOG, 0, &e) == VIRTSOCK_E_INVALID);
    CHECK(strstr(e.message, "BACKLOG") != NULL && strstr(e.message, "0 is not in 1..") != NULL);
    virtsock_options_free(o);
}

TEST(rules)
{
    static const char *const good[] = { "host", "local", "parent", "self", "uid=0", "uid=4294967295", "3", "3-4294967295", "host:privileged",
                                        "7-9:privileged", "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd" };
    static const char *const bad[] = { "", "HOST", "guest", "-1", "4-3", "3-", "-3", "4294967296", "uid=", "uid=-1", "uid=x", "3 ", " 3", "+3",
                                       ":privileged", "host:", "host:root", "90db8b89-0d35-4f79-8ce9-49ea0ac8b7c" };
    virtsock_options *o = virtsock_options_new();
    virtsock_error    e;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_OK(virtsock_options_allow(o, good[i], &e), e);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(virtsock_options_allow(o, bad[i], &e) == VIRTSOCK_E_INVALID);
        CHECK(strstr(e.message, "uid=N") != NULL);
    }
    for (int i = (int)(sizeof good / sizeof good[0]); i < 16; i++)
        CHECK_OK(virtsock_options_allow(o, "3", &e), e);
    CHECK(virtsock_options_allow(o, "3", &e) == VIRTSOCK_E_NO_RESOURCES);
    virtsock_options_free(o);
}

static void cannot(const char *text, virtsock_option option, const char *name)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(text);
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_options_set(o, option, 1, &e), e);
    CHECK(virtsock_connect(&s, a, o, &e) == VIRTSOCK_E_UNSUPPORTED && s == NULL);
    CHECK(strstr(e.message, name) != NULL);
    CHECK(virtsock_listen(&l, a, o, &e) == VIRTSOCK_E_UNSUPPORTED && l == NULL);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(transports_refuse_what_they_have_no_use_for)
{
    cannot("unix:///x", VIRTSOCK_OPTION_BUFFER_MIN, "BUFFER_MIN");
    cannot("unix:///x", VIRTSOCK_OPTION_BUFFER_MAX, "BUFFER_MAX");
    cannot("unix:///x", VIRTSOCK_OPTION_HYPERV_HIGH_VTL, "HYPERV_HIGH_VTL");
    cannot("vsock://local:1", VIRTSOCK_OPTION_SOCKET_MODE, "SOCKET_MODE");
#ifdef _WIN32                           /* where vsock://local is a Hyper-V socket */
    cannot("hvsock://loopback/1", VIRTSOCK_OPTION_BUFFER_MIN, "BUFFER_MIN");
#else
    cannot("vsock://local:1", VIRTSOCK_OPTION_HYPERV_SUSPEND, "HYPERV_SUSPEND");
#endif
    cannot("tcp://127.0.0.1:1", VIRTSOCK_OPTION_HYPERV_SUSPEND, "HYPERV_SUSPEND");
    cannot("fd://0", VIRTSOCK_OPTION_BUFFER_SIZE, "BUFFER_SIZE");
}

static void cannot_tell(const char *text, const char *rule)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(text);
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_options_allow(o, rule, &e), e);
    CHECK(virtsock_listen(&l, a, o, &e) == VIRTSOCK_E_UNSUPPORTED && l == NULL);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(rules_that_a_transport_cannot_check)
{
    cannot_tell("unix:///x", "host");
    cannot_tell("unix:///x", "3");
    cannot_tell("unix:///x", "local:privileged");
    cannot_tell("unix:///x", "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd");
    cannot_tell("vsock://:1", "uid=0");
    cannot_tell("vsock://:1", "self");
#ifndef _WIN32
    cannot_tell("vsock://:1", "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd");
#endif
    cannot_tell("tcp://127.0.0.1:any", "local");
}

TEST(options_are_copied)
{
    virtsock_options *o = virtsock_options_new();
    char              text[256];
    virtsock_address *a = test_parse(strcpy(text, test_address()));
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           attempts;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 60, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    virtsock_options_free(o);
    virtsock_address_format(a, text, sizeof text);
    virtsock_address_free(a);
    CHECK(virtsock_stream_connect(s, -1, &e) == VIRTSOCK_E_TIMEOUT);
    CHECK(strstr(e.message, text) != NULL && e.attempts > 1);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK(attempts > 1);
    virtsock_stream_free(s);
}

TEST(buffer_sizes)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    int64_t           size;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, test_is_vsock() ? 1 << 20 : 65536, &e), e);
    test_pair(s, o);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(virtsock_stream_get(s[i], VIRTSOCK_ITEM_BUFFER_SIZE, &size, &e), e);
        CHECK(size >= (test_is_vsock() ? 1 << 20 : 65536));
        virtsock_stream_free(s[i]);
    }
    virtsock_options_free(o);
}
