/* SPDX-License-Identifier: MIT
 *
 * What a connection of `virtsock stress` carries: bytes of every value, each known from where it stands, and the judge of what came back.
 * No I/O.
 */
#ifndef TOOL_STRESS_CONTENT_H
#define TOOL_STRESS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number that looks like chance, the same each time: for each key and position. */
uint64_t content_random(uint64_t key, uint64_t position);

/* From low to high, by that number. */
int64_t content_between(uint64_t random, int64_t low, int64_t high);

/* The bytes that stand from offset on. */
void content_fill(uint64_t key, uint64_t offset, unsigned char *buf, size_t size);

/* A checksum of all bytes in their order: 64 bits of FNV-1a, a step for each eight bytes (little-endian, the last padded with zeros), with
 * the upper half folded into the lower one after each. */
struct content_sum {
    uint64_t hash, word;
    unsigned held;                      /* bytes of word */
};
#define CONTENT_SUM { UINT64_C(0xcbf29ce484222325), 0, 0 }
void content_add(struct content_sum *sum, const unsigned char *data, size_t size);
uint64_t content_total(const struct content_sum *sum);

enum content_fault { CONTENT_GOOD, CONTENT_CHANGED, CONTENT_MISSING, CONTENT_TWICE, CONTENT_ORDER };

struct content_judge {
    uint64_t           key, length;     /* of all that was sent; set by the caller, the rest is zero at first */
    uint64_t           expected;        /* where the next one stands, if all is well from here on */
    enum content_fault fault;           /* the first that was found, but that what is missing and comes later is ORDER */
    uint64_t           at, size;        /* of it */
    unsigned char      sent, came;      /* of CHANGED */
    uint64_t           gap, gap_size;   /* what was passed over last */
    int                searches;
};

/* The next bytes that came. At a difference it looks where the bytes belong, for which it wants CONTENT_LOOK of them: it takes all but fewer
 * than that, which are to be given again with more; all of them if there will be no more (last). How many it took. */
#define CONTENT_LOOK 16
size_t content_judge(struct content_judge *judge, const unsigned char *data, size_t size, bool last);

#endif
