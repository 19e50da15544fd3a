/* SPDX-License-Identifier: MIT
 *
 * Connecting, as callers have it: started, asked for what it waits for, driven. virtsock_stream_connect waits between
 * the steps of connecting.c, or a caller's own loop does.
 */
#include "connecting.h"

/* --- Starting ----------------------------------------------------------------------------------------------------- */

virtsock_status virtsock_connect(virtsock_stream **out, const virtsock_address *address, const virtsock_options *options, virtsock_error *err)
{
    virtsock_address *resolved = NULL;
    virtsock_status   status;

    if (out != NULL)
        *out = NULL;
    if (address != NULL && vs_needs_lookup(address) && (status = virtsock_resolve(&resolved, address, options, err)) != VIRTSOCK_OK)
        return status;
    status = virtsock_connect_start(out, resolved != NULL ? resolved : address, options, err);
    virtsock_address_free(resolved);
    if (status == VIRTSOCK_OK && (status = virtsock_stream_connect(*out, -1, err)) != VIRTSOCK_OK) {
        virtsock_stream_free(*out);
        *out = NULL;
    }
    return status;
}

virtsock_status virtsock_connect_start(virtsock_stream **out, const virtsock_address *address, const virtsock_options *options, virtsock_error *err)
{
    const struct vs_transport *t;
    virtsock_error             why = { 0 };
    virtsock_stream           *s;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || address == NULL)
        return vs_refuse(err, "connect", NULL, VIRTSOCK_E_INVALID, "no address, or no place for the stream");
    if (vs_needs_lookup(address))
        return vs_refuse(err, "connect", address, VIRTSOCK_E_INVALID, "resolve the name first");
    if ((t = vs_transport_for(address, options, "connect", &why)) == NULL) {
        if (err != NULL)
            *err = why;
        return why.status;
    }
    s = vs_stream_new(address, options);
    if (s == NULL || (s->connecting = vs_connecting_new(t, s->about, options)) == NULL) {
        virtsock_stream_free(s);
        return vs_refuse(err, "connect", address, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    }
    s->type = address->type;
    s->family = t->family;
    s->scheme = address->scheme;
    *out = s;
    return VIRTSOCK_OK;
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

void virtsock_stream_wants(const virtsock_stream *stream, virtsock_fd *fd, int *events, int *timeout_ms)
{
    virtsock_stream *s = (virtsock_stream *)(uintptr_t)stream;
    virtsock_fd      want_fd = -1;
    int              want_events = 0;
    int64_t          left = 0, next;
    uint64_t         word;

    if (s != NULL && vs_enter(&s->handle, &word)) {
        if ((word & (VS_OPEN | VS_CLOSING)) == 0 && s->connecting != NULL && s->connecting->final.status == VIRTSOCK_OK) {
            next = vs_connecting_next(s->connecting);
            left = next == VS_FOREVER ? -1 : next <= vs_now_ms() ? 0 : next - vs_now_ms();
            if (s->connecting->pause_until == 0 && s->connecting->begun && s->connecting->attempt.events != 0) {
                want_fd = s->connecting->attempt.pending.fd;
                want_events = s->connecting->attempt.events;
            }
        }
        vs_leave(&s->handle);
    }
    if (fd != NULL)
        *fd = want_fd;
    if (events != NULL)
        *events = want_events;
    if (timeout_ms != NULL)
        *timeout_ms = left > INT32_MAX ? INT32_MAX : (int)left;
}

/* --- Driving ------------------------------------------------------------------------------------------------------ */

static virtsock_status opened(struct vs_connecting *c, virtsock_stream *s, struct vs_cause *why)
{
    struct vs_socket_kind kind = { .family = c->transport->family, .type = s->type };
    const int             code = c->adopts ? vs_socket_kind(c->attempt.fd, &kind) : 0;

    if (code != 0)
        return vs_os_cause(why, "adopt", VIRTSOCK_SCHEME_FD, code);
    if (c->adopts)
        s->scheme = vs_scheme_of(kind.family);
    if (!vs_stream_open(s, c->attempt.fd, kind.family, kind.type))
        return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
    c->attempt.fd = -1;
    s->connecting = NULL;
    vs_connecting_free(c);
    return VIRTSOCK_OK;
}

/* Steps and waits until connected, failed, or the deadline. */
static virtsock_status drive(struct vs_connecting *c, virtsock_stream *s, int64_t deadline, struct vs_cause *why, char *text, size_t cap)
{
    for (;;) {
        virtsock_status status = vs_connecting_step(c, s, why, text, cap);
        int64_t         next;
        bool            by_event;

        if (status == VIRTSOCK_OK)
            return opened(c, s, why);
        if (status != VIRTSOCK_E_AGAIN)
            return status;
        if (deadline == 0)
            return vs_because(why, VIRTSOCK_E_AGAIN, NULL);
        next = vs_connecting_next(c);
        by_event = c->pause_until == 0 && c->attempt.events != 0;
        status = vs_handle_wait(&s->handle, by_event ? c->attempt.pending.fd : -1, by_event ? c->attempt.events : 0,
                                next < deadline ? next : deadline, why);
        if (status == VIRTSOCK_E_TIMEOUT && vs_now_ms() >= deadline)
            return vs_because(why, VIRTSOCK_E_AGAIN, NULL);
        if (status != VIRTSOCK_OK && status != VIRTSOCK_E_TIMEOUT)
            return status;
    }
}

/* Whether the connection goes on after such an answer. */
static bool goes_on(virtsock_status status)
{
    return status == VIRTSOCK_E_AGAIN || status == VIRTSOCK_E_INTERRUPTED || status == VIRTSOCK_E_CANCELLED || status == VIRTSOCK_OK;
}

static virtsock_status drive_once(virtsock_stream *s, int timeout_ms, virtsock_error *err)
{
    struct vs_connecting *c = s->connecting;
    struct vs_cause       why;
    virtsock_status       status;
    char                  text[200];

    if (c == NULL)
        return vs_refuse(err, "connect", s->about, VIRTSOCK_E_INVALID, "the stream was not made by connect_start");
    if (c->final.status == VIRTSOCK_OK) {
        if ((status = drive(c, s, vs_deadline(timeout_ms), &why, text, sizeof text)) == VIRTSOCK_OK)
            return VIRTSOCK_OK;
        if (goes_on(status))
            return vs_fail(err, "connect", s->about, &why);
        vs_fail(&c->final, "connect", s->about, &why);
        c->final.attempts = atomic_load(&s->attempts);
    }
    if (err != NULL)
        *err = c->final;
    return c->final.status;
}

virtsock_status virtsock_stream_connect(virtsock_stream *s, int timeout_ms, virtsock_error *err)
{
    virtsock_status status;
    uint64_t        word;

    if (s == NULL)
        return vs_refuse(err, "connect", NULL, VIRTSOCK_E_INVALID, "no stream");
    if (timeout_ms < -1)
        return vs_refuse(err, "connect", s->about, VIRTSOCK_E_INVALID, VS_BAD_TIMEOUT);
    if (!vs_enter(&s->handle, &word))
        return vs_refuse(err, "connect", NULL, VIRTSOCK_E_CANCELLED, "the stream is closed");
    if ((word & VS_CLOSING) != 0) {
        status = vs_refuse(err, "connect", s->about, VIRTSOCK_E_CANCELLED, "the stream is closed");
    } else if ((word & VS_OPEN) != 0) {
        status = VIRTSOCK_OK;
    } else if ((atomic_fetch_or(&s->handle.word, VS_DRIVEN) & VS_DRIVEN) != 0) {
        status = vs_refuse(err, "connect", s->about, VIRTSOCK_E_IN_USE, "another thread drives this connection");
    } else {
        status = (atomic_load(&s->handle.word) & VS_OPEN) != 0 ? VIRTSOCK_OK : drive_once(s, timeout_ms, err);
        atomic_fetch_and(&s->handle.word, ~VS_DRIVEN);
    }
    vs_leave(&s->handle);
    return status;
}
