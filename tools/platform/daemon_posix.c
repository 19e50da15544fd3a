/* SPDX-License-Identifier: MIT
 *
 * Services of a POSIX system: see daemon.h.
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "platform/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/tool.h"

#define FIRST_PASSED 3                  /* sd_listen_fds(3): SD_LISTEN_FDS_START */

void daemon_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int daemon_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count < 1 ? 1 : count > 1024 ? 1024 : (int)count;
}

int64_t daemon_user(void)
{
    return geteuid();
}

/* --- Descriptors ------------------------------------------------------------------------------------------------------- */

static bool is_number(const char *text, long number)
{
    char *end;

    return text != NULL && *text != '\0' && strtol(text, &end, 10) == number && *end == '\0';
}

/* The nth of the names between colons. */
static void name_of(int number, char name[DAEMON_NAME])
{
    const char *at = getenv("LISTEN_FDNAMES");
    size_t      n;

    for (; at != NULL && number > 0; number--)
        if ((at = strchr(at, ':')) != NULL)
            at++;
    n = at != NULL ? strcspn(at, ":") : 0;
    snprintf(name, DAEMON_NAME, "%.*s", (int)n, at != NULL ? at : "");
}

virtsock_fd daemon_passed(int number, char name[DAEMON_NAME])
{
    const char *count = getenv("LISTEN_FDS");

    if (!is_number(getenv("LISTEN_PID"), getpid()) || count == NULL || number >= atoi(count))
        return -1;
    name_of(number, name);
    fcntl(FIRST_PASSED + number, F_SETFD, FD_CLOEXEC);
    return FIRST_PASSED + number;
}

virtsock_fd daemon_inetd(void)
{
    struct stat in, out;

    if (fstat(STDIN_FILENO, &in) != 0 || fstat(STDOUT_FILENO, &out) != 0 || !S_ISSOCK(in.st_mode))
        return -1;
    return in.st_dev == out.st_dev && in.st_ino == out.st_ino ? STDIN_FILENO : -1;
}

enum daemon_socket daemon_socket_of(virtsock_fd fd)
{
    socklen_t size = sizeof(int);
    int       type = 0;

    if (fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
        return DAEMON_CLOSED;
    if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return DAEMON_NO_SOCKET;
    return type == SOCK_STREAM ? DAEMON_STREAM : type == SOCK_SEQPACKET ? DAEMON_MESSAGES : DAEMON_NO_SOCKET;
}

/* macOS has no such option for some families: there the library says so when it is tried. */
bool daemon_listens(virtsock_fd fd)
{
    socklen_t size = sizeof(int);
    int       listens = 0;

    return getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

const bool daemon_has_pairs = true;

#ifdef SOCK_CLOEXEC

static bool make_pair(int fd[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0;
}

#else

static bool make_pair(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
        return false;
    for (int i = 0; i < 2; i++)
        fcntl(fd[i], F_SETFD, FD_CLOEXEC);
    return true;
}

#endif

bool daemon_pair(virtsock_fd pair[2])
{
    int fd[2];

    if (!make_pair(fd))
        return false;
    for (int i = 0; i < 2; i++)
        pair[i] = fd[i];
    return true;
}

void daemon_end_output(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    dup2(null, STDOUT_FILENO);
    close(null);
}

int daemon_pass(virtsock_fd fd)
{
    union {
        char           bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = { .bytes = { 0 } };
    struct iovec    nothing = { .iov_base = (char[]){ 0 }, .iov_len = 1 };
    struct msghdr   message = { .msg_iov = &nothing, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int             number = (int)fd;

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof number);
    memcpy(CMSG_DATA(head), &number, sizeof number);
    while (sendmsg(STDOUT_FILENO, &message, 0) < 0)
        if (errno == EAGAIN)
            tool_wait(STDOUT_FILENO, VIRTSOCK_WANT_SEND, -1);
        else if (errno != EINTR)
            return errno;
    return 0;
}

void daemon_set_nonblocking(virtsock_fd fd)
{
    fcntl((int)fd, F_SETFL, fcntl((int)fd, F_GETFL) | O_NONBLOCK);
}

void daemon_make_room(virtsock_fd fd, size_t size)
{
    const int room = (int)size + 4096;  /* what the system needs besides */

    setsockopt((int)fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

bool daemon_has_bytes(virtsock_fd fd)
{
    char byte;

    return recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void daemon_refuse_new(virtsock_fd listener)
{
    struct sockaddr_storage at = { 0 };
    socklen_t               size = sizeof at;

    if (getsockname((int)listener, (struct sockaddr *)&at, &size) == 0 && at.ss_family == AF_UNIX)
        shutdown((int)listener, SHUT_RD);
}

/* --- What was made in the file system ---------------------------------------------------------------------------------- */

/* Of this process, by name and inode: what stands there later may be the next instance's. */
static struct own {
    struct own *next;
    const char *path;                   /* lasts */
    dev_t       device;
    ino_t       inode;
} *owned;

static void own(const char *path, const struct stat *status)
{
    struct own *mine = malloc(sizeof *mine);

    if (mine == NULL)
        return;                         /* then it stays */
    *mine = (struct own){ owned, path, status->st_dev, status->st_ino };
    owned = mine;
}

static void remove_own(const char *path)
{
    struct stat status;

    for (struct own **at = &owned; *at != NULL; at = &(*at)->next) {
        struct own *mine = *at;

        if (strcmp(mine->path, path) != 0)
            continue;
        if (lstat(path, &status) == 0 && status.st_dev == mine->device && status.st_ino == mine->inode)
            unlink(path);
        *at = mine->next;
        free(mine);
        return;
    }
}

/* The same file may be another instance's by now, which wrote over it. */
static bool names_this_process(const char *path)
{
    int     fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char    text[24] = "";
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    return size > 0 && atol(text) == getpid();
}

void daemon_remove_pid(const char *path)
{
    if (names_this_process(path))
        remove_own(path);
}

/* Opened with those flags; its name for good is path. 0 or the code. */
static int write_number(const char *at, int flags, const char *path)
{
    int         fd = open(at, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600), code = 0;
    struct stat status;
    char        text[24];
    int         size = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (fd < 0)
        return errno;
    if (fstat(fd, &status) != 0 || fchmod(fd, 0600) != 0 || ftruncate(fd, 0) != 0 || write(fd, text, (size_t)size) != size)
        code = errno;
    close(fd);
    if (code == 0)
        own(path, &status);
    else if (flags & O_EXCL)            /* this process has made it, in vain */
        unlink(at);
    return code;
}

/* A new file takes the place of one that was there: an instance that has not left yet removes its own alone. */
static bool replace(const char *path)
{
    char new[PATH_MAX];
    int  size = snprintf(new, sizeof new, "%s.%ld", path, (long)getpid());

    if (size < 0 || (size_t)size >= sizeof new || write_number(new, O_EXCL, path) != 0)
        return false;
    if (rename(new, path) == 0)
        return true;
    unlink(new);
    return false;
}

/* Where the directory lets nothing be made, the one that is there is written over. Nothing but a file is touched, and nothing waits: a FIFO may have
 * nobody at its other end. */
int daemon_write_pid(const char *path)
{
    struct stat status;

    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return S_ISLNK(status.st_mode) ? ELOOP : DAEMON_NO_FILE;
    return replace(path) ? 0 : write_number(path, 0, path);
}

/* --- Services ---------------------------------------------------------------------------------------------------------- */

void daemon_detach(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static sigset_t report_signal;
static void   (*on_report)(void);

static void watch_report(void *unused)
{
    int number;

    (void)unused;
    for (;;)
        if (sigwait(&report_signal, &number) == 0)
            on_report();
}

/* The new thread is to have none of the process's other signals. */
void daemon_on_report(void (*report)(void))
{
    sigset_t all, before;

    on_report = report;
    sigemptyset(&report_signal);
    sigaddset(&report_signal, SIGUSR1);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (tool_thread(watch_report, NULL))
        sigaddset(&before, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
