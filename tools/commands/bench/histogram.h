/* SPDX-License-Identifier: MIT
 *
 * Counts of values from 0 to 2^40, kept with an error below one in 128 in a fixed room: percentiles of any number of samples. The least
 * and the greatest are exact.
 */
#ifndef TOOL_HISTOGRAM_H
#define TOOL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS   128u          /* of each doubling */
#define HISTOGRAM_BUCKETS (34u * HISTOGRAM_PARTS)

struct histogram {                      /* empty when it is all zeros */
    uint64_t count, sum, least, most;
    uint32_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* What a share of the values, in thousandths, is not above. 0 where there is none. */
uint64_t histogram_percentile(const struct histogram *h, unsigned thousandths);

#endif
