/* SPDX-License-Identifier: MIT
 *
 * virtsock bench: the bytes of what both ends say around a measurement, with no I/O. Numbers are big-endian. docs/virtsock.md has them.
 */
#include <string.h>

#include "bench.h"

#define MAGIC        "virtsock bench 1"
#define MAGIC_SIZE   16u
#define VERSION_SIZE 1u                 /* at its end */

static void put(unsigned char *out, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--, value >>= 8)
        out[i - 1] = (unsigned char)value;
}

static uint64_t get(const unsigned char *in, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | in[i];
    return value;
}

void bench_write_request(unsigned char out[BENCH_REQUEST_SIZE], const struct bench_request *request)
{
    const uint32_t words[] = { request->test, request->message, request->receive, request->warmup_ms, request->measure_ms, request->number };

    memcpy(out, MAGIC, MAGIC_SIZE);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        put(out + MAGIC_SIZE + 4 * i, words[i], 4);
}

bool bench_begins_request(const unsigned char *bytes, size_t size)
{
    const size_t told = MAGIC_SIZE - VERSION_SIZE;

    return memcmp(bytes, MAGIC, size < told ? size : told) == 0;
}

enum bench_answer bench_read_request(struct bench_request *request, const unsigned char in[BENCH_REQUEST_SIZE])
{
    const unsigned char *words = in + MAGIC_SIZE;

    if (memcmp(in, MAGIC, MAGIC_SIZE) != 0)
        return BENCH_OTHER_VERSION;
    *request = (struct bench_request){ (uint32_t)get(words, 4), (uint32_t)get(words + 4, 4), (uint32_t)get(words + 8, 4),
                                       (uint32_t)get(words + 12, 4), (uint32_t)get(words + 16, 4), (uint32_t)get(words + 20, 4) };
    if (request->test < BENCH_SEND || request->test > BENCH_CONNECT || request->message < 1 || request->message > BENCH_SIZE_MAX
        || request->receive < 1 || request->receive > BENCH_SIZE_MAX || request->warmup_ms > BENCH_TIME_MAX_MS
        || request->measure_ms < 1 || request->measure_ms > BENCH_TIME_MAX_MS)
        return BENCH_OUT_OF_RANGE;
    return BENCH_READY;
}

void bench_write_reply(unsigned char out[BENCH_REPLY_SIZE], enum bench_answer answer, bool polls)
{
    memcpy(out, MAGIC, MAGIC_SIZE);
    put(out + MAGIC_SIZE, (uint64_t)answer, 4);
    put(out + MAGIC_SIZE + 4, polls, 4);
}

bool bench_read_reply(const unsigned char in[BENCH_REPLY_SIZE], uint32_t *answer, bool *polls)
{
    *answer = (uint32_t)get(in + MAGIC_SIZE, 4);
    *polls = (get(in + MAGIC_SIZE + 4, 4) & 1) != 0;
    return bench_begins_request(in, BENCH_REPLY_SIZE);
}

void bench_write_count(unsigned char out[BENCH_COUNT_SIZE], uint64_t bytes, uint64_t ns)
{
    put(out, bytes, 8);
    put(out + 8, ns, 8);
}

void bench_read_count(const unsigned char in[BENCH_COUNT_SIZE], uint64_t *bytes, uint64_t *ns)
{
    *bytes = get(in, 8);
    *ns = get(in + 8, 8);
}

void bench_write_told(unsigned char out[BENCH_TOLD_SIZE], uint64_t bytes, uint64_t ns, uint64_t datagrams)
{
    memcpy(out, MAGIC, MAGIC_SIZE);
    bench_write_count(out + MAGIC_SIZE, bytes, ns);
    put(out + MAGIC_SIZE + BENCH_COUNT_SIZE, datagrams, 8);
}

bool bench_read_told(const unsigned char in[BENCH_TOLD_SIZE], uint64_t *bytes, uint64_t *ns, uint64_t *datagrams)
{
    bench_read_count(in + MAGIC_SIZE, bytes, ns);
    *datagrams = get(in + MAGIC_SIZE + BENCH_COUNT_SIZE, 8);
    return bench_begins_request(in, BENCH_TOLD_SIZE);
}

size_t bench_write_number(unsigned char *out, uint64_t number, size_t size)
{
    const size_t fits = size < sizeof number ? size : sizeof number;

    put(out, number, fits);
    return fits;
}
