/* SPDX-License-Identifier: MIT
 *
 * Connecting: attempts on fresh sockets, one after another, each a few steps of a transport, inside the deadlines of the options. No step
 * blocks; virtsock_stream_connect waits between them, or a caller's own loop does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "stream.h"

#define BACKOFF_FIRST 10
#define BACKOFF_MAX   1000

struct vs_connecting {
    const struct vs_transport *transport;
    virtsock_options           options;
    struct vs_attempt          attempt;
    bool                       begun;           /* an attempt is under way */
    bool                       adopts;          /* the descriptor is the caller's until OK */
    int64_t                    pause_until;     /* between attempts; 0: none */
    int64_t                    wait_until;      /* 0: one connection */
    int64_t                    until;           /* of this connection, which may take several attempts; 0: none begun */
    int64_t                    try_ms;          /* the next of them; 0: one takes all the time */
    int64_t                    backoff_ms;
    struct vs_cause            last;            /* of the latest attempt that failed */
    virtsock_error             final;           /* once it has failed for good */
};

static void drop_socket(struct vs_connecting *c)
{
    if (c->attempt.fd >= 0 && !c->adopts) {
        vs_abandon(c->attempt.fd, &c->attempt.pending);
        vs_close(c->attempt.fd);
    }
    c->attempt.fd = -1;
}

void vs_connecting_free(struct vs_connecting *c)
{
    if (c == NULL)
        return;
    drop_socket(c);
    free(c);
}

/* --- Starting -------------------------------------------------------------------------------------------------------------- */

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

static struct vs_connecting *connecting_new(const struct vs_transport *t, const virtsock_address *address, const virtsock_options *options)
{
    struct vs_connecting *c = calloc(1, sizeof *c);
    int64_t               wait_ms = vs_option(options, VIRTSOCK_OPTION_WAIT, 0);

    if (c == NULL)
        return NULL;
    if (options != NULL)
        c->options = *options;
    c->transport = t;
    c->attempt.address = address;
    c->attempt.options = &c->options;
    c->attempt.fd = c->attempt.pending.fd = -1;
    c->adopts = address->scheme == VIRTSOCK_SCHEME_FD;
    c->wait_until = vs_deadline(wait_ms);
    c->backoff_ms = vs_option(options, VIRTSOCK_OPTION_BACKOFF_FIRST, BACKOFF_FIRST);
    return c;
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
    if (s == NULL || (s->connecting = connecting_new(t, s->about, options)) == NULL) {
        virtsock_stream_free(s);
        return vs_refuse(err, "connect", address, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    }
    s->type = address->type;
    s->family = t->family;
    s->scheme = address->scheme;
    *out = s;
    return VIRTSOCK_OK;
}

/* --- Steps: none of them blocks -------------------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A try, then one of twice its length, and so on: a listener that comes late is found, and one that is slow is reached. */
static int64_t until_of_attempt(struct vs_connecting *c)
{
    int64_t until = vs_now_ms() + c->try_ms;

    if (c->try_ms == 0 || until > c->until - c->transport->try_ms)
        return c->until;
    c->try_ms *= 2;
    return until;
}

static void begin_attempt(struct vs_connecting *c, virtsock_stream *s)
{
    int64_t timeout = vs_option(&c->options, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 0);
    bool    set = (c->options.set & VS_OPTION_BIT(VIRTSOCK_OPTION_CONNECT_TIMEOUT)) != 0;

    if (c->until == 0) {
        c->try_ms = c->transport->try_ms;
        c->until = set ? vs_deadline(timeout) : c->transport->connect_ms != 0 ? vs_deadline(c->transport->connect_ms) : VS_FOREVER;
        if (c->wait_until != 0)
            c->until = earlier(c->until, c->wait_until);
    }
    c->begun = true;
    c->pause_until = 0;
    c->attempt.timeout_ms = timeout;
    c->attempt.until = until_of_attempt(c);
    c->attempt.asked = false;
    c->attempt.stays_until = 0;
    atomic_fetch_add(&s->attempts, 1);
    atomic_store(&s->last_status, VIRTSOCK_OK);
    atomic_store(&s->last_code, 0);
}

/* Half of it at least, so that many clients of one server do not come back together. */
static int64_t jittered(int64_t ms)
{
    return ms - (int64_t)(vs_random() % (uint64_t)(ms / 2 + 1));
}

static virtsock_status final_timeout(const struct vs_connecting *c, const virtsock_stream *s, struct vs_cause *why, char *text, size_t cap)
{
    const struct vs_cause last = c->last;
    int                   attempts = atomic_load(&s->attempts);

    snprintf(text, cap, "no connection within %lld ms, %d attempt%s; the last: %s",
             (long long)vs_option(&c->options, VIRTSOCK_OPTION_WAIT, 0), attempts, attempts == 1 ? "" : "s",
             last.text != NULL ? last.text : virtsock_status_name(last.status));
    vs_because(why, VIRTSOCK_E_TIMEOUT, text);
    why->os_code = last.os_code;
    return why->status;
}

/* Silence, where it does not mean that nobody listens by now: true, another attempt is due; else *why is what all of it came to. */
static bool tries_again(struct vs_connecting *c, struct vs_cause *why)
{
    const bool silence = c->transport->try_ms != 0 && why->status == VIRTSOCK_E_TIMEOUT;
    int64_t    now;

    if (silence && (now = vs_now_ms()) < c->until) {
        c->pause_until = why->os_code == 0 ? now : now + BACKOFF_FIRST;
        return true;
    }
    c->until = 0;
    if (silence)
        why->text = c->transport->silence(c->attempt.address);
    if (silence && (c->options.set & VS_OPTION_BIT(VIRTSOCK_OPTION_CONNECT_TIMEOUT)) == 0)
        why->status = VIRTSOCK_E_REFUSED;
    return false;
}

/* An attempt has failed: AGAIN with a pause before the next, or the final answer. */
static virtsock_status after_failure(struct vs_connecting *c, virtsock_stream *s, struct vs_cause *why, char *text, size_t cap)
{
    const bool cut_short = why->status == VIRTSOCK_E_TIMEOUT && why->os_code == 0 && c->last.status != 0;
    int64_t    now;

    drop_socket(c);
    c->begun = false;
    atomic_store(&s->last_status, why->status);
    atomic_store(&s->last_code, why->os_code);
    if (tries_again(c, why))
        return VIRTSOCK_E_AGAIN;
    if (c->wait_until == 0 || (why->status != VIRTSOCK_E_REFUSED && why->status != VIRTSOCK_E_UNREACHABLE && why->status != VIRTSOCK_E_TIMEOUT))
        return why->status;
    if (!cut_short)                             /* an attempt that our own time ended has no cause to tell */
        c->last = *why;
    if ((now = vs_now_ms()) >= c->wait_until)
        return final_timeout(c, s, why, text, cap);
    c->pause_until = earlier(now + jittered(c->backoff_ms), c->wait_until);
    c->backoff_ms = earlier(c->backoff_ms * 2, vs_option(&c->options, VIRTSOCK_OPTION_BACKOFF_MAX, BACKOFF_MAX));
    return VIRTSOCK_E_AGAIN;
}

/* Connected: whether to somebody, where STAYS asks for that. Some ways accept before anybody listens, and hang up then. */
static virtsock_status stays(struct vs_connecting *c, struct vs_cause *why)
{
    const int64_t ms = vs_option(&c->options, VIRTSOCK_OPTION_STAYS, 0);
    int64_t       n;
    int           code;

    if (ms == 0)
        return VIRTSOCK_OK;
    if (c->attempt.stays_until == 0) {
        c->attempt.stays_until = vs_deadline(ms);
        c->attempt.until = c->wait_until != 0 ? c->wait_until : VS_FOREVER;
    }
    vs_abandon(c->attempt.fd, &c->attempt.pending);
    n = vs_peek(c->attempt.fd);
    if (n > 0 || (vs_would_block((int)-n) && vs_now_ms() >= c->attempt.stays_until))
        return VIRTSOCK_OK;
    if (n == 0 || !vs_would_block((int)-n))
        return vs_because(why, VIRTSOCK_E_REFUSED, "it was accepted, and hung up on before a byte came: nobody listens behind it yet");
    if ((code = vs_await(c->attempt.fd, &c->attempt.pending)) != 0)
        return vs_os_cause(why, "connect", c->attempt.address->scheme, code);
    c->attempt.events = VIRTSOCK_WANT_RECV;
    c->attempt.again_at = c->attempt.stays_until;
    return VIRTSOCK_E_AGAIN;
}

/* OK: attempt.fd is connected. AGAIN: virtsock_stream_wants tells for what. */
static virtsock_status step(struct vs_connecting *c, virtsock_stream *s, struct vs_cause *why, char *text, size_t cap)
{
    virtsock_status status;

    if (c->pause_until != 0 && c->pause_until > vs_now_ms())
        return VIRTSOCK_E_AGAIN;
    if (!c->begun)
        begin_attempt(c, s);
    status = c->attempt.stays_until != 0 ? VIRTSOCK_OK : c->transport->connect(&c->attempt, why);
    if (status == VIRTSOCK_OK)
        status = stays(c, why);
    if (status == VIRTSOCK_OK || (status == VIRTSOCK_E_AGAIN && vs_now_ms() < c->attempt.until))
        return status;
    if (status == VIRTSOCK_E_AGAIN)
        vs_because(why, VIRTSOCK_E_TIMEOUT, "no answer in the time for one attempt");
    return after_failure(c, s, why, text, cap);
}

/* When a step is due at the latest. */
static int64_t next_step(const struct vs_connecting *c)
{
    if (c->pause_until != 0)
        return c->pause_until;
    return c->begun ? earlier(c->attempt.until, c->attempt.again_at) : 0;
}

void virtsock_stream_wants(const virtsock_stream *stream, virtsock_fd *fd, int *events, int *timeout_ms)
{
    virtsock_stream *s = (virtsock_stream *)(uintptr_t)stream;
    virtsock_fd      want_fd = -1;
    int              want_events = 0;
    int64_t          left = 0, next;

    if (s != NULL) {
        const bool inside = (vs_enter(&s->handle) & (VS_OPEN | VS_CLOSING)) == 0;

        if (inside && s->connecting != NULL && s->connecting->final.status == VIRTSOCK_OK) {
            next = next_step(s->connecting);
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

/* --- Driving --------------------------------------------------------------------------------------------------------------- */

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
        virtsock_status status = step(c, s, why, text, cap);
        int64_t         next;
        bool            by_event;

        if (status == VIRTSOCK_OK)
            return opened(c, s, why);
        if (status != VIRTSOCK_E_AGAIN)
            return status;
        if (deadline == 0)
            return vs_because(why, VIRTSOCK_E_AGAIN, NULL);
        next = next_step(c);
        by_event = c->pause_until == 0 && c->attempt.events != 0;
        status = vs_handle_wait(&s->handle, by_event ? c->attempt.pending.fd : -1, by_event ? c->attempt.events : 0, earlier(next, deadline), why);
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
    uint32_t        word;

    if (s == NULL)
        return vs_refuse(err, "connect", NULL, VIRTSOCK_E_INVALID, "no stream");
    word = vs_enter(&s->handle);
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
