/* SPDX-License-Identifier: MIT
 *
 * What the benchmarks share: time, medians, and pairs of sockets. Each compares the library with raw system calls in the same run: rounds of the
 * one and of the other in turn, the median of each, and their ratio.
 */
#ifndef BENCH_H
#define BENCH_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "virtsock.h"

#define MUST(condition)                                             \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                \
        }                                                           \
    } while (0)

static inline double bench_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double bench_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, bench_by_value);
    return v[n / 2];
}

/* The nth argument as a count, or what it is without. */
static inline int bench_count(int argc, char **argv, int n, int unset)
{
    int count = argc > n ? atoi(argv[n]) : unset;

    MUST(count > 0);
    return count;
}

/* times[0] is the raw one's; of the others each ratio is told. per: what a time is of. */
static inline void bench_tell(const char *what, const char *const names[], double *times[], int kinds, int rounds)
{
    const double raw = bench_median(times[0], rounds);

    for (int i = 1; i < kinds; i++) {
        const double ours = bench_median(times[i], rounds);

        printf("%s, %s: %.0f ns, raw %.0f ns, ratio %.3f\n", what, names[i], ours, raw, ours / raw);
    }
}

static inline void bench_times(double *times[], int kinds, int rounds)
{
    for (int i = 0; i < kinds; i++)
        MUST((times[i] = calloc((size_t)rounds, sizeof(double))) != NULL);
}

/* This process, and those that it starts, on one processor: the one where it is. */
static inline void bench_pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)sched_getcpu(), &set);
    MUST(sched_setaffinity(0, sizeof set, &set) == 0);
}

/* A TCP listener on loopback, at a port of the system's choice. */
static inline int bench_tcp_listen(struct sockaddr_in *at)
{
    socklen_t length = sizeof *at;
    int       fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0 && listen(fd, 128) == 0);
    MUST(getsockname(fd, (struct sockaddr *)at, &length) == 0);
    return fd;
}

static inline void bench_pair(bool tcp, int pair[2])
{
    struct sockaddr_in at;
    int                listener, on = 1;

    if (!tcp) {
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        return;
    }
    listener = bench_tcp_listen(&at);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(pair[0], (struct sockaddr *)&at, sizeof at) == 0 && (pair[1] = accept(listener, NULL, NULL)) >= 0);
    for (int i = 0; i < 2; i++)
        MUST(setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    close(listener);
}

static inline void bench_adopt(virtsock_stream *streams[2], const int pair[2])
{
    for (int i = 0; i < 2; i++)
        MUST(virtsock_stream_from_fd(&streams[i], pair[i], NULL, NULL) == VIRTSOCK_OK);
}

/* Two ends between two processes on one processor: raw, and the library's, each end a function that does one round. */
struct bench_ends {
    int              raw[2];
    virtsock_stream *ours[2];
};

enum { BENCH_RAW, BENCH_UNTIMED, BENCH_TIMED, BENCH_KINDS };
static const char *const bench_kinds[] = { "raw", "no timeout", "5 s timeout" };

/* The child does the second end of every round, the parent the first one and the timing. */
static inline void bench_two(const char *what, bool tcp, int rounds, int calls, void (*end)(struct bench_ends *, int, int, int))
{
    struct bench_ends ends;
    double           *times[BENCH_KINDS], start;
    int               pair[2];
    pid_t             child;

    bench_pair(tcp, ends.raw);
    bench_pair(tcp, pair);
    bench_adopt(ends.ours, pair);
    bench_times(times, BENCH_KINDS, rounds);
    fflush(stdout);
    MUST((child = fork()) >= 0);
    for (int r = 0; r < rounds; r++)
        for (int kind = 0; kind < BENCH_KINDS; kind++) {
            start = bench_ns();
            end(&ends, child == 0, kind, calls);
            times[kind][r] = (bench_ns() - start) / calls;
        }
    if (child == 0)
        _exit(0);
    MUST(waitpid(child, NULL, 0) == child);
    bench_tell(what, bench_kinds, times, BENCH_KINDS, rounds);
    for (int i = 0; i < 2; i++) {
        virtsock_stream_free(ends.ours[i]);
        close(ends.raw[i]);
    }
    for (int i = 0; i < BENCH_KINDS; i++)
        free(times[i]);
}

/* -1 or 5 s, for the library's kinds. */
static inline int bench_timeout(int kind)
{
    return kind == BENCH_TIMED ? 5000 : -1;
}

#endif
