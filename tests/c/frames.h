/* SPDX-License-Identifier: MIT
 *
 * The rows of tests/vectors/frames.tsv, whose head says what they are.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include "check.h"

static size_t from_hex(unsigned char *out, const char *hex)
{
    size_t n = 0;

    while (*hex != '\0') {
        unsigned byte = 0, times = 1;
        int      used = 0;

        CHECK(sscanf(hex, "%2x%n", &byte, &used) == 1 && used == 2);
        hex += used;
        if (sscanf(hex, "{%u}%n", &times, &used) == 1)
            hex += used;
        memset(out + n, (int)byte, times);
        n += times;
    }
    return n;
}

/* Each row of a kind, cut at its tabs. */
static int each_row(const char *kind, void (*check)(char *first, char *second))
{
    FILE *file = fopen(TEST_VECTORS "/frames.tsv", "r");
    char  line[1000];
    int   rows = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        char *first = strchr(line, '\t'), *second;

        line[strcspn(line, "\n")] = '\0';
        if (first == NULL || line[0] == '#' || strncmp(line, kind, (size_t)(first - line)) != 0)
            continue;
        if ((second = strchr(++first, '\t')) != NULL)
            *second++ = '\0';
        check(first, second);
        rows++;
    }
    fclose(file);
    return rows;
}

#endif
