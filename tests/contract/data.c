/* SPDX-License-Identifier: MIT
 *
 * Data: lengths from nothing to more than 32 bits hold, ends of directions, messages, and much of it at once.
 */
#include <stdlib.h>
#include <time.h>

#include "rows.h"
#include "suite.h"

static void *echo_back(void *stream)
{
    virtsock_stream *s = stream;
    char            *data = malloc(65536);
    size_t           n;

    CHECK(data != NULL);
    while (virtsock_stream_recv(s, data, 65536, &n, patient_ms(), NULL) == VIRTSOCK_OK)
        put(s, data, n);
    CHECK(under_test.whole || virtsock_stream_shutdown(s, VIRTSOCK_SHUT_SEND, NULL) == VIRTSOCK_OK);
    free(data);
    return NULL;
}

struct piece {
    virtsock_stream *s;
    const void      *data;
    size_t           size;
    pthread_t        thread;
};

static void *put_piece(void *piece)
{
    struct piece *p = piece;

    put(p->s, p->data, p->size);
    return NULL;
}

/* Sending has a thread of its own: what comes back may have to be read before all has gone. */
void echo(void)
{
    static const size_t lengths[] = { 1, 2, 3, 127, 128, 1000, 4095, 4096, 4097, 8192, 16384, 65535, 65536 };
    virtsock_stream    *s[2];
    virtsock_error      e = { 0 };
    unsigned char      *data = malloc(65536), *got = malloc(65536);
    pthread_t           t;
    size_t              n;

    CHECK(data != NULL && got != NULL);
    for (int i = 0; i < 65536; i++)
        data[i] = (unsigned char)(i * 31 + i / 256);
    make_pair(s, NULL);
    start(&t, echo_back, s[1]);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct piece p = { .s = s[0], .data = data, .size = lengths[i] };

        memset(got, 0, 65536);
        start(&p.thread, put_piece, &p);
        get(s[0], got, lengths[i]);
        end(p.thread);
        CHECK(memcmp(data, got, lengths[i]) == 0);
    }
    if (under_test.whole) {
        CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    } else {
        CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
        CHECK_STATUS(virtsock_stream_recv(s[0], got, 1, &n, patient_ms(), &e), VIRTSOCK_E_EOF, e);
    }
    end(t);
    free_pair(s);
    free(data);
    free(got);
}

/* `first` ends its direction, the other then sends and ends its own. */
static void half_close_from(virtsock_stream *first, virtsock_stream *second)
{
    virtsock_error e = { 0 };
    char           b[16];
    size_t         n;

    put(first, "ask", 3);
    CHECK_OK(virtsock_stream_shutdown(first, VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_OK(virtsock_stream_shutdown(first, VIRTSOCK_SHUT_SEND, &e), e);       /* doing it again is fine */
    CHECK_STATUS(virtsock_stream_send(first, "x", 1, &n, 1000, &e), VIRTSOCK_E_RESET, e);
    get(second, b, 3);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(virtsock_stream_recv(second, b, sizeof b, &n, patient_ms(), &e), VIRTSOCK_E_EOF, e);
    put(second, "answer", 6);
    put(second, "more", 4);
    CHECK_OK(virtsock_stream_shutdown(second, VIRTSOCK_SHUT_SEND, &e), e);
    get(first, b, 6);
    get(first, b + 6, 4);
    CHECK(memcmp(b, "answermore", 10) == 0);
    CHECK_STATUS(virtsock_stream_recv(first, b, sizeof b, &n, patient_ms(), &e), VIRTSOCK_E_EOF, e);
}

void half_close(void)
{
    virtsock_stream *s[2];

    for (int i = 0; i < 2; i++) {
        make_pair(s, NULL);
        half_close_from(s[i], s[1 - i]);
        free_pair(s);
    }
}

/* With the sender's handle gone before the receiver looks, in either direction. */
void data_then_close(void)
{
    for (int i = 0; i < 20; i++) {
        virtsock_stream *s[2];
        virtsock_error   e = { 0 };
        struct flow      out, in;

        make_pair(s, NULL);
        out = (struct flow){ .s = s[i % 2], .n = (uint64_t)i, .total = i < 2 ? 1 : 1000u << (i / 2 % 5), .piece = 1024, .goes_on = true };
        in = (struct flow){ .s = s[1 - i % 2] };
        start(&in.thread, flow_in, &in);
        flow_out(&out);
        CHECK_OK(virtsock_stream_close(out.s, under_test.framed ? patient_ms() : 0, &e), e);
        end(in.thread);
        check_flow(&out, &in);
        free_pair(s);
    }
}

void close_with_unread_data(void)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_status  status;
    char             b[4];
    size_t           n;

    make_pair(s, NULL);
    put(s[0], "unread", 6);
    put(s[1], "r", 1);
    nap_us(20000);                                              /* it is there, also by way of a multiplexer */
    virtsock_stream_free(s[1]);
    status = virtsock_stream_recv(s[0], b, sizeof b, &n, patient_ms(), &e);
    if (status == VIRTSOCK_OK) {                                /* a reset may overtake what was sent before it */
        CHECK_EQUAL(n, 1);
        status = virtsock_stream_recv(s[0], b, sizeof b, &n, patient_ms(), &e);
    }
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    if (under_test.traits->unread != UNREAD_EITHER)
        CHECK_STATUS(status, under_test.traits->unread == UNREAD_ENDS ? VIRTSOCK_E_EOF : VIRTSOCK_E_RESET, e);
    virtsock_stream_free(s[0]);
}

/* --- Lengths ---------------------------------------------------------------------------------------------------------------- */

void zero_lengths(void)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_slice   none[2] = { { NULL, 0 }, { "", 0 } };
    size_t           n = 9;
    char             b[4];

    make_pair(s, NULL);
    CHECK_OK(virtsock_stream_send(s[0], "", 0, &n, -1, &e), e);
    CHECK(n == 0);
    CHECK_OK(virtsock_stream_send(s[0], NULL, 0, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_sendv(s[0], NULL, 0, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_sendv(s[0], none, 2, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], b, 0, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(s[1], NULL, 0, NULL, -1, &e), e);
    if (!under_test.messages) {
        CHECK_OK(virtsock_stream_send_all(s[0], NULL, 0, &n, -1, &e), e);
        CHECK_OK(virtsock_stream_recv_exact(s[1], NULL, 0, &n, -1, &e), e);
    }
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 4, &n, 30, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_STATUS(virtsock_stream_send(s[0], NULL, 4, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_recv(s[1], NULL, 4, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    check_echo(s[0], s[1]);
    free_pair(s);
}

/* NULL, with a skip, if there is not so much. */
static char *map(uint64_t size)
{
    char *data = zeros(size);

    if (data == NULL)
        skip("no address space of %llu bytes", (unsigned long long)size);
    return data;
}

void huge_lengths(void)
{
    const uint64_t   size = (UINT64_C(1) << 32) + 5;            /* 5, if it is cut to 32 bits */
    char            *data = map(size);
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_slice   two[2] = { { data, (size_t)size }, { "y", SIZE_MAX } };
    size_t           n;

    if (data == NULL)
        return;
    make_pair(s, NULL);
    CHECK_STATUS(virtsock_stream_sendv(s[0], two, 2, &n, 1000, &e), VIRTSOCK_E_INVALID, e);     /* more than there is memory */
    put(s[0], "few", 3);
    CHECK_OK(virtsock_stream_recv(s[1], data, (size_t)size, &n, patient_ms(), &e), e);
    CHECK(n == 3 && memcmp(data, "few", 4) == 0);
    if (under_test.messages) {
        CHECK_STATUS(virtsock_stream_send(s[0], data, (size_t)size, &n, 1000, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
        CHECK_EQUAL(n, 0);
    } else {
        CHECK_OK(virtsock_stream_send(s[0], data, (size_t)size, &n, 0, &e), e);
        CHECK(n > 5);
        drain(s[1], n);
    }
    check_echo(s[0], s[1]);
    free_pair(s);
    CHECK(free_zeros(data, size));
}

/* Pages that were never written are all the same one, so this takes no memory. */
void more_than_2_gib(void)
{
    const uint64_t   size = (UINT64_C(1) << 31) + 5;
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    struct flow      in;
    char            *data;
    size_t           n;

    if (under_test.mib < 20) {
        skip("only with a --size of 20 or more");
        return;
    }
    if ((data = map(size)) == NULL)
        return;
    make_pair(s, NULL);
    in = (struct flow){ .s = s[1], .expects = size };
    start(&in.thread, flow_in, &in);
    CHECK_OK(virtsock_stream_send_all(s[0], data, (size_t)size, &n, -1, &e), e);
    CHECK_EQUAL(n, size);
    if (!under_test.whole)
        CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    end(in.thread);
    CHECK_EQUAL(in.moved, size);
    free_pair(s);
    CHECK(free_zeros(data, size));
}

/* --- Messages ------------------------------------------------------------------------------------------------------------------ */

void messages(void)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_slice   two[2] = { { "two ", 4 }, { "pieces", 6 } };
    char             b[64];
    size_t           n;

    make_pair(s, NULL);
    CHECK_STATUS(virtsock_stream_send_all(s[0], "x", 1, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_stream_recv_exact(s[1], b, 1, &n, -1, &e), VIRTSOCK_E_INVALID, e);
    put(s[0], "first", 5);
    CHECK_OK(virtsock_stream_sendv(s[0], two, 2, &n, -1, &e), e);
    put(s[0], "the third is cut", 16);
    put(s[0], "fourth", 6);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, patient_ms(), &e), e);
    CHECK(n == 5 && memcmp(b, "first", 5) == 0);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, patient_ms(), &e), e);
    CHECK(n == 10 && memcmp(b, "two pieces", 10) == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], b, 9, &n, patient_ms(), &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
    CHECK(n == 9 && memcmp(b, "the third", 9) == 0);
    CHECK_OK(virtsock_stream_recv(s[1], b, sizeof b, &n, patient_ms(), &e), e);
    CHECK(n == 6 && memcmp(b, "fourth", 6) == 0);
    free_pair(s);
}

enum { THREADS = 4, EACH = 50, LONGEST = 16000 };       /* each byte of a message tells which of all it is */

struct sender {
    virtsock_stream *s;
    int              number;
    pthread_t        thread;
};

static size_t size_of(int message)
{
    return 1 + (size_t)message * 7919 % LONGEST;
}

static void *send_messages(void *sender)
{
    struct sender *f = sender;
    unsigned char  data[LONGEST];
    virtsock_error e;
    size_t         n;

    for (int message = f->number; message < THREADS * EACH; message += THREADS) {
        memset(data, message, size_of(message));
        CHECK_OK(virtsock_stream_send(f->s, data, size_of(message), &n, f->number % 2 == 0 ? -1 : patient_ms(), &e), e);
        CHECK(n == size_of(message));
    }
    return NULL;
}

/* Most of them wait for room, in the middle of a message. */
void messages_of_threads(void)
{
    static unsigned char got[LONGEST + 1];
    bool                 came[THREADS * EACH] = { false };
    struct sender        senders[THREADS];
    virtsock_stream     *s[2];
    virtsock_error       e;
    size_t               n;

    make_pair(s, NULL);
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){ .s = s[0], .number = i };
        start(&senders[i].thread, send_messages, &senders[i]);
    }
    nap_us(100000);
    for (int i = 0; i < THREADS * EACH; i++) {
        CHECK_OK(virtsock_stream_recv(s[1], got, sizeof got, &n, patient_ms(), &e), e);
        CHECK(got[0] < THREADS * EACH && !came[got[0]] && n == size_of(got[0]));
        came[got[0]] = true;
        for (size_t at = 1; at < n; at++)
            CHECK(got[at] == got[0]);
    }
    for (int i = 0; i < THREADS; i++)
        end(senders[i].thread);
    free_pair(s);
}

static double processor_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The last message does not go in time. AF_VSOCK has queued its beginning, the end never comes; UNIX sockets have queued nothing of it. */
void part_of_a_message(void)
{
    static char       data[60000];
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;
    double            used;
    int               whole = 0;
    size_t            n;

    make_pair(s, NULL);
    while (virtsock_stream_send(s[0], data, sizeof data, &n, 100, &e) == VIRTSOCK_OK)
        whole++;
    CHECK(whole > 0 && e.status == VIRTSOCK_E_TIMEOUT);
    for (int i = 0; i < whole; i++)
        get(s[1], data, sizeof data);
    used = processor_ms();
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_recv(s[1], data, sizeof data, &n, 500, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 500);
    used = processor_ms() - used;
    if (used > 250)
        fail_at(WHERE, "a wait of 500 ms took %.0f ms of the processor's time", used);
    free_pair(s);
}

/* --- Much at once ----------------------------------------------------------------------------------------------------------------- */

/* Four threads a connection: each end sends and receives at the same time. */
void bulk(void)
{
    const int         count = under_test.connections;
    virtsock_stream *(*s)[2] = calloc((size_t)count, sizeof *s);
    struct flow      *flows = calloc((size_t)count * 4, sizeof *flows);
    int64_t           began = test_us();

    CHECK(s != NULL && flows != NULL && hash(HASH_BEGIN, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    for (int i = 0; i < count; i++)
        make_pair(s[i], NULL);
    for (int i = 0; i < count * 4; i++) {
        struct flow *f = &flows[i];

        *f = (struct flow){ .s = s[i / 4][i % 2], .n = (uint64_t)i, .total = (uint64_t)under_test.mib << 20 };
        f->expects = f->total;
        f->piece = under_test.messages ? 16384 : 65536;
        start(&f->thread, i % 4 < 2 ? flow_out : flow_in, f);
    }
    for (int i = 0; i < count * 4; i++)
        end(flows[i].thread);
    for (int i = 0; i < count; i++)
        for (int end = 0; end < 2; end++)
            check_flow(&flows[4 * i + end], &flows[4 * i + 3 - end]);
    note("bulk: %d connections, %d MiB each way: %.1f s", count, under_test.mib, (double)(test_us() - began) / 1e6);
    for (int i = 0; i < count; i++)
        free_pair(s[i]);
    free(s);
    free(flows);
}
