/* SPDX-License-Identifier: MIT
 *
 * Only in a build that counts lines: a process that ends by _exit writes its counts first, which otherwise only exit does.
 */
#include <stdnoreturn.h>

void          __gcov_dump(void);
noreturn void __real__exit(int code);
noreturn void __wrap__exit(int code);

noreturn void __wrap__exit(int code)
{
    __gcov_dump();
    __real__exit(code);
}
