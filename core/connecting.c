/* SPDX-License-Identifier: MIT
 *
 * A connection under way: attempts on fresh sockets, one after another, each a few steps of a transport, inside the
 * deadlines of the options. No step blocks.
 */
#include "connecting.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST 10
#define BACKOFF_MAX   1000

/* --- From its beginning to its end -------------------------------------------------------------------------------- */

struct vs_connecting *vs_connecting_new(const struct vs_transport *t, const virtsock_address *address, const virtsock_options *options)
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

/* --- Steps: none of them blocks ----------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A try, then one of twice its length, and so on: a listener that comes late is found, and one that is slow is
 * reached. */
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

/* Silence, where it does not mean that nobody listens by now: true, another attempt is due; else *why is what all of it
 * came to. */
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

/* Connected: whether to somebody, where STAYS asks for that. Some ways accept before anybody listens, and hang up
 * then. */
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

virtsock_status vs_connecting_step(struct vs_connecting *c, virtsock_stream *s, struct vs_cause *why, char *text, size_t cap)
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

int64_t vs_connecting_next(const struct vs_connecting *c)
{
    if (c->pause_until != 0)
        return c->pause_until;
    return c->begun ? earlier(c->attempt.until, c->attempt.again_at) : 0;
}
