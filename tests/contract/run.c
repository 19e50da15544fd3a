/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest: what a behaviour's process says, and whether it gives back the descriptors that it took.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "run.h"
#include "suite.h"

static bool      skipped;
_Atomic intptr_t *run_seen;

/* Places are texts of this program, told by how far they are from one of them: another process may have it elsewhere. */
static const char start_text[] = "main.c: its start";

void seen_at(const char *where)
{
    atomic_store_explicit(run_seen, (intptr_t)where - (intptr_t)start_text, memory_order_relaxed);
}

static const char *without_folder(const char *where)
{
    for (const char *p = where; *p != '\0'; p++)
        if (*p == '/' || *p == '\\')
            where = p + 1;
    return where;
}

const char *run_last_seen(void)
{
    return without_folder((const char *)((intptr_t)start_text + atomic_load(run_seen)));
}

static void report(char kind, const char *where, const char *format, va_list args)
{
    char text[700];
    int  n = snprintf(text, sizeof text, "%c%s%s", kind, where, where[0] != '\0' ? ": " : "");

    n += vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    if (n >= (int)sizeof text)
        n = (int)sizeof text - 1;
    if (!run_say(text, (size_t)n))
        fprintf(stderr, "virtsock-selftest: in a process of a behaviour: %s\n", text + 1);
}

_Noreturn void fail_at(const char *where, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report('F', without_folder(where), format, args);
    va_end(args);
    fflush(stdout);
    run_leave(EXIT_FAILED);
}

void skip(const char *format, ...)
{
    va_list args;

    skipped = true;
    va_start(args, format);
    report('S', "", format, args);
    va_end(args);
}

void note(const char *format, ...)
{
    va_list args;

    fputs("# ", stdout);
    va_start(args, format);
    vfprintf(stdout, format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

void run_and_count(const struct behaviour *b)
{
    for (int left = run_warm_up(); left >= 0; left--) {
        const int before = test_open_descriptors();

        b->run();
        if (skipped || test_open_descriptors() == before)
            return;
        if (left == 0)
            fail_at("run.c", "%d descriptors before, %d after: a leak", before, test_open_descriptors());
    }
}
