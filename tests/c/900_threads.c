/* SPDX-License-Identifier: MIT
 *
 * Many threads at one handle: senders, receivers, acceptors, askers; each byte and each client goes to exactly one of them.
 */
#include "check.h"

#define EACH 2000

struct work {
    virtsock_stream   *s;
    virtsock_listener *l;
    virtsock_address  *a;
    _Atomic int       *count;
};

static void *send_each(void *v)
{
    struct work *w = v;
    size_t       n;

    for (int i = 0; i < EACH; i++)
        CHECK(virtsock_stream_send(w->s, "x", 1, &n, i % 2 ? -1 : 20000, NULL) == VIRTSOCK_OK && n == 1);
    return NULL;
}

static void *recv_each(void *v)
{
    struct work *w = v;
    size_t       n;
    char         b;

    while (virtsock_stream_recv(w->s, &b, 1, &n, -1, NULL) == VIRTSOCK_OK) {
        CHECK(b == 'x' && n == 1);
        atomic_fetch_add(w->count, 1);
    }
    return NULL;
}

static void *ask(void *v)
{
    struct work *w = v;

    for (int i = 0; i < 300; i++) {
        virtsock_address *local;
        int64_t           value;

        if (virtsock_stream_local(w->s, &local, NULL) == VIRTSOCK_OK)
            virtsock_address_free(local);
        CHECK(virtsock_stream_get(w->s, VIRTSOCK_ITEM_TYPE, &value, NULL) == VIRTSOCK_OK);
        CHECK(virtsock_stream_fd(w->s) >= 0);
    }
    return NULL;
}

/* proves: T3 */
TEST(three_senders_three_receivers)
{
    virtsock_stream *s[2];
    _Atomic int      count = 0;
    struct work      out, in;
    pthread_t        t[7];

    test_pair(s, NULL);
    out = (struct work){ .s = s[0], .count = &count };
    in = (struct work){ .s = s[1], .count = &count };
    for (int i = 0; i < 7; i++)
        CHECK(pthread_create(&t[i], NULL, i < 3 ? send_each : i < 6 ? recv_each : ask, i < 3 ? &out : &in) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, NULL) == VIRTSOCK_OK);
    for (int i = 3; i < 7; i++)
        pthread_join(t[i], NULL);
    CHECK(count == 3 * EACH);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* What a message says of itself: who sent it, and how long it is. */
struct head {
    uint32_t sender, size;
};

enum { SENDERS = 4, MESSAGES = 100, MESSAGE_MAX = 12000 };

struct sender {
    virtsock_stream *s;
    uint32_t         number;
    int              messages, timeout_ms;
    pthread_t        thread;
};

static void send_message(virtsock_stream *s, uint32_t number, uint32_t size, int timeout_ms, virtsock_status want)
{
    unsigned char       text[MESSAGE_MAX];
    const struct head   head = { number, size };
    const virtsock_slice pieces[2] = { { &head, sizeof head }, { text, size - sizeof head } };
    virtsock_error      e;
    size_t              n;

    memset(text, (int)(number * 31 + size), sizeof text);
    CHECK_STATUS(virtsock_stream_sendv(s, pieces, 2, &n, timeout_ms, &e), want, e);
    CHECK(n == (want == VIRTSOCK_OK ? size : 0));
}

static void *send_messages(void *v)
{
    struct sender *w = v;

    for (uint32_t i = 0; i < (uint32_t)w->messages; i++)
        send_message(w->s, w->number, 100 + (i * 7919 + w->number * 3001) % (MESSAGE_MAX - 100), w->timeout_ms,
                     VIRTSOCK_OK);
    return NULL;
}

/* So many, each as its sender has made it. */
static void recv_messages(virtsock_stream *s, int messages)
{
    unsigned char  got[sizeof(struct head) + MESSAGE_MAX];
    virtsock_error e;
    struct head    head;
    size_t         n;

    for (int i = 0; i < messages; i++) {
        CHECK_OK(virtsock_stream_recv(s, got, sizeof got, &n, TEST_PATIENT_MS, &e), e);
        CHECK(n >= sizeof head);
        memcpy(&head, got, sizeof head);
        CHECK(head.size == n);
        for (size_t at = sizeof head; at < n; at++)
            CHECK(got[at] == (unsigned char)(head.sender * 31 + head.size));
    }
}

/* AF_VSOCK's kernel lets go of a socket in the middle of a message. */
/* proves: T3 */
TEST(messages_of_several_senders_stay_whole)
{
    struct sender    w[SENDERS];
    virtsock_stream *s[2];

    if (!test_is_seqpacket())
        SKIP("there are no messages");
    test_pair(s, NULL);
    for (uint32_t i = 0; i < SENDERS; i++) {
        w[i] = (struct sender){ s[0], i, MESSAGES, i % 2 == 0 ? -1 : 6 * TEST_PATIENT_MS, 0 };
        CHECK(pthread_create(&w[i].thread, NULL, send_messages, &w[i]) == 0);
    }
    recv_messages(s[1], SENDERS * MESSAGES);
    for (int i = 0; i < SENDERS; i++)
        CHECK(pthread_join(w[i].thread, NULL) == 0);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* While one waits in the middle of a message, another's time ends, and does nothing to either. */
TEST(a_sender_s_time_is_its_own)
{
    struct sender     w;
    struct test_call  waits;
    struct test_watch watch;
    virtsock_stream  *s[2];

    if (!test_is_seqpacket())
        SKIP("there are no messages");
    test_pair(s, NULL);
    w = (struct sender){ s[0], 1, 100, -1, 0 };
    test_call_begin(&waits, send_messages, &w);
    test_call_waits(&waits);
    test_nap_ms(50);
    test_call_waits(&waits);
    watch = test_watch_begin();
    send_message(s[0], 2, MESSAGE_MAX, 100, VIRTSOCK_E_TIMEOUT);
    CHECK_TIME(watch, 100);
    send_message(s[0], 2, MESSAGE_MAX, 0, VIRTSOCK_E_AGAIN);
    recv_messages(s[1], 100);
    test_call_end(&waits);
    send_message(s[0], 3, 100, 1000, VIRTSOCK_OK);
    recv_messages(s[1], 1);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static void *send_until_closed(void *v)
{
    struct sender  *w = v;
    char            text[MESSAGE_MAX] = { 0 };
    virtsock_status status;
    size_t          n;

    while ((status = virtsock_stream_send(w->s, text, sizeof text, &n, w->timeout_ms, NULL)) == VIRTSOCK_OK)
        CHECK(n == sizeof text);
    return (void *)(intptr_t)status;
}

/* Those, too, who wait for their turn. */
TEST(a_close_ends_all_senders)
{
    struct test_call  calls[SENDERS];
    struct test_watch closing;
    struct sender     w[SENDERS];
    virtsock_stream  *s[2];

    if (!test_is_seqpacket())
        SKIP("there are no messages");
    test_pair(s, NULL);
    for (int i = 0; i < SENDERS; i++) {
        w[i] = (struct sender){ s[0], 0, 0, i % 2 == 0 ? -1 : TEST_PATIENT_MS, 0 };
        test_call_begin(&calls[i], send_until_closed, &w[i]);
        test_call_waits(&calls[i]);
    }
    test_nap_ms(50);
    closing = test_watch_begin();
    CHECK(virtsock_stream_close(s[0], 0, NULL) == VIRTSOCK_OK);
    test_watch_end(&closing);
    for (int i = 0; i < SENDERS; i++)
        CHECK((intptr_t)test_call_end(&calls[i]) == VIRTSOCK_E_CANCELLED);
    CHECK(test_wake_us(calls, SENDERS, &closing) < (50 + test_late_ms()) * 1000);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static void *accept_all(void *v)
{
    struct work     *w = v;
    virtsock_stream *s;

    while (virtsock_accept(&s, w->l, -1, NULL) == VIRTSOCK_OK) {
        virtsock_stream_free(s);
        atomic_fetch_add(w->count, 1);
    }
    return NULL;
}

static void *connect_some(void *v)
{
    struct work      *w = v;
    virtsock_options *o = virtsock_options_new();
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    size_t            n;
    char              b;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 20000, &e), e);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(virtsock_connect(&s, w->a, o, &e), e);
        CHECK(virtsock_stream_recv(s, &b, 1, &n, 20000, &e) != VIRTSOCK_E_TIMEOUT);
        virtsock_stream_free(s);
    }
    virtsock_options_free(o);
    return NULL;
}

TEST(four_acceptors_share_their_clients)
{
    _Atomic int    count = 0;
    struct work    w = { .a = test_parse(test_address()), .count = &count };
    virtsock_error e = { 0 };
    pthread_t      t[7];

    CHECK_OK(virtsock_listen(&w.l, w.a, NULL, &e), e);
    for (int i = 0; i < 7; i++)
        CHECK(pthread_create(&t[i], NULL, i < 4 ? accept_all : connect_some, &w) == 0);
    for (int i = 4; i < 7; i++)
        pthread_join(t[i], NULL);
    CHECK_OK(virtsock_listener_close(w.l, &e), e);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(count == 300);
    virtsock_listener_free(w.l);
    virtsock_address_free(w.a);
}

static pthread_barrier_t at_once;

static void *accept_at_once(void *v)
{
    virtsock_stream *s;

    pthread_barrier_wait(&at_once);
    return (void *)(intptr_t)virtsock_accept(&s, v, 4, NULL);
}

/* The first calls of a listener that wait make a wake, at the same time: one of them is taken, the others are given back. */
TEST(acceptors_share_one_wake)
{
    virtsock_address *a = test_parse(test_address());
    virtsock_error    e = { 0 };
    const int         before = test_open_descriptors();

    CHECK(pthread_barrier_init(&at_once, NULL, 4) == 0);
    for (int round = 0; round < 100; round++) {
        virtsock_listener *l;
        pthread_t          t[4];
        void              *status;
        int                more;

        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&t[i], NULL, accept_at_once, l) == 0);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(t[i], &status) == 0 && (intptr_t)status == VIRTSOCK_E_TIMEOUT);
        more = round == 99 || TEST_KEPT == 0 ? test_open_descriptors() - before - 1 - TEST_WAKE : 0;
        CHECK(more >= 0 && more <= TEST_KEPT);
        virtsock_listener_free(l);
    }
    pthread_barrier_destroy(&at_once);
    virtsock_address_free(a);
}

static void *drive(void *v)
{
    return (void *)(intptr_t)virtsock_stream_connect(v, 400, NULL);
}

TEST(one_thread_drives)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_call  driver;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 20000, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    test_call_begin(&driver, drive, s);
    test_call_waits(&driver);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_IN_USE, e);
    CHECK((intptr_t)test_call_end(&driver) == VIRTSOCK_E_AGAIN);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
}
