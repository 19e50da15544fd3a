/* SPDX-License-Identifier: MIT
 *
 * half-close=framed: see framed.h. Two locks, one a direction, so that frames do not interleave; each is held for one
 * system call, which may wait only where calls wait themselves (VS_WAITS_INSIDE), and then not for long. Everything
 * else that waits does so outside of them, and looks again now and then, since no descriptor tells of what another
 * thread has heard or said.
 */
#include "framed.h"

#include <stdlib.h>

/* within the time in which a close ends calls: it leaves them to that (VS_LOOKS) */
#define LOOK_AGAIN_MS 40
#define SHUTDOWN_MS   5000              /* for the room that its frame needs */
#define TURN          64                /* words heard in one: a row of them without an end is no data */
#define SLICES_MAX    256
#define NO_FRAME      "that is no frame: the peer must have half-close=framed, too"
#define NO_WORD       "the peer went without saying so"

static const uint32_t words[] = {
    [VS_FRAME_SHUT_RECV] = UINT32_C(0xdeadbeef), [VS_FRAME_SHUT_SEND] = UINT32_C(0xbeefdead), [VS_FRAME_CLOSE] = UINT32_C(0xdeaddead),
};

/* --- Frames as bytes ---------------------------------------------------------------------------------------------- */

void vs_frame_write(unsigned char out[VS_FRAME_WORD], enum vs_frame frame, uint32_t size)
{
    const uint32_t word = frame == VS_FRAME_DATA ? size : words[frame];

    for (unsigned i = 0; i < VS_FRAME_WORD; i++)
        out[i] = (unsigned char)(word >> 8 * i);
}

enum vs_frame vs_frame_read(struct vs_frames *in, const unsigned char *data, size_t n, size_t *used)
{
    uint32_t word;

    if (in->left > 0) {
        *used = n < in->left ? n : in->left;
        in->left -= (uint32_t)*used;
        return VS_FRAME_PAYLOAD;
    }
    for (*used = 0; *used < n && in->heard < VS_FRAME_WORD; in->heard++)
        in->word |= (uint32_t)data[(*used)++] << 8 * in->heard;
    if (in->heard < VS_FRAME_WORD)
        return VS_FRAME_MORE;
    word = in->word;
    in->word = in->heard = 0;
    for (enum vs_frame frame = VS_FRAME_SHUT_RECV; frame <= VS_FRAME_CLOSE; frame++)
        if (word == words[frame])
            return frame;
    if (word > VS_FRAME_MAX)
        return VS_FRAME_BAD;
    in->left = word;
    return VS_FRAME_DATA;
}

/* --- The stream --------------------------------------------------------------------------------------------------- */

#define SAID(frame)  (UINT32_C(1) << (frame))
#define HEARD(frame) (UINT32_C(256) << (frame))
#define GONE  (UINT32_C(1) << 30)       /* the socket's end came, or its break */
#define TOLD  (UINT32_C(1) << 31)       /* and a call has told of it */
#define IN_ORDER (HEARD(VS_FRAME_SHUT_SEND) | HEARD(VS_FRAME_CLOSE))
#define NO_MORE_TO_RECV (SAID(VS_FRAME_SHUT_RECV) | HEARD(VS_FRAME_SHUT_SEND) | HEARD(VS_FRAME_CLOSE))
#define NO_MORE_TO_SEND (SAID(VS_FRAME_SHUT_SEND) | HEARD(VS_FRAME_SHUT_RECV) | HEARD(VS_FRAME_CLOSE))

struct vs_framed {
    _Atomic uint32_t state;             /* the frames that were SAID and HEARD */
    _Atomic bool     hearing, saying;   /* the locks; the closer, alone, needs none */
    struct vs_frames in;                /* hearing's, and */
    bool             bad;               /* what came was no frame */
    unsigned char    word[VS_FRAME_WORD];
    size_t           unsaid;            /* saying's: bytes at the end of word that have not left, and */
    size_t           owed;              /* how many of payload must follow them */
};

/* What a call is about. */
struct want {
    enum vs_frame         frame;        /* to say; DATA: */
    const virtsock_slice *slices;       /* to send, or one to receive into */
    size_t                count, size, *done;
};

struct vs_framed *vs_framed_new(void)
{
    return calloc(1, sizeof(struct vs_framed));
}

static bool is(struct vs_framed *f, uint32_t any)
{
    return (atomic_load(&f->state) & any) != 0;
}

/* --- Hearing ------------------------------------------------------------------------------------------------------ */

/* One system call: a piece of a word, or (*done bytes) of payload. What it gave; words are noted. */
static int64_t hear(virtsock_stream *s, void *buf, size_t cap, int64_t until, size_t *done)
{
    struct vs_framed *f = s->framed;
    unsigned char     word[VS_FRAME_WORD], *at = f->in.left > 0 ? buf : word;
    size_t            most = f->in.left == 0 ? VS_FRAME_WORD - f->in.heard : cap < f->in.left ? cap : f->in.left, used = 0;
    int64_t           n = vs_recv(vs_handle_fd(&s->handle), at, most, until);
    enum vs_frame     frame = n > 0 ? vs_frame_read(&f->in, at, (size_t)n, &used) : VS_FRAME_MORE;

    *done = frame == VS_FRAME_PAYLOAD ? used : 0;
    f->bad = frame == VS_FRAME_BAD;
    if (n == 0 || (n < 0 && !vs_would_block((int)-n)))
        atomic_fetch_or(&f->state, GONE);
    else if (!f->bad && frame >= VS_FRAME_SHUT_RECV)
        atomic_fetch_or(&f->state, HEARD(frame));
    return n;
}

/* Words, up to payload: that is received if there is a buffer, left if not, and discarded once nobody wants it. What
 * the last call gave. */
static int64_t hear_on(virtsock_stream *s, void *buf, size_t cap, int64_t until, size_t *done)
{
    struct vs_framed *f = s->framed;
    char              scrap[VS_FRAME_SENT];
    size_t            none;
    int64_t           n = 1;

    for (int i = 0; i < TURN && n > 0 && *done == 0 && !f->bad; i++) {
        if (is(f, NO_MORE_TO_RECV))
            n = hear(s, scrap, sizeof scrap, 0, &none);
        else if (buf != NULL || f->in.left == 0)
            n = hear(s, buf, cap, until, done);
        else
            break;
    }
    return n;
}

static virtsock_status recv_turn(virtsock_stream *s, const struct want *w, int64_t until, struct vs_cause *why)
{
    const struct vs_framed *f = s->framed;
    const int64_t n = hear_on(s, (void *)(uintptr_t)w->slices->data, w->slices->size, until, w->done);

    if (*w->done > 0)
        return VIRTSOCK_OK;
    if (is(s->framed, NO_MORE_TO_RECV))
        return vs_because(why, VIRTSOCK_E_EOF, NULL);
    if (f->bad)
        return vs_because(why, VIRTSOCK_E_PROTOCOL, NO_FRAME);
    if (n == 0)
        return vs_because(why, VIRTSOCK_E_RESET, f->in.heard + f->in.left > 0 ? NO_WORD ", in the middle of a frame" : NO_WORD);
    return n > 0 || vs_would_block((int)-n) ? VIRTSOCK_E_AGAIN : vs_os_cause(why, "recv", s->scheme, (int)-n);
}

/* --- Saying ------------------------------------------------------------------------------------------------------- */

static bool was_said(struct vs_framed *f, enum vs_frame frame)
{
    return frame != VS_FRAME_DATA && f->unsaid == 0 && is(f, SAID(frame));
}

/* What is not empty of the slices, to v[1] and on; how many bytes, of room at most. */
static size_t gather(virtsock_slice v[SLICES_MAX], size_t *used, const struct want *w, size_t room)
{
    size_t size = 0;

    for (size_t i = 0; i < w->count && *used < SLICES_MAX && size < room; i++)
        if (w->slices[i].size > 0) {
            v[*used] = w->slices[i];
            size += v[(*used)++].size;
        }
    return size < room ? size : room;
}

/* One system call: a frame, or what is still to go of one that was begun, as far as the slices have it. OK: some
 * payload left, or a word that ends something; AGAIN; IN_USE: a frame is open, which only a send can fill; RESET. */
static virtsock_status say_turn(virtsock_stream *s, const struct want *w, int64_t until, struct vs_cause *why)
{
    struct vs_framed *f = s->framed;
    const bool        begins = f->unsaid == 0 && f->owed == 0;
    const size_t      word = begins ? VS_FRAME_WORD : f->unsaid, room = begins ? VS_FRAME_SENT : f->owed;
    virtsock_slice    v[SLICES_MAX];
    size_t            used = 1, size = gather(v, &used, w, w->size < room ? w->size : room);
    int64_t           n;

    if (was_said(f, w->frame))
        return VIRTSOCK_OK;
    if (is(f, w->frame == VS_FRAME_DATA ? NO_MORE_TO_SEND : w->frame != VS_FRAME_CLOSE ? HEARD(VS_FRAME_CLOSE) : 0))
        return vs_because(why, VIRTSOCK_E_RESET, is(f, SAID(VS_FRAME_SHUT_SEND)) ? "this direction was shut down here" : "the peer receives no more");
    if (word + size == 0)
        return VIRTSOCK_E_IN_USE;
    if (begins)
        vs_frame_write(f->word, w->frame, (uint32_t)size);
    v[0] = (virtsock_slice){ f->word + VS_FRAME_WORD - word, word };
    if ((n = vs_sendv(vs_handle_fd(&s->handle), v, used, word + size, until)) <= 0) {
        if (vs_would_block((int)-n))
            return VIRTSOCK_E_AGAIN;
        atomic_fetch_or(&f->state, GONE);
        return vs_os_cause(why, "send", s->scheme, (int)-n);
    }
    if (begins) {
        atomic_fetch_or(&f->state, SAID(w->frame));
        f->owed = size;
    }
    f->unsaid = (size_t)n < word ? word - (size_t)n : 0;
    *w->done = (size_t)n - (word - f->unsaid);
    f->owed -= *w->done;
    return *w->done > 0 || was_said(f, w->frame) ? VIRTSOCK_OK : VIRTSOCK_E_AGAIN;
}

/* Without a wait, by who has the lock, or by the closer. */
static virtsock_status say_close(virtsock_stream *s)
{
    struct vs_cause why;
    size_t          none;

    return say_turn(s, &(struct want){ .frame = VS_FRAME_CLOSE, .done = &none }, 0, &why);
}

/* Without a wait, and unless others are at it: hears what the peer says before data that somebody may want, and answers
 * its Close. Fails only as a receive may: the system tells of a broken connection once. */
static virtsock_status attend(virtsock_stream *s, struct vs_cause *why)
{
    struct vs_framed *f = s->framed;
    size_t            none = 0;
    int64_t           n = 1;

    if (!atomic_exchange(&f->hearing, true)) {
        n = hear_on(s, NULL, 0, 0, &none);
        atomic_store(&f->hearing, false);
    }
    if (is(f, HEARD(VS_FRAME_CLOSE)) && !atomic_exchange(&f->saying, true)) {
        say_close(s);
        atomic_store(&f->saying, false);
    }
    if (n == 0)                         /* a peer of frames never ends one direction alone otherwise */
        return vs_because(why, VIRTSOCK_E_RESET, is(f, IN_ORDER) ? "the peer has gone" : NO_WORD);
    return n > 0 || vs_would_block((int)-n) ? VIRTSOCK_OK : vs_os_cause(why, "recv", s->scheme, (int)-n);
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

/* False: somebody has it for longer. */
static bool take(_Atomic bool *lock)
{
    for (int tries = 0; atomic_exchange(lock, true); tries++) {
        if (tries == 100)
            return false;
        vs_nap_us(0);
    }
    return true;
}

/* Turns with the lock, and rests without, until one is done or the deadline has come. */
static virtsock_status take_turns(virtsock_stream *s, const struct want *w, bool sends, int64_t deadline, struct vs_cause *why)
{
    _Atomic bool *lock = sends ? &s->framed->saying : &s->framed->hearing;

    for (;;) {
        const int64_t   now = vs_now_ms(), look = now + LOOK_AGAIN_MS < deadline ? now + LOOK_AGAIN_MS : deadline;
        virtsock_status status = sends ? attend(s, why) : VIRTSOCK_OK;
        bool            soon;

        if (status == VIRTSOCK_OK && !take(lock)) {
            status = VIRTSOCK_E_IN_USE;
        } else if (status == VIRTSOCK_OK) {
            status = (sends ? say_turn : recv_turn)(s, w, look, why);
            atomic_store(lock, false);
        }
        if (status == VIRTSOCK_OK)
            return VIRTSOCK_OK;
        if (vs_is_closing(&s->handle))
            return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
        if (status != VIRTSOCK_E_AGAIN && status != VIRTSOCK_E_IN_USE)
            return status;
        if (now >= deadline)
            return vs_because(why, deadline == 0 ? VIRTSOCK_E_AGAIN : VIRTSOCK_E_TIMEOUT, NULL);
        soon = status == VIRTSOCK_E_IN_USE;
        status = vs_handle_wait(&s->handle, soon ? -1 : vs_handle_fd(&s->handle), sends ? VIRTSOCK_WANT_SEND : VIRTSOCK_WANT_RECV,
                                soon ? now + 1 : look, why);
        if (status != VIRTSOCK_OK && status != VIRTSOCK_E_TIMEOUT)
            return status;
    }
}

/* A break is told of once. */
static virtsock_status telling(struct vs_framed *f, virtsock_status status)
{
    if (status == VIRTSOCK_E_RESET && is(f, GONE))
        atomic_fetch_or(&f->state, TOLD);
    return status;
}

virtsock_status vs_framed_send(virtsock_stream *s, const virtsock_slice *slices, size_t count, size_t size, int64_t deadline, size_t *done,
                               struct vs_cause *why)
{
    return telling(s->framed, take_turns(s, &(struct want){ VS_FRAME_DATA, slices, count, size, done }, true, deadline, why));
}

virtsock_status vs_framed_recv(virtsock_stream *s, void *buf, size_t cap, int64_t deadline, size_t *done, struct vs_cause *why)
{
    virtsock_slice  into = { buf, cap };
    virtsock_status status = take_turns(s, &(struct want){ VS_FRAME_DATA, &into, 1, cap, done }, false, deadline, why);
    struct vs_cause ignored;

    if (status == VIRTSOCK_E_EOF)
        attend(s, &ignored);
    return telling(s->framed, status);
}

int vs_framed_peer(virtsock_stream *s)
{
    struct vs_framed *f = s->framed;
    struct vs_cause   ignored;
    int               state, code;

    attend(s, &ignored);
    state = (is(f, HEARD(VS_FRAME_SHUT_SEND)) ? VIRTSOCK_PEER_ENDED : 0) | (is(f, HEARD(VS_FRAME_SHUT_RECV)) ? VIRTSOCK_PEER_DEAF : 0);
    if (is(f, HEARD(VS_FRAME_CLOSE) | GONE) || vs_peer_state(vs_handle_fd(&s->handle), false, &code) != 0)
        state = VIRTSOCK_PEER_GONE;
    return state;
}

/* A direction has ended, too, when nobody is there to hear of it. */
virtsock_status vs_framed_shutdown(virtsock_stream *s, int how, struct vs_cause *why)
{
    const int64_t   deadline = vs_deadline(SHUTDOWN_MS);
    virtsock_status status = VIRTSOCK_OK;
    size_t          none;

    for (enum vs_frame frame = VS_FRAME_SHUT_SEND; frame >= VS_FRAME_SHUT_RECV && status == VIRTSOCK_OK; frame--) {
        if (how == (frame == VS_FRAME_SHUT_SEND ? VIRTSOCK_SHUT_RECV : VIRTSOCK_SHUT_SEND))
            continue;
        status = take_turns(s, &(struct want){ .frame = frame, .done = &none }, true, deadline, why);
        if (status == VIRTSOCK_E_RESET) {
            atomic_fetch_or(&s->framed->state, SAID(frame));
            status = VIRTSOCK_OK;
        }
    }
    return status;
}

/* A step of the end, for vs_handle_linger: what comes is discarded. Whoever said ShutdownRead (OCaml's and Go's, too)
 * hears no Close before it says its own, so that is not waited for. A peer that breaks off after its Close has ended,
 * and a break that was told of is over. */
static int64_t drain(void *stream, int64_t until)
{
    virtsock_stream  *s = stream;
    struct vs_framed *f = s->framed;
    virtsock_status   said = say_close(s);
    const bool        told = said == VIRTSOCK_OK, ended = is(f, HEARD(VS_FRAME_CLOSE));
    struct vs_cause   why;
    char              scrap[VS_FRAME_SENT];
    size_t            none;
    int64_t           n;

    if (f->bad || (ended && said != VIRTSOCK_E_AGAIN) || (told && is(f, HEARD(VS_FRAME_SHUT_RECV))))
        return 0;
    n = hear(s, scrap, sizeof scrap, until, &none);
    return is(f, HEARD(VS_FRAME_CLOSE) | TOLD) && n < 0 && vs_os_cause(&why, "close", s->scheme, (int)-n) == VIRTSOCK_E_RESET ? 0 : n;
}

virtsock_status vs_framed_end(virtsock_stream *s, int64_t until, struct vs_cause *why)
{
    struct vs_framed *f = s->framed;
    virtsock_status   status;

    if (until == 0) {
        if (is(f, HEARD(VS_FRAME_CLOSE)) && !vs_handle_is_foreign(&s->handle))
            say_close(s);
        return VIRTSOCK_OK;
    }
    if (f->owed > 0)
        return vs_because(why, VIRTSOCK_E_RESET, "a send has left its frame unfinished, so the peer cannot be told of the end");
    status = vs_handle_linger(&s->handle, until, drain, s, why);
    if (status == VIRTSOCK_OK && f->bad)
        return vs_because(why, VIRTSOCK_E_PROTOCOL, NO_FRAME);
    return status == VIRTSOCK_OK && is(f, GONE) && !is(f, IN_ORDER | TOLD) ? vs_because(why, VIRTSOCK_E_RESET, NO_WORD) : status;
}
