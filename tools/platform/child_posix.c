/* SPDX-License-Identifier: MIT
 *
 * Programs that are given a client's socket on a POSIX system: see child.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const bool child_runs = true;

int child_look(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    return access(path, X_OK) == 0 ? 0 : errno;
}

/* What is for this process alone: sd_listen_fds(3), sd_notify(3). */
static bool is_passed_on(const char *variable)
{
    static const char *const ours[] = {
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET=", "VIRTSOCK_PEER="
    };

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
            return false;
    return true;
}

/* The caller frees it. */
static char **make_environment(const char *more)
{
    size_t count = 0, kept = 0;
    char **made;

    while (environ[count] != NULL)
        count++;
    if ((made = calloc(count + 2, sizeof *made)) == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (is_passed_on(environ[i]))
            made[kept++] = environ[i];
    made[kept] = (char *)more;
    return made;
}

static int spawn(pid_t *child, char *const argv[], int socket, char *const environment[])
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          attributes;
    sigset_t                   usual, none;
    int                        code;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, socket, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setsigmask(&attributes, &none);
    code = posix_spawn(child, argv[0], &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return code;
}

int child_start(int64_t *child, char *const argv[], virtsock_fd socket, const char *more)
{
    char **environment = make_environment(more);
    pid_t  pid = 0;
    int    code = environment != NULL ? spawn(&pid, argv, (int)socket, environment) : ENOMEM;

    free(environment);
    close((int)socket);
    *child = pid;
    return code;
}

void child_await(int64_t child)
{
    siginfo_t info;

    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        continue;
}

int child_forget(int64_t child)
{
    int status = 0;

    while (waitpid((pid_t)child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void child_kill(int64_t child)
{
    kill((pid_t)-child, SIGKILL);
}
