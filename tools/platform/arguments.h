/* SPDX-License-Identifier: MIT
 *
 * The words of a Windows program, which the system has in UTF-16: arguments_windows.c. Other systems need nothing of
 * this.
 */
#ifndef TOOL_PLATFORM_ARGUMENTS_H
#define TOOL_PLATFORM_ARGUMENTS_H

#include <stddef.h>

/* The same in UTF-8, for the program's whole life; NULL after the last. 0 or the system's code. */
int arguments_read(char ***out, int argc, wchar_t **wide);

#endif
