/* SPDX-License-Identifier: MIT
 *
 * The eleven behaviours by which Go's golang.org/x/net/nettest judges a connection, for an interface whose deadlines are arguments of each
 * call: a deadline in the past is a timeout of 0, and changing one under way is ending one call while others go on.
 */
#include <stdlib.h>

#include "rows.h"
#include "suite.h"

/* Both ways, so that a transport that confuses them is seen: 8 MiB out, and the same amount of other data back. */
void basic_io(void)
{
    uint64_t         total = (uint64_t)(under_test.mib < 8 ? under_test.mib : 8) << 20;
    virtsock_stream *s[2];

    make_pair(s, NULL);
    for (int i = 0; i < 2; i++) {
        struct flow out = { .s = s[i], .n = (uint64_t)i, .total = total, .piece = 1024 }, in = { .s = s[1 - i], .expects = total };

        start(&out.thread, flow_out, &out);
        flow_in(&in);
        end(out.thread);
        check_flow(&out, &in);
    }
    free_pair(s);
}

struct player {
    virtsock_stream *s;
    uint64_t         first;
};

/* Takes turns: each number that comes is the one before ours. */
static void *play(void *player)
{
    struct player *p = player;
    uint64_t       ball = 0;

    for (uint64_t n = p->first; n < 2 * (uint64_t)under_test.rounds; n += 2) {
        if (n > 0) {
            get(p->s, &ball, sizeof ball);
            CHECK_EQUAL(ball, n - 1);
        }
        put(p->s, &n, sizeof n);
    }
    return NULL;
}

void ping_pong(void)
{
    virtsock_stream *s[2];
    struct player    second = { NULL, 1 };
    uint64_t         last;
    pthread_t        t;

    make_pair(s, NULL);
    second.s = s[1];
    start(&t, play, &second);
    play(&(struct player){ s[0], 0 });
    get(s[0], &last, sizeof last);
    end(t);
    CHECK_EQUAL(last, 2 * (uint64_t)under_test.rounds - 1);
    free_pair(s);
}

/* --- Many threads in one direction ---------------------------------------------------------------------------------------- */

#define PIECE 8192

struct racer {
    virtsock_stream *s;
    bool             sends;
    int              id;
    pthread_t        thread;
};

static void *race(void *racer)
{
    struct racer *r = racer;
    char          b[PIECE] = "";

    for (int i = 0; i < 10; i++) {
        int             ms = (r->id + i) % 3 - 1;       /* for ever, not at all, 1 ms */
        virtsock_error  e = { 0 };
        virtsock_status status;
        size_t          n;

        status = r->sends ? virtsock_stream_send(r->s, b, sizeof b, &n, ms, &e) : virtsock_stream_recv(r->s, b, sizeof b, &n, ms, &e);
        if (under_test.torn && r->sends && status == VIRTSOCK_E_RESET)
            break;                                      /* another racer's was cut short */
        if (status != VIRTSOCK_OK && status != (ms == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT))
            fail_at(WHERE, "with a timeout of %d: %s: %s", ms, virtsock_status_name(status), e.message);
        CHECK((status == VIRTSOCK_OK) == (n > 0));
    }
    return NULL;
}

static void race_ten(virtsock_stream *s, bool sends)
{
    struct racer r[10];

    for (int i = 0; i < 10; i++) {
        r[i] = (struct racer){ .s = s, .sends = sends, .id = i };
        start(&r[i].thread, race, &r[i]);
    }
    for (int i = 0; i < 10; i++)
        end(r[i].thread);
}

/* With pauses, so that the racers have to wait now and then. */
static void *send_on(void *s)
{
    static const char data[PIECE];
    size_t            n;

    for (int i = 0; virtsock_stream_send(s, data, sizeof data, &n, patient_ms(), NULL) == VIRTSOCK_OK; i++)
        nap_us(i % 4 == 0 ? 3000 : 0);
    return NULL;
}

static void *receive_on(void *flow)
{
    struct flow *f = flow;
    char         b[PIECE];
    size_t       n;

    for (; (f->status = virtsock_stream_recv(f->s, b, sizeof b, &n, patient_ms(), NULL)) == VIRTSOCK_OK; f->moved += n)
        nap_us(1000);
    return NULL;
}

void racy_read(void)
{
    virtsock_stream *s[2];
    pthread_t        t;

    make_pair(s, NULL);
    start(&t, send_on, s[1]);
    race_ten(s[0], false);
    CHECK(virtsock_stream_close(s[1], 0, NULL) == VIRTSOCK_OK);
    end(t);
    free_pair(s);
}

void racy_write(void)
{
    virtsock_stream *s[2];
    struct flow      in;

    make_pair(s, NULL);
    in = (struct flow){ .s = s[1] };
    start(&in.thread, receive_on, &in);
    race_ten(s[0], true);
    CHECK(virtsock_stream_close(s[0], 0, NULL) == VIRTSOCK_OK);
    end(in.thread);
    CHECK(under_test.torn || (in.status == unsaid_end() && in.moved > 0));
    free_pair(s);
}

/* --- Deadlines ----------------------------------------------------------------------------------------------------------------- */

static void check_recv_fails(virtsock_stream *s, int ms, virtsock_status want)
{
    virtsock_error    e = { 0 };
    struct test_watch w = test_watch_begin();
    size_t            n = 7;
    char              b[16];

    CHECK_STATUS(virtsock_stream_recv(s, b, sizeof b, &n, ms, &e), want, e);
    CHECK_TIME(w, ms);
    CHECK(n == 0);
}

/* No byte goes, within the time; what still goes is counted. The kernel may find room once more in what was full. */
static void check_send_fails(virtsock_stream *s, int ms, virtsock_status want, uint64_t *sent)
{
    static const char b[4096];
    virtsock_error    e = { 0 };
    virtsock_status   status;
    struct test_watch w = { 0 };
    size_t            n;

    for (int tries = 0; tries < 1000; tries++) {
        w = test_watch_begin();
        status = virtsock_stream_send(s, b, sizeof b, &n, ms, &e);
        *sent += n;
        if (status != VIRTSOCK_OK)
            break;
    }
    CHECK_TIME(w, ms);
    CHECK_STATUS(status, want, e);
    CHECK(n == 0);
}

/* The reading end has timed out; the writing end does not care, and data that comes later is read. */
void read_timeout(void)
{
    virtsock_stream *s[2];

    make_pair(s, NULL);
    for (int ms = 1; ms < 200; ms = ms * 3 + 1)
        check_recv_fails(s[0], ms, VIRTSOCK_E_TIMEOUT);
    check_echo(s[0], s[1]);
    check_echo(s[1], s[0]);
    free_pair(s);
}

void write_timeout(void)
{
    virtsock_stream *s[2];
    uint64_t         sent;

    make_pair(s, NULL);
    sent = fill(s[0]);
    for (int ms = 1; ms < 200; ms = ms * 3 + 1)
        check_send_fails(s[0], ms, VIRTSOCK_E_TIMEOUT, &sent);
    put(s[1], "other way", 9);
    drain(s[0], 9);
    drain(s[1], sent);
    check_echo(s[0], s[1]);
    free_pair(s);
}

void past_timeout(void)
{
    virtsock_stream *s[2];
    uint64_t         sent = 0;

    make_pair(s, NULL);
    check_recv_fails(s[0], 0, VIRTSOCK_E_AGAIN);
    if (!under_test.torn) {
        sent = fill(s[0]);
        check_send_fails(s[0], 0, VIRTSOCK_E_AGAIN, &sent);
        drain(s[1], sent);
    }
    check_echo(s[0], s[1]);
    free_pair(s);
}

struct waiting {
    virtsock_stream *s;
    virtsock_status  status;
    uint64_t         moved;
    struct test_call call;
};

static void *receive_for_ever(void *waiting)
{
    struct waiting *w = waiting;
    char            b[16];
    size_t          n;

    w->status = virtsock_stream_recv(w->s, b, sizeof b, &n, -1, NULL);
    w->moved += n;
    return NULL;
}

static void *send_for_ever(void *waiting)
{
    static const char b[4096];
    struct waiting   *w = waiting;
    size_t            n = 0;

    do {
        w->status = virtsock_stream_send(w->s, b, sizeof b, &n, -1, NULL);
        w->moved += n;
    } while (w->status == VIRTSOCK_OK);
    return NULL;
}

/* A call that waits for ever is inside; another in the same direction ends in its time, and the first goes on waiting. */
void present_timeout(void)
{
    virtsock_stream *s[2];
    struct waiting   w = { 0 };

    make_pair(s, NULL);
    w.s = s[0];
    test_call_begin(&w.call, receive_for_ever, &w);
    test_call_waits(&w.call);
    check_recv_fails(s[0], 100, VIRTSOCK_E_TIMEOUT);
    check_recv_fails(s[0], 0, VIRTSOCK_E_AGAIN);
    put(s[1], "x", 1);
    test_call_end(&w.call);
    CHECK(w.status == VIRTSOCK_OK && w.moved == 1);
    free_pair(s);
}

static void *send_in_time(void *waiting)
{
    struct waiting *w = waiting;

    check_send_fails(w->s, 150, VIRTSOCK_E_TIMEOUT, &w->moved);
    return NULL;
}

/* Both directions wait at once, each for its own time, and the connection is whole after that. */
void future_timeout(void)
{
    virtsock_stream *s[2];
    struct waiting   w = { 0 };

    make_pair(s, NULL);
    w.s = s[0];
    w.moved = fill(s[0]);
    test_call_begin(&w.call, send_in_time, &w);
    check_recv_fails(s[0], 100, VIRTSOCK_E_TIMEOUT);
    test_call_end(&w.call);
    drain(s[1], w.moved);
    check_echo(s[0], s[1]);
    check_echo(s[1], s[0]);
    free_pair(s);
}

void close_timeout(void)
{
    virtsock_stream  *s[2];
    struct waiting    receiver = { 0 }, sender = { 0 };
    struct test_call  calls[2];
    struct test_watch closing;

    make_pair(s, NULL);
    receiver.s = sender.s = s[0];
    test_call_begin(&calls[0], receive_for_ever, &receiver);
    test_call_begin(&calls[1], send_for_ever, &sender);
    for (int i = 0; i < 2; i++)
        test_call_waits(&calls[i]);
    closing = test_watch_begin();
    CHECK(virtsock_stream_close(s[0], 0, NULL) == VIRTSOCK_OK);
    test_watch_end(&closing);
    for (int i = 0; i < 2; i++)
        test_call_end(&calls[i]);
    CHECK(test_wake_us(calls, 2, &closing) < late_ms() * 1000);
    CHECK_STATUS(receiver.status, VIRTSOCK_E_CANCELLED, (virtsock_error){ .message = "of the receiver" });
    CHECK_STATUS(sender.status, VIRTSOCK_E_CANCELLED, (virtsock_error){ .message = "of the sender" });
    free_pair(s);
}

/* --- Every method at once ------------------------------------------------------------------------------------------------------- */

static void ask_everything(virtsock_stream *s)
{
    virtsock_address *a;
    int64_t           value;

    CHECK(virtsock_stream_get(s, VIRTSOCK_ITEM_TYPE, &value, NULL) == VIRTSOCK_OK);
    CHECK(value == (under_test.messages ? VIRTSOCK_TYPE_SEQPACKET : VIRTSOCK_TYPE_STREAM));
    CHECK((virtsock_stream_fd(s) >= 0) == !under_test.framed);
    if (virtsock_stream_peer(s, &a, NULL) == VIRTSOCK_OK)
        virtsock_address_free(a);
    if (virtsock_stream_local(s, &a, NULL) == VIRTSOCK_OK)
        virtsock_address_free(a);
}

static void *use(void *racer)
{
    struct racer *r = racer;
    char          b[64] = "";
    size_t        n;

    for (int i = 0; i < 20; i++)
        switch ((r->id + i) % 4) {
        case 0: CHECK(virtsock_stream_recv(r->s, b, sizeof b, &n, 1, NULL) != VIRTSOCK_E_CANCELLED); break;
        case 1: CHECK(virtsock_stream_recv(r->s, b, sizeof b, &n, 0, NULL) != VIRTSOCK_E_CANCELLED); break;
        case 2: CHECK(virtsock_stream_send(r->s, b, sizeof b, &n, 1, NULL) != VIRTSOCK_E_CANCELLED); break;
        default: ask_everything(r->s); break;
        }
    return NULL;
}

void concurrent_methods(void)
{
    virtsock_stream *s[2];
    struct racer     r[20];

    make_pair(s, NULL);
    for (int i = 0; i < 20; i++) {
        r[i] = (struct racer){ .s = s[i % 2], .id = i / 2 };
        start(&r[i].thread, use, &r[i]);
    }
    for (int i = 0; i < 20; i++)
        end(r[i].thread);
    free_pair(s);
}
