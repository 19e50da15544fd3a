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
