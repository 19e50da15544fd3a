/* SPDX-License-Identifier: MIT
 *
 * Linux's vsock sockets, by netlink, and whose they are, by /proc: see list.h. Other POSIX systems tell neither.
 */
#define _GNU_SOURCE                     /* SOCK_CLOEXEC */
#include "platform/list.h"

#ifdef __linux__

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NETLINK_SOCK_DIAG 4             /* linux/netlink.h */
#define ANSWER_SIZE       32768         /* as much as a kernel puts into one datagram */

struct netlink_address {                /* struct sockaddr_nl */
    sa_family_t    family;
    unsigned short pad;
    uint32_t       port, groups;
};

/* One datagram, and from the kernel (port 0): its size, or minus the code. */
static ssize_t hear(int fd, unsigned char *data, size_t cap)
{
    struct netlink_address from;
    socklen_t              length;
    ssize_t                n;

    do {
        length = sizeof from;
        memset(&from, 0, sizeof from);
        n = recvfrom(fd, data, cap, MSG_TRUNC, (struct sockaddr *)&from, &length);
    } while ((n < 0 && errno == EINTR) || (n >= 0 && from.port != 0));
    return n < 0 ? -errno : n;
}

static int read_answer(int fd, list_reader *read_one)
{
    static unsigned char answer[ANSWER_SIZE];
    int                  code = LIST_MORE;

    while (code == LIST_MORE) {
        ssize_t n = hear(fd, answer, sizeof answer);

        if (n < 0)
            return (int)-n;
        if (n == 0 || (size_t)n > sizeof answer)
            return LIST_GARBLED;
        code = read_one(answer, (size_t)n);
    }
    return code;
}

int list_ask(const void *request, size_t size, list_reader *read_one)
{
    const struct netlink_address kernel = { .family = AF_NETLINK };
    int                          fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), code;

    if (fd < 0)
        return errno == EPROTONOSUPPORT ? LIST_NO_DIAG : errno;
    if (sendto(fd, request, size, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        code = errno;
    else
        code = read_answer(fd, read_one);
    close(fd);
    return code;
}

int list_failure(int code)
{
    return code == ENOENT || code == EINVAL ? LIST_NO_DIAG : code;
}

/* --- Whose they are ------------------------------------------------------------------------------------------------------- */

/* "socket:[N]" of a descriptor; 0: another thing. */
static uint32_t inode_of(DIR *folder, const char *name)
{
    static const char head[] = "socket:[";
    char              target[64];
    ssize_t           n = readlinkat(dirfd(folder), name, target, sizeof target - 1);

    if (n <= (ssize_t)sizeof head || memcmp(target, head, sizeof head - 1) != 0)
        return 0;
    target[n] = '\0';
    return (uint32_t)strtoul(target + sizeof head - 1, NULL, 10);
}

static void read_name(const char *pid, char name[32])
{
    char  path[64];
    FILE *file;

    strcpy(name, "?");
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    if ((file = fopen(path, "re")) == NULL)
        return;
    if (fgets(name, 32, file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
}

static void look_into(const char *pid, void (*take)(uint32_t, int, int, const char *, void *), void *argument)
{
    char           path[64], name[32] = "";
    struct dirent *entry;
    DIR           *folder;

    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    if ((folder = opendir(path)) == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        uint32_t inode = isdigit((unsigned char)entry->d_name[0]) ? inode_of(folder, entry->d_name) : 0;

        if (inode == 0)
            continue;
        if (name[0] == '\0')
            read_name(pid, name);
        take(inode, atoi(pid), atoi(entry->d_name), name, argument);
    }
    closedir(folder);
}

void list_descriptors(void (*take)(uint32_t inode, int pid, int fd, const char *name, void *argument), void *argument)
{
    struct dirent *entry;
    DIR           *processes = opendir("/proc");

    if (processes == NULL)
        return;
    while ((entry = readdir(processes)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_into(entry->d_name, take, argument);
    closedir(processes);
}

#else

int list_ask(const void *request, size_t size, list_reader *read_one)
{
    (void)request, (void)size, (void)read_one;
    return LIST_NO_SUCH;
}

int list_failure(int code)
{
    return code;
}

void list_descriptors(void (*take)(uint32_t inode, int pid, int fd, const char *name, void *argument), void *argument)
{
    (void)take, (void)argument;
}

#endif
