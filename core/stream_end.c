/* SPDX-License-Identifier: MIT
 *
 * Streams, the rest: shutting down, closing, giving the descriptor away, and what there is to know about one.
 */
#include "connecting.h"
#include "framed.h"

#include <stdlib.h>

static virtsock_status no_stream(const char *op, virtsock_error *err)
{
    return vs_refuse(err, op, NULL, VIRTSOCK_E_INVALID, "no stream, or no place for the answer");
}

/* True: the caller is inside, and leaves. False: *status, and the caller is not inside. */
static bool enter(virtsock_stream *s, const char *op, virtsock_status *status, virtsock_error *err)
{
    uint64_t word;

    if (!vs_enter(&s->handle, &word)) {
        *status = vs_refuse(err, op, NULL, VIRTSOCK_E_CANCELLED, "the stream is closed");
        return false;
    }
    if (vs_is_open(word))
        return true;
    *status = vs_is_closing(&s->handle) ? vs_refuse(err, op, s->about, VIRTSOCK_E_CANCELLED, "the stream is closed")
                                        : vs_refuse(err, op, s->about, VIRTSOCK_E_INVALID, "the stream is not connected yet");
    vs_leave(&s->handle);
    return false;
}

static virtsock_status os_status(const virtsock_stream *s, const char *op, int code, virtsock_error *err)
{
    struct vs_cause why;

    if (code == 0)
        return VIRTSOCK_OK;
    vs_os_cause(&why, op, s->scheme, code);
    return vs_fail(err, op, s->about, &why);
}

/* --- Ending ------------------------------------------------------------------------------------------------------- */

static virtsock_status shut(virtsock_stream *s, int how, virtsock_error *err)
{
    atomic_fetch_or(&s->shut, how == VIRTSOCK_SHUT_RECV ? VIRTSOCK_PEER_ENDED : how == VIRTSOCK_SHUT_SEND ? VIRTSOCK_PEER_DEAF : VIRTSOCK_PEER_GONE);
    return os_status(s, "shutdown", vs_shutdown(vs_handle_fd(&s->handle), how), err);
}

/* The sending direction cannot end alone, or nobody has said that it can; NULL: it can. */
static const char *why_not_alone(const virtsock_stream *s, int how)
{
    bool sending = how == VIRTSOCK_SHUT_SEND || how == VIRTSOCK_SHUT_SEND_UNCHECKED;

    if (sending && s->half_close == VIRTSOCK_HALF_CLOSE_NONE)
        return "one direction does not end alone on this way (half-close=none)";
    if (how == VIRTSOCK_SHUT_SEND && s->half_close == VIRTSOCK_HALF_CLOSE_UNKNOWN)
        return "nobody has said whether one direction can end alone on this way (half-close=unknown)";
    return NULL;
}

virtsock_status virtsock_stream_shutdown(virtsock_stream *s, int how, virtsock_error *err)
{
    const char     *no_way;
    virtsock_status status;
    struct vs_cause why;

    if (s == NULL)
        return no_stream("shutdown", err);
    if (how < VIRTSOCK_SHUT_RECV || how > VIRTSOCK_SHUT_SEND_UNCHECKED)
        return vs_refuse(err, "shutdown", s->about, VIRTSOCK_E_INVALID, "which direction: VIRTSOCK_SHUT_RECV, _SEND or _BOTH");
    if (!enter(s, "shutdown", &status, err))
        return status;
    no_way = why_not_alone(s, how);
    if (how == VIRTSOCK_SHUT_SEND_UNCHECKED)
        how = VIRTSOCK_SHUT_SEND;
    if (no_way != NULL)
        status = vs_refuse(err, "shutdown", s->about, VIRTSOCK_E_UNSUPPORTED, no_way);
    else if (s->framed == NULL)
        status = shut(s, how, err);
    else if ((status = vs_framed_shutdown(s, how, &why)) != VIRTSOCK_OK)
        vs_fail(err, "shutdown", s->about, &why);
    vs_leave(&s->handle);
    return status;
}

/* Hyper-V throws away what is on its way when a socket closes; a framed stream's end is its frame, and the answer. */
#define LINGER_MS 1000

static int64_t drain(void *stream, int64_t until)
{
    virtsock_stream *s = stream;
    char             scrap[4096];

    return vs_recv(vs_handle_fd(&s->handle), scrap, sizeof scrap, until);
}

/* The peer's end, if it was to be waited for: until then; 0: not at all. */
static virtsock_status linger(virtsock_stream *s, int64_t until, bool alone, struct vs_cause *why)
{
    if (vs_handle_fd(&s->handle) < 0)
        return VIRTSOCK_OK;
    if (s->framed != NULL)
        return vs_framed_end(s, until, why);
    if (until == 0)
        return VIRTSOCK_OK;
    if (!alone)
        return vs_because(why, VIRTSOCK_E_CANCELLED, "a call was inside: the peer's end was not waited for");
    if (s->half_close == VIRTSOCK_HALF_CLOSE_NATIVE)
        vs_shutdown(vs_handle_fd(&s->handle), VIRTSOCK_SHUT_SEND);
    return vs_handle_linger(&s->handle, until, drain, s, why);
}

virtsock_status virtsock_stream_close(virtsock_stream *s, int linger_ms, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_OK;
    struct vs_cause why;
    int64_t         until;
    bool            alone;

    if (s == NULL)
        return no_stream("close", err);
    if (linger_ms == -1)
        linger_ms = s->linger_ms >= 0 ? s->linger_ms : s->framed != NULL || s->family == VS_FAMILY_HYPERV ? LINGER_MS : 0;
    until = vs_deadline(linger_ms < 0 ? 0 : linger_ms);
    if (vs_handle_close(&s->handle, &until, &alone)) {
        if ((status = linger(s, until, alone, &why)) != VIRTSOCK_OK)
            vs_fail(err, "close", s->about, &why);
        if (status == VIRTSOCK_E_INTERRUPTED) {
            vs_handle_rest(&s->handle);
        } else {
            vs_connecting_free(s->connecting);
            s->connecting = NULL;
            vs_handle_closed(&s->handle);
        }
    }
    if (linger_ms < 0)                  /* closed all the same: a close that fails must leave nothing open */
        status = vs_refuse(err, "close", s->about, VIRTSOCK_E_INVALID, VS_BAD_TIMEOUT);
    vs_handle_leave_close(&s->handle);
    return status;
}

void virtsock_stream_free(virtsock_stream *s)
{
    if (s == NULL)
        return;
    virtsock_stream_close(s, 0, NULL);
    vs_handle_settle(&s->handle);
    virtsock_address_free(s->about);
    free(s->framed);
    free(s);
}

virtsock_status virtsock_stream_detach(virtsock_stream *s, virtsock_fd *fd, virtsock_error *err)
{
    virtsock_status status;

    if (fd != NULL)
        *fd = -1;
    if (s == NULL || fd == NULL)
        return no_stream("detach", err);
    if (s->framed != NULL)
        return vs_refuse(err, "detach", s->about, VIRTSOCK_E_UNSUPPORTED, "a framed stream is more than its descriptor");
    switch (status = vs_handle_detach(&s->handle, fd)) {
    case VIRTSOCK_OK:
        if (VS_TEARS_MESSAGES && s->timed)
            vs_set_send_time(*fd, false);
        return VIRTSOCK_OK;
    case VIRTSOCK_E_IN_USE:  return vs_refuse(err, "detach", s->about, status, "a call is inside: end it first");
    case VIRTSOCK_E_INVALID: return vs_refuse(err, "detach", s->about, status, "the stream is not connected yet");
    default:                 return vs_refuse(err, "detach", s->about, status, "the stream is closed");
    }
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

virtsock_fd virtsock_stream_fd(const virtsock_stream *s)
{
    return s != NULL && s->framed == NULL ? vs_handle_fd(&s->handle) : -1;
}

/* The caller is inside. */
static virtsock_status name_end(const virtsock_stream *s, const char *op, int (*ask)(virtsock_fd, struct vs_end *), virtsock_address **out,
                                virtsock_error *err)
{
    struct vs_cause            why;
    struct vs_end              end;
    const struct vs_transport *t = vs_transport_of(s->scheme, &why);
    virtsock_status            status;

    if (t == NULL)
        return vs_fail(err, op, s->about, &why);
    if (t->address_of == NULL)          /* a multiplexer tells nothing; this end knows what it asked for */
        status = ask == vs_peer_end && atomic_load(&s->attempts) > 0 ? vs_address_copy(out, s->about) : VIRTSOCK_E_NOT_FOUND;
    else if ((status = os_status(s, op, ask(vs_handle_fd(&s->handle), &end), err)) != VIRTSOCK_OK)
        return status;
    else
        status = t->address_of(out, &end, s->type);
    if (status == VIRTSOCK_OK) {
        (*out)->half_close = s->half_close;
        return VIRTSOCK_OK;
    }
    return vs_refuse(err, op, s->about, status, status == VIRTSOCK_E_NOT_FOUND ? "that end has no name" : NULL);
}

static virtsock_status address_of_end(virtsock_stream *s, const char *op, int (*ask)(virtsock_fd, struct vs_end *), virtsock_address **out,
                                      virtsock_error *err)
{
    virtsock_status status;

    if (out != NULL)
        *out = NULL;
    if (s == NULL || out == NULL)
        return no_stream(op, err);
    if (!enter(s, op, &status, err))
        return status;
    status = name_end(s, op, ask, out, err);
    vs_leave(&s->handle);
    return status;
}

virtsock_status virtsock_stream_peer(const virtsock_stream *s, virtsock_address **out, virtsock_error *err)
{
    return address_of_end((virtsock_stream *)(uintptr_t)s, "peer", vs_peer_end, out, err);
}

virtsock_status virtsock_stream_local(const virtsock_stream *s, virtsock_address **out, virtsock_error *err)
{
    return address_of_end((virtsock_stream *)(uintptr_t)s, "local", vs_local_end, out, err);
}

/* What was shut down here is not asked for. An empty message of a UNIX socket would be one, and an empty send of TCP
 * would take the error away by which a poll knows a break. */
static int peer_state(virtsock_stream *s)
{
    const int       shut = atomic_load(&s->shut);
    struct vs_cause why;
    int             code, state;
    bool            asks;

    if (s->framed != NULL)
        return vs_framed_peer(s);
    asks = s->family == VS_FAMILY_VSOCK || (s->family == VS_FAMILY_UNIX && s->type == VIRTSOCK_TYPE_STREAM);
    state = vs_peer_state(vs_handle_fd(&s->handle), asks && (shut & VIRTSOCK_PEER_DEAF) == 0, &code);
    if (code != 0 && vs_os_cause(&why, "send", s->scheme, code) == VIRTSOCK_E_RESET) {
        atomic_store(&s->told, code);
        state = VS_PEER_BROKE;
    }
    state = state == VS_PEER_BROKE ? VIRTSOCK_PEER_GONE : state & ~shut;
    return atomic_fetch_or(&s->seen, state) | state;
}

/* Items that the socket knows. */
static virtsock_status ask_socket(virtsock_stream *s, virtsock_item item, int64_t *value, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_OK;
    uint32_t        uid = 0;
    int64_t         pid = 0;

    if (!enter(s, "get", &status, err))
        return status;
    if (item == VIRTSOCK_ITEM_PEER_STATE)
        *value = peer_state(s);
    else if (item == VIRTSOCK_ITEM_BUFFER_SIZE)
        status = os_status(s, "get", vs_get_buffer(vs_handle_fd(&s->handle), s->family, value), err);
    else if (s->family != VS_FAMILY_UNIX)
        status = vs_refuse(err, "get", s->about, VIRTSOCK_E_NOT_FOUND, "only a UNIX socket knows its peer's user and process");
    else if ((status = os_status(s, "get", vs_peer_user(vs_handle_fd(&s->handle), &uid, &pid), err)) == VIRTSOCK_OK)
        *value = item == VIRTSOCK_ITEM_PEER_UID ? (int64_t)uid : pid;
    vs_leave(&s->handle);
    return status;
}

virtsock_status virtsock_stream_get(const virtsock_stream *stream, virtsock_item item, int64_t *value, virtsock_error *err)
{
    virtsock_stream *s = (virtsock_stream *)(uintptr_t)stream;

    if (s == NULL || value == NULL)
        return no_stream("get", err);
    switch (item) {
    case VIRTSOCK_ITEM_SCHEME:      *value = s->scheme; return VIRTSOCK_OK;
    case VIRTSOCK_ITEM_TYPE:        *value = s->type; return VIRTSOCK_OK;
    case VIRTSOCK_ITEM_ATTEMPTS:    *value = atomic_load(&s->attempts); return VIRTSOCK_OK;
    case VIRTSOCK_ITEM_LAST_STATUS: *value = atomic_load(&s->last_status); return VIRTSOCK_OK;
    case VIRTSOCK_ITEM_LAST_CODE:   *value = atomic_load(&s->last_code); return VIRTSOCK_OK;
    case VIRTSOCK_ITEM_BUFFER_SIZE:
    case VIRTSOCK_ITEM_PEER_UID:
    case VIRTSOCK_ITEM_PEER_PID:
    case VIRTSOCK_ITEM_PEER_STATE:  return ask_socket(s, item, value, err);
    default:                        return vs_refuse(err, "get", s->about, VIRTSOCK_E_UNSUPPORTED, "this version does not know that item");
    }
}
