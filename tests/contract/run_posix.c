/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest on POSIX: a behaviour is a forked child in a group of its own, which says what it has to say through a pipe.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "suite.h"

/* --- In the behaviour's process ------------------------------------------------------------------------------------------------ */

static int   report_fd = -1;
static pid_t report_pid;

bool run_say(const char *text, size_t size)
{
    if (getpid() != report_pid)
        return false;
    if (write(report_fd, text, size) != (ssize_t)size)
        _exit(EXIT_USAGE);
    return true;
}

_Noreturn void run_leave(int code)
{
    _exit(code);
}

int run_warm_up(void)
{
    return 0;
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

/* --- In the parent --------------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t running;

static void on_end(int signal)
{
    if (running > 0)
        kill(-(pid_t)running, SIGKILL);
    _exit(128 + signal);
}

static _Noreturn void give_up(void)
{
    perror("virtsock-selftest");
    exit(EXIT_FAILED);
}

void run_begin(const char **address, void (*here)(const struct behaviour *))
{
    (void)address;
    (void)here;
    run_seen = mmap(NULL, sizeof *run_seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run_seen == MAP_FAILED)
        give_up();
    signal(SIGINT, on_end);
    signal(SIGTERM, on_end);
}

/* What the behaviour's process says, until it has ended (true) or its time has (false). */
static bool listen_to(int fd, int limit_s, char *text, size_t cap)
{
    int64_t until = test_us() + (int64_t)limit_s * 1000000, left;
    size_t  at = 0;

    while ((left = until - test_us()) > 0) {
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

static _Noreturn void child(const struct behaviour *b, void (*here)(const struct behaviour *), int fd)
{
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);                   /* whatever we inherited: the library must never raise it */
    report_fd = fd;
    report_pid = getpid();
    here(b);
    exit(EXIT_PASSED);                          /* not _exit: a leak checker runs at exit */
}

void run_apart(const struct behaviour *b, void (*here)(const struct behaviour *), int limit_s, struct outcome *o)
{
    int   ends[2], status = 0;
    pid_t pid;

    atomic_store(run_seen, 0);
    if (pipe(ends) != 0 || (pid = fork()) < 0)
        give_up();
    if (pid == 0) {
        close(ends[0]);
        child(b, here, ends[1]);
    }
    setpgid(pid, pid);
    running = (sig_atomic_t)pid;
    close(ends[1]);
    o->ended = listen_to(ends[0], limit_s, o->text, sizeof o->text);
    kill(-pid, SIGKILL);                        /* and what it may have forked */
    waitpid(pid, &status, 0);
    running = 0;
    close(ends[0]);
    o->seen = run_last_seen();
    o->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (WIFSIGNALED(status))
        snprintf(o->crash, sizeof o->crash, "signal %d", WTERMSIG(status));
}

/* --- What the system gives ---------------------------------------------------------------------------------------------------------- */

bool small_sockets(virtsock_fd out[2], int size)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) != 0 || setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size) != 0)
            return false;
        out[i] = fds[i];
    }
    return true;
}

char *zeros(uint64_t size)
{
    void *p = size > SIZE_MAX / 2 ? MAP_FAILED
                                  : mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool free_zeros(char *data, uint64_t size)
{
    return munmap(data, (size_t)size) == 0;
}
