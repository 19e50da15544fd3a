/* SPDX-License-Identifier: MIT
 *
 * Sending and receiving: NULs, nothing, slices, half-close, messages, and peers that go away.
 */
#include "check.h"

static void end(virtsock_stream *s[2])
{
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(bytes_are_bytes)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    char             all[256], got[256];
    size_t           n;

    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], all, sizeof all, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], got, sizeof got, &n, -1, &e), e);
    CHECK(n == sizeof got && memcmp(all, got, sizeof got) == 0);
    end(s);
}

/* proves: D14 */
TEST(nothing_is_nothing)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n = 9;
    char             b[4];

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "", 0, &n, -1, &e), e);
    CHECK(n == 0);
    CHECK_OK(virtsock_stream_send(s[0], NULL, 0, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], b, 0, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], NULL, 0, NULL, -1, &e), e);
    CHECK_OK(virtsock_stream_sendv(s[0], NULL, 0, &n, -1, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 30, &e), VIRTSOCK_E_TIMEOUT, e);     /* no empty message came */
    CHECK_STATUS(virtsock_stream_send(s[0], NULL, 4, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_recv(s[1], NULL, 4, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    end(s);
}

TEST(slices)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_slice   v[300], bad[2] = { { "x", 1 }, { NULL, 1 } };
    const char       letters[] = "abcdefghij";
    char             got[400];
    size_t           n;

    for (int i = 0; i < 300; i++)
        v[i] = (virtsock_slice){ &letters[i % 10], 1 };
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_sendv(s[0], v, 3, &n, 1000, &e), e);
    CHECK(n == 3);
    CHECK_OK(virtsock_stream_recv(s[1], got, sizeof got, &n, 1000, &e), e);
    CHECK(n == 3 && memcmp(got, "abc", 3) == 0);
    if (test_is_seqpacket()) {
        CHECK_STATUS(virtsock_stream_sendv(s[0], v, 300, &n, 1000, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
        CHECK_STATUS(virtsock_stream_recv(s[1], got, sizeof got, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    } else {
        CHECK_OK(virtsock_stream_sendv(s[0], v, 300, &n, 1000, &e), e);
        CHECK(n == 256);
    }
    CHECK_STATUS(virtsock_stream_sendv(s[0], bad, 2, &n, 1000, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_sendv(s[0], NULL, 3, &n, 1000, &e), VIRTSOCK_E_INVALID, e);
    CHECK(n == 0);
    CHECK_OK(virtsock_stream_sendv(s[0], NULL, 0, NULL, 1000, &e), e);          /* done may be NULL everywhere */
    bad[1] = (virtsock_slice){ "y", SIZE_MAX };
    CHECK_STATUS(virtsock_stream_sendv(s[0], bad, 2, &n, 1000, &e), VIRTSOCK_E_INVALID, e);
    end(s);
}

/* proves: D5 */
TEST(half_close_both_ways)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "ask", 3, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, -1, &e), VIRTSOCK_E_RESET, e);
    CHECK(e.os_code == TEST_SHUT);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, -1, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, -1, &e), VIRTSOCK_E_EOF, e);
    CHECK_OK(virtsock_stream_send(s[1], "answer", 6, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 6);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), VIRTSOCK_E_EOF, e);
    CHECK_STATUS(virtsock_stream_shutdown(s[0], 4, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_shutdown(s[0], -1, &e), VIRTSOCK_E_INVALID, e);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_BOTH, &e), e);
    end(s);
}

/* A pair whose address says half-close=none, or unknown. */
static void whole_pair(virtsock_stream *s[2], const char *word)
{
    char               text[300];
    virtsock_address  *a;
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    snprintf(text, sizeof text, "%s%chalf-close=%s", test_address(), strchr(test_address(), '?') != NULL ? '&' : '?', word);
    a = test_parse(text);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, TEST_PATIENT_MS, &e), e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

static void *finish(void *s)
{
    return (void *)(intptr_t)virtsock_stream_close(s, TEST_PATIENT_MS, NULL);
}

/* Where the end of one direction would be that of both, or may be: no end is sent early, and the peer's is waited for. */
static void check_whole(const char *word, uint32_t number)
{
    virtsock_stream  *s[2];
    virtsock_address *peer;
    virtsock_error    e = { 0 };
    struct test_call  closing;
    uint32_t          how;
    size_t            n;
    char              b[16];

    whole_pair(s, word);
    CHECK_OK(virtsock_stream_peer(s[0], &peer, &e), e);
    CHECK(virtsock_address_number(peer, VIRTSOCK_PART_HALF_CLOSE, &how) == VIRTSOCK_OK && how == number);
    virtsock_address_free(peer);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(virtsock_stream_shutdown(s[i], VIRTSOCK_SHUT_SEND, &e), VIRTSOCK_E_UNSUPPORTED, e);
        CHECK(strstr(e.message, "half-close=") != NULL && strstr(e.message, word) != NULL);
        CHECK(strstr(virtsock_advice(&e), "let the peer end first") != NULL && strstr(virtsock_advice(&e), "half-close=native") != NULL);
    }
    test_call_begin(&closing, finish, s[0]);
    test_call_waits(&closing);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, 50, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_OK(virtsock_stream_send(s[1], "answer", 6, &n, TEST_PATIENT_MS, &e), e);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    CHECK((intptr_t)test_call_end(&closing) == VIRTSOCK_OK);
    end(s);
    whole_pair(s, word);
    CHECK_STATUS(virtsock_stream_close(s[0], 50, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
    end(s);
    whole_pair(s, word);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_RECV, &e), e);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_BOTH, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
    end(s);
}

TEST(no_half_close)
{
    check_whole("none", VIRTSOCK_HALF_CLOSE_NONE);
    check_whole("unknown", VIRTSOCK_HALF_CLOSE_UNKNOWN);
}

/* Who has found out by himself may half-close where the address leaves it open, and not where it says that there is none. */
TEST(half_close_unchecked)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    whole_pair(s, "none");
    CHECK_STATUS(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND_UNCHECKED, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK_OK(virtsock_stream_send(s[0], "still", 5, &n, TEST_PATIENT_MS, &e), e);
    end(s);
    for (int said = 0; said < 2; said++) {
        whole_pair(s, said ? "native" : "unknown");
        CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND_UNCHECKED, &e), e);
        CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND_UNCHECKED, &e), e);
        CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
        CHECK_OK(virtsock_stream_send(s[1], "answer", 6, &n, TEST_PATIENT_MS, &e), e);
        CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), e);
        CHECK(n == 6);
        CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_RESET, e);
        end(s);
    }
}

/* --- What is seen of the peer ------------------------------------------------------------------------------------------------- */

static int64_t peer_state(const virtsock_stream *s)
{
    virtsock_error e = { 0 };
    int64_t        state;

    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_PEER_STATE, &state, &e), e);
    return state;
}

/* What the peer did has come a moment later. */
static void await_state(const virtsock_stream *s, int64_t want)
{
    for (int64_t until = test_ms() + TEST_PATIENT_MS; peer_state(s) != want; test_nap_ms(1))
        CHECK(test_ms() < until);
}

#ifdef _WIN32
#define TELLS false                     /* calls that fail, alone */
#else
#define TELLS true
#endif

TEST(what_the_peer_has_ended)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    test_pair(s, NULL);
    CHECK(peer_state(s[0]) == 0 && peer_state(s[1]) == 0);
    CHECK_OK(virtsock_stream_send(s[1], "last", 4, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_SEND, &e), e);
    if (TELLS)
        await_state(s[0], VIRTSOCK_PEER_ENDED);                 /* and nothing of what came is gone */
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), e);
    CHECK(n == 4);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
    CHECK(peer_state(s[0]) == VIRTSOCK_PEER_ENDED && peer_state(s[1]) == 0);
    CHECK_OK(virtsock_stream_send(s[0], "more", 4, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, TEST_PATIENT_MS, &e), e);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    while (virtsock_stream_send(s[0], "x", 1, &n, 1000, &e) == VIRTSOCK_OK)         /* TCP tells whoever sends */
        test_nap_ms(1);
    CHECK(peer_state(s[0]) == VIRTSOCK_PEER_GONE);
    CHECK(virtsock_stream_get(s[1], VIRTSOCK_ITEM_PEER_STATE, &(int64_t){ 0 }, &e) == VIRTSOCK_E_CANCELLED);
    end(s);
}

TEST(what_the_peer_takes)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    if (!TELLS || test_is_tcp() || strcmp(test_transport(), "unix-seqpacket") == 0)
        SKIP("nothing tells");
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_RECV, &e), e);
    await_state(s[0], VIRTSOCK_PEER_DEAF);
    CHECK(peer_state(s[1]) == 0);
    CHECK_OK(virtsock_stream_send(s[1], "still", 5, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    await_state(s[0], VIRTSOCK_PEER_GONE);
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), e);
    CHECK(n == 5);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
    end(s);
}

/* That it was asked for leaves the break to the receive. */
TEST(a_break_is_left_to_the_receive)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    if (!TELLS || test_is_vsock())
        SKIP("nobody is told of unread bytes");
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "unread", 6, &n, -1, &e), e);
    test_nap_ms(20);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    await_state(s[0], VIRTSOCK_PEER_GONE);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_RESET, e);
    CHECK(peer_state(s[0]) == VIRTSOCK_PEER_GONE);
    end(s);
}

static void *look_until_deaf(void *s)
{
    while ((peer_state(s) & VIRTSOCK_PEER_DEAF) == 0) {
    }
    return NULL;
}

/* TCP tells a break once, to whoever asks first: a look that it comes into is none of them. */
TEST(a_break_that_comes_into_a_look)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    struct test_call c;
    size_t           n;
    char             b;

    if (!TELLS || !test_is_tcp())
        SKIP("only TCP answers with a reset what came too late");
    for (int i = 0; i < 500; i++) {
        test_pair(s, NULL);
        CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
        CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
        test_call_begin(&c, look_until_deaf, s[0]);
        test_call_comes(&c);
        CHECK_OK(virtsock_stream_send(s[0], "x", 1, &n, TEST_PATIENT_MS, &e), e);
        test_call_end(&c);
        CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, 0, &e), VIRTSOCK_E_RESET, e);
        end(s);
    }
}

/* proves: D6, D16 */
TEST(data_then_close)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[16];

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "last words", 10, &n, -1, &e), e);
    virtsock_stream_free(s[0]);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, 1000, &e), e);
    CHECK(n == 10 && memcmp(b, "last words", 10) == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, 1000, &e), VIRTSOCK_E_EOF, e);
    CHECK(n == 0);
    virtsock_stream_free(s[1]);
}

/* Without SIGPIPE, whatever the program does with it: the default would end this one. */
/* proves: D2, D11 */
TEST(sending_to_nobody_is_reset)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_status  status;
    size_t           n;
    int64_t          until = test_ms() + 5000;

    test_pair(s, NULL);
    virtsock_stream_free(s[1]);
    do
        status = virtsock_stream_send(s[0], "x", 1, &n, 1000, &e);
    while (status == VIRTSOCK_OK && test_ms() < until);
    CHECK_STATUS(status, VIRTSOCK_E_RESET, e);
    CHECK_STATUS(virtsock_stream_send_all(s[0], "x", 1, &n, 1000, &e), test_is_seqpacket() ? VIRTSOCK_E_INVALID : VIRTSOCK_E_RESET, e);
    virtsock_stream_free(s[0]);
}

/* In no way of sending. */
TEST(slices_to_nobody_are_reset)
{
    const virtsock_slice slices[] = { { "a", 1 }, { "b", 1 } };
    virtsock_stream     *s[2];
    virtsock_error       e = { 0 };
    virtsock_status      status;
    size_t               n;
    int64_t              until = test_ms() + 5000;

    test_pair(s, NULL);
    virtsock_stream_free(s[1]);
    while ((status = virtsock_stream_sendv(s[0], slices, 2, &n, -1, &e)) == VIRTSOCK_OK && test_ms() < until)
        test_nap_ms(1);                                     /* TCP is told of it by an answer */
    CHECK_STATUS(status, VIRTSOCK_E_RESET, e);
    virtsock_stream_free(s[0]);
}

#ifdef _WIN32

NO_TEST(a_killed_peer_is_noticed, "Windows has no fork; the peers that end badly are tests/wine's")
NO_TEST(writes_of_one_s_own_raise_sigpipe, "Windows has no signals")

#else

#include <signal.h>
#include <sys/wait.h>

/* proves: D3 */
TEST(a_killed_peer_is_noticed)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    virtsock_status    status;
    size_t             n;
    char               b[4];
    pid_t              pid;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    if ((pid = fork()) == 0) {
        if (virtsock_connect(&t, a, NULL, NULL) != VIRTSOCK_OK || virtsock_stream_send(t, "x", 1, &n, -1, NULL) != VIRTSOCK_OK)
            _exit(1);
        pause();
        _exit(1);
    }
    CHECK_OK(virtsock_accept(&s, l, 5000, &e), e);
    CHECK_OK(virtsock_stream_recv(s, b, 4, &n, 5000, &e), e);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    status = virtsock_stream_recv(s, b, 4, &n, 5000, &e);
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* The library's calls raise none; that is no property of the descriptor that it gives out. */
TEST(writes_of_one_s_own_raise_sigpipe)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    pid_t            child;
    size_t           n;
    int              status;

    if (!test_is_unix() || test_is_seqpacket())
        SKIP("of UNIX streams: elsewhere the first write is not told of the peer's end");
    test_pair(s, NULL);
    virtsock_stream_free(s[1]);
    if ((child = fork()) == 0) {
        signal(SIGPIPE, SIG_DFL);
        CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, -1, &e), VIRTSOCK_E_RESET, e);
        _exit(write((int)virtsock_stream_fd(s[0]), "x", 1) == -1 ? 2 : 3);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    virtsock_stream_free(s[0]);
}

#endif

/* proves: D14 */
TEST(lengths_beyond_everything)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;
    char             b[8];

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "x", 1, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], b, 1, &n, -1, &e), e);
    if (!test_is_seqpacket()) {
        virtsock_status status = virtsock_stream_send(s[0], b, SIZE_MAX, &n, 0, &e);       /* not memory of ours */

        CHECK(status == VIRTSOCK_E_INVALID || status == VIRTSOCK_E_NO_RESOURCES || (status == VIRTSOCK_OK && n >= sizeof b));
    } else {
        CHECK_STATUS(virtsock_stream_send(s[0], b, SIZE_MAX, &n, 0, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
    }
    end(s);
}

TEST(message_max)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    char              data[64] = "", got[64];
    virtsock_slice    slices[3] = { { data, 6 }, { data, 6 }, { data, 6 } };
    size_t            n;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_MESSAGE_MAX, 10, &e), e);
    test_pair(s, o);
    if (test_is_seqpacket()) {
        CHECK_STATUS(virtsock_stream_send(s[0], data, 11, &n, -1, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
        CHECK_OK(virtsock_stream_send(s[0], data, 10, &n, -1, &e), e);
    } else {
        CHECK_OK(virtsock_stream_send(s[0], data, sizeof data, &n, -1, &e), e);
        CHECK(n == 10);
        CHECK_OK(virtsock_stream_recv_exact(s[1], got, 10, &n, 1000, &e), e);
        CHECK_OK(virtsock_stream_sendv(s[0], slices, 3, &n, -1, &e), e);
        CHECK(n == 10);
        CHECK_OK(virtsock_stream_recv_exact(s[1], got, 10, &n, 1000, &e), e);
        CHECK_OK(virtsock_stream_send_all(s[0], data, sizeof data, &n, -1, &e), e);
        CHECK_OK(virtsock_stream_recv_exact(s[1], got, sizeof got, &n, 1000, &e), e);
    }
    end(s);
    virtsock_options_free(o);
}

TEST(exact_and_all)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    char             b[16];
    size_t           n;

    test_pair(s, NULL);
    if (test_is_seqpacket()) {
        CHECK_STATUS(virtsock_stream_send_all(s[0], "x", 1, &n, -1, &e), VIRTSOCK_E_INVALID, e);
        CHECK_STATUS(virtsock_stream_recv_exact(s[0], b, 1, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    } else {
        CHECK_OK(virtsock_stream_send_all(s[0], "0123456", 7, &n, -1, &e), e);
        CHECK_STATUS(virtsock_stream_recv_exact(s[1], b, 10, &n, 40, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(n == 7 && memcmp(b, "0123456", 7) == 0);
        CHECK_STATUS(virtsock_stream_recv_exact(s[1], b, 10, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
        CHECK_OK(virtsock_stream_send_all(s[0], "789", 3, &n, -1, &e), e);
        CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
        CHECK_STATUS(virtsock_stream_recv_exact(s[1], b, 10, &n, -1, &e), VIRTSOCK_E_EOF, e);
        CHECK(n == 3 && memcmp(b, "789", 3) == 0);
    }
    end(s);
}

/* --- Messages ---------------------------------------------------------------------------------------------------------------- */

TEST(one_call_is_one_message)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_slice   v[2] = { { "two ", 4 }, { "pieces", 6 } };
    char             b[64];
    size_t           n;

    if (!test_is_seqpacket())
        SKIP("for seqpacket");
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "first", 5, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_sendv(s[0], v, 2, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_send(s[0], "the third is cut", 16, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_send(s[0], "fourth", 6, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 5);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 10 && memcmp(b, "two pieces", 10) == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 9, &n, -1, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
    CHECK(n == 9 && memcmp(b, "the third", 9) == 0);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 6 && memcmp(b, "fourth", 6) == 0);
    end(s);
}

TEST(a_message_that_no_buffer_holds)
{
    size_t           size = 64u << 20, n;
    char            *data;
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_status  status;

    if (!test_is_seqpacket())
        SKIP("for seqpacket");
    data = calloc(1, size);
    test_pair(s, NULL);
    status = virtsock_stream_send(s[0], data, size, &n, 1000, &e);
    CHECK_STATUS(status, VIRTSOCK_E_MESSAGE_TOO_LONG, e);
    CHECK(n == 0);
    free(data);
    end(s);
}

#ifdef _WIN32

NO_TEST(an_empty_message_is_no_end, "Windows has no messages")
NO_TEST(counts_of_pieces, "Windows has no signals")

#else

#include <fcntl.h>

/* Of a peer that is not ours: the library sends none. */
TEST(an_empty_message_is_no_end)
{
    virtsock_stream *s[2];
    virtsock_error   e;
    size_t           n = 9;
    char             b[8];
    int              peer;

    if (!test_is_seqpacket() || !test_is_unix())
        SKIP("UNIX seqpacket alone has empty messages");
    test_pair(s, NULL);
    peer = (int)virtsock_stream_fd(s[1]);
    CHECK(send(peer, "", 0, 0) == 0 && send(peer, "", 0, 0) == 0);
    CHECK(send(peer, "one", 3, 0) == 3 && send(peer, "", 0, 0) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, i % 2 == 0 ? -1 : 1000, &e), e);
        CHECK(n == (i == 2 ? 3 : 0));
    }
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK(send(peer, "", 0, 0) == 0 && send(peer, "two", 3, 0) == 3);
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 0);
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), e);
    CHECK(n == 3);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), VIRTSOCK_E_EOF, e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static void *take_all(void *s)
{
    static char data[65536];
    size_t      n, all = 0;

    while (virtsock_stream_recv(s, data, sizeof data, &n, -1, NULL) == VIRTSOCK_OK)
        all += n;
    return (void *)all;
}

/* Some of it is OK, however it came to that: more pieces than a call takes, or a descriptor made non-blocking. */
TEST(counts_of_pieces)
{
    static char       big[5000000];
    virtsock_options *o;
    virtsock_slice    pieces[300];
    virtsock_stream  *s[2];
    virtsock_error    e;
    struct test_call  taker;
    size_t            n;

    if (test_is_seqpacket())
        SKIP("a message is whole");
    o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, 2, &e), e);
    test_pair(s, o);
    for (int i = 0; i < 300; i++)
        pieces[i] = (virtsock_slice){ "xyz", 3 };
    for (int timeout_ms = -1; timeout_ms < 2000; timeout_ms += 1001) {
        CHECK_OK(virtsock_stream_sendv(s[0], pieces, 300, &n, timeout_ms, &e), e);
        CHECK(n == 256 * 3);
    }
    CHECK(fcntl((int)virtsock_stream_fd(s[0]), F_SETFL, O_NONBLOCK) == 0);
    test_call_begin(&taker, take_all, s[1]);
    CHECK_OK(virtsock_stream_send_all(s[0], big, sizeof big, &n, -1, &e), e);
    CHECK(n == sizeof big);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK((size_t)test_call_end(&taker) == 2 * 256 * 3 + sizeof big);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

#endif

/* A full AF_VSOCK socket: what was cut short is the last, so that nothing is glued to it. Elsewhere messages are whole or not there. */
TEST(no_message_is_torn)
{
    static char      data[100000];
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_status  status;
    size_t           n;
    int              sent = 0, came = 0;

    if (!test_is_seqpacket())
        SKIP("for seqpacket");
    memset(data, 'm', sizeof data);
    test_pair(s, NULL);
    while ((status = virtsock_stream_send(s[0], data, sizeof data, &n, sent % 2 ? 50 : 0, &e)) == VIRTSOCK_OK)
        sent++;
    CHECK(status == VIRTSOCK_E_TIMEOUT || status == VIRTSOCK_E_AGAIN);
    if (test_is_vsock())
        CHECK_STATUS(virtsock_stream_send(s[0], "small", 5, &n, 0, &e), VIRTSOCK_E_RESET, e);
    virtsock_stream_free(s[0]);
    while (virtsock_stream_recv(s[1], data, sizeof data, &n, 2000, &e) == VIRTSOCK_OK && n == sizeof data)
        came++;
    CHECK(came == sent);
    virtsock_stream_free(s[1]);
}

static void *send_until_refused(void *argument)
{
    static char     data[65536];
    virtsock_status status;
    virtsock_error  e;
    size_t          n;

    do
        status = virtsock_stream_send(argument, data, sizeof data, &n, 20000, &e);
    while (status == VIRTSOCK_OK);
    return (void *)(intptr_t)status;
}

/* A poll for room is not told of it by Linux: the send looks again each second. */
TEST(a_send_that_waits_learns_that_nobody_receives)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_call  c;
    struct test_watch ending;

    if (!test_is_unix() && !test_is_vsock())
        SKIP("TCP does not tell its peer of it");
    test_pair(s, NULL);
    test_call_begin(&c, send_until_refused, s[0]);
    test_call_waits(&c);
    ending = test_watch_begin();
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_RECV, &e), e);
    test_watch_end(&ending);
    CHECK((intptr_t)test_call_end(&c) == VIRTSOCK_E_RESET && test_wake_us(&c, 1, &ending) < (1500 + test_late_ms()) * 1000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}
