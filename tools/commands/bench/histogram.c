/* SPDX-License-Identifier: MIT
 *
 * Percentiles in a fixed room: see histogram.h. Values below 2 * HISTOGRAM_PARTS have a bucket each; above, each doubling has
 * HISTOGRAM_PARTS.
 */
#include "histogram.h"

static unsigned bucket_of(uint64_t value)
{
    unsigned shift = 0;

    while (value >> shift >= 2 * HISTOGRAM_PARTS)
        shift++;
    return shift * HISTOGRAM_PARTS + (unsigned)(value >> shift);
}

/* The greatest value that is counted there. */
static uint64_t top_of(unsigned bucket)
{
    unsigned shift = bucket < 2 * HISTOGRAM_PARTS ? 0 : bucket / HISTOGRAM_PARTS - 1;

    return ((uint64_t)(bucket - shift * HISTOGRAM_PARTS) + 1) * (UINT64_C(1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned bucket = bucket_of(value);

    if (h->count == 0 || value < h->least)
        h->least = value;
    if (value > h->most)
        h->most = value;
    h->count++;
    h->sum += value;
    h->bucket[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->least < into->least)
        into->least = from->least;
    if (from->most > into->most)
        into->most = from->most;
    into->count += from->count;
    into->sum += from->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

uint64_t histogram_percentile(const struct histogram *h, unsigned thousandths)
{
    uint64_t rank = (h->count * thousandths + 999) / 1000, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && rank > 0; i++)
        if ((seen += h->bucket[i]) >= rank)
            return i + 1 < HISTOGRAM_BUCKETS && top_of(i) < h->most ? top_of(i) : h->most;
    return h->most;
}
