/* SPDX-License-Identifier: MIT
 *
 * Time: never early, not much late, totals and not per wait; signals end a wait only where that was asked for.
 */
#include "check.h"

static void fill(virtsock_stream *s)
{
    static char     data[4096];
    virtsock_status status;
    virtsock_error  e = { 0 };
    size_t          n;

    while ((status = virtsock_stream_send(s, data, sizeof data, &n, 100, &e)) == VIRTSOCK_OK) {      /* TCP goes on making room */
    }
    CHECK_STATUS(status, VIRTSOCK_E_TIMEOUT, e);
}

/* proves: D13, D15 */
TEST(recv_and_send_end_in_time)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    size_t            n;
    char              b[4096] = "";

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, 65536, &e), e);         /* so that it does not grow */
    test_pair(s, o);
    virtsock_options_free(o);
    for (int ms = 1; ms < 200; ms = ms * 3 + 1) {
        struct test_watch w = test_watch_begin();

        CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, ms, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, ms);
        CHECK(n == 0);
    }
    if (!(test_is_vsock() && test_is_seqpacket())) {            /* there, a full socket sends no more: 300 */
        fill(s[0]);
        for (int ms = 1; ms < 200; ms = ms * 3 + 1) {
            struct test_watch w = test_watch_begin();

            CHECK_STATUS(virtsock_stream_send(s[0], b, sizeof b, &n, ms, &e), VIRTSOCK_E_TIMEOUT, e);
            CHECK_TIME(w, ms);
            CHECK(n == 0);
        }
    }
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_OK(virtsock_stream_send(s[1], "x", 1, &n, 1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(slices_end_in_time)
{
    static char       piece[4096];
    const virtsock_slice slices[] = { { piece, sizeof piece }, { piece, sizeof piece } };
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    int64_t           start;
    size_t            n;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, 65536, &e), e);
    test_pair(s, o);
    virtsock_options_free(o);
    if (!(test_is_vsock() && test_is_seqpacket())) {
        fill(s[0]);
        start = test_ms();
        CHECK_STATUS(virtsock_stream_sendv(s[0], slices, 2, &n, 20, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(n == 0 && test_ms() - start >= 20);
        CHECK_STATUS(virtsock_stream_sendv(s[0], slices, 2, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    }
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static _Atomic bool dripping;

static void *drip(void *v)
{
    size_t n;

    while (dripping) {
        CHECK(virtsock_stream_send(v, "d", 1, &n, 1000, NULL) == VIRTSOCK_OK);
        test_nap_ms(20);
    }
    return NULL;
}

/* Each byte that comes does not give the call its whole time again. */
/* proves: D9 */
TEST(the_time_is_a_total)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;
    pthread_t         t;
    size_t            n;
    char              b[100];

    if (test_is_seqpacket())
        SKIP("messages have no recv_exact");
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[1], "d", 1, &n, 1000, &e), e);
    dripping = true;
    CHECK(pthread_create(&t, NULL, drip, s[1]) == 0);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_recv_exact(s[0], b, sizeof b, &n, 150, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 150);
    CHECK(n >= 1);
    dripping = false;
    pthread_join(t, NULL);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* A difference that went wrong is no wish to wait for ever. */
TEST(times_below_minus_one_are_invalid)
{
    virtsock_address    *a = test_parse(test_address()), *nobody = test_parse(test_address());
    const virtsock_slice slice = { "x", 1 };
    virtsock_listener   *l;
    virtsock_stream     *s[2], *t;
    virtsock_error       e = { 0 };
    size_t               n = 1;
    char                 b[4];

    test_pair(s, NULL);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect_start(&t, nobody, NULL, &e), e);
    CHECK_STATUS(virtsock_stream_connect(t, -2, &e), VIRTSOCK_E_INVALID, e);
    virtsock_stream_free(t);
    CHECK_STATUS(virtsock_accept(&t, l, INT32_MIN, &e), VIRTSOCK_E_INVALID, e);
    for (int ms = -2; ms > -10; ms -= 7) {
        CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, ms, &e), VIRTSOCK_E_INVALID, e);
        CHECK(n == 0 && strstr(e.message, "-1 for ever") != NULL);
        CHECK_STATUS(virtsock_stream_sendv(s[0], &slice, 1, &n, ms, &e), VIRTSOCK_E_INVALID, e);
        CHECK_STATUS(virtsock_stream_send_all(s[0], "x", 1, &n, ms, &e), VIRTSOCK_E_INVALID, e);
        CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, ms, &e), VIRTSOCK_E_INVALID, e);
        CHECK_STATUS(virtsock_stream_recv_exact(s[0], b, 4, &n, ms, &e), VIRTSOCK_E_INVALID, e);
        CHECK_STATUS(virtsock_stream_send(s[0], "x", 0, NULL, ms, &e), VIRTSOCK_E_INVALID, e);
    }
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_STATUS(virtsock_stream_close(s[0], -2, &e), VIRTSOCK_E_INVALID, e);
    CHECK(virtsock_stream_fd(s[0]) == -1);                                              /* closed all the same */
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, -2, &e), VIRTSOCK_E_CANCELLED, e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(nobody);
}

/* --- Signals -------------------------------------------------------------------------------------------------------------- */

#ifdef _WIN32

NO_TEST(a_storm_of_signals_changes_nothing, "Windows has no signals")
NO_TEST(interruptible_waits_end_with_a_signal, "Windows has no signals")
NO_TEST(a_signal_before_the_wait_ends_none, "Windows has no signals")
NO_TEST(a_send_that_waits_holds_no_signal_back, "Windows has no signals")
NO_TEST(a_signal_in_a_send_leaves_its_count, "Windows has no signals")
NO_TEST(a_send_leaves_the_socket_s_time_alone, "there are no messages of AF_VSOCK")
NO_TEST(a_close_goes_on_after_a_signal, "Windows has no signals")

#else

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

static _Atomic int alarms;              /* any thread may take one */
static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void storm(bool on, bool restart)
{
    struct itimerval t = { { 0, on ? 1000 : 0 }, { 0, on ? 1000 : 0 } };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0 };

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
}

/* A thousand signals a second: nobody sees them, and no wait is early or late. */
/* proves: C6, D12 */
TEST(a_storm_of_signals_changes_nothing)
{
    virtsock_address  *a = test_parse(test_address()), *nobody = test_parse(test_address());
    virtsock_options  *o = virtsock_options_new();
    virtsock_listener *l;
    virtsock_stream   *s[2], *t;
    virtsock_error     e = { 0 };
    size_t             n;
    char               b[4];

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 100, &e), e);
    test_pair(s, NULL);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    for (int restart = 0; restart < 2; restart++) {
        struct test_watch w;

        alarms = 0;
        storm(true, restart);
        w = test_watch_begin();
        CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, 100, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 100);
        w = test_watch_begin();
        CHECK_STATUS(virtsock_accept(&t, l, 100, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 100);
        w = test_watch_begin();
        CHECK_STATUS(virtsock_connect(&t, nobody, o, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 100);
        for (int i = 0; i < 200 || alarms <= 10; i++) {         /* a busy machine takes several alarms for one */
            CHECK_OK(virtsock_stream_send(s[1], "x", 1, &n, -1, &e), e);
            CHECK_OK(virtsock_stream_recv(s[0], b, 4, &n, -1, &e), e);
        }
        storm(false, restart);
    }
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(nobody);
    virtsock_options_free(o);
}

TEST(interruptible_waits_end_with_a_signal)
{
    virtsock_address  *a = test_parse(test_address()), *nobody = test_parse(test_address());
    virtsock_options  *o = virtsock_options_new();
    virtsock_listener *l;
    virtsock_stream   *s[2], *t;
    virtsock_error     e = { 0 };
    static char        large[8 << 20];
    size_t             n;
    char               b[4];

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, 1, &e), e);
    test_pair(s, o);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, -1, &e), e);
    for (int restart = 0; restart < 2; restart++) {
        storm(true, restart);
        CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
        CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 60000, &e), VIRTSOCK_E_INTERRUPTED, e);
        CHECK_STATUS(virtsock_accept(&t, l, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
        CHECK_STATUS(virtsock_connect(&t, nobody, o, &e), VIRTSOCK_E_INTERRUPTED, e);
        storm(false, restart);
    }
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, 2, &e), e);
    test_pair(s, o);
    storm(true, false);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 60000, &e), VIRTSOCK_E_INTERRUPTED, e);
    if (!test_is_seqpacket())
        CHECK_STATUS(virtsock_stream_send_all(s[0], large, sizeof large, &n, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    CHECK(n < sizeof large);
    CHECK_STATUS(virtsock_connect(&t, nobody, o, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, false);
    CHECK_OK(virtsock_connect_start(&t, nobody, o, &e), e);
    storm(true, false);
    CHECK_STATUS(virtsock_stream_connect(t, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, false);
    CHECK_STATUS(virtsock_stream_connect(t, 0, &e), VIRTSOCK_E_AGAIN, e);       /* it goes on */
    virtsock_stream_free(t);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(nobody);
    virtsock_options_free(o);
}

/* No handler is ours, so none tells of a signal that has come already: a time limit ends such a wait, or a close does (210). */
TEST(a_signal_before_the_wait_ends_none)
{
    for (int how = 0; how < 3; how++) {
        virtsock_options *o = virtsock_options_new();
        struct sigaction  action = { .sa_handler = on_alarm };
        virtsock_stream  *s[2];
        virtsock_error    e = { 0 };
        struct test_watch w;
        size_t            n;
        char              b[4];

        CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, how, &e), e);
        test_pair(s, o);
        sigaction(SIGALRM, &action, NULL);
        alarms = 0;
        w = test_watch_begin();
        raise(SIGALRM);
        CHECK(alarms == 1);
        CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, 50, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 50);
        virtsock_stream_free(s[0]);
        virtsock_stream_free(s[1]);
        virtsock_options_free(o);
    }
}

static void *send_on(void *s)
{
    static char     data[20000];
    virtsock_status status;
    virtsock_error  e;
    size_t          n;

    while ((status = virtsock_stream_send(s, data, sizeof data, &n, TEST_PATIENT_MS, &e)) == VIRTSOCK_OK) {
    }
    return (void *)(intptr_t)status;
}

static bool has_ended(pid_t child, int *how)
{
    return waitpid(child, how, WNOHANG) == child;
}

/* No signal waits until there is room: a handler runs meanwhile, and what ends a program ends it. */
TEST(a_send_that_waits_holds_no_signal_back)
{
    struct sigaction  action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct test_call  sending;
    struct test_watch w;
    virtsock_stream  *s[2];
    int               how, ready[2];
    pid_t             child;
    char              b;

    test_pair(s, NULL);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    alarms = 0;
    test_call_begin(&sending, send_on, s[0]);
    test_call_waits(&sending);
    test_nap_ms(50);
    test_call_waits(&sending);
    w = test_watch_begin();
    CHECK(pthread_kill(sending.thread, SIGALRM) == 0);
    while (alarms == 0)
        test_nap_us(200);
    CHECK_TOOK(w, 0, 50 + test_late_ms());
    CHECK(virtsock_stream_close(s[0], 0, NULL) == VIRTSOCK_OK);
    how = (int)(intptr_t)test_call_end(&sending);
    CHECK(how == VIRTSOCK_E_CANCELLED || (how == VIRTSOCK_E_RESET && test_is_vsock() && test_is_seqpacket()));
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);

    test_pair(s, NULL);
    CHECK(pipe(ready) == 0);
    if ((child = fork()) == 0) {
        signal(SIGTERM, SIG_DFL);
        CHECK(write(ready[1], "x", 1) == 1);
        send_on(s[0]);
        _exit(1);
    }
    CHECK(read(ready[0], &b, 1) == 1);
    test_nap_ms(200 * test_slowness());
    w = test_watch_begin();
    CHECK(kill(child, SIGTERM) == 0);
    while (!has_ended(child, &how))
        test_nap_us(200);
    CHECK_TOOK(w, 0, 1000 + test_late_ms());
    CHECK(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM);
    close(ready[0]);
    close(ready[1]);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* A send that a signal ends after a part has its count, and no more to say; send_all, which has more to do, says so. */
TEST(a_signal_in_a_send_leaves_its_count)
{
    static char       data[1 << 25];            /* more than TCP takes */
    virtsock_options *o;
    virtsock_slice    pieces[2] = { { data, sizeof data / 2 }, { data + sizeof data / 2, sizeof data / 2 } };
    virtsock_stream  *s[2];
    virtsock_error    e;
    size_t            n;

    if (test_is_seqpacket())
        SKIP("a message is whole");
    o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, 2, &e), e);
    test_pair(s, o);
    storm(true, false);
    CHECK_OK(virtsock_stream_sendv(s[0], pieces, 2, &n, -1, &e), e);
    CHECK(n > 0);
    CHECK_STATUS(virtsock_stream_send_all(s[0], data, sizeof data, &n, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, false);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

/* An AF_VSOCK message has its time in the socket, which is as it was when the call returns, and none once it is detached. */
TEST(a_send_leaves_the_socket_s_time_alone)
{
    struct timeval   set = { 3, 0 }, before = { 0, 0 }, now = { 0, 0 };
    socklen_t        size = sizeof now;
    virtsock_stream *s[2], *adopted;
    virtsock_error   e;
    virtsock_fd      fd;
    size_t           n;

    test_pair(s, NULL);
    fd = virtsock_stream_fd(s[0]);
    CHECK(getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &before, &size) == 0);
    CHECK_OK(virtsock_stream_send(s[0], "x", 1, &n, 700, &e), e);
    CHECK_OK(virtsock_stream_send(s[0], "x", 1, &n, -1, &e), e);
    CHECK(getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &now, &size) == 0);
    CHECK(now.tv_sec == before.tv_sec && now.tv_usec == before.tv_usec);
    CHECK_OK(virtsock_stream_detach(s[0], &fd, &e), e);
    CHECK(getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &now, &size) == 0 && now.tv_sec == 0 && now.tv_usec == 0);
    CHECK(setsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &set, sizeof set) == 0);
    CHECK_OK(virtsock_stream_from_fd(&adopted, fd, NULL, &e), e);
    CHECK_OK(virtsock_stream_send(adopted, "x", 1, &n, 700, &e), e);
    CHECK_OK(virtsock_stream_send(adopted, "x", 1, &n, -1, &e), e);
    CHECK(getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &now, &size) == 0 && now.tv_sec == set.tv_sec && now.tv_usec == 0);
    virtsock_stream_free(adopted);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* The storm is for who closes: it would end this nap. */
static void *end_late(void *s)
{
    sigset_t alarm;

    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    test_nap_ms(200);
    virtsock_stream_close(s, 0, NULL);
    return NULL;
}

/* Until it has ended; how often a signal came between. */
static virtsock_status close_through_signals(virtsock_stream *s, int linger_ms, int *signals, virtsock_error *e)
{
    virtsock_status status;
    size_t          n;
    char            b;

    for (*signals = 0; (status = virtsock_stream_close(s, linger_ms, e)) == VIRTSOCK_E_INTERRUPTED; ++*signals) {
        CHECK(strstr(virtsock_advice(e), "close again") != NULL && virtsock_stream_fd(s) >= 0);
        CHECK(virtsock_stream_recv(s, &b, 1, &n, 0, NULL) == VIRTSOCK_E_CANCELLED);
    }
    CHECK(virtsock_stream_fd(s) == -1);
    return status;
}

/* A signal sends a close that lingers away: the next goes on, for the time of the first, whatever it is given. */
TEST(a_close_goes_on_after_a_signal)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;
    pthread_t         t;
    int               signals;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, 1, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_LINGER, 150, &e), e);
    for (int i = 0; i < 4; i++) {
        test_pair(s, o);
        CHECK(i != 0 || pthread_create(&t, NULL, end_late, s[1]) == 0);
        storm(true, i % 2 == 1);
        w = test_watch_begin();
        switch (i) {
        case 0:                                 /* the peer's end is not missed */
            CHECK_OK(close_through_signals(s[0], TEST_PATIENT_MS, &signals, &e), e);
            CHECK(signals > 0 && pthread_join(t, NULL) == 0);
            break;
        case 1:                                 /* nor is the time cut, or stretched */
        case 2:
            CHECK_STATUS(close_through_signals(s[0], i == 1 ? 150 : -1, &signals, &e), VIRTSOCK_E_TIMEOUT, e);
            CHECK_TIME(w, 150);
            CHECK(signals > 0);
            break;
        default:                                /* and what nobody goes on with ends at once */
            CHECK_STATUS(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), VIRTSOCK_E_INTERRUPTED, e);
            CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
            CHECK(virtsock_stream_fd(s[0]) == -1);
        }
        storm(false, i % 2 == 1);
        virtsock_stream_free(s[0]);
        virtsock_stream_free(s[1]);
    }
    test_pair(s, o);
    storm(true, false);
    CHECK_STATUS(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, false);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

#endif

/* proves: D15 */
TEST(a_connect_timeout_of_nothing_tries_once)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    if (!test_is_unix())
        SKIP("only UNIX sockets connect within nothing");
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 0, &e), e);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}
