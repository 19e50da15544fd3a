/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest: the command line, and the running of behaviours: each in a process of its own with a time limit, so that one that crashes
 * or hangs is a failure with a name and the others go on. A line a behaviour, then the count, then END: without it the run is void.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define DESCRIPTORS_MAX 4096

enum result { PASSED, FAILED, SKIPPED };
enum { EXIT_PASSED, EXIT_FAILED, EXIT_USAGE };

static const char usage[] =
    "usage: virtsock-selftest [OPTION]... ADDRESS [NAME]...\n"
    "       virtsock-selftest --list\n"
    "\n"
    "Tries every behaviour that the library promises, or those that are named, over a transport of this machine: it listens and connects\n"
    "at addresses made from ADDRESS, which are\n"
    "\n"
    "  unix:///PATH                 PATH.N, with numbers up to 10,000 (also with ?type=seqpacket)\n"
    "  vsock://local:PORT           PORT and up to 10,000 above it (also with ?type=seqpacket)\n"
    "  tcp://127.0.0.1:any          ports that the system chooses\n"
    "  vsock-mux://:PORT/DIR/vsock.sock, hyperkit://:PORT/DIR\n"
    "                               PORT and up to 10,000 above it, through `virtsock mux DIR`, which must run\n"
    "  socketpair                   pairs of sockets with tiny buffers; what needs a listener is left out\n"
    "\n"
    "  --rounds N        of what is done again and again (default 1000)\n"
    "  --connections N   at once, of those that carry data (default 50)\n"
    "  --size MIB        that each of them carries each way (default 20)\n"
    "  --slow N          on a slow or busy machine: waits may end N times as late as 100 ms (default 1)\n"
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

/* --- In the behaviour's process ---------------------------------------------------------------------------------------- */

static int   report_fd = -1;
static pid_t report_pid;
static bool  skipped;
static _Atomic(const char *) *seen;             /* shared with the parent: a text of this program, at the same place in both */

void seen_at(const char *where)
{
    atomic_store_explicit(seen, where, memory_order_relaxed);
}

static const char *without_folder(const char *where)
{
    const char *slash = strrchr(where, '/');

    return slash != NULL ? slash + 1 : where;
}

static void report(char kind, const char *where, const char *format, va_list args)
{
    char text[700];
    int  n = snprintf(text, sizeof text, "%c%s%s", kind, where, where[0] != '\0' ? ": " : "");

    n += vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    if (n >= (int)sizeof text)
        n = (int)sizeof text - 1;
    if (getpid() != report_pid)
        fprintf(stderr, "virtsock-selftest: in a process of a behaviour: %s\n", text + 1);
    else if (write(report_fd, text, (size_t)n) != n)
        _exit(EXIT_USAGE);
}

_Noreturn void fail_at(const char *where, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report('F', without_folder(where), format, args);
    va_end(args);
    fflush(stdout);
    _exit(EXIT_FAILED);
}

void skip(const char *format, ...)
{
    va_list args;

    skipped = true;
    va_start(args, format);
    report('S', "", format, args);
    va_end(args);
}

void note(const char *format, ...)
{
    va_list args;

    fputs("# ", stdout);
    va_start(args, format);
    vfprintf(stdout, format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

pid_t fork_peer(void)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        close(report_fd);
        report_fd = -1;
    }
    return pid;
}

void check_peer(pid_t pid)
{
    int status = -1;

    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQUAL(status, 0);
}

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

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
    return NULL;
}

static _Noreturn void child(const struct behaviour *b, int fd)
{
    const char *why = missing(b->needs);
    int         before;

    report_fd = fd;
    report_pid = getpid();
    under_test.number = 100 * (int)(b - behaviours);
    if (why != NULL) {
        skip("%s", why);
        exit(EXIT_PASSED);
    }
    before = open_descriptors();
    b->run();
    if (!skipped && open_descriptors() != before)
        fail_at("main.c", "%d descriptors before, %d after: a leak", before, open_descriptors());
    exit(EXIT_PASSED);                          /* not _exit: a leak checker runs at exit */
}

/* --- In the parent ------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t running;

static void on_end(int signal)
{
    if (running > 0)
        kill(-(pid_t)running, SIGKILL);
    _exit(128 + signal);
}

/* What the behaviour's process says, until it has ended (true) or its time has (false). */
static bool listen_to(int fd, char *text, size_t cap)
{
    int64_t until = now_us() + (int64_t)limit_s * 1000000, left;
    size_t  at = 0;

    while ((left = until - now_us()) > 0) {
        struct pollfd p = { fd, POLLIN, 0 };
        ssize_t       n;

        if (poll(&p, 1, (int)(left / 1000) + 1) <= 0)
            continue;
        if ((n = read(fd, text + at, cap - 1 - at)) <= 0)
            return true;
        at += (size_t)n;
        text[at] = '\0';
    }
    return false;
}

static enum result judge(const struct behaviour *b, const char *text, bool ended, int status, int64_t took_us)
{
    if (!ended)
        printf("FAIL %s: no end within %d s; last seen at %s\n", b->name, limit_s, without_folder(atomic_load(seen)));
    else if (text[0] == 'F')
        printf("FAIL %s: %s\n", b->name, text + 1);
    else if (WIFSIGNALED(status))
        printf("FAIL %s: ended by signal %d after %s\n", b->name, WTERMSIG(status), without_folder(atomic_load(seen)));
    else if (status != 0)
        printf("FAIL %s: exit code %d; standard error may say why\n", b->name, WEXITSTATUS(status));
    else if (text[0] == 'S')
        return printf("skip %s: %s\n", b->name, text + 1), SKIPPED;
    else
        return printf("ok %s %lld ms\n", b->name, (long long)(took_us / 1000)), PASSED;
    return FAILED;
}

static enum result run(const struct behaviour *b)
{
    char    text[1024] = "";
    int64_t began = now_us();
    int     ends[2], status = 0;
    bool    ended;
    pid_t   pid;

    fflush(NULL);
    atomic_store(seen, "its start");
    if (pipe(ends) != 0 || (pid = fork()) < 0) {
        perror("virtsock-selftest");
        exit(EXIT_FAILED);
    }
    if (pid == 0) {
        setpgid(0, 0);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);               /* whatever we inherited: the library must never raise it */
        close(ends[0]);
        child(b, ends[1]);
    }
    setpgid(pid, pid);
    running = (sig_atomic_t)pid;
    close(ends[1]);
    ended = listen_to(ends[0], text, sizeof text);
    kill(-pid, SIGKILL);                        /* and what it may have forked */
    waitpid(pid, &status, 0);
    running = 0;
    close(ends[0]);
    return judge(b, text, ended, status, now_us() - began);
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
    usage_error("no such behaviour: ", name);
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
    int count[3] = { 0, 0, 0 };
    int words = read_options(argc, argv);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (words == 0)
        usage_error("an address is missing", "");
    for (int i = 1; i < words; i++)
        find(argv[i]);
    if (!transport_open(argv[0]))
        return EXIT_USAGE;
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED) {
        perror("virtsock-selftest");
        return EXIT_FAILED;
    }
    signal(SIGINT, on_end);
    signal(SIGTERM, on_end);
    if (words > 1)
        for (int i = 1; i < words; i++)
            count[run(find(argv[i]))]++;
    else
        for (int i = 0; i < behaviour_count; i++)
            count[run(&behaviours[i])]++;
    printf("%d passed, %d failed, %d skipped\nEND\n", count[PASSED], count[FAILED], count[SKIPPED]);
    return count[FAILED] == 0 ? EXIT_PASSED : EXIT_FAILED;
}
