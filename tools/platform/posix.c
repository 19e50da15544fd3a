/* SPDX-License-Identifier: MIT
 *
 * What the command asks of a POSIX system: see tool.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (256 * 1024)         /* of a thread: one buffer of 64 KiB, and what the library needs */

void tool_start(void)
{
    /* The wrong way round, so that using one that was closed is an error still. */
    static const int mode[] = { O_WRONLY, O_RDONLY, O_RDONLY };

    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode[fd]) != fd)
            abort();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);           /* who ignores it, as a starter may have, hears of no child's end */
}

int64_t tool_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t tool_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void tool_nap_ms(int ms)
{
    poll(NULL, 0, ms);
}

void tool_code_text(int code, char *text, size_t cap)
{
    if (strerror_r(code, text, cap) != 0)
        snprintf(text, cap, "code %d", code);
}

bool tool_errors_on_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

/* After a failure: true if the call is to be made again. A descriptor that others made non-blocking is waited for. */
static bool try_again(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        poll(&p, 1, -1);
        return true;
    }
    return errno == EINTR;
}

int64_t tool_input(void *buf, size_t cap)
{
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf, cap)) < 0)
        if (!try_again(STDIN_FILENO, POLLIN))
            return -errno;
    return n;
}

int tool_output(const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, at, size);

        if (n < 0) {
            if (!try_again(STDOUT_FILENO, POLLOUT))
                return errno;
            continue;
        }
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int tool_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : errno;
}

const size_t tool_path_most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

int tool_make_directory(const char *path)
{
    return mkdir(path, S_IRWXU) == 0 ? 0 : errno;
}

/* The number is tried on kernels alone where it can mean nothing else: on others that would load AF_SMC's module. */
bool tool_has_family_43(void)
{
    struct utsname system;
    int            major, minor, fd;

    if (uname(&system) != 0 || strcmp(system.sysname, "Linux") != 0 || sscanf(system.release, "%d.%d", &major, &minor) != 2
        || major > 4 || (major == 4 && minor > 10))
        return false;
    if ((fd = socket(43, SOCK_STREAM, 1)) < 0)
        return false;
    close(fd);
    return true;
}

void tool_wait(virtsock_fd fd, int events, int timeout_ms)
{
    struct pollfd p = { .fd = (int)fd };

    if (events & VIRTSOCK_WANT_RECV)
        p.events |= POLLIN;
    if (events & VIRTSOCK_WANT_SEND)
        p.events |= POLLOUT;
    poll(&p, 1, timeout_ms);
}

void tool_poll(virtsock_fd fd, int events, int timeout_ms)
{
    tool_wait(fd, events, timeout_ms);
}

bool tool_may_receive(virtsock_fd fd, int timeout_ms)
{
    struct pollfd p = { .fd = (int)fd, .events = POLLIN };

    return poll(&p, 1, timeout_ms) == 1;
}

/* Linux has them as files; others have no such file. */
static FILE *open_of_process(int64_t pid, const char *what)
{
    char path[64];

    if (pid <= 0)
        return NULL;
    snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, what);
    return fopen(path, "re");
}

bool tool_process_name(int64_t pid, char *name, size_t cap)
{
    FILE *file = open_of_process(pid, "comm");
    bool  known = file != NULL && fgets(name, (int)cap, file) != NULL;

    if (file != NULL)
        fclose(file);
    if (known)
        name[strcspn(name, "\n")] = '\0';
    return known;
}

bool tool_process_has(int64_t pid, const char *library)
{
    FILE *file = open_of_process(pid, "maps");
    char  line[512], *found;
    bool  has = false;

    while (file != NULL && !has && fgets(line, sizeof line, file) != NULL)
        has = (found = strstr(line, library)) != NULL && found > line && found[-1] == '/';
    if (file != NULL)
        fclose(file);
    return has;
}

void tool_take_name(const char *name)
{
    int fd = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, name, strlen(name)) < 0)
        errno = 0;
    if (fd >= 0)
        close(fd);
}

bool tool_takes_no_more(const virtsock_error *err)
{
    return err->status == VIRTSOCK_E_RESET && (err->os_code == 0 || err->os_code == EPIPE);
}

/* TCP is told at once: a close that wakes others says its end before it. */
void tool_break(virtsock_fd fd)
{
    struct linger   now = { .l_onoff = 1, .l_linger = 0 };
    struct sockaddr none = { .sa_family = AF_UNSPEC };

    setsockopt((int)fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (connect((int)fd, &none, sizeof none) != 0)
        return;
}

/* --- Threads --------------------------------------------------------------------------------------------------------- */

struct start {
    void (*run)(void *);
    void  *argument;
};

static void *begin(void *from)
{
    struct start start = *(struct start *)from;

    free(from);
    start.run(start.argument);
    return NULL;
}

bool tool_thread(void (*run)(void *), void *argument)
{
    struct start  *start = malloc(sizeof *start);
    pthread_attr_t attributes;
    pthread_t      thread;
    int            code;

    if (start == NULL)
        return false;
    *start = (struct start){ run, argument };
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    code = pthread_create(&thread, &attributes, begin, start);
    pthread_attr_destroy(&attributes);
    if (code != 0)
        free(start);
    return code == 0;
}

struct tool_event {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            set;
};

struct tool_event *tool_event_new(void)
{
    struct tool_event *event = malloc(sizeof *event);

    if (event == NULL)
        return NULL;
    pthread_mutex_init(&event->lock, NULL);
    pthread_cond_init(&event->changed, NULL);
    event->set = false;
    return event;
}

void tool_event_free(struct tool_event *event)
{
    if (event == NULL)
        return;
    pthread_cond_destroy(&event->changed);
    pthread_mutex_destroy(&event->lock);
    free(event);
}

void tool_event_set(struct tool_event *event)
{
    pthread_mutex_lock(&event->lock);
    event->set = true;
    pthread_cond_broadcast(&event->changed);
    pthread_mutex_unlock(&event->lock);
}

void tool_event_clear(struct tool_event *event)
{
    pthread_mutex_lock(&event->lock);
    event->set = false;
    pthread_mutex_unlock(&event->lock);
}

bool tool_event_wait(struct tool_event *event, int timeout_ms)
{
    struct timespec until;
    bool            set;
    int             code = 0;

    /* The wall clock: the one that every POSIX system's condition variables have. A jump makes a wait too short or too long, once. */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&event->lock);
    while (!event->set && code == 0)
        code = timeout_ms < 0 ? pthread_cond_wait(&event->changed, &event->lock)
                              : pthread_cond_timedwait(&event->changed, &event->lock, &until);
    set = event->set;
    pthread_mutex_unlock(&event->lock);
    return set;
}

/* --- Signals --------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;
static struct start    stop_call;
static bool            stop_watched;
static sigset_t        stop_signals;

/* The signals are blocked in every thread, and taken here one by one: no handler, and no race with a wait that begins. What comes in the
 * breath of a wish is no other: timeout(1) tells its child and then the group, SendSIGHUP= of systemd sends two, a terminal tells all. */
static void watch_signals(void *unused)
{
    int64_t wish_us = INT64_MIN / 2;    /* that was called for */

    (void)unused;
    for (;;) {
        struct start call;
        int          number;

        if (sigwait(&stop_signals, &number) != 0 || tool_now_us() - wish_us < TOOL_BREATH_MS * 1000)
            continue;
        pthread_mutex_lock(&stop_lock);
        call = stop_call;
        stop_call.run = NULL;
        if (call.run != NULL)
            call.run(call.argument);
        pthread_mutex_unlock(&stop_lock);
        if (call.run != NULL)
            wish_us = tool_now_us();
        if (call.run == NULL) {
            signal(number, SIG_DFL);
            pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);
            raise(number);
        }
    }
}

static void begin_watching(void)
{
    static const int wishes[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction now;

    sigemptyset(&stop_signals);
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (sigaction(wishes[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)         /* nohup stays nohup */
            sigaddset(&stop_signals, wishes[i]);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);
    stop_watched = tool_thread(watch_signals, NULL);
    if (!stop_watched)
        pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);
}

void tool_on_stop(void (*stop)(void *), void *argument)
{
    pthread_mutex_lock(&stop_lock);
    stop_call = (struct start){ stop, argument };
    if (!stop_watched && stop != NULL)
        begin_watching();
    pthread_mutex_unlock(&stop_lock);
}
