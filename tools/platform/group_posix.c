/* SPDX-License-Identifier: MIT
 *
 * Groups of a POSIX system: see group.h.
 */
#define _GNU_SOURCE                     /* O_PATH */

#include "platform/group.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find(const char *group, gid_t *id)
{
    struct group *known = getgrnam(group);
    size_t        digits = strspn(group, "0123456789");
    unsigned long number = strtoul(group, NULL, 10);

    if (known == NULL && (digits == 0 || digits > 10 || group[digits] != '\0' || number >= (gid_t)-1))
        return false;
    *id = known != NULL ? known->gr_gid : (gid_t)number;
    return true;
}

bool group_is_known(const char *group)
{
    gid_t id;

    return find(group, &id);
}

/* What stands there is this program's own socket, or nothing of it is changed: no link is followed. */
static int look(int folder, const char *name)
{
    struct stat at;

    if (fstatat(folder, name, &at, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    return S_ISSOCK(at.st_mode) && at.st_uid == geteuid() ? 0 : EPERM;
}

/* Nobody else moves what this user has there. */
static bool is_ours(int folder)
{
    struct stat at;

    return fstat(folder, &at) == 0 && ((at.st_mode & S_ISVTX) != 0 || (at.st_mode & (S_IWGRP | S_IWOTH)) == 0)
           && (at.st_uid == geteuid() || at.st_uid == 0);
}

#ifdef O_PATH

/* Linux before 6.6 changes no mode of what may be a link, and glibc before 2.32 does not try: through /proc it is that
 * of the very file. */
static int set_mode_of_file(int folder, const char *name, mode_t mode)
{
    char        open_file[32];
    struct stat at;
    int         fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), code = 0;

    if (fd < 0)
        return errno;
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fd);
    if (fstat(fd, &at) != 0 || !S_ISSOCK(at.st_mode) || at.st_uid != geteuid())
        code = EPERM;
    else if (chmod(open_file, mode) != 0)
        code = errno == ENOENT ? EOPNOTSUPP : errno;
    close(fd);
    return code;
}

#else

static int set_mode_of_file(int folder, const char *name, mode_t mode)
{
    return fchmodat(folder, name, mode, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

#endif

static int give(int folder, const char *name, gid_t id, mode_t mode)
{
    int code = look(folder, name);

    if (code == 0 && fchownat(folder, name, (uid_t)-1, id, AT_SYMLINK_NOFOLLOW) != 0)
        code = errno;
    if (code == 0)
        code = set_mode_of_file(folder, name, mode);
    if (code == EOPNOTSUPP && is_ours(folder))          /* no /proc: it is the file still that was looked at */
        code = fchmodat(folder, name, mode, 0) == 0 ? 0 : errno;
    return code;
}

int group_give(const char *path, const char *group, int mode)
{
    const char *slash = strrchr(path, '/');
    char        above[PATH_MAX];
    gid_t       id;
    int         folder, code;

    if (!find(group, &id))
        return EINVAL;
    if (slash == NULL || (size_t)(slash - path) >= sizeof above - 1)
        return ENAMETOOLONG;
    snprintf(above, sizeof above, "%.*s/", (int)(slash - path), path);
    if ((folder = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return errno;
    code = give(folder, slash + 1, id, (mode_t)mode);
    close(folder);
    return code;
}
