/* SPDX-License-Identifier: MIT
 *
 * What the tests want of a system, in the words of both: time, and who waited for a processor; naps, threads (POSIX's; mingw-w64 has them),
 * folders, and how many descriptors or handles are open. NO_TEST names a test that a system has no means for, and says why.
 */
#ifndef OS_H
#define OS_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef _WIN32

#include <winsock2.h>
#include <windows.h>

#define TEST_FLUSHED _IONBF             /* _IOLBF is _IOFBF there */

static inline int64_t test_us(void)
{
    LARGE_INTEGER now, per_s;

    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&per_s);
    return now.QuadPart / per_s.QuadPart * 1000000 + now.QuadPart % per_s.QuadPart * 1000000 / per_s.QuadPart;
}

/* Sleep knows milliseconds alone. */
static inline void test_nap_us(int64_t us)
{
    int64_t until = test_us() + us;

    if (us >= 2000)
        Sleep((DWORD)(us / 1000));
    while (test_us() < until)
        SwitchToThread();
}

/* Nobody counts it here. */
static inline int64_t test_delay_us(void) { return -1; }
static inline int64_t test_delay_of_us(long thread) { (void)thread; return -1; }
static inline int64_t test_steal_us(void) { return -1; }

static inline void test_ask_system(int times)
{
    while (times-- > 0)
        WaitForSingleObject(GetCurrentProcess(), 0);
}

static inline long test_thread(void)
{
    return (long)GetCurrentThreadId();
}

/* Nor tells what another thread does: it has had the time to wait. */
static inline bool test_runs(long thread)
{
    (void)thread;
    Sleep(50);
    return false;
}

static inline int test_open_descriptors(void)
{
    DWORD flags;
    int   n = 0;

    for (uintptr_t handle = 4; handle < 8192; handle += 4)     /* GetProcessHandleCount is 0 under Wine */
        n += GetHandleInformation((HANDLE)handle, &flags) != 0;
    return n;
}

static inline bool test_is_open(virtsock_fd fd)
{
    int type, size = sizeof type;

    return getsockopt((SOCKET)fd, SOL_SOCKET, SO_TYPE, (char *)&type, &size) == 0;
}

static inline bool test_is_inherited(virtsock_fd fd)
{
    DWORD flags = HANDLE_FLAG_INHERIT;

    return !GetHandleInformation((HANDLE)(intptr_t)fd, &flags) || (flags & HANDLE_FLAG_INHERIT) != 0;
}

/* Until the descriptor, or the handle, that a connection wants is ready, or the time has passed. */
static inline void test_wait(virtsock_fd fd, int events, int timeout_ms)
{
    (void)events;
    if (fd < 0)
        Sleep((DWORD)timeout_ms);
    else
        WaitForSingleObject((HANDLE)(intptr_t)fd, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
}

/* Of UNIX sockets, which Wine does not have. */
static inline const char *test_directory(void) { abort(); }
/* Of which transports know nothing here. */
static inline int64_t test_user(void) { return 0; }
/* And of which there are none. */
static inline int test_flags(virtsock_fd fd) { return (void)fd, 0; }

/* Two sockets of the system's own that are connected, for tests that look what happens to others'. */
static inline bool test_sockets(virtsock_fd out[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int                size = sizeof at;
    u_long             yes = 1;
    WSADATA            data;
    SOCKET             s[2];
    bool               ok = WSAStartup(MAKEWORD(2, 2), &data) == 0;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 2; i++) {
        s[i] = socket(AF_INET, SOCK_DGRAM, 0);
        ok = ok && s[i] != INVALID_SOCKET && bind(s[i], (struct sockaddr *)&at, sizeof at) == 0 && ioctlsocket(s[i], (long)FIONBIO, &yes) == 0;
        out[i] = (virtsock_fd)s[i];
    }
    for (int i = 0; i < 2; i++)
        ok = ok && getsockname(s[1 - i], (struct sockaddr *)&at, &size) == 0 && connect(s[i], (struct sockaddr *)&at, size) == 0;
    return ok;
}

/* What there is, without waiting; -1: nothing. */
static inline int test_raw_recv(virtsock_fd fd, char *buf, int cap)
{
    return recv((SOCKET)fd, buf, cap, 0);
}

static inline bool test_raw_send(virtsock_fd fd, const char *data, int size)
{
    return send((SOCKET)fd, data, size, 0) == size;
}

static inline bool test_raw_close(virtsock_fd fd)
{
    return closesocket((SOCKET)fd) == 0;
}

#define TEST_SHUT    WSAESHUTDOWN       /* the code of a send after the end of its direction */
#define TEST_STEP    3                  /* of four ways: Wine's connections take five times as long */
#define TEST_TELLS   0                  /* whether the system tells of a peer's end before a call does */
#define TEST_KEPT    16                 /* handles that locks and threads make once and keep, or give back late */
#define TEST_TRIES   3                  /* a lock's first contention makes an event that stays; what leaks does so each time */
#define TEST_CLIENTS 15000              /* connections, so that more often than not one of them comes from where it goes */
#define TEST_CLIENT  40001              /* such a port: for who binds first, as ConnectEx wants it, the Linux below Wine takes odd ones */
#define TEST_WAKE    0                  /* descriptors that a listener needs to be woken */
#define TEST_REFUSED WSAECONNREFUSED    /* and of a connection to nobody, over TCP and Hyper-V */

#else

#include <poll.h>
#include <sys/socket.h>

#define TEST_FLUSHED _IOLBF

static inline int64_t test_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void test_nap_us(int64_t us)
{
    struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

    nanosleep(&t, NULL);
}

/* The beginning of a file of Linux's /proc; false: there is none. */
static inline bool test_proc(const char *path, char *text, size_t cap)
{
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, cap - 1) : -1;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static inline int64_t test_delay_told_us(const char *schedstat)
{
    char    text[100];
    int64_t ns, turns;

    return test_proc(schedstat, text, sizeof text) && sscanf(text, "%*u %" SCNd64 " %" SCNd64, &ns, &turns) == 2
           && turns > 0 ? ns / 1000 : -1;
}

/* How long this thread was ready to run and had no processor. -1: nobody counts it. */
static inline int64_t test_delay_us(void)
{
    return test_delay_told_us("/proc/thread-self/schedstat");
}

/* And another one of this program. */
static inline int64_t test_delay_of_us(long thread)
{
    char path[60];

    snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", thread);
    return test_delay_told_us(path);
}

/* How long the processors of this machine were ready to run and its host had none for them. */
static inline int64_t test_steal_us(void)
{
    char    text[200];
    int64_t ticks;

    return test_proc("/proc/stat", text, sizeof text) && sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNd64, &ticks) == 1
           ? ticks * 1000000 / sysconf(_SC_CLK_TCK) : -1;
}

/* As any call does that goes to the kernel. */
static inline void test_ask_system(int times)
{
    while (times-- > 0)
        (void)getppid();
}

/* The system's number of this thread; -1: not known. */
static inline long test_thread(void)
{
    char    text[64];
    ssize_t n = readlink("/proc/thread-self", text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? atol(strrchr(text, '/') + 1) : -1;
}

/* It is there, and does not sleep. Where nobody tells, it has had the time to. */
static inline bool test_runs(long thread)
{
    char        path[64], text[200];
    const char *name_end;

    if (thread < 0) {
        test_nap_us(50000);
        return false;
    }
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", thread);
    return test_proc(path, text, sizeof text) && (name_end = strrchr(text, ')')) != NULL && strncmp(name_end, ") S", 3) != 0;
}

static inline bool test_is_open(virtsock_fd fd)
{
    return fcntl((int)fd, F_GETFD) >= 0;
}

static inline bool test_is_inherited(virtsock_fd fd)
{
    return fcntl((int)fd, F_GETFD) != FD_CLOEXEC;
}

static inline int test_open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += test_is_open(fd);
    return n;
}

static inline void test_wait(virtsock_fd fd, int events, int timeout_ms)
{
    struct pollfd p = { (int)fd, 0, 0 };

    p.events = (short)(((events & VIRTSOCK_WANT_RECV) ? POLLIN : 0) | ((events & VIRTSOCK_WANT_SEND) ? POLLOUT : 0));
    poll(&p, 1, timeout_ms);
}

static inline bool test_blocks(virtsock_fd fd)
{
    return (fcntl((int)fd, F_GETFL) & O_NONBLOCK) == 0;
}

static inline int64_t test_user(void)
{
    return (int64_t)geteuid();
}

static inline int test_flags(virtsock_fd fd)
{
    return fcntl((int)fd, F_GETFL);
}

static char test_directory_[64];
static inline void test_remove_directory(void)
{
    rmdir(test_directory_);
}

/* One for this process. */
static inline const char *test_directory(void)
{
    if (test_directory_[0] == '\0') {
        strcpy(test_directory_, "/tmp/virtsock-test-XXXXXX");
        if (mkdtemp(test_directory_) == NULL)
            abort();
        atexit(test_remove_directory);
    }
    return test_directory_;
}

static inline bool test_sockets(virtsock_fd out[2])
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    out[0] = fds[0];
    out[1] = fds[1];
    return true;
}

static inline int test_raw_recv(virtsock_fd fd, char *buf, int cap)
{
    return (int)recv((int)fd, buf, (size_t)cap, MSG_DONTWAIT);
}

static inline bool test_raw_send(virtsock_fd fd, const char *data, int size)
{
    return send((int)fd, data, (size_t)size, MSG_NOSIGNAL) == size;
}

static inline bool test_raw_close(virtsock_fd fd)
{
    return close((int)fd) == 0;
}

#define TEST_SHUT    EPIPE
#define TEST_STEP    1
#define TEST_TELLS   1
#define TEST_KEPT    0
#define TEST_TRIES   1
#define TEST_CLIENTS 60000
#define TEST_CLIENT  40000              /* else Linux prefers even ones */
#define TEST_WAKE    1
#define TEST_REFUSED ECONNREFUSED

#endif

static inline int64_t test_ms(void)
{
    return test_us() / 1000;
}

static inline void test_nap_ms(long ms)
{
    test_nap_us((int64_t)ms * 1000);
}

#endif
