/* SPDX-License-Identifier: MIT
 *
 * half-close=framed: the shutdown frames of ocaml-hvsock's flow_shutdown, for peers whose sockets cannot end one
 * direction, or lose what is under way at close. First the frames as bytes, without I/O; then a connected stream that
 * speaks them. A frame is a word of four bytes, little-endian: a length, whose payload follows, or one of three that
 * say what ends.
 */
#ifndef VS_FRAMED_H
#define VS_FRAMED_H

#include "stream.h"

#define VS_FRAME_WORD 4
#define VS_FRAME_SENT 4096              /* bytes of payload in one frame of ours; every known peer keeps to it, too */
/* Bytes in one frame of a peer's. Nothing is kept, so memory sets no limit: this one tells a peer that sends no frames,
 * since four characters of text are a larger number, and leaves room for peers that send more at once. */
#define VS_FRAME_MAX  (UINT32_C(1) << 20)

enum vs_frame {
    VS_FRAME_MORE,                      /* the word is not complete */
    VS_FRAME_DATA,                      /* the word of a Data frame: `left` bytes of payload follow, perhaps none */
    VS_FRAME_PAYLOAD,                   /* bytes of its payload */
    VS_FRAME_SHUT_RECV,                 /* the sender reads no more */
    VS_FRAME_SHUT_SEND,                 /* the sender sends no more */
    VS_FRAME_CLOSE,                     /* both; the same is to be answered */
    VS_FRAME_BAD                        /* a length above VS_FRAME_MAX */
};

/* The word of a frame: of `size` bytes (DATA), or one of the three. */
void vs_frame_write(unsigned char out[VS_FRAME_WORD], enum vs_frame frame, uint32_t size);

/* What was read of the frame under way; begins as zeros. */
struct vs_frames {
    uint32_t word, left;                /* left: bytes of payload to come */
    unsigned heard;                     /* bytes of the word */
};

/* Takes *used of n bytes, n > 0: what belongs to one word, or to one payload. Not to be called again after BAD. */
enum vs_frame vs_frame_read(struct vs_frames *in, const unsigned char *data, size_t n, size_t *used);

/* --- Streams: the caller is inside, and the handle is open -------------------------------------------------------- */

/* NULL: out of memory. free() frees it. */
struct vs_framed *vs_framed_new(void);

/* As virtsock_stream_sendv, the first size bytes, more than none; *done is 0. One frame at most, or the rest of one
 * that an earlier send could not finish: its length is said, so what is sent next fills it. */
virtsock_status vs_framed_send(virtsock_stream *s, const virtsock_slice *slices, size_t count, size_t size,
                               int64_t deadline, size_t *done, struct vs_cause *why);
virtsock_status vs_framed_recv(virtsock_stream *s, void *buf, size_t cap, int64_t deadline, size_t *done,
                               struct vs_cause *why);
/* VIRTSOCK_PEER_: what the peer has said before data that is still to be received, and what its socket tells. */
int vs_framed_peer(virtsock_stream *s);
/* TIMEOUT: there was no room for the frame, or a frame that a send has begun is not finished. */
virtsock_status vs_framed_shutdown(virtsock_stream *s, int how, struct vs_cause *why);
/* The last call, by the closer, with nobody inside: says Close and waits for the peer's, until then; or (0) says only
 * what it still owes. */
virtsock_status vs_framed_end(virtsock_stream *s, int64_t until, struct vs_cause *why);

#endif
