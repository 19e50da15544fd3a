/* SPDX-License-Identifier: MIT
 *
 * Connect, accept, close both ends, in one thread: a UNIX socket at a path, and TCP. Goal: at most 1.12 and 1.15 of the raw system
 * calls' time. `connect [ROUNDS] [CALLS]`; TCP takes a tenth of the calls, since each keeps a port for a minute.
 */
#include <sys/un.h>

#include "bench.h"

struct place {
    struct sockaddr_storage at;
    socklen_t               length;
    int                     listener;
    virtsock_address       *address;
    virtsock_listener      *ours;
};

static double raw(const struct place *p, int calls)
{
    const double start = bench_ns();

    for (int i = 0; i < calls; i++) {
        int client = socket(p->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), server, on = 1;

        if (p->at.ss_family == AF_INET)
            MUST(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
        MUST(connect(client, (const struct sockaddr *)&p->at, p->length) == 0);
        MUST((server = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
        MUST(close(client) == 0 && close(server) == 0);
    }
    return (bench_ns() - start) / calls;
}

static double ours(const struct place *p, int calls, int timeout_ms)
{
    const double   start = bench_ns();
    virtsock_error err;

    for (int i = 0; i < calls; i++) {
        virtsock_stream *client, *server;

        MUST(virtsock_connect(&client, p->address, NULL, &err) == VIRTSOCK_OK);
        MUST(virtsock_accept(&server, p->ours, timeout_ms, &err) == VIRTSOCK_OK);
        virtsock_stream_free(client);
        virtsock_stream_free(server);
    }
    return (bench_ns() - start) / calls;
}

static void compare(const char *what, const struct place *p, int rounds, int calls)
{
    double *times[BENCH_KINDS];

    bench_times(times, BENCH_KINDS, rounds);
    for (int r = 0; r < rounds; r++) {
        times[BENCH_RAW][r] = raw(p, calls);
        times[BENCH_UNTIMED][r] = ours(p, calls, -1);
        times[BENCH_TIMED][r] = ours(p, calls, 5000);
    }
    bench_tell(what, bench_kinds, times, BENCH_KINDS, rounds);
    for (int i = 0; i < BENCH_KINDS; i++)
        free(times[i]);
}

static void listen_both(struct place *p, const char *text)
{
    virtsock_address *asked;

    MUST(virtsock_address_parse(&asked, text, NULL) == VIRTSOCK_OK && virtsock_listen(&p->ours, asked, NULL, NULL) == VIRTSOCK_OK);
    MUST(virtsock_listener_address(p->ours, &p->address, NULL) == VIRTSOCK_OK);
    virtsock_address_free(asked);
}

static void unlisten(struct place *p)
{
    close(p->listener);
    virtsock_listener_free(p->ours);
    virtsock_address_free(p->address);
}

int main(int argc, char **argv)
{
    const int          rounds = bench_count(argc, argv, 1, 201), calls = bench_count(argc, argv, 2, 50);
    char               folder[] = "/tmp/virtsock-bench-XXXXXX", text[64];
    struct place       p = { .length = sizeof(struct sockaddr_un) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    bench_pin();
    MUST(mkdtemp(folder) != NULL);
    snprintf(un.sun_path, sizeof un.sun_path, "%s/raw", folder);
    memcpy(&p.at, &un, sizeof un);
    p.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(bind(p.listener, (struct sockaddr *)&un, sizeof un) == 0 && listen(p.listener, 128) == 0);
    snprintf(text, sizeof text, "unix://%s/our", folder);
    listen_both(&p, text);
    compare("connect + accept + close, unix", &p, rounds, calls);
    unlisten(&p);
    unlink(un.sun_path);
    rmdir(folder);

    p.listener = bench_tcp_listen((struct sockaddr_in *)&p.at);
    p.length = sizeof(struct sockaddr_in);
    listen_both(&p, "tcp://127.0.0.1:any");
    compare("connect + accept + close, tcp", &p, rounds / 2 + 1, calls / 10 + 1);
    unlisten(&p);
    return 0;
}
