/* SPDX-License-Identifier: MIT
 *
 * Connecting over Hyper-V sockets, where a service that nobody serves may never answer: deadlines, attempts on fresh sockets, and the HANDLE by
 * which a caller's loop drives it.
 */
#include "hyperv.h"

/* --- Nobody answers ------------------------------------------------------------------------------------------------------------ */

struct attempt {
    unsigned          port;
    virtsock_options *options;
    virtsock_status   want;
    virtsock_error    error;
};

static void fail_to_connect(void *attempt)
{
    struct attempt   *t = attempt;
    virtsock_address *a = service_of(PEERS, t->port);
    virtsock_stream  *s;

    CHECK_STATUS(virtsock_connect(&s, a, t->options, &t->error), t->want, t->error);
    CHECK(s == NULL);
    virtsock_address_free(a);
}

/* proves: C4 */
TEST(an_unserved_service_ends_at_its_deadline)
{
    struct attempt t = { UNSERVED, option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 700), VIRTSOCK_E_TIMEOUT, { 0 } };

    check_takes(700, 700 + LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts == 2 && strstr(t.error.message, "nobody answered") != NULL);
    virtsock_options_free(t.options);
}

/* Silence is how a missing service looks, to one who set no time. */
TEST(an_unserved_service_is_refused_after_a_second)
{
    struct attempt t = { UNSERVED, NULL, VIRTSOCK_E_REFUSED, { 0 } };

    check_takes(1000, 1000 + LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts == 2 && strstr(t.error.message, "nobody answered") != NULL);
}

/* Shorter than one attempt. */
TEST(a_short_deadline_is_kept)
{
    struct attempt t = { UNSERVED, option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 100), VIRTSOCK_E_TIMEOUT, { 0 } };

    check_takes(100, 100 + LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts == 1);
    virtsock_options_free(t.options);
}

/* After a second comes what is a refusal, so another connection begins; the time ends it, and the cause that is told is the first's. */
TEST(silence_is_tried_again_with_wait)
{
    struct attempt t = { UNSERVED, option(VIRTSOCK_OPTION_WAIT, 1500), VIRTSOCK_E_TIMEOUT, { 0 } };

    check_takes(1500, 1500 + LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts >= 3 && strstr(t.error.message, "the last: nobody answered") != NULL);
    virtsock_options_free(t.options);
}

TEST(a_definite_refusal_is_final_at_once)
{
    struct attempt t = { REFUSES, option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 2500), VIRTSOCK_E_REFUSED, { 0 } };

    check_takes(0, LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts == 1 && t.error.os_code == WSAECONNREFUSED);
    virtsock_options_free(t.options);
}

TEST(a_definite_refusal_is_tried_again_with_wait)
{
    struct attempt t = { REFUSES, option(VIRTSOCK_OPTION_WAIT, 300), VIRTSOCK_E_TIMEOUT, { 0 } };

    check_takes(300, 300 + LATE_MS, fail_to_connect, &t);
    CHECK(t.error.attempts >= 3 && t.error.os_code == WSAECONNREFUSED && strstr(t.error.message, "WSAECONNREFUSED") != NULL);
    virtsock_options_free(t.options);
}

/* --- Somebody does, in time ------------------------------------------------------------------------------------------------------ */

#define COMES_MS 700

struct late {
    virtsock_address  *address;
    virtsock_listener *l;
    pthread_t          thread;
};

static void *publish(void *late)
{
    struct late   *w = late;
    virtsock_error e = { 0 };

    test_nap_ms(COMES_MS);
    CHECK_OK(virtsock_listen(&w->l, w->address, NULL, &e), e);
    return NULL;
}

static void publish_late(struct late *w)
{
    w->address = service_of(PEERS, UNSERVED);
    CHECK(pthread_create(&w->thread, NULL, publish, w) == 0);
}

static void end_late(struct late *w)
{
    pthread_join(w->thread, NULL);
    virtsock_listener_free(w->l);
    virtsock_address_free(w->address);
}

/* One long attempt would never end: it began before there was a service. */
static void reach_late_service(void *options)
{
    struct late      w;
    virtsock_stream *s;
    int64_t          attempts = 0;

    publish_late(&w);
    connect_to(&s, UNSERVED, options);
    CHECK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, NULL) == VIRTSOCK_OK && attempts == 3);
    virtsock_stream_free(s);
    end_late(&w);
}

/* proves: C4 */
TEST(a_late_service_is_found)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 2500);

    check_takes(COMES_MS, 1100, reach_late_service, o);
    virtsock_options_free(o);
}

/* An attempt has to be longer than it takes the peer. */
/* proves: C4 */
TEST(a_slow_peer_is_reached)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 2500);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           began = test_ms(), attempts = 0;
    char              b[4];
    size_t            n;

    connect_to(&s, ACCEPTS_LATE, o);
    CHECK(test_ms() - began < 2500);
    CHECK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, NULL) == VIRTSOCK_OK);
    CHECK_OK(virtsock_stream_recv_exact(s, b, 4, &n, 5000, &e), e);
    CHECK(memcmp(b, "late", 4) == 0);
    printf("# a_slow_peer_is_reached: %lld ms, %d attempts\n", (long long)(test_ms() - began), (int)attempts);
    virtsock_stream_free(s);
    virtsock_options_free(o);
}

/* --- A caller's own loop ----------------------------------------------------------------------------------------------------------- */

/* What a loop has seen: steps, how many of them took long, waits for a HANDLE, and how many of those it ended. */
struct loop {
    int steps, slow, waits, ready;
};

/* Steps that do not block, each when the HANDLE or the time says so. */
static virtsock_status drive(virtsock_stream *s, struct loop *l, virtsock_error *e)
{
    virtsock_status status;

    for (*l = (struct loop){ .steps = 1 };; l->steps++) {
        int64_t     began = test_ms();
        virtsock_fd event;
        int         events, timeout;
        DWORD       flags, waited;

        status = virtsock_stream_connect(s, 0, e);
        l->slow += test_ms() - began > LATE_MS;
        if (status != VIRTSOCK_E_AGAIN)
            return status;
        virtsock_stream_wants(s, &event, &events, &timeout);
        CHECK(timeout >= 0);
        if (event < 0) {
            Sleep((DWORD)timeout);
            continue;
        }
        CHECK(GetHandleInformation((HANDLE)(intptr_t)event, &flags) && (flags & HANDLE_FLAG_INHERIT) == 0);
        waited = WaitForSingleObject((HANDLE)(intptr_t)event, (DWORD)timeout);
        CHECK(waited == WAIT_OBJECT_0 || waited == WAIT_TIMEOUT);
        l->waits++;
        l->ready += waited == WAIT_OBJECT_0;
    }
}

static void drive_to_a_late_service(void *options)
{
    struct late       w;
    virtsock_address *a = service_of(PEERS, UNSERVED);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct loop       l;

    publish_late(&w);
    CHECK_OK(virtsock_connect_start(&s, a, options, &e), e);
    CHECK_STATUS(drive(s, &l, &e), VIRTSOCK_OK, e);
    CHECK(l.steps <= 20 && l.slow < l.steps / 2 && l.waits >= 2);
    CHECK_OK(virtsock_stream_connect(s, 0, &e), e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    end_late(&w);
}

TEST(a_handle_drives_a_connection_to_its_end)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 2500);

    check_takes(COMES_MS, 1100, drive_to_a_late_service, o);
    virtsock_options_free(o);
}

/* The HANDLE is not only there: it tells, well before the attempt's time. */
TEST(a_handle_tells_of_a_slow_peer)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 2500);
    virtsock_address *a = service_of(PEERS, ACCEPTS_LATE);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct loop       l;
    int64_t           attempts = 0;

    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK_STATUS(drive(s, &l, &e), VIRTSOCK_OK, e);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK(l.steps <= 20 && l.slow < l.steps / 2);
    CHECK(l.ready == 1 || attempts == 4);                       /* a peer that was busy missed the third, which is the long one */
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

static void drive_to_a_deadline(void *options)
{
    virtsock_address *a = service_of(PEERS, UNSERVED);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct loop       l;

    CHECK_OK(virtsock_connect_start(&s, a, options, &e), e);
    CHECK_STATUS(drive(s, &l, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(l.steps <= 20 && l.slow < l.steps / 2 && l.waits >= 2 && l.ready == 0 && e.attempts == 2);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_TIMEOUT, e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
}

TEST(a_handle_drives_a_connection_to_its_deadline)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 700);

    check_takes(700, 700 + LATE_MS, drive_to_a_deadline, o);
    virtsock_options_free(o);
}

static void *connect_for_ever(void *stream)
{
    virtsock_error e = { 0 };

    CHECK_STATUS(virtsock_stream_connect(stream, -1, &e), VIRTSOCK_E_CANCELLED, e);
    return NULL;
}

static int64_t close_a_connect(void *nap_ms)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, -1);
    virtsock_address *a = service_of(PEERS, UNSERVED);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    virtsock_address_free(a);
    virtsock_options_free(o);
    return close_into(s, connect_for_ever, *(long *)nap_ms);
}

/* proves: C8 */
TEST(a_close_ends_a_connect)
{
    for (long nap_ms = 1; nap_ms <= 400; nap_ms += 133)         /* in the first attempt, and in the second */
        check_says(0, LATE_MS, close_a_connect, &nap_ms);
}
