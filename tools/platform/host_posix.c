/* SPDX-License-Identifier: MIT
 *
 * Programs of a POSIX system that know its machines: see host.h. Nothing is registered there.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/tool.h"

extern char **environ;

bool host_find(char *path, size_t cap, const char *name)
{
    static const char *const folders[] = { "/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin" };

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if ((size_t)snprintf(path, cap, "%s/%s", folders[i], name) < cap && access(path, X_OK) == 0)
            return true;
    return false;
}

/* --- Being ended -------------------------------------------------------------------------------------------------- */

static const int wishes[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
#define WISHES (sizeof wishes / sizeof *wishes)

static volatile sig_atomic_t group;     /* of the program that runs; 0: none does */
static struct sigaction      usual_action[WISHES];

/* Its group is not ours, so that a terminal's Ctrl-C does not come to it. */
static void end_both(int number)
{
    if (group > 0)
        kill(-(pid_t)group, SIGKILL);
    signal(number, SIG_DFL);
    raise(number);                      /* it comes when this has returned */
}

/* What this process ignores (nohup) ends nothing. */
static void follow(pid_t child)
{
    struct sigaction end = { .sa_handler = end_both };

    group = (sig_atomic_t)child;
    sigemptyset(&end.sa_mask);
    for (size_t i = 0; i < WISHES; i++)
        if (sigaction(wishes[i], NULL, &usual_action[i]) == 0 && usual_action[i].sa_handler != SIG_IGN)
            sigaction(wishes[i], &end, NULL);
}

static void follow_no_more(void)
{
    group = 0;
    for (size_t i = 0; i < WISHES; i++)
        sigaction(wishes[i], &usual_action[i], NULL);
}

/* --- Running ------------------------------------------------------------------------------------------------------ */

/* In a process group of its own, so that all of it can be ended, and with SIGPIPE as usual. */
static int start(pid_t *child, const char *const argv[], int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          attributes;
    sigset_t                   usual, none, held, before;
    int                        code;

    sigemptyset(&held);
    for (size_t i = 0; i < WISHES; i++)
        sigaddset(&held, wishes[i]);
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setsigmask(&attributes, &none);
    sigprocmask(SIG_BLOCK, &held, &before);     /* no moment in which it runs and would be left */
    code = posix_spawn(child, argv[0], &files, &attributes, (char *const *)argv, environ);
    if (code == 0)
        follow(*child);
    sigprocmask(SIG_SETMASK, &before, NULL);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return code == ENOENT ? HOST_ABSENT : code;
}

static int left_ms(int64_t until_us)
{
    int64_t left = until_us == INT64_MAX ? -1 : (until_us - tool_now_us()) / 1000;

    return until_us == INT64_MAX ? -1 : left < 0 ? 0 : (int)left;
}

/* To the end of what it says. */
static int collect(int from, char *out, size_t cap, int64_t until_us)
{
    size_t size = 0;

    for (;;) {
        struct pollfd p = { .fd = from, .events = POLLIN };
        ssize_t       n;

        if (poll(&p, 1, left_ms(until_us)) == 0)
            return HOST_HUNG;
        if ((n = read(from, out + size, cap - size)) < 0 && errno != EINTR)
            return errno;
        size += n > 0 ? (size_t)n : 0;
        if (size == cap)
            return HOST_FLOODED;
        if (n == 0) {
            out[size] = '\0';
            return 0;
        }
    }
}

/* It has closed its output; it may take its time to end. */
static int await_end(pid_t child, int64_t until_us, int *exit_code)
{
    pid_t ended;
    int   status = 0;

    while ((ended = waitpid(child, &status, WNOHANG)) == 0) {
        if (left_ms(until_us) == 0)
            return HOST_HUNG;
        tool_nap_ms(1);
    }
    *exit_code = ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 0;
}

int host_run(const char *const argv[], char *out, size_t cap, int timeout_ms, int *exit_code)
{
    int64_t until_us = timeout_ms < 0 ? INT64_MAX : tool_now_us() + (int64_t)timeout_ms * 1000;
    pid_t   child;
    int     ends[2], code;

    if (pipe(ends) != 0)
        return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    code = start(&child, argv, ends[1]);
    close(ends[1]);
    if (code == 0) {
        if ((code = collect(ends[0], out, cap, until_us)) == 0)
            code = await_end(child, until_us, exit_code);
        if (code != 0) {
            kill(-child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        follow_no_more();
    }
    close(ends[0]);
    return code;
}

int host_registers(void)
{
    return HOST_ABSENT;
}

int host_service(const char *service, char *name, size_t cap)
{
    (void)service, (void)name, (void)cap;
    return HOST_ABSENT;
}

int host_service_at(unsigned number, char service[SERVICE_TEXT])
{
    (void)number, (void)service;
    return HOST_ABSENT;
}
