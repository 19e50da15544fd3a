/* SPDX-License-Identifier: MIT
 *
 * What the library adds to a message sent and received in one thread, over a connection to ADDRESS, which is of this
 * machine: AF_VSOCK's are sent one at a time, under a time of the socket's own. Rounds of raw system calls and of the
 * library's in turn, the medians of both, and their ratio. `messages ADDRESS [ROUNDS] [CALLS] [BYTES]`.
 */
#include "bench.h"

static void connect_pair(const char *text, virtsock_stream *pair[2])
{
    virtsock_address  *address;
    virtsock_listener *listener;

    MUST(virtsock_address_parse(&address, text, NULL) == VIRTSOCK_OK);
    MUST(virtsock_listen(&listener, address, NULL, NULL) == VIRTSOCK_OK);
    MUST(virtsock_connect(&pair[0], address, NULL, NULL) == VIRTSOCK_OK);
    MUST(virtsock_accept(&pair[1], listener, 5000, NULL) == VIRTSOCK_OK);
    virtsock_listener_free(listener);
    virtsock_address_free(address);
}

static double raw(virtsock_stream *const pair[2], int calls, char *data, size_t size)
{
    const int out = (int)virtsock_stream_fd(pair[0]), in = (int)virtsock_stream_fd(pair[1]);
    double    start = bench_ns();

    for (int i = 0; i < calls; i++)
        MUST(send(out, data, size, MSG_NOSIGNAL) == (ssize_t)size && recv(in, data, size, 0) == (ssize_t)size);
    return (bench_ns() - start) / calls;
}

static double ours(virtsock_stream *const pair[2], int calls, char *data, size_t size, int timeout_ms)
{
    double         start = bench_ns();
    virtsock_error err;
    size_t         n;

    for (int i = 0; i < calls; i++)
        MUST(virtsock_stream_send(pair[0], data, size, &n, timeout_ms, &err) == VIRTSOCK_OK && n == size
             && virtsock_stream_recv(pair[1], data, size, &n, timeout_ms, &err) == VIRTSOCK_OK && n == size);
    return (bench_ns() - start) / calls;
}

int main(int argc, char **argv)
{
    const int        rounds = bench_count(argc, argv, 2, 101), calls = bench_count(argc, argv, 3, 200);
    const int        size = bench_count(argc, argv, 4, 4096);
    virtsock_stream *pair[2];
    double          *times[BENCH_KINDS];
    char             what[64], *data = calloc(1, (size_t)size);

    MUST(argc > 1 && data != NULL);
    connect_pair(argv[1], pair);
    bench_times(times, BENCH_KINDS, rounds);
    for (int r = 0; r < rounds; r++) {
        times[BENCH_RAW][r] = raw(pair, calls, data, (size_t)size);
        times[BENCH_UNTIMED][r] = ours(pair, calls, data, (size_t)size, -1);
        times[BENCH_TIMED][r] = ours(pair, calls, data, (size_t)size, 5000);
    }
    snprintf(what, sizeof what, "a message of %d bytes", size);
    bench_tell(what, bench_kinds, times, BENCH_KINDS, rounds);
    for (int i = 0; i < 2; i++)
        virtsock_stream_free(pair[i]);
    for (int i = 0; i < BENCH_KINDS; i++)
        free(times[i]);
    free(data);
    return 0;
}
