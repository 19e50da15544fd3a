/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: any bytes, as what a framed stream hears, whole and byte by byte. Both ways give the same frames, no more is taken than was
 * given, and the frames, written again, are the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "framed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* What was heard: words and payload, written again. */
struct record {
    unsigned char *bytes;
    size_t         size;
    bool           bad;
};

static void write_again(struct record *r, enum vs_frame frame, uint32_t left, const unsigned char *data, size_t used)
{
    if (frame == VS_FRAME_PAYLOAD) {
        memcpy(r->bytes + r->size, data, used);
        r->size += used;
    } else if (frame != VS_FRAME_MORE && frame != VS_FRAME_BAD) {
        vs_frame_write(r->bytes + r->size, frame, left);
        r->size += VS_FRAME_WORD;
    }
    r->bad = frame == VS_FRAME_BAD;
}

static struct vs_frames hear(struct record *r, const unsigned char *data, size_t size, size_t piece)
{
    struct vs_frames in = { 0, 0, 0 };
    size_t           used;

    for (size_t at = 0; at < size && !r->bad; at += used) {
        const size_t   n = piece < size - at ? piece : size - at;
        const uint32_t before = in.left;
        enum vs_frame  frame = vs_frame_read(&in, data + at, n, &used);

        must(used > 0 && used <= n && in.left <= VS_FRAME_MAX && in.heard < VS_FRAME_WORD);
        must((frame == VS_FRAME_PAYLOAD) == (before > 0) && (frame != VS_FRAME_PAYLOAD || in.left == before - used));
        must(before > 0 || used <= VS_FRAME_WORD);
        write_again(r, frame, in.left, data + at, used);
    }
    return in;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char   *copy = calloc(1, size > 0 ? size : 1);     /* of just this size, so that a read past its end is seen */
    struct record    whole = { malloc(size + VS_FRAME_WORD), 0, false }, single = { malloc(size + VS_FRAME_WORD), 0, false };
    struct vs_frames at_once, slowly;

    must(copy != NULL && whole.bytes != NULL && single.bytes != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    at_once = hear(&whole, copy, size, size);
    slowly = hear(&single, copy, size, 1);
    must(whole.bad == single.bad && whole.size == single.size && memcmp(whole.bytes, copy, whole.size) == 0);
    must(memcmp(single.bytes, whole.bytes, whole.size) == 0 && at_once.left == slowly.left && at_once.heard == slowly.heard);
    must(whole.bad || whole.size + at_once.heard == size);
    free(single.bytes);
    free(whole.bytes);
    free(copy);
    return 0;
}
