/* SPDX-License-Identifier: MIT
 *
 * Groups of a POSIX system: see group.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/group.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
int group_give(const char *path, const char *group, int mode)
{
    struct stat at;
    gid_t       id;

    if (!find(group, &id))
        return EINVAL;
    if (lstat(path, &at) != 0)
        return errno;
    if (!S_ISSOCK(at.st_mode) || at.st_uid != geteuid())
        return EPERM;
    if (lchown(path, (uid_t)-1, id) != 0 || fchmodat(AT_FDCWD, path, (mode_t)mode, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    return 0;
}
