/* SPDX-License-Identifier: MIT
 *
 * The frames of half-close=framed as bytes, in pieces of every size. Inner functions: no I/O.
 */
#include "frames.h"
#include "framed.h"

static const char *const names[] = {
    [VS_FRAME_SHUT_RECV] = " shutdown-read", [VS_FRAME_SHUT_SEND] = " shutdown-write", [VS_FRAME_CLOSE] = " close", [VS_FRAME_BAD] = " bad",
};

/* Adds to the words what these bytes are. False: bad. */
static bool read_on(struct vs_frames *in, char *words, const unsigned char *data, size_t n)
{
    while (n > 0) {
        size_t        used = 99;
        enum vs_frame frame = vs_frame_read(in, data, n, &used);

        CHECK(used > 0 && used <= n);
        if (frame == VS_FRAME_DATA)
            strcat(words, " data:");
        for (size_t i = 0; frame == VS_FRAME_PAYLOAD && i < used; i++)
            sprintf(words + strlen(words), "%02x", data[i]);
        if (frame >= VS_FRAME_SHUT_RECV)
            strcat(words, names[frame]);
        if (frame == VS_FRAME_BAD)
            return false;
        data += used;
        n -= used;
    }
    return true;
}

/* Cut in three, everywhere; the piece in the middle byte by byte. */
static void check_bytes(char *hex, char *want)
{
    unsigned char bytes[200];
    size_t        n = from_hex(bytes, hex);

    for (size_t first = 0; first <= n; first++)
        for (size_t second = first; second <= n; second++) {
            struct vs_frames in = { 0, 0, 0 };
            char             words[500] = "";
            bool             good = read_on(&in, words, bytes, first);

            for (size_t i = first; good && i < second; i++)
                good = read_on(&in, words, bytes + i, 1);
            if (good && read_on(&in, words, bytes + second, n - second) && in.heard + in.left > 0)
                strcat(words, " more");
            CHECK_TEXT(words[0] == ' ' ? words + 1 : words, want);
        }
}

TEST(bytes_are_read)
{
    CHECK(each_row("bytes", check_bytes) > 20);
}

TEST(words_are_written)
{
    static const struct {
        enum vs_frame frame;
        uint32_t      size;
        const char   *hex;
    } rows[] = {
        { VS_FRAME_SHUT_RECV, 0, "efbeadde" }, { VS_FRAME_SHUT_SEND, 0, "addeefbe" }, { VS_FRAME_CLOSE, 0, "addeadde" },
        { VS_FRAME_DATA, 5, "05000000" }, { VS_FRAME_DATA, 4096, "00100000" }, { VS_FRAME_DATA, 0x10000, "00000100" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char want[VS_FRAME_WORD], got[VS_FRAME_WORD];

        CHECK(from_hex(want, rows[i].hex) == VS_FRAME_WORD);
        vs_frame_write(got, rows[i].frame, rows[i].size);
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}
