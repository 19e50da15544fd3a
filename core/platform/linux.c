/* SPDX-License-Identifier: MIT
 *
 * Linux: AF_VSOCK's addresses and options, who is at the other end, modes of sockets in the file system, this machine's
 * CID.
 */
#define _GNU_SOURCE             /* struct ucred, O_PATH, syscall() */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "platform/posix.h"

/* linux/futex.h and linux/vm_sockets.h, which not every C library's headers can reach */
#define FUTEX_WAIT_PRIVATE        128
#define FUTEX_WAKE_PRIVATE        129
#define VM_BUFFER_SIZE            0
#define VM_BUFFER_MIN_SIZE        1
#define VM_BUFFER_MAX_SIZE        2
#define VM_CONNECT_TIMEOUT        6
#define VM_FLAG_TO_HOST           1
#define VM_IOCTL_GET_LOCAL_CID    0x7b9

/* The kernel's, which older headers do not have */
#define WIPE_ON_FORK   18               /* MADV_WIPEONFORK */
#define SYS_FCHMODAT2  452              /* Linux 6.6, on every processor but Alpha */
#define PAGE_MAX       65536

struct vm_address {
    sa_family_t    family;
    unsigned short reserved;
    uint32_t       port, cid;
    uint8_t        flags, zero[3];
};
_Static_assert(sizeof(struct vm_address) == VS_VM_ADDRESS_SIZE, "struct sockaddr_vm is 16 bytes");

/* --- This process ------------------------------------------------------------------------------------------------- */

/* Of the clock's nanoseconds: getrandom() is younger than the C libraries that this is built for. */
uint32_t vs_random(void)
{
    struct timespec t;
    uint32_t        n;

    clock_gettime(CLOCK_MONOTONIC, &t);
    n = ((uint32_t)t.tv_nsec ^ (uint32_t)getpid() << 16) * UINT32_C(2654435761);
    n = (n ^ n >> 15) * UINT32_C(2246822519);
    return n ^ n >> 13;
}

/* Which of its forefathers' forks a process comes from, by a page that a fork empties (Linux 4.14). 0: that cannot be
 * had. */
static uint32_t generation(void)
{
    static _Atomic uint32_t room[2 * PAGE_MAX / sizeof(uint32_t)], last;
    const long              size = sysconf(_SC_PAGESIZE);
    const size_t            past = size > 0 ? (uintptr_t)room % (size_t)size : 0;
    _Atomic uint32_t       *page = room + (past == 0 ? 0 : ((size_t)size - past) / sizeof(uint32_t));
    uint32_t                now, next;

    if (size <= 0 || size > PAGE_MAX)
        return 0;
    if ((now = atomic_load(page)) != 0)
        return now;
    if (madvise((void *)(uintptr_t)page, (size_t)size, WIPE_ON_FORK) != 0)
        return 0;
    next = atomic_fetch_add(&last, 1) + 1;
    return atomic_compare_exchange_strong(page, &now, next) ? next : now;
}

/* No system call, where that can be had: each stream asks. And in a PID namespace of its own a child may have its
 * parent's number, 1. */
uint32_t vs_process(void)
{
    const uint32_t born = generation();

    return born != 0 ? born : (uint32_t)getpid();
}

/* The kernel's time is two longs in this call, whatever the C library's is. */
bool vs_sleep_on(_Atomic uint32_t *word, uint32_t value, int64_t deadline)
{
    const int64_t left = deadline - vs_now_ms();
    const long    t[2] = { (long)(left / 1000), (long)(left % 1000 * 1000000) };

    return left > 0 && syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, t, NULL, 0) != 0 && errno == EINTR;
}

void vs_wake_one(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static struct timeval time_left(int64_t deadline)
{
    const int64_t most = LONG_MAX / 2000, left = deadline == VS_FOREVER ? INT64_MAX : deadline - vs_now_ms();

    if (left <= 0)
        return (struct timeval){ 0, 1 };
    if (left / 1000 >= most)
        return (struct timeval){ (time_t)most, 0 };
    return (struct timeval){ (time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000) };
}

bool vs_set_send_time(virtsock_fd fd, bool on)
{
    const struct timeval t = on ? time_left(VS_FOREVER) : (struct timeval){ 0, 0 };

    return setsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0;
}

/* In the kernel, under its own timer: only there is the room for a whole message waited for. There always is one, be it
 * the longest that the kernel takes: without, a signal has it begin anew, and send the message's beginning twice. */
int64_t vs_sendv_whole(virtsock_fd fd, const virtsock_slice *slices, size_t count, int64_t deadline, bool timed)
{
    struct timeval t = time_left(deadline), before;
    socklen_t      size = sizeof before;
    int64_t        n;

    if (deadline == 0 || (timed && deadline == VS_FOREVER))
        return vs_sendv(fd, slices, count, SIZE_MAX, deadline);
    if (getsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &before, &size) != 0
        || setsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) != 0)
        return -(int64_t)errno;
    n = vs_sendv(fd, slices, count, SIZE_MAX, VS_FOREVER);
    setsockopt((int)fd, SOL_SOCKET, SO_SNDTIMEO, &before, sizeof before);
    return n;
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

bool vs_vm_to_system(void *out, const struct vs_end *end, bool peer)
{
    const struct vm_address vm = {
        .family = VS_VM_FAMILY, .port = end->port, .cid = end->cid, .flags = end->to_host ? VM_FLAG_TO_HOST : 0
    };

    (void)peer;
    memcpy(out, &vm, sizeof vm);
    return true;
}

void vs_vm_from_system(struct vs_end *end, const void *from, bool peer)
{
    struct vm_address vm;

    (void)peer;
    memcpy(&vm, from, sizeof vm);
    end->cid = vm.cid;
    end->port = vm.port;
}

/* That is EAGAIN here. */
bool vs_is_full(const struct sockaddr *to, socklen_t length)
{
    (void)to;
    (void)length;
    return false;
}

static int set_size(virtsock_fd fd, int level, int option, int64_t size)
{
    uint64_t wide = (uint64_t)size;
    int      narrow = (int)size, result;

    if (level == VS_VM_FAMILY)
        result = setsockopt((int)fd, level, option, &wide, sizeof wide);
    else
        result = setsockopt((int)fd, level, option, &narrow, sizeof narrow);
    return result != 0 ? errno : 0;
}

/* The kernel clamps the size into [min, max] without a word, so those come first. */
int vs_set_buffers(virtsock_fd fd, enum vs_family family, int64_t min, int64_t size, int64_t max)
{
    int code = 0;

    if (family != VS_FAMILY_VSOCK) {
        if (size != 0 && (code = set_size(fd, SOL_SOCKET, SO_SNDBUF, size)) == 0)
            code = set_size(fd, SOL_SOCKET, SO_RCVBUF, size);
        return code;
    }
    if (max != 0)
        code = set_size(fd, VS_VM_FAMILY, VM_BUFFER_MAX_SIZE, max);
    if (code == 0 && min != 0)
        code = set_size(fd, VS_VM_FAMILY, VM_BUFFER_MIN_SIZE, min);
    if (code == 0 && size != 0)
        code = set_size(fd, VS_VM_FAMILY, VM_BUFFER_SIZE, size);
    return code;
}

int vs_get_buffer(virtsock_fd fd, enum vs_family family, int64_t *size)
{
    const bool vm = family == VS_FAMILY_VSOCK;
    uint64_t   wide = 0;
    int        narrow = 0;
    socklen_t  length = vm ? sizeof wide : sizeof narrow;

    if (getsockopt((int)fd, vm ? VS_VM_FAMILY : SOL_SOCKET, vm ? VM_BUFFER_SIZE : SO_RCVBUF,
                   vm ? (void *)&wide : &narrow, &length) != 0)
        return errno;
    *size = vm ? (int64_t)wide : narrow;
    return 0;
}

int vs_set_vsock_connect_timeout(virtsock_fd fd, int64_t ms)
{
    struct timeval t = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

    return setsockopt((int)fd, VS_VM_FAMILY, VM_CONNECT_TIMEOUT, &t, sizeof t) != 0 ? errno : 0;
}

/* SO_PEERCRED answers on AF_VSOCK too, with an identity that means nothing: UNIX sockets alone. */
int vs_peer_user(virtsock_fd fd, uint32_t *uid, int64_t *pid)
{
    struct ucred peer = { 0, 0, 0 };
    socklen_t    length = sizeof peer;

    if (getsockopt((int)fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return errno;
    *uid = (uint32_t)peer.uid;
    *pid = peer.pid;
    return 0;
}

/* --- Names in the file system, this machine ----------------------------------------------------------------------- */

/* The file that bind makes has the mode of the descriptor, less the umask. */
int vs_set_mode_before(virtsock_fd fd, uint32_t mode)
{
    return fchmod((int)fd, (mode_t)mode) != 0 ? errno : 0;
}

/* A filter of system calls may answer for what it does not know as it likes. */
static int chmod_without_proc(int fd, uint32_t mode)
{
    return syscall(SYS_FCHMODAT2, fd, "", mode, AT_EMPTY_PATH) != 0 ? ENOSYS : 0;
}

/* Through a descriptor of the very file: a name could be another file's by now. */
int vs_set_mode_after(const char *path, const struct vs_file_id *id, uint32_t mode)
{
    char        name[32];
    struct stat file;
    int         fd = vs_open_file(path, O_PATH | O_NOFOLLOW), code = 0;

    if (fd < 0)
        return errno;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (fstat(fd, &file) != 0 || (uint64_t)file.st_dev != id->device || (uint64_t)file.st_ino != id->inode)
        code = EADDRINUSE;
    else if ((file.st_mode & 0777) != mode && chmod(name, (mode_t)mode) != 0)
        code = errno == ENOENT ? chmod_without_proc(fd, mode) : errno;
    vs_close(fd);
    return code;
}

int vs_local_cid(uint32_t *cid)
{
    int          fd = vs_open_file("/dev/vsock", O_RDONLY), code = 0;
    unsigned int value;

    if (fd < 0)
        return errno;
    if (ioctl(fd, VM_IOCTL_GET_LOCAL_CID, &value) != 0)
        code = errno;
    else
        *cid = value;
    vs_close(fd);
    return code;
}
