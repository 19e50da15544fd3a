/* SPDX-License-Identifier: MIT
 *
 * Connecting and listening: refused, late, full, long, stale; whom a listener admits; descriptors adopted and given away.
 */
#include "check.h"

#define NO_UNIX "of UNIX sockets: Wine's Winsock has none"

static virtsock_options *with(virtsock_option option, int64_t value)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_options_set(o, option, value, &e), e);
    return o;
}

static virtsock_scheme scheme_under_test(void)
{
    return test_is_vsock() ? VIRTSOCK_SCHEME_VSOCK : test_is_hyperv() ? VIRTSOCK_SCHEME_HYPERV
         : test_is_tcp() ? VIRTSOCK_SCHEME_TCP : VIRTSOCK_SCHEME_UNIX;
}

/* The system's code where nobody listens. */
static int code_of_nobody(void)
{
    return test_is_vsock() ? ECONNRESET : test_is_unix() ? ENOENT : TEST_REFUSED;
}

static void check_echo(virtsock_stream *a, virtsock_stream *b)
{
    virtsock_error e = { 0 };
    size_t         n;
    char           got[8];

    CHECK_OK(virtsock_stream_send(a, "hello", 5, &n, 1000, &e), e);
    CHECK(n == 5);
    CHECK_OK(virtsock_stream_recv(b, got, sizeof got, &n, 1000, &e), e);
    CHECK(n == 5 && memcmp(got, "hello", 5) == 0);
}

/* proves: L10 */
TEST(connect_and_accept)
{
    virtsock_stream  *s[2];
    virtsock_address *peer;
    virtsock_error    e = { 0 };
    int64_t           value;

    test_pair(s, NULL);
    check_echo(s[0], s[1]);
    check_echo(s[1], s[0]);
    CHECK_OK(virtsock_stream_peer(s[0], &peer, &e), e);
    CHECK(virtsock_address_scheme(peer) == scheme_under_test());
    virtsock_address_free(peer);
    CHECK_OK(virtsock_stream_get(s[0], VIRTSOCK_ITEM_TYPE, &value, &e), e);
    CHECK(value == (test_is_seqpacket() ? VIRTSOCK_TYPE_SEQPACKET : VIRTSOCK_TYPE_STREAM));
    CHECK_OK(virtsock_stream_get(s[0], VIRTSOCK_ITEM_ATTEMPTS, &value, &e), e);
    CHECK(value == 1);
    CHECK(virtsock_stream_get(s[0], 99, &value, &e) == VIRTSOCK_E_UNSUPPORTED);
    if (!test_is_unix()) {
        CHECK(virtsock_stream_get(s[1], VIRTSOCK_ITEM_PEER_UID, &value, &e) == VIRTSOCK_E_NOT_FOUND);
    } else {
        CHECK_OK(virtsock_stream_get(s[1], VIRTSOCK_ITEM_PEER_UID, &value, &e), e);
        CHECK(value == test_user());
        CHECK_OK(virtsock_stream_get(s[1], VIRTSOCK_ITEM_PEER_PID, &value, &e), e);
        CHECK(value == getpid());
        CHECK(virtsock_stream_peer(s[1], &peer, &e) == VIRTSOCK_E_NOT_FOUND && peer == NULL);
    }
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(descriptors_block_and_are_not_inherited)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_stream   *s[2];
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK(!test_is_inherited(virtsock_listener_fd(l)));
    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, 1000, &e), e);
    for (int i = 0; i < 2; i++) {
        CHECK(!test_is_inherited(virtsock_stream_fd(s[i])));
#ifndef _WIN32                          /* there all are overlapped, and each call says how long it waits */
        CHECK(test_blocks(virtsock_stream_fd(s[i])) && !test_blocks(virtsock_listener_fd(l)));
#endif
        virtsock_stream_free(s[i]);
    }
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* proves: C1 */
TEST(refused_at_once)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_watch w = test_watch_begin();

    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
    CHECK_TIME(w, 0);
    CHECK(s == NULL && e.attempts == 1 && e.os_code != 0);
    virtsock_address_free(a);
}

TEST(any_is_no_peer)
{
#ifdef _WIN32
    static const char *const texts[] = { "vsock://:80", "vsock://host:any", "hvsock:///80", "hvsock://parent" };
#else
    static const char *const texts[] = { "vsock://:80", "vsock://3:any", "vsock://any:any" };
#endif

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        virtsock_address *a = test_parse(texts[i]);
        virtsock_stream  *s;
        virtsock_error    e = { 0 };

        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
        CHECK(strstr(e.message, "any") != NULL);
        virtsock_address_free(a);
    }
}

/* Who connects sleeps between two attempts by then. */
struct late {
    char text[256];
    long client;                        /* its thread */
};

static void *listen_late(void *late)
{
    const struct late *w = late;
    virtsock_address  *a = test_parse(w->text);
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    while (test_runs(w->client))
        test_nap_ms(1);
    test_nap_ms(150);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s, l, TEST_PATIENT_MS, &e), e);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    return NULL;
}

/* proves: C4 */
TEST(waits_for_a_late_listener)
{
    struct late       late = { .client = test_thread() };
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, TEST_PATIENT_MS);
    virtsock_address *a = test_parse(strcpy(late.text, test_address()));
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           attempts, status;
    struct test_watch w = test_watch_begin();
    struct test_call  listener;

    test_call_begin(&listener, listen_late, &late);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    test_watch_end(&w);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_STATUS, &status, &e), e);
    CHECK(status == VIRTSOCK_OK);                               /* the latest attempt did not fail */
    CHECK(attempts > 2 || (attempts == 2 && w.delay_us > 50000));
    test_call_end(&listener);
    w.delay_us += listener.watch.delay_us;
    CHECK_WATCH(w, 140, 1400 + 10 * test_late_ms());
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* Clients come one after another: as many as told are hung up on, the next hears a byte where there is one, and is kept until it leaves. */
struct early {
    virtsock_listener *l;
    int                hung_up;
    const char        *byte;
};

static void *accept_early(void *from)
{
    const struct early *early = from;
    virtsock_stream    *s;
    virtsock_error      e = { 0 };
    char                buf[8];
    size_t              n;

    for (int i = 0; i <= early->hung_up; i++) {
        CHECK_OK(virtsock_accept(&s, early->l, TEST_PATIENT_MS, &e), e);
        if (i == early->hung_up && early->byte != NULL)
            CHECK_OK(virtsock_stream_send(s, early->byte, 1, &n, TEST_PATIENT_MS, &e), e);
        if (i == early->hung_up)
            CHECK_STATUS(virtsock_stream_recv(s, buf, sizeof buf, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
        virtsock_stream_free(s);
    }
    return NULL;
}

TEST(who_hangs_up_without_a_byte_is_not_there_yet)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_options *o = with(VIRTSOCK_OPTION_STAYS, 100);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           attempts;
    struct early      early = { .hung_up = 1 };
    struct test_watch w;
    struct test_call  listener;

#ifdef _WIN32
    SKIP("Windows does not tell before a receive");
#endif
    CHECK_OK(virtsock_listen(&early.l, a, NULL, &e), e);
    test_call_begin(&listener, accept_early, &early);
    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_REFUSED, e);
    CHECK(strstr(e.message, "hung up") != NULL);
    w = test_watch_begin();
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);                /* which has lasted */
    test_watch_end(&w);
    CHECK_WATCH(w, 100, 100 + 10 * test_late_ms());
    virtsock_stream_free(s);
    test_call_end(&listener);

    early.hung_up = 3;
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, TEST_PATIENT_MS, &e), e);
    test_call_begin(&listener, accept_early, &early);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK(attempts == 4);
    virtsock_stream_free(s);
    test_call_end(&listener);
    virtsock_listener_free(early.l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(a_byte_says_that_a_peer_is_there)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_options *o = with(VIRTSOCK_OPTION_STAYS, TEST_PATIENT_MS);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct early      early = { .byte = "!" };
    struct test_watch w;
    struct test_call  listener;
    char              byte;
    size_t            n;

#ifdef _WIN32
    SKIP("Windows does not tell before a receive");
#endif
    CHECK_OK(virtsock_listen(&early.l, a, NULL, &e), e);
    test_call_begin(&listener, accept_early, &early);
    w = test_watch_begin();
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    test_watch_end(&w);
    CHECK_WATCH(w, 0, 10 * test_late_ms());
    CHECK_OK(virtsock_stream_recv(s, &byte, 1, &n, TEST_PATIENT_MS, &e), e);    /* and it is still there to be received */
    CHECK(n == 1 && byte == '!');
    virtsock_stream_free(s);
    test_call_end(&listener);
    virtsock_listener_free(early.l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(wait_ends_with_the_last_cause)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 200);
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_watch w = test_watch_begin();

    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 200);
    CHECK((e.attempts >= 3 || w.delay_us > 50000) && e.os_code == code_of_nobody());
    CHECK(strstr(e.message, "200 ms") != NULL && strstr(e.message, "attempts; the last: ") != NULL);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* Steps until the next attempt has failed: the pause after it that is told. What passed meanwhile is off it, so *most is
 * what it may have been. */
static int pause_after_an_attempt(virtsock_stream *s, int *most)
{
    virtsock_error e = { 0 };
    int64_t        before, attempts, start;
    int            told;

    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &before, &e), e);
    for (;; test_nap_ms(1)) {
        start = test_ms();
        CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
        virtsock_stream_wants(s, NULL, NULL, &told);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
        if (attempts > before)
            break;
    }
    *most = told + (int)(test_ms() - start) + 1;
    return told;
}

TEST(pauses_double_up_to_a_limit)
{
    static const int  limits[] = { 32, 64, 128, 128 };
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 60000);
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    if (test_is_unix()) {                                       /* an attempt fails at once there */
        a = test_parse(test_address());
        CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 32, &e), e);
        CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_MAX, 128, &e), e);
        CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
        for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
            int most, told = pause_after_an_attempt(s, &most);

            CHECK(told <= limits[i] && most >= limits[i] / 2);
        }
        virtsock_stream_free(s);
        virtsock_address_free(a);
    }
    virtsock_options_free(o);
}

/* By half at most, so that clients of one server do not come back together. */
TEST(pauses_are_shortened_at_random)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 60000);
    virtsock_address *a;
    virtsock_error    e = { 0 };
    int               shortest = 1000;

    if (test_is_unix()) {
        a = test_parse(test_address());
        CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 1000, &e), e);
        for (int i = 0; i < 50; i++) {
            virtsock_stream *s;
            int              most, told;

            CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
            told = pause_after_an_attempt(s, &most);
            CHECK(told <= 1000 && most >= 500);
            shortest = told < shortest ? told : shortest;
            virtsock_stream_free(s);
        }
        CHECK(shortest < 900);
        virtsock_address_free(a);
    }
    virtsock_options_free(o);
}

/* A loop may come early: what it then does moves nothing. */
TEST(a_step_in_a_pause_begins_nothing)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 600000);
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           attempts;
    int               most;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 60000, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_MAX, 60000, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    if (test_is_unix()) {
        pause_after_an_attempt(s, &most);
        for (int i = 0; i < 5; i++)
            CHECK_STATUS(virtsock_stream_connect(s, i, &e), VIRTSOCK_E_AGAIN, e);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
        CHECK(attempts == 1);
    }
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* Of one that did not fail there is nothing to tell, whatever those before it came to. */
TEST(the_latest_attempt_is_told)
{
    virtsock_options  *o = with(VIRTSOCK_OPTION_WAIT, 60000);
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    int64_t            status, code, attempts;

    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    do {
        CHECK_STATUS(virtsock_stream_connect(s, 1, &e), VIRTSOCK_E_AGAIN, e);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_STATUS, &status, &e), e);
    } while (status == VIRTSOCK_OK);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_CODE, &code, &e), e);
    CHECK(status == VIRTSOCK_E_REFUSED && code == code_of_nobody());
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_stream_connect(s, -1, &e), e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_STATUS, &status, &e), e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_CODE, &code, &e), e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK(status == VIRTSOCK_OK && code == 0 && attempts > 1);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* Driven by a poll loop, as a foreign event loop does it. */
static virtsock_status drive(virtsock_stream *s, int64_t until, virtsock_error *e)
{
    virtsock_status status;

    while ((status = virtsock_stream_connect(s, 0, e)) == VIRTSOCK_E_AGAIN && test_ms() < until) {
        virtsock_fd fd;
        int         events, timeout;

        virtsock_stream_wants(s, &fd, &events, &timeout);
        CHECK(fd >= 0 || timeout >= 0);
        test_wait(fd, events, timeout);
    }
    return status;
}

TEST(a_poll_loop_drives)
{
    virtsock_options  *o = with(VIRTSOCK_OPTION_WAIT, TEST_PATIENT_MS);
    struct late        late = { .client = test_thread() };
    virtsock_address  *a = test_parse(strcpy(late.text, test_address()));
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    virtsock_fd        fd;
    pthread_t          t;
    size_t             n;
    int                events, timeout;
    char               b;

    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK(virtsock_stream_fd(s) == -1);
    CHECK_STATUS(virtsock_stream_send(s, "x", 1, &n, 0, &e), VIRTSOCK_E_INVALID, e);
    virtsock_stream_wants(s, &fd, &events, &timeout);
    CHECK(fd == -1 && events == 0 && timeout == 0);
    pthread_create(&t, NULL, listen_late, &late);
    CHECK_OK(drive(s, test_ms() + TEST_PATIENT_MS, &e), e);
    CHECK_OK(virtsock_stream_connect(s, 0, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s, &b, 1, &n, TEST_PATIENT_MS, &e), VIRTSOCK_E_EOF, e);
    pthread_join(t, NULL);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(a_final_answer_stays)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 }, again = { 0 };
    virtsock_fd       fd;
    int               events, timeout;

    CHECK_OK(virtsock_connect_start(&s, a, NULL, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, -1, &e), VIRTSOCK_E_REFUSED, e);
    CHECK_STATUS(virtsock_stream_connect(s, -1, &again), VIRTSOCK_E_REFUSED, again);
    CHECK_TEXT(again.message, e.message);
    virtsock_stream_wants(s, &fd, &events, &timeout);
    CHECK(fd == -1 && timeout == 0);
    virtsock_stream_free(s);
    virtsock_address_free(a);
}

TEST(a_timeout_of_the_step_goes_on)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 10000);
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           status, code;
    struct test_watch w = test_watch_begin();

    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    if (test_is_unix()) {                                       /* an attempt fails at once there, and tells so in the pause after it */
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_STATUS, &status, &e), e);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_LAST_CODE, &code, &e), e);
        CHECK(status == VIRTSOCK_E_REFUSED && code == code_of_nobody());
    }
    CHECK_STATUS(virtsock_stream_connect(s, 60, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_TIME(w, 60);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* proves: L2 */
TEST(two_listeners_on_one_address)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l, *m;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_listen(&m, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(m == NULL && virtsock_advice(&e) != NULL);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);            /* the first one still has its name */
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);             /* and gives it back at once */
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* A listener for one client alone still waits for it. */
TEST(a_second_listener_is_nobody_s_client)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l, *m;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_listen(&m, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK_STATUS(virtsock_accept(&s, l, 0, &e), VIRTSOCK_E_AGAIN, e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* A connection waits for room in the backlog; AF_VSOCK refuses it, so it is tried again. */
/* proves: C5 */
TEST(full_backlog)
{
    virtsock_options  *one = with(VIRTSOCK_OPTION_BACKLOG, 1), *o = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 100);
    virtsock_address  *a = test_parse(test_address());
    virtsock_stream   *s[8], *t;
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    virtsock_status    status = VIRTSOCK_OK;
    int                n = 0;

    CHECK_OK(virtsock_listen(&l, a, one, &e), e);
    while (n < 8 && (status = virtsock_connect(&s[n], a, o, &e)) == VIRTSOCK_OK)
        n++;
    CHECK(n >= 1 && n < 8);
    CHECK_STATUS(status, test_is_vsock() ? VIRTSOCK_E_REFUSED : VIRTSOCK_E_TIMEOUT, e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, -1, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 5000, &e), e);
    CHECK_OK(virtsock_connect_start(&t, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(t, 30, &e), VIRTSOCK_E_AGAIN, e);
    for (int i = 0; i < n; i++) {
        virtsock_stream *accepted;

        CHECK_OK(virtsock_accept(&accepted, l, 1000, &e), e);
        virtsock_stream_free(accepted);
        virtsock_stream_free(s[i]);
    }
    CHECK_OK(virtsock_stream_connect(t, 5000, &e), e);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(one);
    virtsock_options_free(o);
}

/* More than any number that a program would think of. */
TEST(a_crowd_waits_to_be_accepted)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_options  *soon = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 5000);
    virtsock_listener *l;
    virtsock_stream   *s[300];
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    for (int i = 0; i < 300; i++)
        CHECK_OK(virtsock_connect(&s[i], a, soon, &e), e);
    for (int i = 0; i < 300; i++)
        virtsock_stream_free(s[i]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(soon);
}

TEST(accept_without_a_client)
{
    virtsock_address  *a = test_parse(test_address()), *b;
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    struct test_watch  w;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&s, l, 0, &e), VIRTSOCK_E_AGAIN, e);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_accept(&s, l, 80, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 80);
    CHECK(s == NULL);
    CHECK_OK(virtsock_listener_address(l, &b, &e), e);
    CHECK(virtsock_address_equal(a, b));
    virtsock_address_free(b);
    CHECK_OK(virtsock_listener_close(l, &e), e);
    CHECK_OK(virtsock_listener_close(l, &e), e);
    CHECK_STATUS(virtsock_accept(&s, l, -1, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_listener_address(l, &b, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK(virtsock_listener_fd(l) == -1);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

TEST(the_system_chooses_a_port)
{
    virtsock_address  *a, *b, *peer;
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    uint32_t           port, from;

    if (!test_is_vsock() || test_is_seqpacket())
        SKIP("for vsock streams");
    a = test_parse("vsock://local:any");
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_listener_address(l, &b, &e), e);
    CHECK_OK(virtsock_address_number(b, VIRTSOCK_PART_PORT, &port), e);
    CHECK(port >= 1024 && port != VIRTSOCK_PORT_ANY);
    CHECK_OK(virtsock_connect(&s, b, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    CHECK_OK(virtsock_stream_local(s, &peer, &e), e);
    CHECK_OK(virtsock_address_number(peer, VIRTSOCK_PART_PORT, &from), e);
    virtsock_address_free(peer);
    CHECK_OK(virtsock_stream_peer(t, &peer, &e), e);
    CHECK_OK(virtsock_address_number(peer, VIRTSOCK_PART_PORT, &port), e);
    CHECK(port == from);
    virtsock_address_free(peer);
    virtsock_stream_free(s);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(b);
}

#ifdef _WIN32

NO_TEST(vsock_errors_of_a_real_kernel, "for vsock, in a VM")

#else

#include <sys/wait.h>

/* proves: C2, C7 */
TEST(vsock_errors_of_a_real_kernel)
{
    static const struct {
        const char     *text;
        virtsock_status status;
        int             code;
    } rows[] = {
        { "vsock://local:77", VIRTSOCK_E_REFUSED, ECONNRESET }, { "vsock://99:77", VIRTSOCK_E_UNREACHABLE, ENODEV },
        { "vsock://0:77", VIRTSOCK_E_UNREACHABLE, 0 },          { "vsock://4294967294:0", VIRTSOCK_E_UNREACHABLE, ENODEV },
        { "vsock://99:77?to-host=1", VIRTSOCK_E_UNREACHABLE, ENODEV },
    };
    virtsock_address  *a;
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    if (!test_is_vsock())
        SKIP("for vsock, in a VM");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        virtsock_stream *s;

        a = test_parse(rows[i].text);
        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), rows[i].status, e);
        CHECK(rows[i].code == 0 || e.os_code == rows[i].code);
        virtsock_address_free(a);
    }
    a = test_parse("vsock://42:7000");
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_UNREACHABLE, e);
    CHECK(e.os_code == EADDRNOTAVAIL && strstr(virtsock_advice(&e), "vsock://:PORT") != NULL);
    virtsock_address_free(a);
    a = test_parse("vsock://local:900?to-host=1");
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    virtsock_address_free(a);
    if (fork() == 0) {
        if (setuid(65534) != 0)
            _exit(2);
        a = test_parse("vsock://:900");
        _exit(virtsock_listen(&l, a, NULL, &e) == VIRTSOCK_E_DENIED && strstr(e.message, "1024") != NULL ? 0 : 1);
    }
    {
        int status;

        CHECK(wait(&status) > 0 && status == 0);
    }
}

#endif

/* --- Names in the file system -------------------------------------------------------------------------------------------- */

#ifdef _WIN32

NO_TEST(what_waiting_cannot_mend_is_final, NO_UNIX)
NO_TEST(a_full_backlog_is_looked_at_seldom, NO_UNIX)
NO_TEST(a_path_of_107_bytes_fits_and_108_do_not, NO_UNIX)
NO_TEST(sockets_are_for_their_owner, NO_UNIX)
NO_TEST(no_moment_is_wider, NO_UNIX)
NO_TEST(a_stale_socket_is_replaced, NO_UNIX)
NO_TEST(what_is_no_stale_socket_stays, NO_UNIX)
NO_TEST(another_s_socket_is_not_removed_at_close, NO_UNIX)
NO_TEST(directories_that_will_not_do, NO_UNIX)
NO_TEST(a_link_to_a_stale_socket_stays, NO_UNIX)
NO_TEST(who_cannot_answer_keeps_the_name, NO_UNIX)
NO_TEST(a_locked_directory_stops_nobody, NO_UNIX)
NO_TEST(a_child_holds_no_lock, NO_UNIX)
NO_TEST(what_is_hidden_stays, NO_UNIX)
NO_TEST(a_mode_without_proc, NO_UNIX)
NO_TEST(the_root_has_a_lock_of_its_own, NO_UNIX)
NO_TEST(buffers_are_as_large_as_asked, "of what SO_SNDBUF and SO_RCVBUF are on Linux")

#else

#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>

static const char *path_of(const virtsock_address *a)
{
    return virtsock_address_text(a, VIRTSOCK_PART_PATH);
}

static virtsock_address *unix_address_of_length(size_t length)
{
    virtsock_address *a;
    char              path[200];
    virtsock_error    e = { 0 };
    int               n = snprintf(path, sizeof path, "/tmp/virtsock-test-%d-", (int)getpid());

    memset(path + n, 'p', length - (size_t)n);
    path[length] = '\0';
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, path, 0, &e), e);
    return a;
}

/* Nothing tells when there is room. So a wait for it asks soon at first, and later twenty times a second. */
TEST(a_full_backlog_is_looked_at_seldom)
{
    if (!test_is_unix())
        SKIP("of UNIX sockets");
    virtsock_options  *one = with(VIRTSOCK_OPTION_BACKLOG, 1), *o = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 0);
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[8], *t, *accepted;
    virtsock_error     e = { 0 };
    virtsock_fd        fd;
    int64_t            until;
    int                n = 0, looks = 0, events, ms;

    CHECK_OK(virtsock_listen(&l, a, one, &e), e);
    while (n < 8 && virtsock_connect(&s[n], a, o, &e) == VIRTSOCK_OK)
        n++;
    CHECK(n >= 1 && n < 8);
    CHECK_OK(virtsock_connect_start(&t, a, NULL, &e), e);
    for (until = test_ms() + 1000; test_ms() < until; looks++) {
        CHECK_STATUS(virtsock_stream_connect(t, 0, &e), VIRTSOCK_E_AGAIN, e);
        virtsock_stream_wants(t, &fd, &events, &ms);
        CHECK(fd == -1 && events == 0 && ms >= 0 && ms <= 50);
        test_nap_ms(ms);
    }
    CHECK(looks <= 40);
    CHECK_OK(virtsock_accept(&accepted, l, 1000, &e), e);
    CHECK_OK(virtsock_stream_connect(t, 5000, &e), e);
    virtsock_stream_free(accepted);
    virtsock_stream_free(t);
    while (n > 0)
        virtsock_stream_free(s[--n]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(one);
    virtsock_options_free(o);
}

TEST(what_waiting_cannot_mend_is_final)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 60000);
    virtsock_address *a = unix_address_of_length(108);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_NAME_TOO_LONG, e);
    CHECK(e.attempts == 1);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* proves: L6 */
TEST(a_path_of_107_bytes_fits_and_108_do_not)
{
    virtsock_address  *fits, *too_long;
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    if (!test_is_unix())
        SKIP("for UNIX sockets");
    fits = unix_address_of_length(107);
    CHECK_OK(virtsock_listen(&l, fits, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s, fits, NULL, &e), e);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(fits);
    too_long = unix_address_of_length(108);
    CHECK_STATUS(virtsock_listen(&l, too_long, NULL, &e), VIRTSOCK_E_NAME_TOO_LONG, e);
    CHECK_STATUS(virtsock_connect(&s, too_long, NULL, &e), VIRTSOCK_E_NAME_TOO_LONG, e);
    CHECK(strstr(e.message, "107 bytes") != NULL && access(path_of(too_long), F_OK) != 0);
    virtsock_address_free(too_long);
}

static mode_t mode_at(const char *path)
{
    struct stat file;

    CHECK(lstat(path, &file) == 0 && S_ISSOCK(file.st_mode));
    return file.st_mode & 0777;
}

/* proves: L5 */
TEST(sockets_are_for_their_owner)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    virtsock_options  *o = with(VIRTSOCK_OPTION_SOCKET_MODE, 0660);
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    mode_t             old;

    old = umask(0);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK(mode_at(path_of(a)) == 0600);
    virtsock_listener_free(l);
    umask(077);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK(mode_at(path_of(a)) == 0660);
    virtsock_listener_free(l);
    umask(old);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

struct watch {
    const char  *path;
    _Atomic bool stop;
    _Atomic int  wide, seen;
};

static void *watch_mode(void *v)
{
    struct watch *w = v;
    struct stat   file;

    while (!w->stop)
        if (stat(w->path, &file) == 0) {
            w->seen++;
            w->wide += (file.st_mode & 077) != 0;
        }
    return NULL;
}

/* proves: L5 */
TEST(no_moment_is_wider)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct watch       w = { path_of(a), false, 0, 0 };
    pthread_t          t;
    mode_t             old;

    old = umask(0);
    pthread_create(&t, NULL, watch_mode, &w);
    for (int i = 0; i < 300 || (w.seen < 20 && i < 20000); i++) {
        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        virtsock_listener_free(l);
    }
    w.stop = true;
    pthread_join(t, NULL);
    umask(old);
    CHECK(w.seen >= 20 && w.wide == 0);
    virtsock_address_free(a);
}

static int raw_listener(const char *path, bool listens)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int                fd = socket(AF_UNIX, (test_is_seqpacket() ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    strcpy(un.sun_path, path);
    CHECK(bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && (!listens || listen(fd, 4) == 0));
    return fd;
}

/* proves: L1 */
TEST(a_stale_socket_is_replaced)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    close(raw_listener(path_of(a), true));
    CHECK(access(path_of(a), F_OK) == 0);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    virtsock_listener_free(l);
    CHECK(access(path_of(a), F_OK) != 0);
    virtsock_address_free(a);
}

/* proves: L3 */
TEST(what_is_no_stale_socket_stays)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    const char        *path = path_of(a);
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct stat        before, after;
    int                fd;

    for (int i = 0; i < 2; i++) {                               /* somebody else's live one, or not yet */
        fd = raw_listener(path, i == 0);
        CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
        CHECK(strstr(e.message, "somebody listens") != NULL && access(path, F_OK) == 0);
        close(fd);
        unlink(path);
    }
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);      /* a file */
    CHECK(write(fd, "precious", 8) == 8 && fstat(fd, &before) == 0);
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(stat(path, &after) == 0 && before.st_ino == after.st_ino && after.st_size == 8);
    close(fd);
    unlink(path);
    CHECK(mkdir(path, 0700) == 0);                              /* a directory */
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    rmdir(path);
    CHECK(symlink("/nobody/is/here", path) == 0);               /* a dangling link */
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(lstat(path, &after) == 0 && S_ISLNK(after.st_mode));
    unlink(path);
    virtsock_address_free(a);
}

/* proves: L4 */
TEST(another_s_socket_is_not_removed_at_close)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    const char        *path = path_of(a);
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    int                fd;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    unlink(path);
    fd = raw_listener(path, true);
    virtsock_listener_free(l);
    CHECK(access(path, F_OK) == 0);
    close(fd);
    unlink(path);
    virtsock_address_free(a);
}

TEST(directories_that_will_not_do)
{
    virtsock_address  *a = test_parse("unix:///nobody/is/here");
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_NOT_FOUND, e);
    CHECK(strstr(virtsock_advice(&e), "directory") != NULL);
    virtsock_address_free(a);
    a = test_parse("unix:///dev/null/x");
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_NOT_FOUND, e);
    virtsock_address_free(a);
}

#endif

#ifndef _WIN32

TEST(a_link_to_a_stale_socket_stays)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    char               stale[120];
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct stat        file;

    snprintf(stale, sizeof stale, "%s.stale", path_of(a));
    close(raw_listener(stale, true));
    CHECK(symlink(stale, path_of(a)) == 0);
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(lstat(path_of(a), &file) == 0 && S_ISLNK(file.st_mode) && lstat(stale, &file) == 0);
    unlink(path_of(a));
    unlink(stale);
    virtsock_address_free(a);
}

/* "Refused" alone means that nobody listens: not "full", and not "of another type". */
TEST(who_cannot_answer_keeps_the_name)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address()), *other;
    virtsock_options  *one = with(VIRTSOCK_OPTION_BACKLOG, 1), *soon = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 0);
    virtsock_listener *l, *m;
    virtsock_stream   *s[8], *t;
    virtsock_error     e = { 0 };
    char               text[200];
    int                n = 0;

    snprintf(text, sizeof text, "unix://%s%s", path_of(a), test_is_seqpacket() ? "" : "?type=seqpacket");
    other = test_parse(text);
    CHECK_OK(virtsock_listen(&l, a, one, &e), e);
    CHECK_STATUS(virtsock_listen(&m, other, NULL, &e), VIRTSOCK_E_IN_USE, e);
    while (n < 8 && virtsock_connect(&s[n], a, soon, &e) == VIRTSOCK_OK)
        n++;
    CHECK(n < 8);
    CHECK_STATUS(virtsock_listen(&m, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(access(path_of(a), F_OK) == 0);
    CHECK_OK(virtsock_accept(&t, l, 5000, &e), e);
    virtsock_stream_free(t);
    while (n > 0)
        virtsock_stream_free(s[--n]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(other);
    virtsock_options_free(one);
    virtsock_options_free(soon);
}

/* Who can read a directory can lock it. Then a stale socket takes a second, and nothing else waits. */
TEST(a_locked_directory_stops_nobody)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct test_watch  w;
    int                fd = open(test_directory(), O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0 && flock(fd, LOCK_SH) == 0);
    for (int stale = 0; stale < 2; stale++) {
        if (stale)
            close(raw_listener(path_of(a), true));
        w = test_watch_begin();
        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        CHECK_TOOK(w, stale ? 1000 : 0, stale ? 1900 + test_late_ms() : 900);
        w = test_watch_begin();
        virtsock_listener_free(l);
        CHECK_TOOK(w, 0, 900);
        CHECK(access(path_of(a), F_OK) != 0);
    }
    close(fd);
    virtsock_address_free(a);
}

struct taker {
    virtsock_address *address;
    _Atomic bool      stop;
};

static void *take_over_stale_ones(void *v)
{
    struct taker      *t = v;
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    while (!t->stop) {
        CHECK(mknod(path_of(t->address), S_IFSOCK | 0600, 0) == 0);         /* a stale one that no child can have */
        CHECK_OK(virtsock_listen(&l, t->address, NULL, &e), e);
        virtsock_listener_free(l);
    }
    return NULL;
}

/* Whatever a fork met: the child has no lock, though it lives on. */
TEST(a_child_holds_no_lock)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    struct taker taker = { test_parse(test_address()), false };
    int          fd = open(test_directory(), O_RDONLY | O_CLOEXEC);
    pid_t        children[60];
    pthread_t    t;

    pthread_create(&t, NULL, take_over_stale_ones, &taker);
    for (int i = 0; i < 60; i++) {
        if ((children[i] = fork()) == 0) {
            close(STDOUT_FILENO), close(STDERR_FILENO);
            sleep(10);
            _exit(0);
        }
        test_nap_ms(1);
    }
    taker.stop = true;
    pthread_join(t, NULL);
    CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    for (int i = 0; i < 60; i++)
        CHECK(kill(children[i], SIGKILL) == 0 && waitpid(children[i], NULL, 0) == children[i]);
    close(fd);
    virtsock_address_free(taker.address);
}

/* It is not the working directory that is locked for a path of one part. */
TEST(the_root_has_a_lock_of_its_own)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    if (geteuid() != 0)
        SKIP("needs root, to listen there");
    virtsock_address  *a;
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct test_watch  w;
    char               text[60];
    int                fd = open(test_directory(), O_RDONLY | O_CLOEXEC), here = open(".", O_RDONLY | O_CLOEXEC);

    snprintf(text, sizeof text, "unix:///virtsock-test-%d", (int)getpid());
    a = test_parse(text);
    CHECK(fd >= 0 && here >= 0 && flock(fd, LOCK_EX) == 0 && chdir(test_directory()) == 0);
    close(raw_listener(path_of(a), true));
    w = test_watch_begin();
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_TOOK(w, 0, 900);
    virtsock_listener_free(l);
    CHECK(access(path_of(a), F_OK) != 0 && fchdir(here) == 0);
    close(fd), close(here);
    virtsock_address_free(a);
}

/* A socket that may not be asked is no stale one, and nobody says that one listens there. */
TEST(what_is_hidden_stays)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    if (geteuid() != 0)
        SKIP("needs root, to be two users");
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    mode_t             old = umask(077);

    close(raw_listener(path_of(a), true));
    umask(old);
    CHECK(chmod(test_directory(), 01777) == 0 && seteuid(65534) == 0);
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(strstr(e.message, "another user") != NULL && seteuid(0) == 0 && access(path_of(a), F_OK) == 0);
    unlink(path_of(a));
    virtsock_address_free(a);
}

/* In a first ramdisk, or in a chroot: what the umask takes, Linux 6.6 gives back, and others say what is missing. */
static int listens_without_proc(void)
{
    virtsock_address  *a = test_parse("unix:///bare.sock");
    virtsock_options  *o = with(VIRTSOCK_OPTION_SOCKET_MODE, 0660);
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    struct stat        file;
    int                fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool               can = syscall(452, fd, "", 0700, 0x1000) == 0;           /* fchmodat2, AT_EMPTY_PATH */

    umask(077);
    if (virtsock_listen(&l, a, o, &e) == VIRTSOCK_OK)
        return !can || stat("/bare.sock", &file) != 0 || (file.st_mode & 0777) != 0660;
    return can || e.status != VIRTSOCK_E_UNSUPPORTED || strstr(e.message, "/proc") == NULL || access("/bare.sock", F_OK) == 0;
}

TEST(a_mode_without_proc)
{
    char  bare[200];
    pid_t pid;
    int   status;

    if (!test_is_unix())
        SKIP("for UNIX sockets");
    if (geteuid() != 0)
        SKIP("needs root, to change the root directory");
    if ((pid = fork()) == 0)
        _exit(chroot(test_directory()) != 0 || chdir("/") != 0 ? 2 : listens_without_proc());
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    snprintf(bare, sizeof bare, "%s/bare.sock", test_directory());
    unlink(bare);
}

static int buffer_of(const virtsock_stream *s, int which)
{
    int       size = 0;
    socklen_t length = sizeof size;

    CHECK(getsockopt((int)virtsock_stream_fd(s), SOL_SOCKET, which, &size, &length) == 0);
    return size;
}

TEST(buffers_are_as_large_as_asked)
{
    virtsock_options *o;
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    int64_t           told;

    if (test_is_vsock())
        SKIP("there the buffer is one of AF_VSOCK's own");
    o = with(VIRTSOCK_OPTION_BUFFER_SIZE, 20000);
    test_pair(s, o);
    CHECK(buffer_of(s[0], SO_SNDBUF) == 40000 && buffer_of(s[0], SO_RCVBUF) == 40000);      /* Linux doubles it: socket(7) */
    CHECK_OK(virtsock_stream_get(s[0], VIRTSOCK_ITEM_BUFFER_SIZE, &told, &e), e);
    CHECK(told == 40000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

#endif

/* --- Whom a listener admits ---------------------------------------------------------------------------------------------- */

static virtsock_status try_rule(const char *rule)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    virtsock_status    status;
    size_t             n;
    char               b;

    CHECK_OK(virtsock_options_allow(o, rule, &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    status = virtsock_accept(&t, l, 100, &e);
    if (status != VIRTSOCK_OK)
        CHECK(virtsock_stream_recv(s, &b, 1, &n, 1000, &e) != VIRTSOCK_E_TIMEOUT);      /* turned away, not left to wait */
    virtsock_stream_free(t);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
    return status;
}

/* proves: L9 */
TEST(rules_admit_and_refuse)
{
    char me[32];

    if (test_is_tcp())
        SKIP("TCP knows nothing that rules name");
    CHECK(try_rule("local") == VIRTSOCK_OK);
    if (test_is_hyperv()) {
        CHECK(try_rule(VIRTSOCK_VM_LOOPBACK) == VIRTSOCK_OK);
        CHECK(try_rule("parent") == VIRTSOCK_E_TIMEOUT && try_rule("8ba03980-174a-43e7-852a-e5ec79a671c7") == VIRTSOCK_E_TIMEOUT);
    } else if (test_is_vsock()) {
        CHECK(try_rule("1") == VIRTSOCK_OK && try_rule("0-5") == VIRTSOCK_OK);
        CHECK(try_rule("host") == VIRTSOCK_E_TIMEOUT && try_rule("3-9") == VIRTSOCK_E_TIMEOUT);
        CHECK(try_rule("local:privileged") == VIRTSOCK_E_TIMEOUT);
    } else {
        snprintf(me, sizeof me, "uid=%u", (unsigned)test_user());
        CHECK(try_rule("self") == VIRTSOCK_OK && try_rule(me) == VIRTSOCK_OK);
        snprintf(me, sizeof me, "uid=%u", (unsigned)test_user() + 1);
        CHECK(try_rule(me) == VIRTSOCK_E_TIMEOUT);
    }
}

/* proves: L12 */
TEST(a_crowd_of_refused_clients_does_not_hold_accept)
{
    if (test_is_tcp())
        SKIP("TCP knows nothing that rules name");
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[100], *t;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_options_allow(o, test_is_vsock() ? "7" : test_is_hyperv() ? "parent" : "uid=4294967294", &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    for (int i = 0; i < 100; i++)
        CHECK_OK(virtsock_connect(&s[i], a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&t, l, 0, &e), VIRTSOCK_E_AGAIN, e);
#ifndef _WIN32
    struct pollfd p = { (int)virtsock_listener_fd(l), POLLIN, 0 };

    CHECK(poll(&p, 1, 0) == 1);                                 /* 64 were passed over, more are there */
#endif
    CHECK_STATUS(virtsock_accept(&t, l, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_STATUS(virtsock_accept(&t, l, 50, &e), VIRTSOCK_E_TIMEOUT, e);
    for (int i = 0; i < 100; i++)
        virtsock_stream_free(s[i]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

#ifdef _WIN32

NO_TEST(a_flood_of_refused_clients_moves_no_deadline, NO_UNIX)
NO_TEST(self_is_the_effective_user, NO_UNIX)
NO_TEST(out_of_descriptors, "Windows has no limit of handles that a process could set for itself")

#else

#include <sys/resource.h>

/* More of them than can be passed over in the time: some are left. */
TEST(a_flood_of_refused_clients_moves_no_deadline)
{
    if (!test_is_unix())
        SKIP("clients of UNIX sockets stay in the queue when they leave");
    virtsock_options  *o = with(VIRTSOCK_OPTION_BACKLOG, 5000), *soon = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 0);
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    int                clients = 0;

    CHECK_OK(virtsock_options_allow(o, "uid=4294967294", &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    while (clients < 4000 && virtsock_connect(&s, a, soon, &e) == VIRTSOCK_OK) {
        virtsock_stream_free(s);
        clients++;
    }
    if (clients == 4000) {                                      /* the system may allow fewer (net.core.somaxconn) */
        struct pollfd p = { (int)virtsock_listener_fd(l), POLLIN, 0 };

        CHECK_STATUS(virtsock_accept(&s, l, 1, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(poll(&p, 1, 0) == 1);
    }
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
    virtsock_options_free(soon);
}

/* One client of that user, for a listener of this one that admits `self`. */
static virtsock_status self_admits(const virtsock_address *a, virtsock_listener *l, uid_t client, uid_t server)
{
    virtsock_stream *s, *t;
    virtsock_error   e = { 0 };
    virtsock_status  status;

    CHECK(seteuid(client) == 0);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK(seteuid(0) == 0 && seteuid(server) == 0);
    status = virtsock_accept(&t, l, 20, &e);
    CHECK(seteuid(0) == 0);
    virtsock_stream_free(t);
    virtsock_stream_free(s);
    return status;
}

TEST(self_is_the_effective_user)
{
    if (!test_is_unix())
        SKIP("for UNIX sockets");
    if (geteuid() != 0)
        SKIP("needs root, to be two users");
    virtsock_options  *o = with(VIRTSOCK_OPTION_SOCKET_MODE, 0666);
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK(chmod(test_directory(), 0711) == 0);
    CHECK_OK(virtsock_options_allow(o, "self", &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK(self_admits(a, l, 0, 0) == VIRTSOCK_OK);
    CHECK(self_admits(a, l, 65534, 65534) == VIRTSOCK_OK);
    CHECK(self_admits(a, l, 65534, 0) == VIRTSOCK_E_TIMEOUT);
    CHECK(self_admits(a, l, 0, 65534) == VIRTSOCK_E_TIMEOUT);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* proves: L11 */
TEST(out_of_descriptors)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    struct rlimit      old, none;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = old;
    none.rlim_cur = (rlim_t)virtsock_stream_fd(s) + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_STATUS(virtsock_accept(&t, l, 1000, &e), VIRTSOCK_E_NO_RESOURCES, e);
    CHECK(e.os_code == EMFILE && strstr(virtsock_advice(&e), "ulimit") != NULL);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);             /* the client was still there */
    virtsock_stream_free(t);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

#endif

/* --- Descriptors ------------------------------------------------------------------------------------------------------------ */

TEST(detach_and_adopt)
{
    virtsock_stream *s[2], *t;
    virtsock_error   e = { 0 };
    virtsock_fd      fd, none;
    size_t           n;

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_detach(s[0], &fd, &e), e);
    CHECK(fd >= 0 && virtsock_stream_fd(s[0]) == -1);
    CHECK_STATUS(virtsock_stream_detach(s[0], &none, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, 0, &e), VIRTSOCK_E_CANCELLED, e);
    virtsock_stream_free(s[0]);
    CHECK_OK(virtsock_stream_from_fd(&t, fd, NULL, &e), e);
    check_echo(t, s[1]);
    check_echo(s[1], t);
    virtsock_stream_free(t);
    CHECK(!test_is_open(fd));
    virtsock_stream_free(s[1]);
}

#ifdef _WIN32

NO_TEST(fd_addresses, "sockets are duplicated in another way: tests/wine adopts them")
NO_TEST(only_sockets_are_adopted, "adopts what Windows does not have")
NO_TEST(an_adopted_descriptor_keeps_its_flags, "sockets have no such flags")
NO_TEST(what_an_address_says_of_a_descriptor_holds, "Windows has neither socketpair nor seqpacket")
NO_TEST(an_adopted_stream_is_what_it_is, "Windows has neither socketpair nor seqpacket")
NO_TEST(an_adopted_stream_stays_blocking, "sockets have no such flags")
NO_TEST(an_adopted_listener_does_not_block, "sockets have no such flags")
NO_TEST(what_is_not_adopted_stays_as_it_was, "adopts what Windows does not have")
NO_TEST(an_address_of_a_listener_takes_its_rules, "adopts what Windows does not have")

#else

TEST(fd_addresses)
{
    virtsock_address  *a = test_parse(test_address()), *b;
    virtsock_listener *l, *m;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    char               text[64];
    virtsock_fd        fd;
    int                again;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    snprintf(text, sizeof text, "fd://%d%s", again = dup((int)virtsock_listener_fd(l)), test_is_seqpacket() ? "?type=seqpacket" : "");
    b = test_parse(text);
    CHECK_STATUS(virtsock_connect(&s, b, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK(strstr(e.message, "listen") != NULL && fcntl(again, F_GETFD) >= 0);
    CHECK_OK(virtsock_listen(&m, b, NULL, &e), e);
    virtsock_address_free(b);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, m, 1000, &e), e);
    virtsock_listener_free(m);
    CHECK(fcntl(again, F_GETFD) == -1);
    CHECK_OK(virtsock_stream_detach(s, &fd, &e), e);
    virtsock_stream_free(s);
    snprintf(text, sizeof text, "fd://%d", (int)fd);
    b = test_parse(text);
    CHECK_STATUS(virtsock_listen(&m, b, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_OK(virtsock_connect(&s, b, NULL, &e), e);
    check_echo(s, t);
    virtsock_stream_free(s);
    CHECK_STATUS(virtsock_connect(&s, b, NULL, &e), VIRTSOCK_E_INVALID, e);     /* the descriptor went with the stream */
    virtsock_address_free(b);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

TEST(only_sockets_are_adopted)
{
    int                pipes[2], pair[2], lone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK(pipe2(pipes, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_STATUS(virtsock_stream_from_fd(&s, pipes[0], NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_from_fd(&s, 100000, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_from_fd(&s, INT64_C(1) << 40, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_from_fd(&s, lone, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_from_fd(&s, pair[0], NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK_STATUS(virtsock_listener_from_fd(&l, lone, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_listener_from_fd(&l, pair[0], NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
    close(pipes[0]), close(pipes[1]), close(pair[0]), close(pair[1]), close(lone);
}

/* The flags of what is adopted are its owner's, close-on-exec among them: a non-blocking descriptor still waits when asked to. */
TEST(an_adopted_descriptor_keeps_its_flags)
{
    int              pair[2];
    virtsock_stream *s;
    virtsock_error   e = { 0 };
    size_t           n;
    char             b;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK_OK(virtsock_stream_from_fd(&s, pair[0], NULL, &e), e);
    CHECK((fcntl(pair[0], F_GETFL) & O_NONBLOCK) != 0 && fcntl(pair[0], F_GETFD) == 0 && test_is_inherited(virtsock_stream_fd(s)));
    CHECK_STATUS(virtsock_stream_recv(s, &b, 1, &n, 30, &e), VIRTSOCK_E_TIMEOUT, e);
    if (fork() == 0) {
        test_nap_ms(60);
        _exit(write(pair[1], "x", 1) == 1 ? 0 : 1);
    }
    CHECK_OK(virtsock_stream_recv(s, &b, 1, &n, -1, &e), e);
    wait(NULL);
    virtsock_stream_free(s);
    close(pair[1]);
}

TEST(what_an_address_says_of_a_descriptor_holds)
{
    int               pair[2];
    virtsock_options *o = with(VIRTSOCK_OPTION_BUFFER_SIZE, 4096);
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              text[60];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    snprintf(text, sizeof text, "fd://%d?type=seqpacket", pair[0]);
    a = test_parse(text);
    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK(strstr(e.message, "seqpacket") != NULL && test_is_open(pair[0]));
    virtsock_address_free(a);
    snprintf(text, sizeof text, "fd://%d", pair[0]);
    a = test_parse(text);
    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK(strstr(e.message, "BUFFER_SIZE") != NULL && test_is_open(pair[0]));
    virtsock_address_free(a);
    virtsock_options_free(o);
    close(pair[0]), close(pair[1]);
}

/* Its family and type are the socket's own, whatever the address leaves open. */
TEST(an_adopted_stream_is_what_it_is)
{
    for (int i = 0; i < 4; i++) {
        const int         type = i / 2 == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
        int               pair[2];
        virtsock_address *a;
        virtsock_stream  *s;
        virtsock_error    e = { 0 };
        char              text[40];
        int64_t           value;

        CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0);
        snprintf(text, sizeof text, "fd://%d", pair[0]);
        a = test_parse(text);
        if (i % 2 == 0)
            CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
        else
            CHECK_OK(virtsock_stream_from_fd(&s, pair[0], NULL, &e), e);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_SCHEME, &value, &e), e);
        CHECK(value == VIRTSOCK_SCHEME_UNIX);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_TYPE, &value, &e), e);
        CHECK(value == (type == SOCK_STREAM ? VIRTSOCK_TYPE_STREAM : VIRTSOCK_TYPE_SEQPACKET));
        virtsock_stream_free(s);
        virtsock_address_free(a);
        close(pair[1]);
    }
}

/* And what others share stays blocking: a call that may not wait says so itself. */
TEST(an_adopted_stream_stays_blocking)
{
    int              pair[2];
    virtsock_stream *s;
    virtsock_error   e = { 0 };
    virtsock_fd      fd;
    size_t           n;
    char             b;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_OK(virtsock_stream_from_fd(&s, pair[0], NULL, &e), e);
    CHECK(test_blocks(pair[0]));
    CHECK_STATUS(virtsock_stream_recv(s, &b, 1, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_STATUS(virtsock_stream_recv(s, &b, 1, &n, 5, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_OK(virtsock_stream_send(s, "x", 1, &n, 0, &e), e);
    CHECK(test_blocks(pair[0]));
    CHECK_OK(virtsock_stream_detach(s, &fd, &e), e);
    CHECK(fd == pair[0] && test_blocks(pair[0]));
    virtsock_stream_free(s);
    close(pair[0]), close(pair[1]);
}

static int flags_of(int fd)
{
    return fcntl(fd, F_GETFL) << 8 | fcntl(fd, F_GETFD);
}

static int blocking_listener(const virtsock_address *a)
{
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    int                fd, off = 0;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK((fd = dup((int)virtsock_listener_fd(l))) >= 0 && ioctl(fd, FIONBIO, &off) == 0 && test_blocks(fd));
    virtsock_listener_free(l);
    return fd;
}

/* By its address, and by the function for it. */
static virtsock_status adopt(virtsock_listener **l, int fd, bool by_address, const virtsock_options *o,
                             virtsock_error *e)
{
    virtsock_address *a;
    virtsock_status   status;
    char              text[40];

    if (!by_address)
        return virtsock_listener_from_fd(l, fd, o, e);
    snprintf(text, sizeof text, "fd://%d", fd);
    a = test_parse(text);
    status = virtsock_listen(l, a, o, e);
    virtsock_address_free(a);
    return status;
}

TEST(an_adopted_listener_does_not_block)
{
    virtsock_address *a = test_parse(test_address());

    for (int i = 0; i < 2; i++) {
        virtsock_listener *l;
        virtsock_stream   *s;
        virtsock_error     e = { 0 };
        int                fd = blocking_listener(a);

        CHECK_OK(adopt(&l, fd, i == 0, NULL, &e), e);
        CHECK(virtsock_listener_fd(l) == fd && !test_blocks(fd));
        CHECK_STATUS(virtsock_accept(&s, l, 0, &e), VIRTSOCK_E_AGAIN, e);
        virtsock_listener_free(l);
    }
    virtsock_address_free(a);
}

/* A rule that sockets of that family cannot keep is found by looking at the socket. */
TEST(what_is_not_adopted_stays_as_it_was)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_address *a = test_parse(test_address());
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_options_allow(o, test_is_vsock() ? "self" : "3", &e), e);
    for (int i = 0; i < 2; i++) {
        virtsock_listener *l;
        int                fd = blocking_listener(a), flags = flags_of(fd);

        CHECK_STATUS(adopt(&l, fd, i == 0, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
        CHECK(l == NULL && strstr(e.message, "cannot tell") != NULL && flags_of(fd) == flags);
        CHECK_OK(adopt(&l, fd, i == 0, NULL, &e), e);
        virtsock_listener_free(l);
    }
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* All that the socket can check, as the function for it does. */
TEST(an_address_of_a_listener_takes_its_rules)
{
    static const char *const rules[] = { "host", "parent", "local", "3", "4-9:privileged", "self", "uid=0",
                                         "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd" };
    virtsock_address        *a = test_parse(test_address());
    int                      taken = 0;

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        virtsock_options *o = virtsock_options_new();
        virtsock_error    e = { 0 };
        virtsock_status   status[2];

        CHECK_OK(virtsock_options_allow(o, rules[i], &e), e);
        for (int by_address = 0; by_address < 2; by_address++) {
            virtsock_listener *l;
            int                fd = blocking_listener(a);

            status[by_address] = adopt(&l, fd, by_address == 1, o, &e);
            CHECK(test_is_open(fd));
            virtsock_listener_free(l);
            if (status[by_address] != VIRTSOCK_OK)
                close(fd);
        }
        CHECK(status[0] == status[1] && (status[0] == VIRTSOCK_OK || status[0] == VIRTSOCK_E_UNSUPPORTED));
        taken += status[0] == VIRTSOCK_OK;
        virtsock_options_free(o);
    }
    CHECK(taken == (test_is_vsock() ? 5 : test_is_unix() ? 3 : 0));
    virtsock_address_free(a);
}

#endif
