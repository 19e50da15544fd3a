/* SPDX-License-Identifier: MIT
 *
 * What behaviours share that no transport is needed for, or any: time, threads, numbers, and data that can be recognised.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "suite.h"

#define PIECE_MAX 65536

void nap_us(int64_t us)
{
    struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

int64_t late_ms(void)
{
    return 100 * under_test.slow;
}

int patient_ms(void)
{
    return 20000 * under_test.slow;
}

void start(pthread_t *t, void *(*run)(void *), void *argument)
{
    CHECK(pthread_create(t, NULL, run, argument) == 0);
}

void end(pthread_t t)
{
    CHECK(pthread_join(t, NULL) == 0);
}

/* splitmix64 */
uint64_t random_begin(uint64_t n)
{
    return under_test.seed + n * UINT64_C(0xd1342543de82ef95);
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

void put(virtsock_stream *s, const void *data, size_t size)
{
    virtsock_error e = { 0 };
    size_t         n;

    if (under_test.messages)
        CHECK_OK(virtsock_stream_send(s, data, size, &n, patient_ms(), &e), e);
    else
        CHECK_OK(virtsock_stream_send_all(s, data, size, &n, patient_ms(), &e), e);
    CHECK_EQUAL(n, size);
}

void get(virtsock_stream *s, void *buf, size_t size)
{
    virtsock_error e = { 0 };
    size_t         n;

    if (under_test.messages)
        CHECK_OK(virtsock_stream_recv(s, buf, size, &n, patient_ms(), &e), e);
    else
        CHECK_OK(virtsock_stream_recv_exact(s, buf, size, &n, patient_ms(), &e), e);
    CHECK_EQUAL(n, size);
}

void check_echo(virtsock_stream *a, virtsock_stream *b)
{
    char got[5];

    put(a, "hello", 5);
    get(b, got, 5);
    CHECK(memcmp(got, "hello", 5) == 0);
    put(b, "again", 5);
    get(a, got, 5);
    CHECK(memcmp(got, "again", 5) == 0);
}

/* A multiplexer goes on moving data for a while, so one send that would block is not the end. */
uint64_t fill(virtsock_stream *s)
{
    static const char data[4096];
    virtsock_error    e = { 0 };
    virtsock_status   status;
    uint64_t          total = 0;
    size_t            n;

    do {
        status = virtsock_stream_send(s, data, sizeof data, &n, 100, &e);
        total += n;
    } while (status == VIRTSOCK_OK);
    CHECK_STATUS(status, VIRTSOCK_E_TIMEOUT, e);
    CHECK(total > 0);
    return total;
}

void drain(virtsock_stream *s, uint64_t size)
{
    char           b[8192];
    virtsock_error e = { 0 };
    size_t         n;

    for (uint64_t at = 0; at < size; at += n) {
        CHECK_OK(virtsock_stream_recv(s, b, sizeof b < size - at ? sizeof b : (size_t)(size - at), &n, patient_ms(), &e), e);
        CHECK(n > 0);
    }
}

static void make_data(uint64_t *words, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        words[i] = random_next(state);
}

/* Every other one as far as it goes: what is left of it is left out. */
static virtsock_status send_piece(virtsock_stream *s, const char *data, size_t size, size_t *n)
{
    if (under_test.messages || size % 2 == 1)
        return virtsock_stream_send(s, data, size, n, patient_ms(), NULL);
    return virtsock_stream_send_all(s, data, size, n, patient_ms(), NULL);
}

void *flow_out(void *flow)
{
    struct flow *f = flow;
    uint64_t     state = random_begin(f->n), *words = malloc(PIECE_MAX);
    size_t       n = 0;

    CHECK(words != NULL && f->piece <= PIECE_MAX);
    f->hashed = HASH_BEGIN;
    f->status = VIRTSOCK_OK;
    for (f->moved = 0; f->moved < f->total && f->status == VIRTSOCK_OK; f->moved += n) {
        size_t size = 1 + (size_t)(random_next(&state) % f->piece);

        if (size > f->total - f->moved)
            size = (size_t)(f->total - f->moved);
        make_data(words, (size + 7) / 8, &state);
        f->status = send_piece(f->s, (const char *)words, size, &n);
        f->hashed = hash(f->hashed, words, n);
    }
    free(words);
    if (f->status == VIRTSOCK_OK && !f->goes_on && !under_test.whole)
        f->status = virtsock_stream_shutdown(f->s, VIRTSOCK_SHUT_SEND, NULL);
    return NULL;
}

void *flow_in(void *flow)
{
    struct flow *f = flow;
    char        *data = malloc(PIECE_MAX);
    size_t       n;

    CHECK(data != NULL);
    f->hashed = HASH_BEGIN;
    f->moved = 0;
    f->status = VIRTSOCK_E_EOF;         /* by count */
    while ((f->expects == 0 || !under_test.whole || f->moved < f->expects)
           && (f->status = virtsock_stream_recv(f->s, data, PIECE_MAX, &n, patient_ms(), NULL)) == VIRTSOCK_OK) {
        f->hashed = hash(f->hashed, data, n);
        f->moved += n;
        if (under_test.whole && f->moved == f->expects)
            f->status = VIRTSOCK_E_EOF;
    }
    free(data);
    return NULL;
}

void check_flow(const struct flow *out, const struct flow *in)
{
    if (out->status != VIRTSOCK_OK || in->status != VIRTSOCK_E_EOF)
        fail_at(WHERE, "flow %llu: sent %llu of %llu bytes, then %s; received %llu, then %s", (unsigned long long)out->n,
                (unsigned long long)out->moved, (unsigned long long)out->total, virtsock_status_name(out->status),
                (unsigned long long)in->moved, virtsock_status_name(in->status));
    CHECK_EQUAL(out->moved, out->total);
    CHECK_EQUAL(in->moved, out->total);
    CHECK_EQUAL(in->hashed, out->hashed);
}
