/* SPDX-License-Identifier: MIT
 *
 * `virtsock relay` beside a splice loop written by hand and beside socat: throughput of one connection, and connections
 * a second. Both ends are here, in C; each relay is a process of its own, and they take turns round by round.
 * `relay [ROUNDS] [MIB] [CONNECTIONS] [RUNS]`: a ratio is judged by the median of the runs, and what misses its goal
 * ends with OVER. VIRTSOCK_TOOL names the command.
 */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>

#define PIECE 65536

enum { HAND, OURS, SOCAT, RELAYS };
static const char *const names[] = { "by hand", "virtsock", "socat" };

static char from[RELAYS][64], to[RELAYS][64];           /* UNIX paths; `to` is the target's, or PORT of TCP */
static char directory[] = "/tmp/bench-XXXXXX";

/* --- Sockets ----------------------------------------------------------------------------------------------------------- */

static struct sockaddr_un unix_at(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    MUST(strlen(path) < sizeof at.sun_path);
    strcpy(at.sun_path, path);
    return at;
}

static int unix_listen(const char *path)
{
    struct sockaddr_un at = unix_at(path);
    int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    unlink(path);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 512) == 0);
    return fd;
}

/* Until somebody listens, five seconds at most. */
static int unix_connect(const char *path)
{
    struct sockaddr_un at = unix_at(path);
    int                fd, tries_left = 5000;

    while (connect(fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        MUST(--tries_left > 0);
        usleep(1000);
    }
    return fd;
}

static int target_listen(bool tcp, int which)
{
    struct sockaddr_in at;
    int                fd;

    if (!tcp) {
        snprintf(to[which], sizeof to[which], "%s/to%d", directory, which);
        return unix_listen(to[which]);
    }
    fd = bench_tcp_listen(&at);
    snprintf(to[which], sizeof to[which], "%d", ntohs(at.sin_port));
    return fd;
}

static int target_connect(bool tcp, const char *target)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int                fd;

    if (!tcp)
        return unix_connect(target);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)atoi(target));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

/* --- Relays ------------------------------------------------------------------------------------------------------------ */

/* The loop that one would write: blocking, one direction, through a pipe. */
static void splice_loop(int in, int out)
{
    int     pipes[2];
    ssize_t n, m;

    MUST(pipe(pipes) == 0);
    fcntl(pipes[0], F_SETPIPE_SZ, 1 << 18);
    while ((n = splice(in, NULL, pipes[1], NULL, 1 << 18, SPLICE_F_MOVE)) > 0)
        for (; n > 0; n -= m)
            MUST((m = splice(pipes[0], NULL, out, NULL, (size_t)n, SPLICE_F_MOVE)) > 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void run_by_hand(bool tcp)
{
    int listener = unix_listen(from[HAND]);

    for (;;) {
        int in = accept(listener, NULL, NULL), out = target_connect(tcp, to[HAND]);

        splice_loop(in, out);
        close(in);
        close(out);
    }
}

static void run_tool(bool tcp)
{
    const char *tool = getenv("VIRTSOCK_TOOL") ? getenv("VIRTSOCK_TOOL") : "build/dev/tools/virtsock";
    char        a[128], b[128];

    snprintf(a, sizeof a, "unix://%s", from[OURS]);
    snprintf(b, sizeof b, tcp ? "tcp://127.0.0.1:%s" : "unix://%s", to[OURS]);
    execl(tool, tool, "relay", a, b, (char *)NULL);
    perror(tool);
}

static void run_socat(bool tcp)
{
    char a[128], b[128];

    snprintf(a, sizeof a, "UNIX-LISTEN:%s,fork,backlog=512", from[SOCAT]);
    snprintf(b, sizeof b, tcp ? "TCP:127.0.0.1:%s" : "UNIX-CONNECT:%s", to[SOCAT]);
    execlp("socat", "socat", "-b65536", a, b, (char *)NULL);
    perror("socat");
}

static pid_t start(int which, bool tcp)
{
    pid_t child;

    snprintf(from[which], sizeof from[which], "%s/from%d", directory, which);
    unlink(from[which]);
    fflush(stdout);
    if ((child = fork()) != 0)
        return child;
    (which == HAND ? run_by_hand : which == OURS ? run_tool : run_socat)(tcp);
    _exit(1);
}

/* --- Throughput -------------------------------------------------------------------------------------------------------- */

static char piece[PIECE];

static void send_all(int fd, int64_t bytes)
{
    for (ssize_t n; bytes > 0; bytes -= n)
        MUST((n = send(fd, piece, bytes < PIECE ? (size_t)bytes : PIECE, MSG_NOSIGNAL)) > 0);
}

/* Seconds that it takes until the last byte is here. */
static double round_of_bytes(int which, int listener, int64_t bytes)
{
    double  begun = bench_ns();
    int64_t left = bytes;
    ssize_t n;
    pid_t   child;
    int     fd;

    if ((child = fork()) == 0) {
        fd = unix_connect(from[which]);
        send_all(fd, bytes);
        _exit(0);
    }
    fd = accept(listener, NULL, NULL);
    for (; left > 0; left -= n)
        MUST((n = recv(fd, piece, PIECE, 0)) > 0);
    begun = bench_ns() - begun;
    MUST(recv(fd, piece, 1, 0) == 0);
    close(fd);
    MUST(waitpid(child, NULL, 0) == child);
    return begun;
}

/* --- Connections ------------------------------------------------------------------------------------------------------- */

/* Each client is told a byte, and hung up on. */
static void greet(int listener)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        MUST(send(fd, "!", 1, MSG_NOSIGNAL) == 1);
        close(fd);
    }
}

static double round_of_connections(int which, int listener, int64_t count)
{
    pid_t  child = fork();
    double begun;

    if (child == 0)
        greet(listener);
    begun = bench_ns();
    for (int64_t i = 0; i < count; i++) {
        int fd = unix_connect(from[which]);

        MUST(recv(fd, piece, 2, 0) == 1 && recv(fd, piece, 1, 0) == 0);
        close(fd);
    }
    begun = bench_ns() - begun;
    kill(child, SIGKILL);
    MUST(waitpid(child, NULL, 0) == child);
    return begun;
}

/* --- Rounds ------------------------------------------------------------------------------------------------------------ */

/* Ends a relay: the processor time that it and its children have taken, in seconds. Others on the machine change that least. */
static double stop(pid_t relay)
{
    struct rusage used;

    kill(relay, SIGTERM);
    MUST(wait4(relay, NULL, 0, &used) == relay);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void tell(const char *name, const char *unit, double rate, double scale, double seconds)
{
    printf("  %s %.0f %s, %.2f s of processor for a %s", name, rate, unit, seconds, scale > 1 ? "GB" : "1000");
}

/* What is measured. of: the least of the hand's and of socat's rate that the goal is; 0: none. The hand's loop, of one
 * direction, is left out then. */
static const struct row {
    const char *what, *unit;
    double      scale, of[RELAYS];
    double (*round)(int, int, int64_t);
    bool        tcp, connections;
} rows[] = {
    { "unix to unix", "MB/s", 1e6, { [HAND] = 0.95, [SOCAT] = 3 }, round_of_bytes, false, false },
    { "unix to tcp", "MB/s", 1e6, { [HAND] = 0.95, [SOCAT] = 1 }, round_of_bytes, true, false },
    { "connections, unix to unix", "a second", 1, { [SOCAT] = 5 }, round_of_connections, false, true },
};

#define ROWS (sizeof rows / sizeof *rows)

static int first_of(const struct row *row)
{
    return row->of[HAND] > 0 ? HAND : OURS;
}

/* The rate of each, and what it takes of processors for 1000 of them. */
static void measure(const struct row *row, int rounds, int64_t amount, double rate[RELAYS], double used[RELAYS])
{
    const double moved = (double)amount * (rounds + 1.0 / 16);
    const int    first = first_of(row);
    double      *times[RELAYS];
    int          listener[RELAYS];
    pid_t        relay[RELAYS];

    bench_times(times, RELAYS, rounds);
    for (int i = first; i < RELAYS; i++) {
        listener[i] = target_listen(row->tcp, i);
        relay[i] = start(i, row->tcp);
        row->round(i, listener[i], amount / 16 + 1);
    }
    for (int r = 0; r < rounds; r++)
        for (int i = first; i < RELAYS; i++)
            times[i][r] = row->round(i, listener[i], amount);
    for (int i = first; i < RELAYS; i++) {
        rate[i] = (double)amount / (bench_median(times[i], rounds) / 1e9) / row->scale;
        used[i] = stop(relay[i]) / (moved / (row->scale * 1000));
        close(listener[i]);
        unlink(from[i]);
        unlink(to[i]);
    }
    for (int i = 0; i < RELAYS; i++)
        free(times[i]);
}

/* A run of a row, and what each ratio is. */
static void run(const struct row *row, int rounds, int64_t amount, double ratio[RELAYS])
{
    double rate[RELAYS], used[RELAYS];

    measure(row, rounds, amount, rate, used);
    printf("%s:\n", row->what);
    for (int i = first_of(row); i < RELAYS; i++) {
        ratio[i] = rate[OURS] / rate[i];
        tell(names[i], row->unit, rate[i], row->scale, used[i]);
        if (i != OURS)
            printf("; virtsock has %.2f of its rate, and takes %.2f of its processor time", ratio[i],
                   used[OURS] / used[i]);
        putchar('\n');
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const int rounds = bench_count(argc, argv, 1, 15), mib = bench_count(argc, argv, 2, 512);
    const int connections = bench_count(argc, argv, 3, 1000), runs = bench_count(argc, argv, 4, 1);
    double   *ratios[ROWS * RELAYS], ratio[RELAYS];

    MUST(mkdtemp(directory) != NULL);
    bench_times(ratios, ROWS * RELAYS, runs);
    for (int r = 0; r < runs; r++)
        for (size_t i = 0; i < ROWS; i++) {
            run(&rows[i], rounds, rows[i].connections ? connections : (int64_t)mib << 20, ratio);
            for (int one = first_of(&rows[i]); one < RELAYS; one++)
                ratios[i * RELAYS + (size_t)one][r] = ratio[one];
        }
    for (size_t i = 0; i < ROWS * RELAYS; i++) {
        const double goal = rows[i / RELAYS].of[i % RELAYS], had = bench_median(ratios[i], runs);

        if (goal > 0)
            printf("%s, beside %s: %.2f (at least %.2f)%s\n", rows[i / RELAYS].what, names[i % RELAYS], had, goal,
                   had < goal ? " OVER" : "");
        free(ratios[i]);
    }
    rmdir(directory);
    return 0;
}
