/* SPDX-License-Identifier: MIT
 *
 * The library as it is found: version, names, sizes, and that every function takes NULL for what it is: a mistake, and no crash.
 */
#include "check.h"

TEST(version_is_the_header_s)
{
    char text[20];

    CHECK_TEXT(virtsock_version(), VIRTSOCK_VERSION);
    snprintf(text, sizeof text, "%u.%u.%u", VIRTSOCK_VERSION_NUMBER >> 16, VIRTSOCK_VERSION_NUMBER >> 8 & 255, VIRTSOCK_VERSION_NUMBER & 255);
    CHECK_TEXT(text, VIRTSOCK_VERSION);
#if VIRTSOCK_VERSION_NUMBER < 0x000100
#error "the preprocessor compares it"
#endif
}

TEST(statuses_have_names)
{
    CHECK_TEXT(virtsock_status_name(VIRTSOCK_OK), "ok");
    CHECK_TEXT(virtsock_status_name(VIRTSOCK_E_REFUSED), "refused");
    CHECK_TEXT(virtsock_status_name(VIRTSOCK_E_SYSTEM), "system");
    CHECK_TEXT(virtsock_status_name(-20), "system");
    CHECK_TEXT(virtsock_status_name(1), "system");
    CHECK_TEXT(virtsock_status_name(-2147483647 - 1), "system");
    for (int s = 0; s > -19; s--)
        for (int t = s - 1; t >= -19; t--)
            CHECK(strcmp(virtsock_status_name(s), virtsock_status_name(t)) != 0);
}

/* proves: T8 */
TEST(records_have_their_sizes)
{
    CHECK(sizeof(virtsock_error) == 256);
    CHECK(sizeof(virtsock_fd) == 8);
    CHECK(sizeof(virtsock_slice) == 2 * sizeof(void *));
    CHECK(sizeof(virtsock_status) == sizeof(int));
}

/* proves: T2 */
TEST(null_frees_are_nothing)
{
    virtsock_address_free(NULL);
    virtsock_options_free(NULL);
    virtsock_stream_free(NULL);
    virtsock_listener_free(NULL);
}

#define INVALID(call)                                                  \
    do {                                                               \
        virtsock_error e_ = { 0 };                                     \
        virtsock_error *e = &e_;                                       \
        CHECK((call) == VIRTSOCK_E_INVALID);                           \
        CHECK(e_.status == VIRTSOCK_E_INVALID && e_.message[0] != 0);  \
        e = NULL;                                                      \
        CHECK((call) == VIRTSOCK_E_INVALID);                           \
    } while (0)

/* proves: T8 */
TEST(null_objects_are_invalid)
{
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_address  *a = NULL, *parsed = test_parse("unix:///x");
    virtsock_fd        fd = 0;
    size_t             n;
    int64_t            value;
    char               b[4];

    INVALID(virtsock_connect(&s, NULL, NULL, e));
    CHECK(s == NULL);
    INVALID(virtsock_connect(NULL, parsed, NULL, e));
    INVALID(virtsock_connect_start(&s, NULL, NULL, e));
    INVALID(virtsock_stream_connect(NULL, 0, e));
    INVALID(virtsock_stream_send(NULL, "x", 1, &n, 0, e));
    INVALID(virtsock_stream_recv(NULL, b, 1, &n, 0, e));
    INVALID(virtsock_stream_send_all(NULL, "x", 1, &n, 0, e));
    INVALID(virtsock_stream_recv_exact(NULL, b, 1, &n, 0, e));
    INVALID(virtsock_stream_sendv(NULL, NULL, 0, &n, 0, e));
    INVALID(virtsock_stream_shutdown(NULL, VIRTSOCK_SHUT_SEND, e));
    INVALID(virtsock_stream_close(NULL, 0, e));
    INVALID(virtsock_stream_detach(NULL, &fd, e));
    CHECK(fd == -1);
    INVALID(virtsock_stream_from_fd(&s, -1, NULL, e));
    INVALID(virtsock_stream_from_fd(NULL, 0, NULL, e));
    INVALID(virtsock_stream_peer(NULL, &a, e));
    INVALID(virtsock_stream_local(NULL, &a, e));
    INVALID(virtsock_stream_get(NULL, VIRTSOCK_ITEM_TYPE, &value, e));
    INVALID(virtsock_listen(&l, NULL, NULL, e));
    INVALID(virtsock_listen(NULL, parsed, NULL, e));
    INVALID(virtsock_accept(&s, NULL, 0, e));
    INVALID(virtsock_listener_address(NULL, &a, e));
    INVALID(virtsock_listener_from_fd(&l, -1, NULL, e));
    INVALID(virtsock_listener_close(NULL, e));
    INVALID(virtsock_resolve(&a, NULL, NULL, e));
    INVALID(virtsock_local_cid(NULL, e));
    INVALID(virtsock_service_register(NULL, "x", e));
    INVALID(virtsock_service_unregister(NULL, e));
    INVALID(virtsock_options_set(NULL, VIRTSOCK_OPTION_WAIT, 1, e));
    INVALID(virtsock_options_allow(NULL, "host", e));
    CHECK(virtsock_stream_fd(NULL) == -1 && virtsock_listener_fd(NULL) == -1);
    CHECK(virtsock_advice(NULL) == NULL);
    virtsock_stream_wants(NULL, NULL, NULL, NULL);
    virtsock_address_free(parsed);
}

TEST(supported_says_why_not)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_supported(VIRTSOCK_SCHEME_FD, &e), e);
    CHECK_OK(virtsock_supported(VIRTSOCK_SCHEME_TCP, &e), e);
    CHECK(virtsock_supported(VIRTSOCK_SCHEME_NONE, &e) == VIRTSOCK_E_UNSUPPORTED);
    CHECK(virtsock_supported(99, &e) == VIRTSOCK_E_UNSUPPORTED);
    CHECK(virtsock_supported(-1, NULL) == VIRTSOCK_E_UNSUPPORTED);
}

#ifdef _WIN32

TEST(transports_of_this_system)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_supported(VIRTSOCK_SCHEME_HYPERV, &e), e);
    if (virtsock_supported(VIRTSOCK_SCHEME_UNIX, &e) != VIRTSOCK_OK)
        CHECK(e.status == VIRTSOCK_E_UNSUPPORTED && e.scheme == VIRTSOCK_SCHEME_UNIX);
}

NO_TEST(services_are_for_windows, "this is Windows: tests/wine registers some")

#else

TEST(transports_of_this_system)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_supported(VIRTSOCK_SCHEME_UNIX, &e), e);
    CHECK(virtsock_supported(VIRTSOCK_SCHEME_HYPERV, &e) == VIRTSOCK_E_UNSUPPORTED);
    CHECK(strstr(e.message, "Windows") != NULL && e.scheme == VIRTSOCK_SCHEME_HYPERV);
}

/* proves: L14 */
TEST(services_are_for_windows)
{
    virtsock_error e = { 0 };

    CHECK(virtsock_service_register("00000050-facb-11e6-bd58-64006a7986d3", "echo", &e) == VIRTSOCK_E_UNSUPPORTED);
    CHECK(strstr(e.message, "Windows") != NULL);
    CHECK(virtsock_service_unregister("00000050-facb-11e6-bd58-64006a7986d3", &e) == VIRTSOCK_E_UNSUPPORTED);
}

#endif

TEST(local_cid_is_a_number_or_a_reason)
{
    virtsock_error e = { 0 };
    uint32_t       cid = 7;

    if (virtsock_local_cid(&cid, &e) == VIRTSOCK_OK)
        CHECK(cid != VIRTSOCK_CID_ANY);
    else
        CHECK(cid == VIRTSOCK_CID_ANY && e.message[0] != '\0');
}
