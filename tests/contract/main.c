/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest: the command line, and what is said of each behaviour. A line a behaviour, then the count, then END: without it the run is
 * void. How one is run in a process of its own is the system's (run_posix.c, run_windows.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "run.h"
#include "suite.h"

enum result { PASSED, FAILED, SKIPPED };

static const char usage[] =
    "usage: virtsock-selftest [OPTION]... ADDRESS [NAME]...\n"
    "       virtsock-selftest [OPTION]... [NAME]...   on Windows: hvsock://loopback, with a service that nobody has\n"
    "       virtsock-selftest --list\n"
    "\n"
    "Tries every behaviour that the library promises, or those that are named, over a transport of this machine: it listens and connects\n"
    "at addresses made from ADDRESS, which are\n"
    "\n"
    "  unix:///PATH                 PATH.N, with numbers up to 10,000 (also with ?type=seqpacket)\n"
    "  vsock://local:PORT           PORT and up to 10,000 above it (also with ?type=seqpacket)\n"
    "  hvsock://loopback/PORT       Windows: PORT and up to 10,000 above it, as services of Hyper-V\n"
    "  tcp://127.0.0.1:any          ports that the system chooses\n"
    "  vsock-mux://:PORT/DIR/vsock.sock, hyperkit://:PORT/DIR\n"
    "                               PORT and up to 10,000 above it, through `virtsock mux DIR`, which must run; with\n"
    "                               ?half-close=native behind the first where its dialect has half-closes\n"
    "  socketpair                   pairs of sockets with tiny buffers; what needs a listener is left out\n"
    "  any of them (but socketpair) with ?half-close=framed, none or unknown\n"
    "\n"
    "  --rounds N        of what is done again and again (default 1000)\n"
    "  --connections N   at once, of those that carry data (default 50)\n"
    "  --size MIB        that each of them carries each way (default 20)\n"
    "  --slow N          on a slow machine: waits may end N times as late as 100 ms (default 1)\n"
    "  --limit SECONDS   after which a behaviour has failed (default 180)\n"
    "  --seed N          of the data and of the lengths (default 1)\n"
    "  --list            prints the behaviours, a line each: its name, and what it shows\n"
    "  --help            prints this\n"
    "\n"
    "Exit code: 0 all passed or skipped, 1 one failed, 2 usage.\n"
    "\n"
    "  virtsock-selftest unix:///tmp/selftest\n"
    "  virtsock-selftest --rounds 100 vsock://local:20000 close_wakes_recv\n";

static int        limit_s = 180;
struct under_test under_test = { .rounds = 1000, .connections = 50, .mib = 20, .slow = 1, .seed = 1 };

/* --- A behaviour ------------------------------------------------------------------------------------------------------------ */

static const char *missing(int needs)
{
    if ((needs & NEEDS_LISTENER) != 0 && under_test.traits->scheme == VIRTSOCK_SCHEME_NONE)
        return "a socketpair has no listener";
    if ((needs & NEEDS_BYTES) != 0 && under_test.messages)
        return "for streams of bytes; a message is sent and received whole, in one call";
    if ((needs & NEEDS_MESSAGES) != 0 && !under_test.messages)
        return "for messages; this is a stream of bytes";
    if ((needs & NEEDS_REPLY) != 0 && !under_test.traits->replies)
        return "HyperKit does not reply: a connection succeeds at once, whoever listens";
    if ((needs & NEEDS_SENDING) != 0 && under_test.torn)
        return "a message that did not go in time is the last of its AF_VSOCK stream, since a part of it may be queued";
    if ((needs & NEEDS_DELIVERY) != 0 && under_test.traits->drops)
        return "Windows drops what a Hyper-V socket has sent when it is closed at once; `finish` shows a close that waits";
    if ((needs & NEEDS_HALF_CLOSE) != 0 && under_test.whole)
        return "half-close=none or unknown: the end of one direction may be the end of both";
    if ((needs & NEEDS_FD) != 0 && under_test.framed)
        return "a framed stream has no descriptor to give: part of the conversation is in its frames";
    return NULL;
}

/* In the behaviour's process. */
static void run_here(const struct behaviour *b)
{
    const char *why = missing(b->needs);

    under_test.number = 100 * (int)(b - behaviours);
    if (why != NULL)
        skip("%s", why);
    else
        run_and_count(b);
}

static enum result judge(const struct behaviour *b, const struct outcome *o)
{
    if (!o->ended)
        printf("FAIL %s: no end within %d s; last seen at %s\n", b->name, limit_s, o->seen);
    else if (o->text[0] == 'F')
        printf("FAIL %s: %s\n", b->name, o->text + 1);
    else if (o->crash[0] != '\0')
        printf("FAIL %s: ended by %s after %s\n", b->name, o->crash, o->seen);
    else if (o->code != 0)
        printf("FAIL %s: exit code %d; standard error may say why\n", b->name, o->code);
    else if (o->text[0] == 'S')
        return printf("skip %s: %s\n", b->name, o->text + 1), SKIPPED;
    else
        return printf("ok %s %lld ms\n", b->name, (long long)(o->took_us / 1000)), PASSED;
    return FAILED;
}

static enum result run(const struct behaviour *b)
{
    struct outcome o = { .text = "" };
    int64_t        began = test_us();

    fflush(NULL);
    run_apart(b, run_here, limit_s, &o);
    o.took_us = test_us() - began;
    return judge(b, &o);
}

/* --- The command line ------------------------------------------------------------------------------------------------------ */

static _Noreturn void usage_error(const char *message, const char *what)
{
    fprintf(stderr, "virtsock-selftest: %s%s\nTry virtsock-selftest --help\n", message, what);
    exit(EXIT_USAGE);
}

static void list(void)
{
    for (int i = 0; i < behaviour_count; i++)
        printf("%-26s %s\n", behaviours[i].name, behaviours[i].shows);
    puts("END");
}

static const struct behaviour *find(const char *name)
{
    for (int i = 0; i < behaviour_count; i++)
        if (strcmp(behaviours[i].name, name) == 0)
            return &behaviours[i];
    return NULL;
}

static int *option(const char *name)
{
    if (strcmp(name, "--rounds") == 0)
        return &under_test.rounds;
    if (strcmp(name, "--connections") == 0)
        return &under_test.connections;
    if (strcmp(name, "--size") == 0)
        return &under_test.mib;
    if (strcmp(name, "--slow") == 0)
        return &under_test.slow;
    if (strcmp(name, "--limit") == 0)
        return &limit_s;
    return NULL;
}

static int number(const char *name, const char *text)
{
    char *rest;
    long  n;

    errno = 0;
    if (text == NULL || (n = strtol(text, &rest, 10)) < 1 || n > 1000000 || *rest != '\0' || errno != 0)
        usage_error("a number from 1 to 1000000 belongs after ", name);
    return (int)n;
}

/* Options are taken out of argv; how many words are left. */
static int read_options(int argc, char **argv)
{
    int words = 0;

    for (int i = 1; i < argc; i++) {
        int *value;

        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(EXIT_PASSED);
        } else if (strcmp(argv[i], "--list") == 0) {
            list();
            exit(EXIT_PASSED);
        } else if (strcmp(argv[i], "--seed") == 0) {
            under_test.seed = (uint64_t)number(argv[i], argv[i + 1]);
            i++;
        } else if ((value = option(argv[i])) != NULL) {
            *value = number(argv[i], argv[i + 1]);
            i++;
        } else if (argv[i][0] == '-') {
            usage_error("no such option: ", argv[i]);
        } else {
            argv[words++] = argv[i];
        }
    }
    return words;
}

int main(int argc, char **argv)
{
    int         count[3] = { 0, 0, 0 };
    const int   words = read_options(argc, argv), first = words > 0 && find(argv[0]) == NULL;
    const char *address = first == 1 ? argv[0] : NULL;

    setvbuf(stdout, NULL, FLUSHED, 0);
    run_begin(&address, run_here);
    if (address == NULL)
        usage_error("an address is missing", "");
    for (int i = first; i < words; i++)
        if (find(argv[i]) == NULL)
            usage_error("no such behaviour: ", argv[i]);
    if (!transport_open(address))
        return EXIT_USAGE;
    for (int i = first; i < words; i++)
        count[run(find(argv[i]))]++;
    for (int i = 0; i < behaviour_count && words == first; i++)
        count[run(&behaviours[i])]++;
    printf("%d passed, %d failed, %d skipped\nEND\n", count[PASSED], count[FAILED], count[SKIPPED]);
    return count[FAILED] == 0 ? EXIT_PASSED : EXIT_FAILED;
}
