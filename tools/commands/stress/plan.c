/* SPDX-License-Identifier: MIT
 *
 * What was asked of `virtsock stress`, and the numbers that follow from it: see stress.h.
 */
#include "stress.h"

#include "common/args.h"
#include "content.h"

struct stress stress = {
    .least = ARG_UNSET, .most = ARG_UNSET, .chunk_least = ARG_UNSET, .chunk_most = ARG_UNSET, .connections = ARG_UNSET,
    .parallel = ARG_UNSET, .pause_ms = ARG_UNSET, .stall_ms = ARG_UNSET, .seed = ARG_UNSET
};

enum { LENGTHS, CONTENTS };

static uint64_t key_of(int64_t number, int purpose)
{
    return content_random((uint64_t)stress.seed << 1 | (uint64_t)purpose, (uint64_t)number);
}

uint64_t stress_key(int64_t number)
{
    return key_of(number, CONTENTS);
}

uint64_t stress_length(int64_t number)
{
    return (uint64_t)content_between(key_of(number, LENGTHS), stress.least, stress.most);
}

size_t stress_chunk(uint64_t key, uint64_t turn)
{
    if (stress.alternates)
        return turn % 2 == 0 ? 4096 : 4;
    return (size_t)content_between(content_random(~key, turn), stress.chunk_least, stress.chunk_most);
}
