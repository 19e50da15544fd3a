/* SPDX-License-Identifier: MIT
 *
 * Closing from another thread ends every call within 50 ms, and no descriptor number is reused under one; lingering, finishing,
 * aborting. Rounds: VIRTSOCK_TEST_ROUNDS, 1,000 unless it says otherwise.
 */
#include "check.h"

static int rounds(void)
{
    const char *n = getenv("VIRTSOCK_TEST_ROUNDS");

    return n ? atoi(n) : 1000;
}

/* One of a crowd that looks at no status, and so never stops. */
struct caller {
    virtsock_stream   *s;
    virtsock_listener *l;               /* or none */
    pthread_t          thread;
    _Atomic long       inside;          /* the system's number of the thread */
    int64_t            before_us;       /* what it had waited for a processor until the close began, */
    int64_t            after_us;        /* and until it was out */
};

static _Atomic bool crowding;

static void *call_again_and_again(void *v)
{
    struct caller   *c = v;
    virtsock_stream *accepted;
    virtsock_status  status;
    size_t           n;
    char             b[16];

    c->inside = test_thread();
    while (crowding) {
        status = c->l != NULL ? virtsock_accept(&accepted, c->l, 0, NULL) : virtsock_stream_recv(c->s, b, sizeof b, &n, 0, NULL);
        if (c->after_us == 0 && status == VIRTSOCK_E_CANCELLED)
            c->after_us = test_delay_us();
    }
    return NULL;
}

static void *close_one(void *v)
{
    struct caller *c = v;

    if (c->l != NULL)
        virtsock_listener_close(c->l, NULL);
    else
        virtsock_stream_close(c->s, 0, NULL);
    return NULL;
}

/* A closer waits for who is inside; they wait for processors, one behind the other where the system gives a socket's lock in turn. */
static void close_in_a_crowd(struct caller whom)
{
    const int        n = test_slowness() > 1 ? 4 : 32;      /* an emulated processor is kept by each for long */
    struct test_call closing;
    struct caller    crowd[32];

    crowding = true;
    for (int i = 0; i < n; i++) {
        crowd[i] = whom;
        CHECK(pthread_create(&crowd[i].thread, NULL, call_again_and_again, &crowd[i]) == 0);
    }
    for (int i = 0; i < n; i++)
        while (crowd[i].inside == 0)
            test_nap_ms(1);
    test_nap_ms(20);
    for (int i = 0; i < n; i++)
        crowd[i].before_us = test_delay_of_us(crowd[i].inside);
    test_call_begin(&closing, close_one, &whom);
    test_call_end(&closing);
    crowding = false;
    for (int i = 0; i < n; i++) {
        CHECK(pthread_join(crowd[i].thread, NULL) == 0);
        closing.watch.delay_us += test_grown(crowd[i].before_us, crowd[i].after_us);
    }
    CHECK_WATCH(closing.watch, 0, 50 + test_late_ms());
}

TEST(a_close_returns_among_callers_that_never_stop)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e;

    for (int i = 0; i < 5; i++) {
        test_pair(s, NULL);
        close_in_a_crowd((struct caller){ .s = s[0] });
        virtsock_stream_free(s[0]);
        virtsock_stream_free(s[1]);
        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        close_in_a_crowd((struct caller){ .l = l });
        virtsock_listener_free(l);
    }
    virtsock_address_free(a);
}

enum what { RECV, RECV_TIMED, RECV_EXACT, SEND, SEND_TIMED, ACCEPT, ACCEPT_TIMED, CONNECT, CONNECT_PAUSED };

struct call {
    enum what          what;
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_status    status;
    struct test_call   inside;
};

static void *run(void *v)
{
    static const char big[65536];
    struct call      *c = v;
    virtsock_stream  *accepted = NULL;
    char              b[64];
    size_t            n;

    switch (c->what) {
    case RECV:       c->status = virtsock_stream_recv(c->s, b, sizeof b, &n, -1, NULL); break;
    case RECV_TIMED: c->status = virtsock_stream_recv(c->s, b, sizeof b, &n, 30000, NULL); break;
    case RECV_EXACT: c->status = virtsock_stream_recv_exact(c->s, b, sizeof b, &n, -1, NULL); break;
    case SEND:
        while ((c->status = virtsock_stream_send(c->s, big, sizeof big, &n, -1, NULL)) == VIRTSOCK_OK) {
        }
        break;
    case SEND_TIMED:
        while ((c->status = virtsock_stream_send(c->s, big, sizeof big, &n, 30000, NULL)) == VIRTSOCK_OK) {
        }
        break;
    case ACCEPT:       c->status = virtsock_accept(&accepted, c->l, -1, NULL); break;
    case ACCEPT_TIMED: c->status = virtsock_accept(&accepted, c->l, 30000, NULL); break;
    case CONNECT:
    case CONNECT_PAUSED: c->status = virtsock_stream_connect(c->s, -1, NULL); break;
    }
    CHECK(accepted == NULL);
    return NULL;
}

static void *close_too(void *v)
{
    struct call *c = v;

    if (c->l != NULL)
        CHECK(virtsock_listener_close(c->l, NULL) == VIRTSOCK_OK);
    else
        CHECK(virtsock_stream_close(c->s, 0, NULL) == VIRTSOCK_OK);
    return NULL;
}

/* What the rounds of one kind have in common. */
struct stage {
    virtsock_address  *address, *other;
    virtsock_options  *wait;
    virtsock_listener *full;            /* its backlog is */
    virtsock_stream   *fill[8];
    int                filled;
};

static void stage_up(struct stage *st, enum what what)
{
    virtsock_options *one = virtsock_options_new();
    virtsock_error    e = { 0 };

    memset(st, 0, sizeof *st);
    st->address = test_parse(test_address());
    st->wait = virtsock_options_new();
    CHECK_OK(virtsock_options_set(st->wait, VIRTSOCK_OPTION_WAIT, 30000, &e), e);
    if (what == CONNECT_PAUSED)
        CHECK_OK(virtsock_options_set(st->wait, VIRTSOCK_OPTION_BACKOFF_FIRST, 20000, &e), e);
    if (what == CONNECT) {
        virtsock_options *soon = virtsock_options_new();

        CHECK_OK(virtsock_options_set(one, VIRTSOCK_OPTION_BACKLOG, 1, &e), e);
        CHECK_OK(virtsock_options_set(soon, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 50, &e), e);
        CHECK_OK(virtsock_listen(&st->full, st->address, one, &e), e);
        while (st->filled < 8 && virtsock_connect(&st->fill[st->filled], st->address, soon, &e) == VIRTSOCK_OK)
            st->filled++;
        virtsock_options_free(soon);
    }
    virtsock_options_free(one);
}

static void stage_down(struct stage *st)
{
    for (int i = 0; i < st->filled; i++)
        virtsock_stream_free(st->fill[i]);
    virtsock_listener_free(st->full);
    virtsock_options_free(st->wait);
    virtsock_address_free(st->address);
}

/* One or two closes; how long they took. */
static struct test_watch close_now(struct call *c, bool twice)
{
    struct test_watch w;
    struct test_call  closer;

    if (twice)
        test_call_begin(&closer, close_too, c);
    w = test_watch_begin();
    close_too(c);
    test_watch_end(&w);
    if (!twice)
        return w;
    test_call_end(&closer);
    return test_watch_both(&w, &closer.watch);
}

/* The first wait of a call lasts a millisecond and sees a close without being woken; a close now and then comes after it. */
static int64_t pause_us(int round)
{
    return round % 8 == 1 || round % 8 == 6 ? 3000 : round * 37 % 400;
}

/* One round: calls go in, and are somewhere in there when one or two closes come. How long after that all had ended, in us. */
static int64_t one_round(const struct stage *st, enum what what, int round)
{
    struct call         c[2] = { { .what = what }, { .what = what } };
    const int           calls = what >= CONNECT ? 1 : 1 + round % 2;
    virtsock_stream    *pair[2] = { NULL, NULL };
    virtsock_error      e = { 0 };
    struct test_call    inside[2];
    struct test_watch   closing;
    struct test_control control;

    if (what <= SEND_TIMED) {
        test_pair(pair, NULL);
        c[0].s = pair[0];
    } else if (what <= ACCEPT_TIMED) {
        CHECK_OK(virtsock_listen(&c[0].l, st->address, NULL, &e), e);
    } else {
        CHECK_OK(virtsock_connect_start(&c[0].s, st->address, st->wait, &e), e);
    }
    c[1].s = c[0].s;
    c[1].l = c[0].l;
    test_control_begin(&control);
    for (int i = 0; i < calls; i++)
        test_call_begin(&inside[i], run, &c[i]);
    if (round % 4 != 0)
        for (int i = 0; i < calls; i++)
            test_call_comes(&inside[i]);
    test_nap_us(pause_us(round));
    test_control_wake(&control);
    closing = close_now(&c[0], round % 3 == 0);
    for (int i = 0; i < calls; i++)
        test_call_end(&inside[i]);
    closing.delay_us += test_control_end(&control);
    for (int i = 0; i < calls; i++)
        if (c[i].status != VIRTSOCK_E_CANCELLED) {
            printf("FAIL %s: round %d: call %d is %s\n", test_now, round, what, virtsock_status_name(c[i].status));
            exit(1);
        }
    virtsock_listener_free(c[0].l);
    virtsock_stream_free(c[0].s);
    virtsock_stream_free(pair[1]);
    return test_wake_us(inside, calls, &closing);
}

#define WAKE_MS 50                      /* the header's promise */

/* Within 50 ms, in each round, but for what the machine took. Where nobody counts that, or not the host's part of it, one round in 100 may be
 * late, never by more than two seconds. */
static void check_wakes(enum what what)
{
    struct stage st;
    const int    may_be_late = test_delay_us() >= 0 && test_slowness() == 1 ? 0 : (rounds() + 99) / 100;
    int64_t      worst = 0;
    int          late = 0;

    stage_up(&st, what);
    test_stalls_begin();
    for (int round = 0; round < rounds(); round++) {
        int64_t took = one_round(&st, what, round);

        late += took > WAKE_MS * 1000;
        worst = took > worst ? took : worst;
    }
    test_stalls_end();
    stage_down(&st);
    printf("# %s: worst %.3f ms, %d of %d over %d ms\n", test_now, (double)worst / 1000, late, rounds(), WAKE_MS);
    CHECK(late <= may_be_late && worst < 2000000);
}

/* proves: T1 */
TEST(close_wakes_recv) { check_wakes(RECV); }
TEST(close_wakes_a_timed_recv) { check_wakes(RECV_TIMED); }
TEST(close_wakes_recv_exact)
{
    if (test_is_seqpacket())
        SKIP("messages have no recv_exact");
    check_wakes(RECV_EXACT);
}
TEST(close_wakes_send) { check_wakes(SEND); }
TEST(close_wakes_a_timed_send) { check_wakes(SEND_TIMED); }
/* proves: L13 */
TEST(close_wakes_accept) { check_wakes(ACCEPT); }
TEST(close_wakes_a_timed_accept) { check_wakes(ACCEPT_TIMED); }
/* proves: C8 */
TEST(close_wakes_a_connect_to_a_full_backlog) { check_wakes(CONNECT); }
TEST(close_wakes_a_connect_between_attempts) { check_wakes(CONNECT_PAUSED); }

/* --- No number is reused under a call ---------------------------------------------------------------------------------------- */

static _Atomic bool stop;

/* Takes and gives back numbers as fast as it can, and sees whether anybody else reads or writes there. */
static void *take_numbers(void *v)
{
    while (!stop) {
        virtsock_fd p[8][2];

        for (int i = 0; i < 8; i++)
            CHECK(test_sockets(p[i]) && test_raw_send(p[i][0], "mine", 4) && test_raw_send(p[i][1], "mine", 4));
        sched_yield();
        for (int i = 0; i < 16; i++) {
            char b[16];

            CHECK(test_raw_recv(p[i / 2][i % 2], b, sizeof b) == 4 && memcmp(b, "mine", 4) == 0);
            CHECK(test_raw_recv(p[i / 2][i % 2], b, sizeof b) == -1);
        }
        for (int i = 0; i < 16; i++)
            CHECK(test_raw_close(p[i / 2][i % 2]));
    }
    return v;
}

static void *read_on(void *v)
{
    struct call *c = v;
    char         b[16];
    size_t       n;

    while ((c->status = virtsock_stream_recv(c->s, b, sizeof b, &n, c->what == RECV ? -1 : 10000, NULL)) == VIRTSOCK_OK)
        CHECK(b[0] == 'o');
    return NULL;
}

/* proves: T1 */
TEST(no_number_is_reused_under_a_call)
{
    pthread_t taker;

    stop = false;
    CHECK(pthread_create(&taker, NULL, take_numbers, NULL) == 0);
    for (int round = 0; round < 2 * rounds(); round++) {
        struct call      c[2] = { { .what = round % 2 ? RECV : RECV_TIMED }, { .what = RECV } };
        virtsock_stream *pair[2];
        size_t           n;

        test_pair(pair, NULL);
        for (int i = 0; i < 2; i++) {
            c[i].s = pair[0];
            test_call_begin(&c[i].inside, read_on, &c[i]);
        }
        CHECK(virtsock_stream_send(pair[1], "o", 1, &n, 1000, NULL) == VIRTSOCK_OK);
        test_nap_us(round % 90);
        CHECK(virtsock_stream_close(pair[0], 0, NULL) == VIRTSOCK_OK);
        for (int i = 0; i < 2; i++) {
            test_call_end(&c[i].inside);
            CHECK(c[i].status == VIRTSOCK_E_CANCELLED);
        }
        virtsock_stream_free(pair[0]);
        virtsock_stream_free(pair[1]);
    }
    stop = true;
    pthread_join(taker, NULL);
}

/* A connection succeeds at the moment a close comes: one of the two, and no descriptor is lost or touched that is another's. */
/* proves: C8 */
TEST(connect_races_with_close)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_error    e = { 0 };
    pthread_t         taker;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 30000, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 1, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_MAX, 1, &e), e);
    stop = false;
    CHECK(pthread_create(&taker, NULL, take_numbers, NULL) == 0);
    for (int round = 0; round < rounds(); round++) {
        virtsock_address  *a = test_parse(test_address());
        struct call        c = { .what = CONNECT };
        virtsock_listener *l;

        CHECK_OK(virtsock_connect_start(&c.s, a, o, &e), e);
        test_call_begin(&c.inside, run, &c);
        test_nap_us(300);
        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        test_nap_us(round * 53 % 1300);
        CHECK_OK(virtsock_stream_close(c.s, 0, &e), e);
        test_call_end(&c.inside);
        CHECK(c.status == VIRTSOCK_OK || c.status == VIRTSOCK_E_CANCELLED);
        virtsock_stream_free(c.s);
        virtsock_listener_free(l);
        virtsock_address_free(a);
    }
    stop = true;
    pthread_join(taker, NULL);
    virtsock_options_free(o);
}

static void *ask_on(void *v)
{
    virtsock_fd fd;
    int         events, timeout;

    while (!stop)
        virtsock_stream_wants(v, &fd, &events, &timeout);
    virtsock_stream_wants(v, &fd, &events, &timeout);
    CHECK(fd == -1 && events == 0 && timeout == 0);
    return NULL;
}

/* A loop asks what a connection wants while it is closed: never of what the close has freed. Red under the sanitizers. */
TEST(asking_races_with_close)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_address *a = test_parse(test_address());
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 600000, &e), e);
    for (int round = 0; round < rounds() / 5; round++) {
        virtsock_stream *s;
        pthread_t        t;

        stop = false;
        CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
        CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
        CHECK(pthread_create(&t, NULL, ask_on, s) == 0);
        test_nap_us(round * 7 % 200);
        CHECK_OK(virtsock_stream_close(s, 0, &e), e);
        stop = true;
        pthread_join(t, NULL);
        virtsock_stream_free(s);
    }
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* --- Ending in order ------------------------------------------------------------------------------------------------------------ */

/* proves: T2 */
TEST(closed_is_closed)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n = 7;
    char             b[4];

    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    CHECK_OK(virtsock_stream_close(s[0], -1, &e), e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, -1, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK(n == 0 && strstr(e.message, "closed") != NULL);
    CHECK_STATUS(virtsock_stream_recv(s[0], b, 4, &n, 0, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_stream_connect(s[0], 0, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 1000, &e), VIRTSOCK_E_EOF, e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* Finishing waits until the peer has read all and ended; nothing is lost on the way. */
static void *read_slowly(void *v)
{
    virtsock_stream *s = v;
    char             b[4096];
    size_t           n, total = 0;
    virtsock_status  status;

    while ((status = virtsock_stream_recv(s, b, sizeof b, &n, 10000, NULL)) == VIRTSOCK_OK) {
        total += n;
        test_nap_us(200);
    }
    CHECK(status == VIRTSOCK_E_EOF);
    CHECK(virtsock_stream_close(s, 0, NULL) == VIRTSOCK_OK);
    return (void *)(uintptr_t)total;
}

/* proves: D6 */
TEST(finish_loses_nothing)
{
    static const char data[65536];
    const size_t      piece = test_is_seqpacket() ? 4096 : sizeof data;
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    pthread_t         t;
    void             *total;
    size_t            n, sent = 0;

    test_pair(s, NULL);
    CHECK(pthread_create(&t, NULL, read_slowly, s[1]) == 0);
    for (int i = 0; i < 8; i++, sent += n)
        CHECK_OK(virtsock_stream_send(s[0], data, piece, &n, 10000, &e), e);
    CHECK_OK(virtsock_stream_close(s[0], 10000, &e), e);
    pthread_join(t, &total);
    CHECK((size_t)(uintptr_t)total == sent);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(finish_ends_in_time)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_LINGER, 80, &e), e);
    test_pair(s, o);
    for (int i = 0; i < 2; i++) {                               /* the option, of a connected and of an accepted stream */
        w = test_watch_begin();
        CHECK_STATUS(virtsock_stream_close(s[i], i == 0 ? -1 : 90, &e), i == 0 ? VIRTSOCK_E_TIMEOUT : VIRTSOCK_OK, e);
        CHECK_TOOK(w, i == 0 ? 80 : 0, 80 + test_late_ms());
    }
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

static void *finish_long(void *v)
{
    return (void *)(intptr_t)virtsock_stream_close(v, 20000, NULL);
}

static void *finish_by_default(void *v)
{
    return (void *)(intptr_t)virtsock_stream_close(v, -1, NULL);
}

/* Whoever else closes: on return it is closed. The peer is told of the end before it is waited for. */
TEST(a_second_close_returns_when_it_is_closed)
{
    for (int round = 0; round < 5; round++) {
        virtsock_stream *s[2];
        virtsock_error   e = { 0 };
        pthread_t        t;
        void            *status;
        size_t           n;
        char             b;

        test_pair(s, NULL);
        CHECK(pthread_create(&t, NULL, finish_long, s[0]) == 0);
        CHECK_STATUS(virtsock_stream_recv(s[1], &b, 1, &n, 20000, &e), VIRTSOCK_E_EOF, e);
        CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
        CHECK(virtsock_stream_fd(s[0]) == -1);
        pthread_join(t, &status);
        CHECK((intptr_t)status == VIRTSOCK_E_CANCELLED);
        virtsock_stream_free(s[0]);
        virtsock_stream_free(s[1]);
    }
}

TEST(a_second_close_shortens_the_linger)
{
    struct call       c = { 0 };
    struct test_watch closing;
    struct test_call  finish;
    virtsock_stream  *s[2];

    test_pair(s, NULL);
    c.s = s[0];
    test_call_begin(&finish, finish_long, s[0]);
    test_call_waits(&finish);
    closing = close_now(&c, false);
    CHECK((intptr_t)test_call_end(&finish) == VIRTSOCK_E_CANCELLED);
    CHECK(test_wake_us(&finish, 1, &closing) < test_late_ms() * 1000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* Nor does it lengthen it. */
TEST(a_second_close_does_not_lengthen_the_linger)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    pthread_t         t;
    void             *status;
    size_t            n;
    char              b;
    int64_t           start = test_ms();

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_LINGER, 100, &e), e);
    test_pair(s, o);
    CHECK(pthread_create(&t, NULL, finish_by_default, s[0]) == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], &b, 1, &n, 20000, &e), VIRTSOCK_E_EOF, e);
    CHECK_OK(virtsock_stream_close(s[0], 60000, &e), e);
    pthread_join(t, &status);
    CHECK((intptr_t)status == VIRTSOCK_E_TIMEOUT && test_ms() - start < 30000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_options_free(o);
}

/* The peer leaves with our bytes unread: that is no end in order. */
TEST(finish_tells_of_a_reset)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n;

    if (!test_is_unix())
        SKIP("AF_VSOCK and Hyper-V tell nobody, TCP perhaps");
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "unread", 6, &n, 5000, &e), e);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    CHECK_STATUS(virtsock_stream_close(s[0], 20000, &e), VIRTSOCK_E_RESET, e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(finish_with_a_call_inside_does_not_wait)
{
    struct call       c = { .what = RECV };
    struct test_watch closing;
    struct test_call  inside;
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };

    test_pair(s, NULL);
    c.s = s[0];
    test_call_begin(&inside, run, &c);
    test_call_waits(&inside);
    closing = test_watch_begin();
    CHECK_STATUS(virtsock_stream_close(s[0], 20000, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_TOOK(closing, 0, test_late_ms());
    test_call_end(&inside);
    CHECK(c.status == VIRTSOCK_E_CANCELLED && test_wake_us(&inside, 1, &closing) < test_late_ms() * 1000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static size_t sent;

static void *send_much(void *v)
{
    const size_t    size = 64u << 20;
    char           *data = calloc(1, size);
    virtsock_status status = virtsock_stream_send(v, data, size, &sent, -1, NULL);

    free(data);
    return (void *)(intptr_t)status;
}

/* What had left by then is told, and that it was cut short. */
TEST(a_send_in_the_middle_is_cancelled)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    pthread_t        t;
    void            *status;

    if (test_is_seqpacket())
        SKIP("messages are whole");
    if (!test_is_unix() && !test_is_vsock())
        SKIP("Windows takes all that is sent");
    test_pair(s, NULL);
    CHECK(pthread_create(&t, NULL, send_much, s[0]) == 0);
#ifdef _WIN32
    test_nap_ms(200);                   /* a poll would not tell */
#else
    test_wait(virtsock_stream_fd(s[1]), VIRTSOCK_WANT_RECV, 20000);
    test_nap_ms(20);
#endif
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    pthread_join(t, &status);
    CHECK((intptr_t)status == VIRTSOCK_E_CANCELLED && sent < 64u << 20);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

TEST(detach_wants_a_connection)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    virtsock_fd       fd = 0;

    CHECK_OK(virtsock_connect_start(&s, a, NULL, &e), e);
    CHECK_STATUS(virtsock_stream_detach(s, &fd, &e), VIRTSOCK_E_INVALID, e);
    CHECK(fd == -1);
    CHECK_STATUS(virtsock_stream_connect(s, -1, &e), VIRTSOCK_E_REFUSED, e);        /* it goes on */
    virtsock_stream_free(s);
    virtsock_address_free(a);
}

TEST(detach_with_a_call_inside_is_in_use)
{
    struct call      c = { .what = RECV };
    struct test_call inside;
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_fd      fd = 0;

    test_pair(s, NULL);
    c.s = s[0];
    test_call_begin(&inside, run, &c);
    test_call_waits(&inside);
    CHECK_STATUS(virtsock_stream_detach(s[0], &fd, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(fd == -1 && virtsock_stream_fd(s[0]) >= 0);
    virtsock_stream_free(s[0]);
    test_call_end(&inside);
    virtsock_stream_free(s[1]);
}

#ifdef _WIN32
NO_TEST(closing_a_listener_leaves_others_theirs, "sockets are duplicated in another way")
#else
/* A listener that another handle, or process, has as well: closing one with a call inside ends that call alone. */
TEST(closing_a_listener_leaves_others_theirs)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    for (int i = 0; i < 2; i++) {
        struct call      c = { .what = i == 0 ? ACCEPT : ACCEPT_TIMED };
        struct test_call inside;

        CHECK_OK(virtsock_listener_from_fd(&c.l, dup((int)virtsock_listener_fd(l)), NULL, &e), e);
        test_call_begin(&inside, run, &c);
        test_call_waits(&inside);
        CHECK_OK(virtsock_listener_close(c.l, &e), e);
        test_call_end(&inside);
        CHECK(c.status == VIRTSOCK_E_CANCELLED);
        virtsock_listener_free(c.l);
    }
    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, 20000, &e), e);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}
#endif
