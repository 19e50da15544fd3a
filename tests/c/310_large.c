/* SPDX-License-Identifier: MIT
 *
 * Much data, both ways at once, in odd pieces, compared byte for byte; partial sends are counted exactly.
 */
#include "check.h"

#define TOTAL (test_is_vsock() ? 2u << 20 : 16u << 20)

/* The byte at a place of an endless pattern that repeats with no power of two. */
static unsigned char pattern(size_t at)
{
    return (unsigned char)(at % 251 ^ at / 251 % 241);
}

struct side {
    virtsock_stream *s;
    unsigned         seed;
};

/* A generator of our own (xorshift), so that threads need not share one. */
static unsigned next(unsigned *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void *send_pattern(void *v)
{
    struct side *side = v;
    char         piece[20000];
    size_t       at = 0, n;

    while (at < TOTAL) {
        size_t          size = 1 + next(&side->seed) % sizeof piece;
        virtsock_error  e = { 0 };

        size = size < TOTAL - at ? size : TOTAL - at;
        for (size_t i = 0; i < size; i++)
            piece[i] = (char)pattern(at + i);
        CHECK_OK(virtsock_stream_send(side->s, piece, size, &n, at % 3 == 0 ? 20000 : -1, &e), e);
        CHECK(n > 0 && n <= size && (!test_is_seqpacket() || n == size));
        at += n;
    }
    CHECK(virtsock_stream_shutdown(side->s, VIRTSOCK_SHUT_SEND, NULL) == VIRTSOCK_OK);
    return NULL;
}

static void *recv_pattern(void *v)
{
    struct side    *side = v;
    unsigned char   piece[30000];
    size_t          at = 0, n;
    virtsock_status status;
    virtsock_error  e = { 0 };

    for (;;) {
        size_t cap = test_is_seqpacket() ? sizeof piece : 1 + next(&side->seed) % sizeof piece;

        status = virtsock_stream_recv(side->s, piece, cap, &n, at % 2 == 0 ? 20000 : -1, &e);
        if (status != VIRTSOCK_OK)
            break;
        for (size_t i = 0; i < n; i++)
            CHECK(piece[i] == pattern(at + i));
        at += n;
    }
    CHECK_STATUS(status, VIRTSOCK_E_EOF, e);
    CHECK(at == TOTAL);
    return NULL;
}

TEST(both_ways_at_once)
{
    virtsock_stream *s[2];
    struct side      sides[4];
    pthread_t        t[4];

    test_pair(s, NULL);
    for (int i = 0; i < 4; i++) {
        sides[i] = (struct side){ s[i % 2], 12345u + (unsigned)i };
        CHECK(pthread_create(&t[i], NULL, i < 2 ? send_pattern : recv_pattern, &sides[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static void *drain(void *v)
{
    static char b[65536];
    size_t      n, total = 0;

    while (virtsock_stream_recv(v, b, sizeof b, &n, 20000, NULL) == VIRTSOCK_OK)
        total += n;
    return (void *)(uintptr_t)total;
}

/* What a send that ran out of time says it has sent is what the peer receives. */
/* proves: D1, D9 */
TEST(counts_are_exact)
{
    const size_t      size = test_is_unix() || test_is_vsock() ? 8u << 20 : 64u << 20;     /* what a system's buffers do not take */
    char             *data = calloc(1, size);
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    pthread_t         t;
    void             *total;
    size_t            sent = 0, n;

    if (test_is_seqpacket()) {
        free(data);
        SKIP("messages are whole");
    }
    test_pair(s, NULL);
    CHECK_STATUS(virtsock_stream_send_all(s[0], data, size, &n, 60, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(n > 0 && n < size);
    sent += n;
    CHECK_STATUS(virtsock_stream_send_all(s[0], data, size, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    sent += n;
    CHECK(pthread_create(&t, NULL, drain, s[1]) == 0);
    CHECK_OK(virtsock_stream_send_all(s[0], data, size, &n, 20000, &e), e);
    CHECK(n == size);
    sent += n;
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    pthread_join(t, &total);
    CHECK((size_t)(uintptr_t)total == sent);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    free(data);
}
