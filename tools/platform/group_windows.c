/* SPDX-License-Identifier: MIT
 *
 * No socket has a group on Windows: see group.h.
 */
#include "platform/group.h"

bool group_is_known(const char *group)
{
    (void)group;
    return false;
}

int group_give(const char *path, const char *group, int mode)
{
    (void)path, (void)group, (void)mode;
    return 0;
}
