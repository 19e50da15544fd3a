/* SPDX-License-Identifier: MIT
 *
 * What a process meets: signals, children that inherit handles, peers that are killed, descriptors that come to an end. On Windows:
 * run_windows.c.
 */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"
#include "suite.h"

/* --- Signals ---------------------------------------------------------------------------------------------------------------- */

static _Atomic int alarms;            /* any thread may take one */

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void storm(bool on, int flags)
{
    struct itimerval t = { { 0, on ? 1000 : 0 }, { 0, on ? 1000 : 0 } };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = flags };

    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &t, NULL) == 0);
}

/* A handler that runs in the middle of an AF_VSOCK message would make it the last one. */
static void *flow_out_in_peace(void *flow)
{
    sigset_t alarm;

    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(!under_test.torn || pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    return flow_out(flow);
}

static void data_in_storm(void)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;
    char              b[4];
    size_t            n;

    make_pair(s, NULL);
    for (int i = 0; i < 2; i++) {
        struct flow out = { .s = s[i], .n = (uint64_t)i, .total = 1 << 20, .piece = 4096 }, in = { .s = s[1 - i], .expects = 1 << 20 };
        const bool  ended = i == 1 && !under_test.whole;

        w = test_watch_begin();
        CHECK_STATUS(virtsock_stream_recv(s[i], b, sizeof b, &n, 100, &e), ended ? VIRTSOCK_E_EOF : VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, ended ? 0 : 100);
        start(&out.thread, flow_out_in_peace, &out);
        flow_in(&in);
        end(out.thread);
        check_flow(&out, &in);
    }
    free_pair(s);
}

static void connections_in_storm(void)
{
    virtsock_options  *o = with(VIRTSOCK_OPTION_WAIT, 100);
    virtsock_address  *a, *nobody = nobody_address();
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    struct test_watch  w;

    listen_fresh(&l, &a, NULL);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_accept(&s[1], l, 100, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 100);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_connect(&s[0], nobody, o, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 100);
    for (int i = 0; i < 100; i++) {
        connect_pair(s, l, a);
        check_echo(s[0], s[1]);
        CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
        CHECK_STATUS(virtsock_stream_close(s[1], patient_ms(), &e), under_test.framed ? VIRTSOCK_E_RESET : VIRTSOCK_OK, e);
        free_pair(s);
    }
    CHECK_STATUS(virtsock_accept(&s[1], l, 0, &e), VIRTSOCK_E_AGAIN, e);        /* no connection was made twice */
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(nobody);
    virtsock_options_free(o);
}

void signal_storm(void)
{
    for (int i = 0; i < 2; i++) {
        alarms = 0;
        storm(true, i == 0 ? 0 : SA_RESTART);
        do {                                                    /* a busy machine takes several alarms for one */
            data_in_storm();
            if (under_test.traits->scheme != VIRTSOCK_SCHEME_NONE)
                connections_in_storm();
        } while (alarms <= 20);
        storm(false, 0);
    }
}

static void interrupt_listener(virtsock_options *o)
{
    virtsock_address  *a, *nobody = nobody_address();
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    listen_fresh(&l, &a, o);
    set(o, VIRTSOCK_OPTION_WAIT, -1);
    storm(true, SA_RESTART);
    CHECK_STATUS(virtsock_accept(&s, l, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    CHECK_STATUS(virtsock_connect(&s, nobody, o, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, 0);
    CHECK_OK(virtsock_connect_start(&s, nobody, o, &e), e);
    storm(true, 0);
    CHECK_STATUS(virtsock_stream_connect(s, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, 0);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);       /* it goes on */
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_address_free(nobody);
}

void interruptible(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_INTERRUPTIBLE, 1);
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    size_t            n;
    char              b[4];

    make_pair(s, o);
    for (int i = 0; i < 2; i++) {
        storm(true, i == 0 ? 0 : SA_RESTART);
        CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, -1, &e), VIRTSOCK_E_INTERRUPTED, e);
        CHECK_STATUS(virtsock_stream_recv(s[1], b, sizeof b, &n, patient_ms(), &e), VIRTSOCK_E_INTERRUPTED, e);
        storm(false, 0);
        check_echo(s[0], s[1]);
    }
    storm(true, 0);
    CHECK_STATUS(virtsock_stream_close(s[0], patient_ms(), &e), VIRTSOCK_E_INTERRUPTED, e);
    storm(false, 0);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, sizeof b, &n, 0, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);            /* goes on, and ends at once */
    CHECK(virtsock_stream_fd(s[0]) == -1);
    free_pair(s);
    if (under_test.traits->scheme != VIRTSOCK_SCHEME_NONE)
        interrupt_listener(o);
    virtsock_options_free(o);
}

/* --- Children --------------------------------------------------------------------------------------------------------------------- */

struct reader {
    virtsock_stream *s;
    struct test_call call;
};

static void *read_word(void *reader)
{
    struct reader *r = reader;
    char           b[5];

    get(r->s, b, 5);
    CHECK(memcmp(b, "word!", 5) == 0);
    return NULL;
}

/* With a call of the parent inside, and a LINGER that only the parent may take. */
void fork_with_handles(void)
{
    const bool         lone = under_test.traits->scheme == VIRTSOCK_SCHEME_NONE;
    virtsock_options  *o = with(VIRTSOCK_OPTION_LINGER, patient_ms());
    virtsock_listener *l = NULL;
    virtsock_address  *a = NULL;
    virtsock_stream   *s[2], *t[2];
    struct reader      r;
    pid_t              pid;

    make_pair(s, o);
    if (!lone)
        listen_fresh(&l, &a, o);
    r.s = s[0];
    test_call_begin(&r.call, read_word, &r);
    test_call_waits(&r.call);
    if ((pid = fork_peer()) == 0) {
        free_pair(s);
        virtsock_listener_free(l);
        _exit(0);
    }
    check_peer(pid);
    put(s[1], "word!", 5);
    test_call_end(&r.call);
    check_echo(s[0], s[1]);
    if (!lone) {                                                /* the listener, and what it is called, are still there */
        connect_pair(t, l, a);
        check_echo(t[0], t[1]);
        CHECK(virtsock_stream_close(t[0], 0, NULL) == VIRTSOCK_OK);
        free_pair(t);
    }
    if ((pid = fork_peer()) == 0) {                             /* a child may also go on with what its parent leaves to it */
        virtsock_stream_free(s[0]);
        put(s[1], "word!", 5);
        _exit(virtsock_stream_close(s[1], patient_ms(), NULL) == VIRTSOCK_OK ? 0 : 1);
    }
    virtsock_stream_free(s[1]);
    read_word(&r);
    CHECK(virtsock_stream_close(s[0], under_test.framed ? patient_ms() : 0, NULL) == VIRTSOCK_OK);
    virtsock_stream_free(s[0]);
    check_peer(pid);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* The child is the end s[1], and this process has no copy of it. */
static pid_t peer_of(virtsock_stream *s[2], void *(*run)(void *))
{
    const pid_t pid = fork_peer();

    if (pid == 0) {
        virtsock_stream_free(s[0]);
        run(s[1]);
        _exit(1);
    }
    virtsock_stream_free(s[1]);
    s[1] = NULL;
    return pid;
}

static void *send_for_ever(void *stream)
{
    static const char data[8192];
    virtsock_stream  *s = stream;
    size_t            n;

    while (virtsock_stream_send(s, data, sizeof data, &n, -1, NULL) == VIRTSOCK_OK) {
    }
    return NULL;
}

static void *receive_some(void *stream)
{
    drain(stream, 5 * 8192);
    pause();
    return NULL;
}

static void kill_peer(pid_t pid)
{
    int status;

    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

void peer_killed(void)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    virtsock_status   status;
    struct test_watch w;
    char              b[8192];
    size_t            n;
    pid_t             pid;

    make_pair(s, NULL);                                         /* while it sends */
    pid = peer_of(s, send_for_ever);
    drain(s[0], 10 * 8192);
    kill_peer(pid);
    w = test_watch_begin();
    while ((status = virtsock_stream_recv(s[0], b, sizeof b, &n, patient_ms(), &e)) == VIRTSOCK_OK) {
    }
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    CHECK_TOOK(w, 0, 10 * late_ms());
    virtsock_stream_free(s[0]);

    make_pair(s, NULL);                                         /* while it receives */
    pid = peer_of(s, receive_some);
    for (int i = 0; i < 5; i++)
        put(s[0], b, sizeof b);
    kill_peer(pid);
    w = test_watch_begin();
    do
        status = virtsock_stream_send(s[0], b, sizeof b, &n, patient_ms(), &e);
    while (status == VIRTSOCK_OK);
    CHECK_STATUS(status, VIRTSOCK_E_RESET, e);
    CHECK_TOOK(w, 0, 10 * late_ms());
    virtsock_stream_free(s[0]);
}

/* --- Descriptors ------------------------------------------------------------------------------------------------------------------ */

void out_of_descriptors(void)
{
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    struct rlimit      old, few;
    struct pollfd      p = { -1, POLLIN, 0 };
    int                spare[256], n = 0;

    listen_fresh(&l, &a, NULL);
    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    p.fd = (int)virtsock_listener_fd(l);
    CHECK(poll(&p, 1, patient_ms()) == 1);
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    few = old;
    few.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (n < 256 && (spare[n] = dup(p.fd)) >= 0)
        n++;
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(virtsock_accept(&s[1], l, i % 2 == 0 ? 0 : 1000, &e), VIRTSOCK_E_NO_RESOURCES, e);
    CHECK(s[1] == NULL && n > 0);
    close(spare[--n]);
    CHECK_OK(virtsock_accept(&s[1], l, 0, &e), e);
    check_echo(s[0], s[1]);
    while (n > 0)
        close(spare[--n]);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    free_pair(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}
