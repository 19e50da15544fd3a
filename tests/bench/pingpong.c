/* SPDX-License-Identifier: MIT
 *
 * One byte to and fro between two processes on one processor, so that every receive waits: over a pair of UNIX sockets and over TCP. Goals:
 * at most 1.05 of raw blocking calls without a timeout, at most 1.20 with one. `pingpong [ROUNDS] [CALLS]`.
 */
#include "bench.h"

static void raw(int fd, bool second, int calls)
{
    char b = 'x';

    for (int i = 0; i < calls; i++) {
        if (second)
            MUST(recv(fd, &b, 1, 0) == 1);
        MUST(send(fd, &b, 1, MSG_NOSIGNAL) == 1);
        if (!second)
            MUST(recv(fd, &b, 1, 0) == 1);
    }
}

static void ours(virtsock_stream *s, bool second, int calls, int timeout_ms)
{
    virtsock_error err;
    char           b = 'x';
    size_t         n;

    for (int i = 0; i < calls; i++) {
        if (second)
            MUST(virtsock_stream_recv(s, &b, 1, &n, timeout_ms, &err) == VIRTSOCK_OK);
        MUST(virtsock_stream_send(s, &b, 1, &n, timeout_ms, &err) == VIRTSOCK_OK);
        if (!second)
            MUST(virtsock_stream_recv(s, &b, 1, &n, timeout_ms, &err) == VIRTSOCK_OK);
    }
}

static void end(struct bench_ends *ends, int which, int kind, int calls)
{
    if (kind == BENCH_RAW)
        raw(ends->raw[which], which == 1, calls);
    else
        ours(ends->ours[which], which == 1, calls, bench_timeout(kind));
}

int main(int argc, char **argv)
{
    const int rounds = bench_count(argc, argv, 1, 201), calls = bench_count(argc, argv, 2, 500);

    bench_pin();
    bench_two("ping-pong of 1 byte, unix", false, rounds, calls, end);
    bench_two("ping-pong of 1 byte, tcp", true, rounds, calls, end);
    return 0;
}
