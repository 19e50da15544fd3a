/* SPDX-License-Identifier: MIT
 *
 * What the library adds to a send and a receive of one byte in one thread, over one UNIX socket pair: rounds of raw system calls and of the
 * library's in turn, the medians of both, and their ratio (goal: at most 1.05). `io [ROUNDS] [CALLS]`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "virtsock.h"

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double raw(const int pair[2], int calls)
{
    double start = now_ns();
    char   b = 'x';

    for (int i = 0; i < calls; i++)
        if (send(pair[0], &b, 1, MSG_NOSIGNAL) != 1 || recv(pair[1], &b, 1, 0) != 1)
            abort();
    return (now_ns() - start) / calls;
}

static double ours(virtsock_stream *const pair[2], int calls, int timeout_ms)
{
    double         start = now_ns();
    virtsock_error err;
    char           b = 'x';
    size_t         n;

    for (int i = 0; i < calls; i++)
        if (virtsock_stream_send(pair[0], &b, 1, &n, timeout_ms, &err) != VIRTSOCK_OK
            || virtsock_stream_recv(pair[1], &b, 1, &n, timeout_ms, &err) != VIRTSOCK_OK)
            abort();
    return (now_ns() - start) / calls;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    const int        rounds = argc > 1 ? atoi(argv[1]) : 401, calls = argc > 2 ? atoi(argv[2]) : 2000;
    double          *times[3];
    virtsock_stream *streams[2];
    int              pair[2];

    if (rounds < 1 || calls < 1 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 2;
    for (int i = 0; i < 2; i++)
        if (virtsock_stream_from_fd(&streams[i], pair[i], NULL, NULL) != VIRTSOCK_OK)
            return 2;
    for (int i = 0; i < 3; i++)
        if ((times[i] = calloc((size_t)rounds, sizeof(double))) == NULL)
            return 2;
    for (int r = 0; r < rounds; r++) {
        times[0][r] = raw(pair, calls);
        times[1][r] = ours(streams, calls, -1);
        times[2][r] = ours(streams, calls, 5000);
    }
    for (int i = 1; i < 3; i++) {
        const double theirs = median(times[0], rounds), with = median(times[i], rounds);

        printf("send + recv of 1 byte, %s: %.0f ns, raw %.0f ns, ratio %.3f\n", i == 1 ? "no timeout" : "5 s timeout", with, theirs, with / theirs);
    }
    for (int i = 0; i < 2; i++)
        virtsock_stream_free(streams[i]);
    for (int i = 0; i < 3; i++)
        free(times[i]);
    return 0;
}
