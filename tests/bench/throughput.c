/* SPDX-License-Identifier: MIT
 *
 * Pieces of 64 KiB from one process to another on one processor, and one byte back at the end: over a pair of UNIX sockets and over TCP. Goal:
 * at least 0.98 of the raw calls' rate, so at most 1.02 of their time. `throughput [ROUNDS] [PIECES]`.
 */
#include "bench.h"

#define PIECE 65536

static char buf[PIECE];

static void raw(int fd, bool second, int pieces)
{
    int64_t left = (int64_t)pieces * PIECE;
    ssize_t n;

    for (; left > 0; left -= n) {
        n = second ? recv(fd, buf, PIECE, 0) : send(fd, buf, PIECE, MSG_NOSIGNAL);
        MUST(n > 0);
    }
    MUST((second ? send(fd, buf, 1, MSG_NOSIGNAL) : recv(fd, buf, 1, 0)) == 1);
}

static void ours(virtsock_stream *s, bool second, int pieces, int timeout_ms)
{
    int64_t        left = (int64_t)pieces * PIECE;
    virtsock_error err;
    size_t         n;

    for (; left > 0; left -= (int64_t)n)
        MUST((second ? virtsock_stream_recv(s, buf, PIECE, &n, timeout_ms, &err) : virtsock_stream_send(s, buf, PIECE, &n, timeout_ms, &err))
             == VIRTSOCK_OK);
    MUST((second ? virtsock_stream_send(s, buf, 1, &n, timeout_ms, &err) : virtsock_stream_recv(s, buf, 1, &n, timeout_ms, &err))
         == VIRTSOCK_OK);
}

static void end(struct bench_ends *ends, int which, int kind, int pieces)
{
    if (kind == BENCH_RAW)
        raw(ends->raw[which], which == 1, pieces);
    else
        ours(ends->ours[which], which == 1, pieces, bench_timeout(kind));
}

int main(int argc, char **argv)
{
    const int rounds = bench_count(argc, argv, 1, 201), pieces = bench_count(argc, argv, 2, 64);

    bench_pin();
    bench_two("a piece of 64 KiB, unix", false, rounds, pieces, end);
    bench_two("a piece of 64 KiB, tcp", true, rounds, pieces, end);
    return 0;
}
