/* SPDX-License-Identifier: MIT
 *
 * What the system is asked for with a Hyper-V socket, and what it has of ours: its timer and options, nothing inherited, no call left pending,
 * and Winsock itself.
 */
#include "hyperv.h"

/* --- Options of the system --------------------------------------------------------------------------------------------------------- */

/* Of an attempt: a second more than it has, so that ours ends it. Here 300 and then 400 ms, less what the machine was busy with other things,
 * and one that no deadline is early by. */
TEST(the_systems_timer_is_set_to_match)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 700);
    virtsock_address *a = service_of(PEERS, UNSERVED);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    unsigned long     longest = 0;

    for (int left = TRIES; left > 0 && longest < 1400 - LATE_MS; left--) {
        log_begin();
        CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(log_count("option 1=", &longest) == 2 && log_count("option 1=1", NULL) == 2);
        printf("# %s: %lu ms at most\n", test_now, longest);
        CHECK(longest <= 1401);
        check_judge();
    }
    CHECK(longest >= 1400 - LATE_MS);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

static const struct {
    virtsock_option option;
    const char     *number, *on, *off, *build;
} flags[] = {
    { VIRTSOCK_OPTION_HYPERV_PASSTHRU, "2", "option 2=1", "option 2=0", "1607" },
    { VIRTSOCK_OPTION_HYPERV_SUSPEND, "4", "option 4=1", "option 4=0", "1709" },
    { VIRTSOCK_OPTION_HYPERV_HIGH_VTL, "8", "option 8=1", "option 8=0", "22H2" },
};

TEST(options_arrive)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        for (int on = 0; on < 2; on++) {
            virtsock_options *o = option(flags[i].option, on);
            virtsock_stream  *s[2];

            log_begin();
            test_pair(s, o);
            CHECK(log_count(on ? flags[i].on : flags[i].off, NULL) == 2);       /* the listener's and the client's */
            CHECK(log_count("option 2=", NULL) + log_count("option 4=", NULL) + log_count("option 8=", NULL) == 2);
            check_judge();
            virtsock_stream_free(s[0]);
            virtsock_stream_free(s[1]);
            virtsock_options_free(o);
        }
}

TEST(an_option_that_the_build_lacks_is_told)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        virtsock_options  *o = option(flags[i].option, 1);
        virtsock_address  *a = test_parse(test_address());
        virtsock_listener *l;
        virtsock_stream   *s;
        virtsock_error     e = { 0 };

        shim("HVSHIM_NO_OPTION", flags[i].number);
        CHECK_STATUS(virtsock_listen(&l, a, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
        CHECK(e.os_code == WSAENOPROTOOPT);
        check_advice(&e, flags[i].build);
        CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
        check_advice(&e, flags[i].build);
        shim("HVSHIM_NO_OPTION", NULL);
        virtsock_address_free(a);
        virtsock_options_free(o);
    }
}

/* --- What the system has of ours --------------------------------------------------------------------------------------------------- */

/* proves: T5 */
TEST(nothing_is_inherited)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    unsigned long      begin;

    log_begin();
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, 5000, &e), e);
    CHECK(!test_is_inherited(virtsock_listener_fd(l)));
    for (int i = 0; i < 2; i++)
        CHECK(!test_is_inherited(virtsock_stream_fd(s[i])));
    CHECK(log_count("socket ", &begin) == 3 && log_count("socket type=1 protocol=1 flags=81", NULL) == 3);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* Calls of every kind have ended before their time; what is left of one would take these bytes, or this completion. */
static void use_in_vain(virtsock_stream *s)
{
    virtsock_error e = { 0 };
    char           b[16];
    size_t         n;

    CHECK_STATUS(virtsock_stream_recv(s, b, sizeof b, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_STATUS(virtsock_stream_recv(s, b, sizeof b, &n, 20, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_STATUS(virtsock_stream_recv_exact(s, b, sizeof b, &n, 20, &e), VIRTSOCK_E_TIMEOUT, e);
}

static void complete(HANDLE port, SOCKET s, OVERLAPPED *call, DWORD want)
{
    OVERLAPPED *done = NULL;
    ULONG_PTR   key = 0;
    DWORD       n = 0;

    CHECK(GetQueuedCompletionStatus(port, &n, &key, &done, 5000));
    CHECK(done == call && key == (ULONG_PTR)s && n == want);
}

TEST(a_detached_socket_goes_to_a_completion_port)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_fd      fd;
    OVERLAPPED       in = { 0 }, out = { 0 }, *none;
    char             got[16] = "", b[16];
    WSABUF           to = { sizeof got, got }, from = { 5, (char *)(uintptr_t)"after" };
    DWORD            no_flags = 0, n;
    ULONG_PTR        key;
    size_t           done;
    HANDLE           port;

    test_pair(s, NULL);
    for (int i = 0; i < 2; i++)
        use_in_vain(s[i]);
    CHECK_OK(virtsock_stream_send_all(s[0], "before", 6, &done, 1000, &e), e);
    CHECK_OK(virtsock_stream_detach(s[0], &fd, &e), e);
    port = CreateIoCompletionPort((HANDLE)(intptr_t)fd, NULL, (ULONG_PTR)fd, 1);
    CHECK(port != NULL);
    CHECK(WSARecv((SOCKET)fd, &to, 1, NULL, &no_flags, &in, NULL) == 0 || WSAGetLastError() == WSA_IO_PENDING);
    CHECK_OK(virtsock_stream_send_all(s[1], "mine", 4, &done, 1000, &e), e);
    complete(port, (SOCKET)fd, &in, 4);
    CHECK(memcmp(got, "mine", 4) == 0);
    CHECK(WSASend((SOCKET)fd, &from, 1, NULL, 0, &out, NULL) == 0 || WSAGetLastError() == WSA_IO_PENDING);
    complete(port, (SOCKET)fd, &out, 5);
    CHECK_OK(virtsock_stream_recv_exact(s[1], b, 11, &done, 1000, &e), e);
    CHECK(memcmp(b, "beforeafter", 11) == 0);
    CHECK(!GetQueuedCompletionStatus(port, &n, &key, &none, 50) && none == NULL);       /* and nobody else's */
    CHECK(closesocket((SOCKET)fd) == 0 && CloseHandle(port));
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* Another module has called WSACleanup once too often. */
/* proves: T10 */
TEST(winsock_is_started_again)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    char             b[4];
    size_t           n;

    test_pair(s, NULL);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    while (WSACleanup() == 0) {
    }
    CHECK(socket(AF_INET, SOCK_STREAM, 0) == INVALID_SOCKET && WSAGetLastError() == WSANOTINITIALISED);
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send_all(s[0], "here", 4, &n, 1000, &e), e);
    CHECK_OK(virtsock_stream_recv_exact(s[1], b, 4, &n, 1000, &e), e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}
