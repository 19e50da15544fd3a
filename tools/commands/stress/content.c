/* SPDX-License-Identifier: MIT
 *
 * What a connection of `virtsock stress` carries: see content.h.
 */
#include "content.h"

#include <string.h>

#define BLOCK    4096
#define FAR      (UINT64_C(1) << 20)    /* how far away bytes are looked for, either way */
#define SEARCHES 16                     /* a peer that sends rubbish is not searched for ever */

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators), which can begin anywhere. */
uint64_t content_random(uint64_t key, uint64_t position)
{
    uint64_t z = key + (position + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t content_between(uint64_t random, int64_t low, int64_t high)
{
    return low + (int64_t)(random % (uint64_t)(high - low + 1));
}

void content_fill(uint64_t key, uint64_t offset, unsigned char *buf, size_t size)
{
    while (size > 0) {
        uint64_t word = content_random(key, offset / 8);
        size_t   skip = offset % 8, n = size < 8 - skip ? size : 8 - skip;

        memcpy(buf, (unsigned char *)&word + skip, n);
        buf += n;
        offset += n;
        size -= n;
    }
}

/* --- Checksum ---------------------------------------------------------------------------------------------------------- */

static uint64_t step(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

static uint64_t little_endian(const unsigned char *p)
{
    return p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40
           | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

void content_add(struct content_sum *sum, const unsigned char *data, size_t size)
{
    while (size > 0) {
        for (; sum->held == 0 && size >= 8; data += 8, size -= 8)
            sum->hash = step(sum->hash, little_endian(data));
        if (size == 0)
            break;
        sum->word |= (uint64_t)*data++ << 8 * sum->held++;
        size--;
        if (sum->held == 8) {
            sum->hash = step(sum->hash, sum->word);
            sum->word = sum->held = 0;
        }
    }
}

uint64_t content_total(const struct content_sum *sum)
{
    return sum->held > 0 ? step(sum->hash, sum->word) : sum->hash;
}

/* --- Judge ------------------------------------------------------------------------------------------------------------- */

/* Bytes at data that are as they stand from offset on. */
static size_t agree(const struct content_judge *j, uint64_t offset, const unsigned char *data, size_t size)
{
    unsigned char block[BLOCK];
    size_t        done = 0, n, i;

    if (offset >= j->length)
        return 0;
    if (size > j->length - offset)
        size = (size_t)(j->length - offset);
    while (done < size) {
        n = size - done < BLOCK ? size - done : BLOCK;
        content_fill(j->key, offset + done, block, n);
        if (memcmp(block, data + done, n) != 0) {
            for (i = 0; block[i] == data[done + i];)
                i++;
            return done + i;
        }
        done += n;
    }
    return size;
}

/* Where CONTENT_LOOK bytes stand; false: nowhere near. */
static bool search(const struct content_judge *j, const unsigned char *data, uint64_t *found)
{
    uint64_t      from = j->expected > FAR ? j->expected - FAR : 0;
    uint64_t      to = j->expected + FAR < j->length ? j->expected + FAR : j->length;
    unsigned char block[BLOCK + CONTENT_LOOK];

    for (; from + CONTENT_LOOK <= to; from += BLOCK) {
        size_t size = to - from < sizeof block ? (size_t)(to - from) : sizeof block;

        content_fill(j->key, from, block, size);
        for (size_t i = 0; i + CONTENT_LOOK <= size; i++)
            if (block[i] == *data && memcmp(block + i, data, CONTENT_LOOK) == 0) {
                *found = from + i;
                return true;
            }
    }
    return false;
}

static void note(struct content_judge *j, enum content_fault fault, uint64_t at, uint64_t size)
{
    if (j->fault != CONTENT_GOOD)
        return;
    j->fault = fault;
    j->at = at;
    j->size = size;
}

/* The next bytes stand at found, not where they were expected. */
static void jump(struct content_judge *j, uint64_t found)
{
    if (found > j->expected) {
        note(j, CONTENT_MISSING, j->expected, found - j->expected);
        j->gap = j->expected;
        j->gap_size = found - j->expected;
    } else if (j->fault == CONTENT_MISSING && found >= j->gap && found < j->gap + j->gap_size) {
        j->fault = CONTENT_ORDER;
    } else {
        note(j, CONTENT_TWICE, found, j->expected - found);
    }
    j->expected = found;
}

/* What stands nowhere: one byte of it. */
static void change(struct content_judge *j, unsigned char came)
{
    if (j->fault == CONTENT_GOOD)
        content_fill(j->key, j->expected, &j->sent, 1);
    if (j->fault == CONTENT_GOOD)
        j->came = came;
    note(j, CONTENT_CHANGED, j->expected, 1);
}

size_t content_judge(struct content_judge *j, const unsigned char *data, size_t size, bool last)
{
    size_t   done = 0;
    uint64_t found;

    while (done < size && j->searches <= SEARCHES) {
        size_t n = agree(j, j->expected, data + done, size - done);

        done += n;
        j->expected += n;
        if (done == size || (size - done < CONTENT_LOOK && !last))
            return done;
        if (size - done >= CONTENT_LOOK && j->searches++ < SEARCHES && search(j, data + done, &found)) {
            jump(j, found);
            continue;
        }
        change(j, data[done++]);
        j->expected++;
    }
    return size;
}
