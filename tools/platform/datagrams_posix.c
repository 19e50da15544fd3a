/* SPDX-License-Identifier: MIT
 *
 * Datagrams of UNIX sockets: what is told to a service manager and to logs (daemon.h), and what is taken and forwarded
 * (datagrams.h), which no log of this process goes to.
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "platform/datagrams.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/daemon.h"
#include "platform/tool.h"

#define DAEMON_INFO (3 * 8 + 6)         /* RFC 5424, 6.2.1: facility daemon, severity informational */
/* In which who removed a socket is done with its folder, and with what he makes in its place. */
#define MOVES_US    500000
#define AGAIN_US    1000000             /* until a socket that could not be made is tried again */
#define LOOK_MS     10000               /* between looks at a place, where nobody tells */

#ifdef SOCK_CLOEXEC

/* In no moment could a program that another thread starts take it along. */
static int datagram_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

#else

static int datagram_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

#endif

/* False: it does not fit. */
static bool name_socket(struct sockaddr_un *at, socklen_t *size, const char *path)
{
    size_t n = strlen(path);

    *at = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (n == 0 || n >= sizeof at->sun_path)
        return false;
    memcpy(at->sun_path, path, n);
    if (path[0] == '@')
        at->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'));
    return true;
}

static int send_to(const char *path, const char *text, int flags)
{
    struct sockaddr_un at;
    socklen_t          size;
    int                fd, code = 0;

    if (!name_socket(&at, &size, path))
        return ENAMETOOLONG;
    if ((fd = datagram_socket()) < 0)
        return errno;
    if (sendto(fd, text, strlen(text), flags, (struct sockaddr *)&at, size) < 0)
        code = errno;
    close(fd);
    return code;
}

int daemon_tell(const char *path, const char *text)
{
    return send_to(path, text, 0);
}

/* --- Logs --------------------------------------------------------------------------------------------------------- */

/* What this process forwards: a line there would be forwarded, too, and if it tells that this fails, without end. */
static struct {
    pthread_mutex_t    lock;
    const struct place *place[DATAGRAMS_SOCKETS];
} forwarded = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_forwarded(const char *path)
{
    struct stat at;
    bool        found = false;

    if (stat(path, &at) != 0)           /* by whatever links lead there */
        return false;
    pthread_mutex_lock(&forwarded.lock);
    for (size_t i = 0; i < DATAGRAMS_SOCKETS && !found; i++)
        found = forwarded.place[i] != NULL && forwarded.place[i]->device == (uint64_t)at.st_dev
                && forwarded.place[i]->inode == (uint64_t)at.st_ino;
    pthread_mutex_unlock(&forwarded.lock);
    return found;
}

/* RFC 3164, 4.3.3: a line without a time gets that of its arrival. syslog(3) would bring twelve kilobytes of
 * calendar. */
bool daemon_log(const char *line)
{
    static const char *const places[] = { "/dev/log", "/var/run/syslog", "/var/run/log" };
    char                     text[1024];

    snprintf(text, sizeof text, "<%d>virtsock[%ld]: %s", DAEMON_INFO, (long)getpid(), line);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!is_forwarded(places[i]) && send_to(places[i], text, MSG_DONTWAIT) == 0)
            return true;
    return false;
}

/* What has room has it for PIPE_BUF bytes, and is asked by one thread at a time. */
bool daemon_say(const char *line)
{
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
    char          text[PIPE_BUF < 4096 ? PIPE_BUF : 4096];
    int           size = snprintf(text, sizeof text - 1, "virtsock: %s", line);

    size = size < (int)sizeof text - 1 ? size : (int)sizeof text - 2;
    text[size++] = '\n';
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && write(STDERR_FILENO, text, (size_t)size) == size;
}

/* --- What is taken ------------------------------------------------------------------------------------------------ */

/* A socket that nobody reads, and nothing else, makes room. */
static void remove_stale(const char *path, const struct sockaddr_un *at, socklen_t size)
{
    struct stat status;
    int         fd;

    if (path[0] == '@' || lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode) || (fd = datagram_socket()) < 0)
        return;
    if (connect(fd, (const struct sockaddr *)at, size) != 0 && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static int bind_at(int *out, const char *path, int mode)
{
    struct sockaddr_un at;
    socklen_t          size;
    mode_t             mask;
    int                fd, code = 0;

    if (!name_socket(&at, &size, path))
        return ENAMETOOLONG;
    remove_stale(path, &at, size);
    if ((fd = datagram_socket()) < 0)
        return errno;
    mask = umask(0777 & (mode_t)~mode);         /* no moment is wider; what else runs makes no files */
    if (bind(fd, (struct sockaddr *)&at, size) != 0)
        code = errno;
    umask(mask);
    if (code != 0)
        close(fd);
    *out = fd;
    return code;
}

/* Its log goes elsewhere. */
static void forward(const struct place *place)
{
    pthread_mutex_lock(&forwarded.lock);
    for (size_t i = 0; i < DATAGRAMS_SOCKETS; i++)
        if (forwarded.place[i] == NULL || forwarded.place[i] == place) {
            forwarded.place[i] = place;
            break;
        }
    pthread_mutex_unlock(&forwarded.lock);
}

int datagrams_open(struct datagrams *out, const char *path, int mode)
{
    int fd, code;

    *out = (struct datagrams){ .fd = -1, .lookout = -1 };
    if (!daemon_pair(out->wake))
        return errno;
    if ((code = bind_at(&fd, path, mode)) != 0)
        return code;
    out->fd = fd;
    if (place_of(&out->place, fd)) {
        out->lookout = place_lookout();
        place_watch(out->lookout, &out->place);
        out->again_us = place_is_there(&out->place) ? 0 : tool_now_us();
        forward(&out->place);
    }
    return 0;
}

int datagrams_again(struct datagrams *from, const char *path, int mode)
{
    struct place place;
    int          fd, code = bind_at(&fd, path, mode);

    from->again_us = code != 0 ? tool_now_us() + AGAIN_US : 0;
    if (code != 0)
        return code;
    close((int)from->fd);
    from->fd = fd;
    place_of(&place, fd);
    pthread_mutex_lock(&forwarded.lock);
    from->place = place;
    pthread_mutex_unlock(&forwarded.lock);
    place_watch(from->lookout, &from->place);
    return 0;
}

/* Until there may be one, or another thing to see to. */
static void await(struct datagrams *from)
{
    struct pollfd p[] = {
        { .fd = (int)from->fd, .events = POLLIN }, { .fd = (int)from->wake[0], .events = POLLIN },
        { .fd = (int)from->lookout, .events = POLLIN }
    };
    const bool    tells = from->lookout != -1 || from->place.path[0] == '\0';
    const int64_t left_us = from->again_us - tool_now_us();

    poll(p, 3, from->again_us != 0 ? (int)(left_us > 0 ? left_us / 1000 + 1 : 0) : tells ? -1 : LOOK_MS);
    if (p[1].revents != 0)
        from->ending = true;
    if (p[2].revents != 0)
        place_heard(from->lookout);
}

/* Looked at when there is nothing to take, and only then: whether it is time to make the socket anew. */
static bool is_missing(struct datagrams *from)
{
    if (from->place.path[0] == '\0')
        return false;
    if (place_is_there(&from->place)) {
        if (from->again_us != 0)
            place_watch(from->lookout, &from->place);
        from->again_us = 0;
        return false;
    }
    if (from->again_us == 0)
        from->again_us = tool_now_us() + MOVES_US;
    return tool_now_us() >= from->again_us;
}

int64_t datagrams_take(struct datagrams *from, void *buf, size_t cap)
{
    for (bool waited = false;; waited = true) {
        ssize_t n = recv((int)from->fd, buf, cap, MSG_DONTWAIT);

        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return -errno;
        if (from->ending)
            return DATAGRAMS_END;
        if (waited && is_missing(from))
            return DATAGRAMS_REMOVED;
        await(from);
        if (from->ending)
            datagrams_remove(from);
    }
}

void datagrams_end(struct datagrams *from)
{
    shutdown((int)from->wake[1], SHUT_RDWR);
}

void datagrams_remove(struct datagrams *from)
{
    struct place place;

    pthread_mutex_lock(&forwarded.lock);        /* another thread may make it again just now */
    place = from->place;
    pthread_mutex_unlock(&forwarded.lock);
    place_remove(&place);
}
