/* SPDX-License-Identifier: MIT
 *
 * virtsock bench: bandwidth, latency and connections, between any two ends. Here: its options, and the plan that they make. hvbench's words
 * (linuxkit/virtsock, c/hvbench.c) mean what they did there.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/ancestor.h"
#include "common/peer.h"
#include "common/report.h"

#define SECONDS_MS     10000            /* hvbench's */
#define WARMUP_MS      1000             /* at most; else a tenth of what is measured */
#define CONNECTS       2000             /* hvbench's */

static struct {
    bool        server, client, bandwidth, latency, connections, polls, bulk, json, dat, plain, vsock;
    const char *sizes, *direction;
    int64_t     measure_ms, warmup_ms, runs, connects;
} set = { .measure_ms = ARG_UNSET, .warmup_ms = ARG_UNSET, .runs = ARG_UNSET, .connects = ARG_UNSET };

/* What linuxkit measured, and two beyond. */
static const uint32_t usual_sizes[] = { 8, 128, 512, 1024, 1518, 2048, 3072, 4096, 5120, 8192, 9018, 16384, 65536, BENCH_BULK };

static struct udp_end udp;              /* host "": streams */

/* --- The plan ---------------------------------------------------------------------------------------------------------------- */

/* "4096" or "8,4096". */
static int parse_sizes(struct bench_plan *plan)
{
    const char *at = set.sizes;
    uint64_t    size;

    do {
        size = 0;
        for (; *at >= '0' && *at <= '9' && size <= BENCH_SIZE_MAX; at++)
            size = size * 10 + (uint64_t)(*at - '0');
        if (size < 1 || size > BENCH_SIZE_MAX || (*at != ',' && *at != '\0'))
            return report_usage("--message-size \"%s\": wanted are bytes from 1 to %d, several with commas between", set.sizes, BENCH_SIZE_MAX);
        if (plan->size_count == (int)(sizeof plan->sizes / sizeof *plan->sizes))
            return report_usage("--message-size: no more than %d sizes", plan->size_count);
        plan->sizes[plan->size_count++] = (uint32_t)size;
    } while (*at++ == ',');
    return EXIT_DONE;
}

static int plan_sizes(struct bench_plan *plan)
{
    if (set.sizes != NULL)
        return parse_sizes(plan);
    memcpy(plan->sizes, usual_sizes, sizeof usual_sizes);
    plan->size_count = sizeof usual_sizes / sizeof *usual_sizes;
    return EXIT_DONE;
}

static int plan_directions(struct bench_plan *plan)
{
    const char *which = set.direction != NULL ? set.direction : plan->plain ? "send" : "both";

    plan->send = strcmp(which, "receive") != 0;
    plan->receive = strcmp(which, "send") != 0;
    if (strcmp(which, "both") != 0 && plan->send && plan->receive)
        return report_usage("--direction \"%s\": it is send, receive or both, as the client sees it", which);
    if (plan->plain && plan->receive)
        return report_usage("a plain server only receives: --direction %s needs virtsock bench -s", which);
    return EXIT_DONE;
}

static int plan_times(struct bench_plan *plan)
{
    int64_t measure_ms = set.measure_ms == ARG_UNSET ? SECONDS_MS : set.measure_ms;
    int64_t tenth_ms = measure_ms / 10 < WARMUP_MS ? measure_ms / 10 : WARMUP_MS;
    int64_t warmup_ms = set.warmup_ms == ARG_UNSET ? tenth_ms : set.warmup_ms;

    if (measure_ms < 1 || measure_ms > BENCH_TIME_MAX_MS || warmup_ms < 0 || warmup_ms > BENCH_TIME_MAX_MS)
        return report_usage("--seconds is from 0.001 to %d, --warmup to %d", BENCH_TIME_MAX_MS / 1000, BENCH_TIME_MAX_MS / 1000);
    if (set.runs != ARG_UNSET && (set.runs < 1 || set.runs > BENCH_RUNS_MAX))
        return report_usage("--runs is from 1 to %d", BENCH_RUNS_MAX);
    if (set.connects == 0)
        return report_usage("--count is from 1");
    plan->measure_ms = (int)measure_ms;
    plan->warmup_ms = (int)warmup_ms;
    plan->runs = set.runs == ARG_UNSET ? 1 : (int)set.runs;
    plan->connects = set.connects == ARG_UNSET ? CONNECTS : set.connects;
    return EXIT_DONE;
}

/* Datagrams, of which a server gets no more than it sends: else any of them could be turned against others, by a source that is forged. */
static int plan_datagrams(struct bench_plan *plan)
{
    int count = 0;

    if (set.polls || set.bulk || plan->plain)
        return report_usage("datagrams have one way to be measured: leave -p, -b and --plain out");
    if (set.connections)
        return report_usage("over udp:// there are no connections: leave -C out");
    if (set.direction != NULL && plan->receive)
        return report_usage("over udp:// it is --direction send: a server that sends unasked could be turned against others");
    for (int i = 0; i < plan->size_count; i++)
        if (plan->sizes[i] <= UDP_BIGGEST)
            plan->sizes[count++] = plan->sizes[i];
        else if (set.sizes != NULL)
            return report_usage("-m %" PRIu32 ": a datagram has %d bytes at most", plan->sizes[i], UDP_BIGGEST);
    if (plan->bandwidth && plan->receive)
        report_line("over udp:// the bandwidth is that of sending: a server that sends unasked could be turned against others");
    plan->size_count = count;
    plan->receive = plan->connections = false;
    plan->udp = &udp;
    return EXIT_DONE;
}

/* Without a test: all that the other end can do. */
static int make_plan(struct bench_plan *plan)
{
    const bool all = !set.bandwidth && !set.latency && !set.connections;
    int        code;

    if (set.json && set.dat)
        return report_usage("--json and --dat: one of them");
    if (plan->plain && set.latency)
        return report_usage("a plain server sends nothing back: --latency needs virtsock bench -s");
    plan->bandwidth = set.bandwidth || all;
    plan->latency = set.latency || (all && !plan->plain);
    plan->connections = set.connections || all;
    plan->polls = set.polls;
    plan->bulk = set.bulk;
    plan->json = set.json;
    plan->dat = set.dat;
    if ((code = plan_sizes(plan)) != EXIT_DONE || (code = plan_directions(plan)) != EXIT_DONE || (code = plan_times(plan)) != EXIT_DONE)
        return code;
    return *udp.host != '\0' ? plan_datagrams(plan) : EXIT_DONE;
}

/* --- Addresses --------------------------------------------------------------------------------------------------------------- */

static int find_datagrams(const char *word)
{
    int code = udp_read(&udp, word);

    if (code == EXIT_DONE && udp.port == 0 && !set.server)
        return report_usage("%s: a port of the system's choice is for listening, and this end sends", word);
    return code;
}

/* *out stays NULL where it is for datagrams. */
static int find_address(virtsock_address **out, const char *word, bool *plain)
{
    if (word != NULL && strpbrk(word, ":/") != NULL && !set.vsock)
        return udp_is(word) ? find_datagrams(word) : peer_address(out, word, PORT_HVECHO);
    *plain = word != NULL;
    return ancestor_address(out, word != NULL ? word : "", set.vsock, set.server);
}

/* --- The command -------------------------------------------------------------------------------------------------------------- */

static int serve(const virtsock_address *address)
{
    struct bench_server server = { .polls = set.polls, .clients = set.bandwidth ? 1 : set.connections ? CONNECTS : 0 };
    struct bench_plan   plan = { 0 };
    int                 code = EXIT_DONE;

    if (set.json || set.dat || set.plain || set.bulk || set.direction != NULL || set.measure_ms != ARG_UNSET || set.warmup_ms != ARG_UNSET
        || set.runs != ARG_UNSET || set.connects != ARG_UNSET)
        return report_usage("the client says what is measured and prints it: of these options a server takes -p, -m, -B and -C");
    if (*udp.host != '\0') {
        if (set.polls || set.sizes != NULL || set.bandwidth || set.connections || peer_settings.allow.count > 0 || peer_settings.mode != ARG_UNSET)
            return report_usage("a server of datagrams takes none of -p, -m, -B, -C, --allow and --mode");
        return bench_serve_datagrams(&udp);
    }
    if (set.sizes != NULL) {
        code = parse_sizes(&plan);
        server.receive = plan.sizes[0];
    }
    return code == EXIT_DONE ? bench_serve(address, &server) : code;
}

static int ask(const virtsock_address *address, bool plain)
{
    struct bench_plan plan = { .plain = plain || set.plain };
    char             *where = address != NULL ? peer_text(address) : NULL, datagrams[UDP_TEXT];
    int               code = make_plan(&plan);

    udp_write(datagrams, &udp);
    plan.where = where != NULL ? where : address == NULL ? datagrams : "";
    if (code == EXIT_DONE)
        code = bench_ask(address, &plan);
    free(where);
    return code;
}

/* A poll is for descriptors, and streams of frames have none. */
static int check_poll(const virtsock_address *address)
{
    uint32_t half_close = VIRTSOCK_HALF_CLOSE_NATIVE;

    if (set.polls && address != NULL)
        virtsock_address_number(address, VIRTSOCK_PART_HALF_CLOSE, &half_close);
    if (half_close == VIRTSOCK_HALF_CLOSE_FRAMED)
        return report_usage("half-close=framed has no descriptor to poll: leave -p out");
    return EXIT_DONE;
}

static int run(char **operand, int count)
{
    virtsock_address *address = NULL;
    bool              plain = false;
    int               code;

    if (set.server && set.client)
        return report_usage("--server and --client are one end each");
    if ((code = peer_options(set.server)) != EXIT_DONE || (code = find_address(&address, count > 0 ? operand[0] : NULL, &plain)) != EXIT_DONE)
        return code;
    if ((code = check_poll(address)) == EXIT_DONE)
        code = set.server ? serve(address) : ask(address, plain);
    virtsock_address_free(address);
    return code;
}

static const struct arg args[] = {
    { 's', "server", NULL, ARG_FLAG, &set.server, "be measured, by any number of clients, until it is interrupted" },
    { 'c', "client", NULL, ARG_FLAG, &set.client, "measure: as without" },
    { 'B', "bandwidth", NULL, ARG_FLAG, &set.bandwidth, "bytes a second. No test named: all" },
    { 'L', "latency", NULL, ARG_FLAG, &set.latency, "the time of a message there and back" },
    { 'C', "connections", NULL, ARG_FLAG, &set.connections, "connections one after another, each timed" },
    { 'm', "message-size", "LIST", ARG_TEXT, &set.sizes, "bytes, as 8,4096; linuxkit's twelve, 65536 and 2097152 unless told" },
    { 'd', "direction", "WHICH", ARG_TEXT, &set.direction, "of the bandwidth: send, receive or both; the client's view" },
    { 'b', "bulk", NULL, ARG_FLAG, &set.bulk, "the receiver takes up to 2 MiB at once, not a message" },
    { 'p', "poll", NULL, ARG_FLAG, &set.polls, "this end: calls that do not block, and a poll" },
    { 0, "seconds", "SECONDS", ARG_SECONDS, &set.measure_ms, "each measurement's time; 10 unless told" },
    { 0, "warmup", "SECONDS", ARG_SECONDS, &set.warmup_ms, "before it, not counted; a tenth of it, 1 at most" },
    { 0, "runs", "N", ARG_NUMBER, &set.runs, "measure each so often: median, min and max" },
    { 0, "count", "N", ARG_NUMBER, &set.connects, "connections at most; 2000 unless told" },
    { 0, "json", NULL, ARG_FLAG, &set.json, "print JSON, for python -m virtsock.plot" },
    { 0, "dat", NULL, ARG_FLAG, &set.dat, "print lines as linuxkit's data files have, for gnuplot" },
    { 0, "plain", NULL, ARG_FLAG, &set.plain, "the server is hvbench, or any program that reads to the end" },
    ARG_ANCESTOR(set.vsock, "hvbench"),
    ARGS_PEER,
    ARGS_COMMON
};

const struct command bench_command = {
    .name = "bench",
    .summary = "measure bandwidth, latency and connections",
    .usage = "[-c] [-B] [-L] [-C] [OPTION]... [ADDRESS]\n-s [OPTION]... [ADDRESS]\n-c loopback|parent|GUID [-vsock] -B|-C [OPTION]...",
    .text = "Measures a transport between two ends, over message sizes: bandwidth both ways, counted by the receiver; the\n"
            "time of messages to and fro; and the time that connections take. Mb/s are 2^20 bits a second. A plain server\n"
            "(hvbench's, or one that reads to the end) is measured in one direction, by what it has taken when it ends.\n"
            "Without an address the client's is vsock://local:810097020 and the server's vsock://:810097020; an address\n"
            "without a port gets 810097020 (0x3049197c), one of udp 5303. With -B or -C a server ends as hvbench's does:\n"
            "after one client that is plain, or 2000. udp://HOST:PORT is for datagrams: latency, and what arrives of those\n"
            "that the client sends. Exits with 1 when a measurement or a connection failed.\n",
    .examples = "  virtsock bench -s                                   be measured, in a guest\n"
                "  virtsock bench vsock://3                            measure everything, on the host: eight minutes\n"
                "  virtsock bench -B -m 4096,65536 --runs 5 vsock://3  two sizes, five times each\n"
                "  virtsock bench -L --json vsock://3 >vsock.json      latency, for a plot\n"
                "  virtsock bench -c parent -vsock -B -m 4096          as hvbench, to hvbench\n",
    .args = args, .least = 0, .most = 1, .run = run
};
