/* SPDX-License-Identifier: MIT
 *
 * Streams once they are connected: data, the ends of a conversation, and what there is to know about it. With data
 * ready a send or a receive is one system call: try first, and wait, read the clock and find words only when that was
 * not enough.
 */
#include "framed.h"

#include <stdlib.h>

#define MESSAGE_MAX (INT64_C(1) << 30)
#define SLICES_MAX  256

/* --- Making ------------------------------------------------------------------------------------------------------- */

virtsock_stream *vs_stream_new(const virtsock_address *about, const virtsock_options *options)
{
    virtsock_stream *s = calloc(1, sizeof *s);
    int64_t          interruptible;

    if (s == NULL)
        return NULL;
    interruptible = vs_option(options, VIRTSOCK_OPTION_INTERRUPTIBLE, 0);
    vs_handle_init(&s->handle, interruptible != 0);
    s->blocks = interruptible != 1;
    s->linger_ms = (int)vs_option(options, VIRTSOCK_OPTION_LINGER, -1);
    s->message_max = (size_t)vs_option(options, VIRTSOCK_OPTION_MESSAGE_MAX, MESSAGE_MAX);
    s->half_close = about != NULL ? about->half_close : VIRTSOCK_HALF_CLOSE_NATIVE;
    if ((about != NULL && vs_address_copy(&s->about, about) != VIRTSOCK_OK)
        || (s->half_close == VIRTSOCK_HALF_CLOSE_FRAMED && (s->framed = vs_framed_new()) == NULL)) {
        virtsock_address_free(s->about);
        free(s);
        return NULL;
    }
    return s;
}

bool vs_stream_open(virtsock_stream *s, virtsock_fd fd, enum vs_family family, int type)
{
    if (s->family != family || s->type != type) {       /* of an adopted socket: others are known from the start */
        s->family = family;
        s->type = type;
    }
    s->whole = family == VS_FAMILY_VSOCK && type == VIRTSOCK_TYPE_SEQPACKET;
    if (VS_TEARS_MESSAGES && s->whole && s->about != NULL && s->about->scheme == VIRTSOCK_SCHEME_VSOCK)
        s->timed = vs_set_send_time(fd, true);
    return vs_handle_publish(&s->handle, fd, VS_OPEN | VS_SHUTS | (s->blocks ? VS_BLOCKS : 0) | (s->framed != NULL ? VS_LOOKS : 0));
}

virtsock_status virtsock_stream_from_fd(virtsock_stream **out, virtsock_fd fd, const virtsock_options *options, virtsock_error *err)
{
    struct vs_socket_kind kind;
    struct vs_cause       why;
    virtsock_stream      *s;

    if (out == NULL)
        return vs_refuse(err, "adopt", NULL, VIRTSOCK_E_INVALID, "no place for the stream");
    *out = NULL;
    if (vs_adoptable(fd, false, &kind, &why) != VIRTSOCK_OK)
        return vs_fail(err, "adopt", NULL, &why);
    if ((s = vs_stream_new(NULL, options)) == NULL)
        return vs_refuse(err, "adopt", NULL, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    s->scheme = vs_scheme_of(kind.family);
    vs_stream_open(s, fd, kind.family, kind.type);
    *out = s;
    return VIRTSOCK_OK;
}

/* --- Data --------------------------------------------------------------------------------------------------------- */

enum direction { SEND, SENDV, RECV };
static const char *const names[] = { [SEND] = "send", [SENDV] = "send", [RECV] = "recv" };

/* One transfer: what moves, and until when. */
struct transfer {
    enum direction         direction;
    void                  *data;        /* SEND, RECV */
    const virtsock_slice  *slices;      /* SENDV */
    size_t                 size;        /* bytes, of all slices together */
    size_t                 count;       /* of slices */
    int                    timeout_ms;
    int64_t                deadline;    /* -1: the clock was not read yet */
};

static int64_t deadline_of(struct transfer *t)
{
    if (t->deadline < 0)
        t->deadline = vs_deadline(t->timeout_ms);
    return t->deadline;
}

/* One system call: bytes, or minus the system's code. */
static inline int64_t move(virtsock_stream *s, const struct transfer *t, int64_t until, bool *cut)
{
    virtsock_fd fd = vs_handle_fd(&s->handle);

    if (t->direction == SEND)
        return vs_send(fd, t->data, t->size, until);
    if (t->direction == SENDV)
        return vs_sendv(fd, t->slices, t->count, t->size, until);
    if (s->type == VIRTSOCK_TYPE_SEQPACKET)
        return vs_recv_message(fd, t->data, t->size, cut, until);
    return vs_recv(fd, t->data, t->size, until);
}

/* Whether a signal may end it in the kernel, and is to be told of. */
static bool ends_by_signal(const virtsock_stream *s, const struct transfer *t)
{
    return s->handle.interruptible && s->blocks && t->timeout_ms < 0;
}

/* What n bytes mean. Short of everything, a send that a close cut off is CANCELLED, with its count. */
static virtsock_status moved(virtsock_stream *s, const struct transfer *t, int64_t n, bool cut, size_t *done, struct vs_cause *why)
{
    *done = (size_t)n;
    if (cut)
        return vs_because(why, VIRTSOCK_E_MESSAGE_TOO_LONG, "the message was longer than the buffer, and its rest was dropped");
    if (t->direction != RECV && (size_t)n < t->size && vs_is_closing(&s->handle))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    return VIRTSOCK_OK;
}

/* No bytes, and no reason to wait: an end, which is remembered. A break is told of once, whoever hears it. */
static virtsock_status no_more(virtsock_stream *s, const struct transfer *t, int code, struct vs_cause *why)
{
    const bool recv = t->direction == RECV;

    if (code == 0 && recv)
        code = atomic_exchange(&s->told, 0);
    if (code != 0)
        vs_os_cause(why, names[t->direction], s->scheme, code);
    else
        vs_because(why, recv ? VIRTSOCK_E_EOF : VIRTSOCK_E_RESET, NULL);
    if (why->status == VIRTSOCK_E_EOF)
        atomic_fetch_or(&s->seen, VIRTSOCK_PEER_ENDED & ~atomic_load(&s->shut));
    else if (why->status == VIRTSOCK_E_RESET)
        atomic_fetch_or(&s->seen, recv ? VIRTSOCK_PEER_GONE : VIRTSOCK_PEER_DEAF & ~atomic_load(&s->shut));
    return why->status;
}

/* 0 bytes that are a message: of a UNIX socket whose peer has not ended, or has sent more before. Linux sends none over
 * AF_VSOCK. *n becomes the code of a break that the look has met. */
static bool is_empty_message(virtsock_stream *s, const struct transfer *t, int64_t *n, bool cut)
{
    int64_t next;

    if (*n != 0 || cut || t->direction != RECV || s->type != VIRTSOCK_TYPE_SEQPACKET || s->family != VS_FAMILY_UNIX
        || vs_is_closing(&s->handle))
        return false;
    if (!vs_may_have_ended(vs_handle_fd(&s->handle)) || (next = vs_peek(vs_handle_fd(&s->handle))) > 0)
        return true;
    *n = next < 0 && !vs_would_block((int)-next) ? next : 0;
    return false;
}

/* What no bytes mean: OK is "wait, then try again". */
static virtsock_status not_moved(virtsock_stream *s, const struct transfer *t, int64_t n, struct vs_cause *why)
{
    if (vs_is_closing(&s->handle))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    if (n != 0 && vs_was_interrupted((int)-n))
        return ends_by_signal(s, t) ? vs_because(why, VIRTSOCK_E_INTERRUPTED, NULL) : VIRTSOCK_OK;
    if (n == 0 || !vs_would_block((int)-n))
        return no_more(s, t, (int)-n, why);
    return t->timeout_ms == 0 ? vs_because(why, VIRTSOCK_E_AGAIN, NULL) : VIRTSOCK_OK;
}

/* A poll is not told that the peer takes no more (Linux: AF_UNIX, AF_VSOCK), nor on AF_VSOCK that this side has shut
 * down. So a send looks again so often. */
#define LOOK_AGAIN_MS 1000

/* OK: ready, or (*ready is false) time to look again. */
static virtsock_status wait_ready(virtsock_stream *s, struct transfer *t, bool *ready, struct vs_cause *why)
{
    const bool      sends = t->direction != RECV;
    const int64_t   deadline = deadline_of(t), look = sends && deadline != 0 ? vs_now_ms() + LOOK_AGAIN_MS : deadline;
    virtsock_status status = vs_handle_wait(&s->handle, vs_handle_fd(&s->handle), sends ? VIRTSOCK_WANT_SEND : VIRTSOCK_WANT_RECV,
                                            look < deadline ? look : deadline, why);

    *ready = status == VIRTSOCK_OK;
    return status == VIRTSOCK_E_TIMEOUT && look < deadline ? VIRTSOCK_OK : status;
}

/* It was ready and then would block: another call was quicker, or (AF_VSOCK seqpacket, Linux 6.1: its poll counts
 * bytes, not messages) a part of a message lies there, of which a poll would tell again at once. A millisecond, then;
 * OK: look again. */
static virtsock_status not_yet(virtsock_stream *s, struct transfer *t, struct vs_cause *why)
{
    const int64_t   deadline = deadline_of(t), look = vs_deadline(1);
    virtsock_status status = vs_handle_wait(&s->handle, -1, 0, look < deadline ? look : deadline, why);

    return status == VIRTSOCK_E_TIMEOUT && vs_now_ms() < deadline ? VIRTSOCK_OK : status;
}

/* Everything but "some bytes at the first try", whose result is n. */
static virtsock_status transfer_slowly(virtsock_stream *s, struct transfer *t, int64_t n, int64_t until, size_t *done, struct vs_cause *why)
{
    bool            cut = false, ready;
    virtsock_status status;

    for (;;) {
        if ((status = not_moved(s, t, n, why)) != VIRTSOCK_OK)
            return status;
        if ((status = wait_ready(s, t, &ready, why)) != VIRTSOCK_OK)
            return status;
        if ((n = move(s, t, until, &cut)) > 0 || is_empty_message(s, t, &n, cut))
            return moved(s, t, n, cut, done, why);
        if (ready && vs_would_block((int)-n) && (status = not_yet(s, t, why)) != VIRTSOCK_OK)
            return status;
    }
}

static virtsock_status transfer_framed(virtsock_stream *s, struct transfer *t, size_t *done, struct vs_cause *why)
{
    virtsock_slice one = { t->data, t->size };

    if (t->direction == RECV)
        return vs_framed_recv(s, t->data, t->size, deadline_of(t), done, why);
    return vs_framed_send(s, t->direction == SENDV ? t->slices : &one, t->direction == SENDV ? t->count : 1, t->size, deadline_of(t), done, why);
}

static virtsock_status not_open(virtsock_stream *s, struct vs_cause *why)
{
    return vs_is_closing(&s->handle) ? vs_because(why, VIRTSOCK_E_CANCELLED, "the stream is closed")
                                     : vs_because(why, VIRTSOCK_E_INVALID, "the stream is not connected yet");
}

/* What size and count may be; OK, too, for what needs no call. */
static virtsock_status fit(const virtsock_stream *s, struct transfer *t, struct vs_cause *why)
{
    bool messages = s->type == VIRTSOCK_TYPE_SEQPACKET;

    if (t->data == NULL && t->slices == NULL)
        return vs_because(why, VIRTSOCK_E_INVALID, "no buffer");
    if (messages && t->direction != RECV && t->size > s->message_max)
        return vs_because(why, VIRTSOCK_E_MESSAGE_TOO_LONG, "the message is longer than MESSAGE_MAX");
    if (messages && t->count > SLICES_MAX)
        return vs_because(why, VIRTSOCK_E_MESSAGE_TOO_LONG, "more than 256 pieces");
    if (t->size > s->message_max)
        t->size = s->message_max;
    return VIRTSOCK_OK;
}

#define NOT_TRIED INT64_MIN

static inline int64_t may_block(uint64_t word, int timeout_ms)
{
    return timeout_ms < 0 && (word & VS_BLOCKS) != 0 ? VS_FOREVER : 0;
}

/* The caller is inside, and word is what it saw; n is what a first try gave, or NOT_TRIED. */
static virtsock_status transfer(virtsock_stream *s, uint64_t word, struct transfer *t, int64_t n, size_t *done, struct vs_cause *why)
{
    virtsock_slice  one = { t->data, t->size };
    bool            cut = false;
    int64_t         until = VS_WAITS_INSIDE ? deadline_of(t) : may_block(word, t->timeout_ms);
    virtsock_status status;

    *done = 0;
    if (t->timeout_ms < -1)
        return vs_because(why, VIRTSOCK_E_INVALID, VS_BAD_TIMEOUT);
    if (!vs_is_open(word))
        return not_open(s, why);
    if (t->size == 0)
        return VIRTSOCK_OK;                     /* nothing to do, and never taken for the end */
    if ((status = fit(s, t, why)) != VIRTSOCK_OK)
        return status;
    if (s->framed != NULL)
        return transfer_framed(s, t, done, why);
    if (VS_TEARS_MESSAGES && s->whole && t->direction != RECV)
        return vs_message_send(s, t->direction == SENDV ? t->slices : &one, t->direction == SENDV ? t->count : 1,
                               deadline_of(t), done, why);
    if (n == NOT_TRIED)
        n = move(s, t, until, &cut);
    if (n > 0 || is_empty_message(s, t, &n, cut))
        return moved(s, t, n, cut, done, why);
    return transfer_slowly(s, t, n, until, done, why);
}

/* Before the caller leaves: a free may be waiting for that. */
static virtsock_status failed(const virtsock_stream *s, const char *op, const struct vs_cause *why, virtsock_error *err)
{
    vs_fail(err, op, s->about, why);
    if (err != NULL)
        err->scheme = s->scheme;
    return why->status;
}

/* The rest of a call that entered with word and, perhaps, tried; it leaves. */
static virtsock_status transfer_and_leave(virtsock_stream *s, uint64_t word, struct transfer *t, int64_t n, size_t *done, virtsock_error *err)
{
    virtsock_status status;
    struct vs_cause why;
    size_t          ignored;

    if ((status = transfer(s, word, t, n, done != NULL ? done : &ignored, &why)) != VIRTSOCK_OK)
        failed(s, names[t->direction], &why, err);
    vs_leave(&s->handle);
    return status;
}

/* Not inside: there is no stream, or it is closed and not to be looked at. */
static virtsock_status turned_away(enum direction direction, bool closed, size_t *done, virtsock_error *err)
{
    if (done != NULL)
        *done = 0;
    return closed ? vs_refuse(err, names[direction], NULL, VIRTSOCK_E_CANCELLED, "the stream is closed")
                  : vs_refuse(err, names[direction], NULL, VIRTSOCK_E_INVALID, "no stream");
}

/* True: bytes of a stream, as many as one system call takes, in a handle that is open: worth a try before anything else
 * is looked at. */
static inline bool is_simple(const virtsock_stream *s, uint64_t word, const void *data, size_t size, int timeout_ms)
{
    return !VS_WAITS_INSIDE && vs_is_open(word) && timeout_ms >= -1 && s->type == VIRTSOCK_TYPE_STREAM && s->framed == NULL && data != NULL
           && size - 1 < s->message_max;
}

virtsock_status virtsock_stream_send(virtsock_stream *s, const void *data, size_t size, size_t *done, int timeout_ms, virtsock_error *err)
{
    int64_t  n = NOT_TRIED;
    uint64_t word;

    if (s == NULL || !vs_enter(&s->handle, &word))
        return turned_away(SEND, s != NULL, done, err);
    if (is_simple(s, word, data, size, timeout_ms)) {
        n = vs_send(vs_handle_fd(&s->handle), data, size, may_block(word, timeout_ms));
        if (n == (int64_t)size && done != NULL) {
            *done = size;
            vs_leave(&s->handle);
            return VIRTSOCK_OK;
        }
    }
    return transfer_and_leave(s, word, &(struct transfer){ SEND, (void *)(uintptr_t)data, NULL, size, 1, timeout_ms, -1 }, n, done, err);
}

virtsock_status virtsock_stream_recv(virtsock_stream *s, void *buf, size_t cap, size_t *done, int timeout_ms, virtsock_error *err)
{
    int64_t  n = NOT_TRIED;
    uint64_t word;

    if (s == NULL || !vs_enter(&s->handle, &word))
        return turned_away(RECV, s != NULL, done, err);
    if (is_simple(s, word, buf, cap, timeout_ms)) {
        n = vs_recv(vs_handle_fd(&s->handle), buf, cap, may_block(word, timeout_ms));
        if (n > 0 && done != NULL) {
            *done = (size_t)n;
            vs_leave(&s->handle);
            return VIRTSOCK_OK;
        }
    }
    return transfer_and_leave(s, word, &(struct transfer){ RECV, buf, NULL, cap, 1, timeout_ms, -1 }, n, done, err);
}

virtsock_status virtsock_stream_sendv(virtsock_stream *s, const virtsock_slice *slices, size_t count, size_t *done, int timeout_ms,
                                      virtsock_error *err)
{
    struct transfer t = { SENDV, NULL, slices, 0, count, timeout_ms, -1 };
    uint64_t        word;

    for (size_t i = 0; i < count; i++) {
        if (slices == NULL || slices[i].size > SIZE_MAX - t.size || (slices[i].data == NULL && slices[i].size != 0)) {
            if (done != NULL)
                *done = 0;
            return vs_refuse(err, "send", NULL, VIRTSOCK_E_INVALID, "a slice without data, or more bytes than there is memory");
        }
        t.size += slices[i].size;
    }
    if (s == NULL || !vs_enter(&s->handle, &word))
        return turned_away(SENDV, s != NULL, done, err);
    return transfer_and_leave(s, word, &t, NOT_TRIED, done, err);
}

/* A send that waits in the kernel and ends short of everything: a signal came, which no later call would be told of. */
static bool was_interrupted(virtsock_stream *s, const struct transfer *t, size_t n)
{
    return t->direction == SEND && n < t->size && s->framed == NULL && ends_by_signal(s, t)
           && vs_waits_for_room(vs_handle_fd(&s->handle));
}

/* All of size bytes, within the total time; inside from the first to the last. */
static virtsock_status all_inside(virtsock_stream *s, uint64_t word, struct transfer *t, size_t size, size_t *at,
                                  struct vs_cause *why)
{
    char           *data = t->data;
    virtsock_status status = VIRTSOCK_OK;
    size_t          n;

    if (vs_is_open(word) && s->type == VIRTSOCK_TYPE_SEQPACKET)
        return vs_because(why, VIRTSOCK_E_INVALID, "a seqpacket stream moves whole messages: use send and recv");
    do {
        t->data = data == NULL ? NULL : data + *at;
        t->size = size - *at;
        status = transfer(s, word, t, NOT_TRIED, &n, why);
        *at += n;
        if (status == VIRTSOCK_OK && was_interrupted(s, t, n))
            return vs_because(why, VIRTSOCK_E_INTERRUPTED, NULL);
        deadline_of(t);                         /* time runs from the first call on, although that one read no clock */
        word = atomic_load(&s->handle.word);
    } while (status == VIRTSOCK_OK && *at < size);
    return status;
}

static virtsock_status transfer_all(virtsock_stream *s, enum direction direction, void *data, size_t size, size_t *done, int timeout_ms,
                                    virtsock_error *err)
{
    struct transfer t = { direction, data, NULL, size, 1, timeout_ms, -1 };
    virtsock_status status;
    struct vs_cause why;
    size_t          at = 0;
    uint64_t        word;

    if (s == NULL || !vs_enter(&s->handle, &word))
        return turned_away(direction, s != NULL, done, err);
    if ((status = all_inside(s, word, &t, size, &at, &why)) != VIRTSOCK_OK)
        failed(s, names[direction], &why, err);
    vs_leave(&s->handle);
    if (done != NULL)
        *done = at;
    return status;
}

virtsock_status virtsock_stream_send_all(virtsock_stream *s, const void *data, size_t size, size_t *done, int timeout_ms, virtsock_error *err)
{
    return transfer_all(s, SEND, (void *)(uintptr_t)data, size, done, timeout_ms, err);
}

virtsock_status virtsock_stream_recv_exact(virtsock_stream *s, void *buf, size_t size, size_t *done, int timeout_ms, virtsock_error *err)
{
    return transfer_all(s, RECV, buf, size, done, timeout_ms, err);
}
