/* SPDX-License-Identifier: MIT
 *
 * Where the command starts on Windows: main has its words in UTF-8 there, too.
 */
#include "platform/arguments.h"

int main(int argc, char **argv);
int wmain(int argc, wchar_t **wide);

int wmain(int argc, wchar_t **wide)
{
    char **argv;
    int    code = arguments_read(&argv, argc, wide);

    return code == 0 ? main(argc, argv) : code;
}
