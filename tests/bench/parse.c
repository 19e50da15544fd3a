/* SPDX-License-Identifier: MIT
 *
 * What it costs to parse an address and free it: nanoseconds, the median of many rounds. Public API only.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "virtsock.h"

enum { ROUNDS = 51, CALLS = 100000 };

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int measure(const char *text)
{
    double rounds[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = now_ns();

        for (int j = 0; j < CALLS; j++) {
            virtsock_address *a;

            if (virtsock_address_parse(&a, text, NULL) != VIRTSOCK_OK)
                return 1;
            virtsock_address_free(a);
        }
        rounds[i] = (double)(now_ns() - start) / (double)CALLS;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], by_value);
    printf("%-60s %7.1f ns (best %.1f)\n", text, rounds[ROUNDS / 2], rounds[0]);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const texts[] = {
        "vsock://3:1024", "hvsock://parent/3049197c-facb-11e6-bd58-64006a7986d3", "vsock-mux://:1024/run/firecracker.sock", "unix:///run/x.sock",
        "tcp://[::1]:80",
    };
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= measure(argv[i]);
    for (size_t i = 0; argc < 2 && i < sizeof texts / sizeof texts[0]; i++)
        failed |= measure(texts[i]);
    if (failed)
        fputs("parse: not an address\n", stderr);
    puts("END");
    return failed;
}
