/* SPDX-License-Identifier: MIT
 *
 * The words of a Windows program: see arguments.h.
 */
#define WIN32_LEAN_AND_MEAN

#include "platform/arguments.h"

#include <windows.h>

#include <stdlib.h>

/* NULL: out of memory. */
static char *utf8_of(const wchar_t *wide)
{
    int   size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = malloc((size_t)size);

    if (text != NULL)
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    return text;
}

int arguments_read(char ***out, int argc, wchar_t **wide)
{
    char **argv = *out = calloc((size_t)argc + 1, sizeof *argv);

    for (int i = 0; i < argc; i++)
        if (argv == NULL || (argv[i] = utf8_of(wide[i])) == NULL)
            return ERROR_NOT_ENOUGH_MEMORY;
    return 0;
}
