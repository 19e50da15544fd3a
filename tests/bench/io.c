/* SPDX-License-Identifier: MIT
 *
 * What the library adds to a send and a receive of one byte in one thread, over one UNIX socket pair: rounds of raw system calls and of the
 * library's in turn, the medians of both, and their ratio (goal: at most 1.05). `io [ROUNDS] [CALLS]`.
 */
#include "bench.h"

static double raw(const int pair[2], int calls)
{
    double start = bench_ns();
    char   b = 'x';

    for (int i = 0; i < calls; i++)
        MUST(send(pair[0], &b, 1, MSG_NOSIGNAL) == 1 && recv(pair[1], &b, 1, 0) == 1);
    return (bench_ns() - start) / calls;
}

static double ours(virtsock_stream *const pair[2], int calls, int timeout_ms)
{
    double         start = bench_ns();
    virtsock_error err;
    char           b = 'x';
    size_t         n;

    for (int i = 0; i < calls; i++)
        MUST(virtsock_stream_send(pair[0], &b, 1, &n, timeout_ms, &err) == VIRTSOCK_OK
             && virtsock_stream_recv(pair[1], &b, 1, &n, timeout_ms, &err) == VIRTSOCK_OK);
    return (bench_ns() - start) / calls;
}

int main(int argc, char **argv)
{
    const int        rounds = bench_count(argc, argv, 1, 401), calls = bench_count(argc, argv, 2, 2000);
    double          *times[BENCH_KINDS];
    virtsock_stream *streams[2];
    int              pair[2];

    bench_pair(false, pair);
    bench_adopt(streams, pair);
    bench_times(times, BENCH_KINDS, rounds);
    for (int r = 0; r < rounds; r++) {
        times[BENCH_RAW][r] = raw(pair, calls);
        times[BENCH_UNTIMED][r] = ours(streams, calls, -1);
        times[BENCH_TIMED][r] = ours(streams, calls, 5000);
    }
    bench_tell("send + recv of 1 byte", bench_kinds, times, BENCH_KINDS, rounds);
    for (int i = 0; i < 2; i++)
        virtsock_stream_free(streams[i]);
    for (int i = 0; i < BENCH_KINDS; i++)
        free(times[i]);
    return 0;
}
