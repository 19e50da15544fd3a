/* SPDX-License-Identifier: MIT
 *
 * virtsock stress: sock_stress and hvstress of linuxkit/virtsock, either end, with what they lack: the bytes that come back are compared, the
 * counts are right, and the exit code tells the truth.
 */
#include "stress.h"

#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/ancestor.h"
#include "common/peer.h"
#include "common/report.h"
#include "platform/tool.h"

#define LENGTH_MOST 65536               /* these are sock_stress's */
#define CHUNK       16384
#define CONNECTIONS 100
#define STALL_MS    60000               /* its time for a read or a write */
#define AT_ONCE     1000                /* clients of a server */
#define PARALLEL    10000               /* two threads each */
#define DATAGRAM    4096

static const char *server, *client, *mode;
static bool        random_seed;

static void or_else(int64_t *value, int64_t otherwise)
{
    if (*value == ARG_UNSET)
        *value = otherwise;
}

/* What was not given gives way to what was. */
static bool fill_range(int64_t *low, int64_t *high, int64_t low_default, int64_t high_default)
{
    or_else(low, *high != ARG_UNSET && *high < low_default ? *high : low_default);
    or_else(high, *low > high_default ? *low : high_default);
    return *low <= *high;
}

/* hvstress's -m is a number of bytes, as -l. */
static int take_mode(void)
{
    if (mode == NULL || mode[strspn(mode, "0123456789")] != '\0')
        return EXIT_DONE;
    if (strlen(mode) > 9 || stress.most != ARG_UNSET)
        return report_usage("-m \"%s\": a number of bytes below a thousand million, and not beside -l", mode);
    stress.most = strtol(mode, NULL, 10);
    mode = NULL;
    return EXIT_DONE;
}

static bool is_told(int64_t value)
{
    return value != ARG_UNSET;
}

static int check_part(bool listening)
{
    const struct stress *s = &stress;

    if (!listening)
        return s->single ? report_usage("-1 is for the server") : EXIT_DONE;
    if (s->ends || s->keeps_open || random_seed || is_told(s->seed) || is_told(s->pause_ms) || is_told(s->least) || is_told(s->most)
        || is_told(s->chunk_least) || is_told(s->chunk_most))
        return report_usage("-L, -l, -B, -b, -m BYTES, -w, -e, -r, --seed and --no-half-close are for the client");
    return EXIT_DONE;
}

static int take(bool listening)
{
    struct stress *s = &stress;
    int            code;

    if ((code = check_part(listening)) != EXIT_DONE)
        return code;
    if (random_seed)
        or_else(&s->seed, tool_now_us() & INT32_MAX);
    or_else(&s->connections, listening ? INT64_MAX : CONNECTIONS);
    or_else(&s->parallel, listening ? AT_ONCE : 1);
    or_else(&s->pause_ms, 0);
    or_else(&s->stall_ms, listening ? -1 : STALL_MS);
    or_else(&s->seed, 1);
    if (!fill_range(&s->least, &s->most, 0, LENGTH_MOST) || !fill_range(&s->chunk_least, &s->chunk_most, CHUNK, CHUNK))
        return report_usage("the least is more than the most: -L is at most -l, and -B at most -b");
    if (s->connections == 0 || s->parallel == 0 || s->parallel > PARALLEL || s->chunk_least == 0 || s->pause_ms < 0)
        return report_usage("wanted are: -i, -B and -b from 1, -p from 1 to %d, -w a time that ends", PARALLEL);
    return EXIT_DONE;
}

static int take_datagrams(bool listening)
{
    struct stress *s = &stress;

    if (s->address != NULL || (listening && s->connections == INT64_MAX))
        return EXIT_DONE;
    if (listening)
        return report_usage("-i is not for a server of udp://: it has no connections to count");
    if (s->chunk_most > DATAGRAM) {
        report_line("a datagram has %d bytes at most", DATAGRAM);
        s->chunk_most = DATAGRAM;
        s->chunk_least = s->chunk_least < DATAGRAM ? s->chunk_least : 1;
    }
    return EXIT_DONE;
}

static int run(char **operand, int count)
{
    bool        listening = server != NULL;
    const char *text = listening ? server : client;
    int         code;

    if ((listening && client != NULL) || (count > 0 && text != NULL && *text != '\0'))
        return report_usage("one end and one address: see virtsock stress --help");
    if (count > 0)
        text = operand[0];
    if (text == NULL)
        return report_usage("virtsock stress needs -s, -c or an address: see virtsock stress --help");
    if ((code = peer_options(listening)) != EXIT_DONE || (code = take_mode()) != EXIT_DONE
        || (code = stress_read_address(text, mode, listening)) != EXIT_DONE || (code = take(listening)) != EXIT_DONE
        || (code = take_datagrams(listening)) != EXIT_DONE)
        return code;
    return listening ? stress_server() : stress_client();
}

static const struct arg args[] = {
    { 'c', "client", "ADDRESS", ARG_TEXT_MAYBE, &client, "connect, as without" },
    { 's', "server", "ADDRESS", ARG_TEXT_MAYBE, &server, "send back what comes, until interrupted" },
    { 'i', "connections", "N", ARG_NUMBER, &stress.connections, "so many in all; 100. With -s: end after them" },
    { 'p', "parallel", "N", ARG_NUMBER, &stress.parallel, "so many at once; 1. With -s: at most, 1000" },
    { 'L', "least", "BYTES", ARG_NUMBER, &stress.least, "each connection carries so many; 0" },
    { 'l', "most", "BYTES", ARG_NUMBER, &stress.most, "to so many; 65536" },
    { 'B', "chunk-least", "BYTES", ARG_NUMBER, &stress.chunk_least, "in chunks of so many; 16384" },
    { 'b', "chunk-most", "BYTES", ARG_NUMBER, &stress.chunk_most, "to so many; 16384" },
    { 'a', "alternate", NULL, ARG_FLAG, &stress.alternates, "in chunks of 4096 and 4 bytes, in turns" },
    { 'm', "through", "MODE", ARG_TEXT, &mode, "vsock: hyperkit:DIRECTORY, docker; or BYTES, as -l" },
    { 'w', "pause", "SECONDS", ARG_SECONDS, &stress.pause_ms, "between the connections of a thread; 0" },
    { 'e', "exit-on-error", NULL, ARG_FLAG, &stress.ends, "end at the first failure" },
    { 'r', "random", NULL, ARG_FLAG, &random_seed, "other lengths and contents each time" },
    { 0, "seed", "N", ARG_NUMBER, &stress.seed, "those of the run that told this seed; 1" },
    { 0, "stall", "SECONDS", ARG_SECONDS, &stress.stall_ms, "no byte moves: fail after that; 60, -s: never" },
    { 0, "no-half-close", NULL, ARG_FLAG, &stress.keeps_open, "end by count: the way carries no half-close" },
    { '1', "single", NULL, ARG_FLAG, &stress.single, "with -s: one client after another" },
    { 0, "json", NULL, ARG_FLAG, &stress.json, "print the result as JSON" },
    ARG_ANCESTOR(stress.vsock, "hvstress"),
    ARGS_REACH,
    { 'v', "verbose", "LEVEL", ARG_LEVEL, &peer_settings.verbose, "tell of each connection; 2: of its beginning, too" },
    ARGS_COMMON
};

const struct command stress_command = {
    .name = "stress",
    .summary = "make many connections, and compare what comes back",
    .usage = "[-c] [OPTION]... ADDRESS\n-s [OPTION]... [ADDRESS]\n-c loopback|parent|GUID [-vsock] [OPTION]...",
    .text = "The client sends bytes that are known from where they stand, ends its direction and compares what comes back,\n"
            "in both directions at once. It exits with 0 if all connections got every byte back. sock_stress and hvstress\n"
            "of linuxkit/virtsock may be either end, and their words are understood: no address, a CID, a scheme alone, -v\n"
            "and a digit. Without a port it is 22099 (0x5653), of hvsock 810097020, of tcp and udp 5303; udp://HOST:PORT is\n"
            "for datagrams.\n",
    .examples = "  virtsock stress -s -v 1                             serve, in a guest\n"
                "  virtsock stress -c 3 -v 1                           try it, on the host\n"
                "  virtsock stress -p 10 -i 1000 -l 100000000 vsock://3   for longer\n"
                "  virtsock stress -e -r --stall 5 vsock-mux://:52/run/vm.sock\n",
    .args = args, .least = 0, .most = 1, .run = run
};
