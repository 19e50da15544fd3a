/* SPDX-License-Identifier: MIT
 *
 * Closing: from another thread it ends every call within 50 ms, and no descriptor number is reused under one; with data in flight; waiting
 * for the peer, or not.
 */
#include "rows.h"
#include "suite.h"

#define WAKE_MS   50                    /* the header's promise */
#define WORST_MS  2000                  /* what a busy machine may make of it, once in a hundred rounds; --slow times */
#define CLOSES    100

/* --- A call, and a close that comes into it ------------------------------------------------------------------------------- */

enum what { RECV, SEND, ACCEPT, CONNECT };

struct call {
    enum what          what;
    int                timeout_ms;
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_status    status;
};

static void *run_call(void *call)
{
    static const char data[8192];
    struct call      *c = call;
    virtsock_stream  *accepted = NULL;
    char              b[64];
    size_t            n;

    switch (c->what) {
    case RECV:   c->status = virtsock_stream_recv(c->s, b, sizeof b, &n, c->timeout_ms, NULL); break;
    case ACCEPT: c->status = virtsock_accept(&accepted, c->l, c->timeout_ms, NULL); break;
    case CONNECT: c->status = virtsock_stream_connect(c->s, c->timeout_ms, NULL); break;
    case SEND:
        while ((c->status = virtsock_stream_send(c->s, data, sizeof data, &n, c->timeout_ms, NULL)) == VIRTSOCK_OK) {
        }
        break;
    }
    CHECK(accepted == NULL);
    return NULL;
}

static void *close_it(void *call)
{
    struct call *c = call;

    CHECK((c->l != NULL ? virtsock_listener_close(c->l, NULL) : virtsock_stream_close(c->s, 0, NULL)) == VIRTSOCK_OK);
    return NULL;
}

/* One or two closes at once; how long they took. */
static struct test_watch close_now(struct call *c, bool twice)
{
    struct test_watch w;
    struct test_call  closer;

    if (twice)
        test_call_begin(&closer, close_it, c);
    w = test_watch_begin();
    close_it(c);
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

/* One or two calls are before, at or in their wait when one or two closes come. How long until all have ended, in us. */
static int64_t close_into(struct call *c, int calls, int round)
{
    struct test_call    inside[2];
    struct test_watch   closing;
    struct test_control control;

    test_control_begin(&control);
    for (int i = 0; i < calls; i++)
        test_call_begin(&inside[i], run_call, &c[i]);
    for (int i = 0; round % 4 != 0 && i < calls; i++)
        test_call_comes(&inside[i]);
    nap_us(pause_us(round));
    test_control_wake(&control);
    closing = close_now(c, round % 3 == 0);
    for (int i = 0; i < calls; i++)
        test_call_end(&inside[i]);
    closing.delay_us += test_control_end(&control);
    for (int i = 0; i < calls; i++)
        CHECK_STATUS(c[i].status, VIRTSOCK_E_CANCELLED, (virtsock_error){ .message = "of the call that was inside" });
    return test_wake_us(inside, calls, &closing);
}

struct tally {
    int     late;
    int64_t worst_us;
};

static void count(struct tally *t, int64_t took_us)
{
    t->late += took_us > WAKE_MS * 1000;
    t->worst_us = took_us > t->worst_us ? took_us : t->worst_us;
}

/* None is late but for what the machine took. Where nobody counts that, or --slow says that it is not all, one round in a hundred may be. */
static void judge(const struct tally *t, const char *what)
{
    const bool counted = test_delay_us() >= 0 && under_test.slow == 1;

    note("%s: worst %.1f ms, %d of %d later than %d ms", what, (double)t->worst_us / 1000, t->late, under_test.rounds, WAKE_MS);
    CHECK(t->late <= (counted ? 0 : (under_test.rounds * under_test.slow + 99) / 100));
    CHECK(t->worst_us < WORST_MS * INT64_C(1000) * under_test.slow);
}

/* Calls with and without a deadline wait in different ways. */
static int timeout_of(int round)
{
    return round % 2 == 0 ? -1 : patient_ms();
}

/* Pairs from one listener, where there is one: what is under test is the close. */
static void wake_stream(enum what what, const char *name)
{
    const bool         lone = under_test.traits->scheme == VIRTSOCK_SCHEME_NONE;
    struct tally       tally = { 0, 0 };
    virtsock_listener *l = NULL;
    virtsock_address  *a = NULL;

    if (!lone)
        listen_fresh(&l, &a, NULL);
    for (int round = 0; round < under_test.rounds; round++) {
        struct call      c[2] = { { .what = what, .timeout_ms = timeout_of(round) }, { .what = what, .timeout_ms = timeout_of(round / 2) } };
        virtsock_stream *s[2];

        if (lone)
            make_pair(s, NULL);
        else
            connect_pair(s, l, a);
        c[0].s = c[1].s = s[round % 2];
        count(&tally, close_into(c, 1 + round / 2 % 2, round));
        free_pair(s);
    }
    virtsock_listener_free(l);
    virtsock_address_free(a);
    judge(&tally, name);
}

void close_wakes_recv(void)
{
    wake_stream(RECV, "close_wakes_recv");
}

void close_wakes_send(void)
{
    wake_stream(SEND, "close_wakes_send");
}

void close_wakes_accept(void)
{
    struct tally tally = { 0, 0 };

    for (int round = 0; round < under_test.rounds; round++) {
        struct call       c[2] = { { .what = ACCEPT, .timeout_ms = timeout_of(round) }, { .what = ACCEPT, .timeout_ms = timeout_of(round / 2) } };
        virtsock_address *a;

        under_test.number -= under_test.number % 100;           /* the same address each time */
        listen_fresh(&c[0].l, &a, NULL);
        c[1].l = c[0].l;
        count(&tally, close_into(c, 1 + round / 2 % 2, round));
        virtsock_listener_free(c[0].l);
        virtsock_address_free(a);
    }
    judge(&tally, "close_wakes_accept");
}

/* In turn: between attempts or in one that is refused, and in one that gets no answer, where there is such a thing. */
void close_wakes_connect(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, patient_ms());
    virtsock_address *nobody = nobody_address();
    struct tally      tally = { 0, 0 };
    struct hole       h;
    const bool        silence = hole_dig(&h);
    virtsock_error    e = { 0 };

    set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 20000);               /* a pause that ends by itself would hide a wake that is missing */
    for (int round = 0; round < under_test.rounds; round++) {
        struct call c = { .what = CONNECT, .timeout_ms = timeout_of(round) };

        CHECK_OK(virtsock_connect_start(&c.s, silence && round / 2 % 2 == 0 ? h.address : nobody, o, &e), e);
        count(&tally, close_into(&c, 1, round));
        virtsock_stream_free(c.s);
    }
    if (silence)
        hole_fill(&h);
    virtsock_address_free(nobody);
    virtsock_options_free(o);
    judge(&tally, "close_wakes_connect");
}

/* --- No number is reused under a call ---------------------------------------------------------------------------------------- */

static _Atomic bool stop;

/* Takes and gives back numbers as fast as it can, and sees whether anybody else sends or receives there. */
static void *take_numbers(void *unused)
{
    while (!stop) {
        virtsock_fd p[8][2];

        for (int i = 0; i < 8; i++)
            CHECK(test_sockets(p[i]) && test_raw_send(p[i][0], "mine", 4) && test_raw_send(p[i][1], "mine", 4));
        sched_yield();
        for (int i = 0; i < 16; i++) {
            const virtsock_fd fd = p[i / 2][i % 2];
            char              b[16];

            CHECK(test_raw_recv(fd, b, sizeof b) == 4 && memcmp(b, "mine", 4) == 0);
            CHECK(test_raw_recv(fd, b, sizeof b) == -1);
        }
        for (int i = 0; i < 16; i++)
            CHECK(test_raw_close(p[i / 2][i % 2]));
    }
    return unused;
}

static void *receive_on(void *call)
{
    struct call *c = call;
    char         b[16];
    size_t       n;

    while ((c->status = virtsock_stream_recv(c->s, b, sizeof b, &n, c->timeout_ms, NULL)) == VIRTSOCK_OK)
        CHECK(b[0] == 'o');
    return NULL;
}

void no_number_is_reused(void)
{
    pthread_t taker;

    stop = false;
    start(&taker, take_numbers, NULL);
    for (int round = 0; round < under_test.rounds; round++) {
        struct call      c[2] = { { .timeout_ms = timeout_of(round) }, { .timeout_ms = -1 } };
        struct test_call inside[2];
        virtsock_stream *s[2];

        under_test.number -= under_test.number % 100;
        make_pair(s, NULL);
        for (int i = 0; i < 2; i++) {
            c[i].s = s[0];
            test_call_begin(&inside[i], receive_on, &c[i]);
        }
        put(s[1], "o", 1);
        nap_us(round % 90);
        CHECK(virtsock_stream_close(s[0], 0, NULL) == VIRTSOCK_OK);
        for (int i = 0; i < 2; i++) {
            test_call_end(&inside[i]);
            CHECK_STATUS(c[i].status, VIRTSOCK_E_CANCELLED, (virtsock_error){ .message = "of the call that was inside" });
        }
        free_pair(s);
    }
    stop = true;
    end(taker);
}

/* --- With data in flight ---------------------------------------------------------------------------------------------------------- */

/* The other end reads a little and goes, while this one sends without a pause. SIGPIPE has its default, which would end the process. */
void closes_in_flight(void)
{
    int64_t worst = 0;

    for (int i = 0; i < CLOSES; i++) {
        virtsock_stream  *s[2];
        struct call       c = { .what = SEND, .timeout_ms = timeout_of(i) };
        struct test_call  sender;
        struct test_watch w;
        int64_t           took;

        make_pair(s, NULL);
        c.s = s[i / 2 % 2];
        test_call_begin(&sender, run_call, &c);
        drain(s[1 - i / 2 % 2], (uint64_t)8192 * (uint64_t)(1 + i % 5));
        w = test_watch_begin();
        CHECK(virtsock_stream_close(s[1 - i / 2 % 2], 0, NULL) == VIRTSOCK_OK);
        test_watch_end(&w);
        test_call_end(&sender);
        took = test_wake_us(&sender, 1, &w);
        worst = took > worst ? took : worst;
        CHECK_STATUS(c.status, VIRTSOCK_E_RESET, (virtsock_error){ .message = "of the sender" });
        free_pair(s);
    }
    note("closes_in_flight: the sender knew after %.1f ms at the latest", (double)worst / 1000);
}

/* --- Waiting for the peer, or not ------------------------------------------------------------------------------------------------ */

#define READS_AFTER_US 30000

static void *flow_in_and_close(void *flow)
{
    struct flow *f = flow;

    nap_us(READS_AFTER_US);
    flow_in(f);
    CHECK(virtsock_stream_close(f->s, 0, NULL) == VIRTSOCK_OK);
    return NULL;
}

void finish(void)
{
    static const char data[4096];

    for (int i = 0; i < 2; i++) {
        virtsock_stream *s[2];
        virtsock_error   e = { 0 };
        struct flow      in;
        int64_t          began = test_us();

        make_pair(s, NULL);
        in = (struct flow){ .s = s[1 - i] };
        start(&in.thread, flow_in_and_close, &in);
        for (int n = 0; n < 16; n++)
            put(s[i], data, sizeof data);
        CHECK_OK(virtsock_stream_close(s[i], patient_ms(), &e), e);
        CHECK(test_us() - began >= READS_AFTER_US);
        end(in.thread);
        CHECK(in.status == VIRTSOCK_E_EOF);
        CHECK_EQUAL(in.moved, 16 * sizeof data);
        CHECK_OK(virtsock_stream_close(s[i], 0, &e), e);
        free_pair(s);
    }
}

void finish_deadline(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_LINGER, 120);
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;

    for (int i = 0; i < 4; i++) {                               /* of either end, by the option and by the argument */
        make_pair(s, o);
        w = test_watch_begin();
        CHECK_STATUS(virtsock_stream_close(s[i % 2], i < 2 ? -1 : 120, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 120);
        CHECK(virtsock_stream_fd(s[i % 2]) == -1);              /* closed all the same */
        CHECK_OK(virtsock_stream_close(s[1 - i % 2], 0, &e), e);
        free_pair(s);
    }
    virtsock_options_free(o);
}

void abort_at_once(void)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    virtsock_status   status;
    struct test_watch w;
    char              b[4096];
    size_t            n;

    make_pair(s, NULL);
    fill(s[0]);
    put(s[1], "unread", 6);
    w = test_watch_begin();
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    CHECK_TIME(w, 0);
    while ((status = virtsock_stream_recv(s[1], b, sizeof b, &n, patient_ms(), &e)) == VIRTSOCK_OK) {
    }
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET || status == VIRTSOCK_E_MESSAGE_TOO_LONG);
    free_pair(s);
}
