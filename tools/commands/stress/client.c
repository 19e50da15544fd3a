/* SPDX-License-Identifier: MIT
 *
 * Connections of virtsock stress: a number of threads make one after another. In each a second thread sends while the first receives and
 * judges, so that a peer which echoes at once and one which echoes late are served alike; the first alone decides how it ended.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/peer.h"
#include "common/way.h"
#include "platform/tool.h"
#include "content.h"
#include "result.h"
#include "stress.h"

#define GRACE_LOOKS 10                  /* for connections under way to end; one that is being made cannot be told */

static struct {
    atomic_int_least64_t next, workers;
    struct tool_event   *ended;
} all;

struct exchange {
    virtsock_stream      *stream;
    int64_t               number, begun_us;
    uint64_t              key, length, received;
    bool                  messages;     /* no stream */
    atomic_uint_least64_t sent;
    atomic_int_least64_t  moved_us;
    atomic_bool           broken;       /* the sending direction */
    struct tool_event    *sending_ended;
    virtsock_error        send_err;     /* and this are for after that */
    struct content_sum    sent_sum, received_sum;
};

/* --- Sending ----------------------------------------------------------------------------------------------------------- */

static virtsock_status send_piece(struct exchange *x, const unsigned char *data, size_t size)
{
    virtsock_status status = VIRTSOCK_OK;

    content_add(&x->sent_sum, data, size);
    while (size > 0 && status == VIRTSOCK_OK) {
        size_t done = 0;

        status = virtsock_stream_send(x->stream, data, size, &done, -1, &x->send_err);
        data += done;
        size -= done;
        x->sent += done;
        result.sent += done;
        x->moved_us = tool_now_us();
    }
    return status;
}

static void send_all(void *from)
{
    struct exchange *x = from;
    unsigned char    buf[STRESS_PIECE];
    uint64_t         at = 0, turn = 0, left = 0;
    virtsock_status  status = VIRTSOCK_OK;

    while (at < x->length && status == VIRTSOCK_OK) {
        size_t n;

        if (left == 0)
            left = stress_chunk(x->key, turn++);
        if (left > x->length - at)
            left = x->length - at;
        n = left < sizeof buf ? (size_t)left : sizeof buf;
        content_fill(x->key, at, buf, n);
        status = send_piece(x, buf, n);
        at += n;
        left -= n;
    }
    if (status == VIRTSOCK_OK && !stress.keeps_open)
        status = way_half_close(x->stream, &x->send_err);
    if (status != VIRTSOCK_OK)
        x->broken = true;
    tool_event_set(x->sending_ended);
}

/* --- Receiving --------------------------------------------------------------------------------------------------------- */

/* Nothing came for a while. OK: go on. */
static virtsock_status look(const struct exchange *x, virtsock_error *err)
{
    if (x->broken) {
        *err = x->send_err;
        return err->status == VIRTSOCK_E_TIMEOUT ? VIRTSOCK_E_RESET : err->status;      /* that is how a stall is told */
    }
    if (stress.stall_ms >= 0 && tool_now_us() - x->moved_us >= stress.stall_ms * 1000)
        return VIRTSOCK_E_TIMEOUT;
    return VIRTSOCK_OK;
}

/* Until the peer's end, or what is as final: EOF, TIMEOUT for a stall, CANCELLED when all is over, or an error of either direction. */
static virtsock_status receive_all(struct exchange *x, struct content_judge *judge, virtsock_error *err)
{
    unsigned char   buf[STRESS_PIECE + CONTENT_LOOK];
    size_t          held = 0, n;
    uint64_t        turn = 1;
    virtsock_status status = VIRTSOCK_OK;

    while (status == VIRTSOCK_OK && !result.over && (!stress.keeps_open || x->received < x->length)) {
        size_t cap = x->messages ? STRESS_PIECE : stress_chunk(~x->key, turn++);

        cap = cap < STRESS_PIECE ? cap : STRESS_PIECE;
        status = virtsock_stream_recv(x->stream, buf + held, cap, &n, STRESS_LOOK_MS, err);
        if (status == VIRTSOCK_E_TIMEOUT)
            status = look(x, err);
        if (n == 0)
            continue;
        x->moved_us = tool_now_us();
        x->received += n;
        result.received += n;
        content_add(&x->received_sum, buf + held, n);
        held += n;
        n = content_judge(judge, buf, held, false);
        memmove(buf, buf + n, held -= n);
    }
    content_judge(judge, buf, held, true);
    return result.over ? VIRTSOCK_E_CANCELLED : status == VIRTSOCK_OK ? VIRTSOCK_E_EOF : status;
}

/* --- Verdict ----------------------------------------------------------------------------------------------------------- */

static void tell_content(int64_t number, const struct content_judge *j)
{
    static const struct {
        enum result_kind kind;
        const char      *text;
    } faults[] = { [CONTENT_MISSING] = { RESULT_MISSING, "missing" }, [CONTENT_TWICE] = { RESULT_TWICE, "came back twice" },
                   [CONTENT_ORDER] = { RESULT_ORDER, "out of order, they came back later" } };

    if (j->fault == CONTENT_CHANGED)
        result_failure(number, RESULT_CHANGED, VIRTSOCK_OK, "byte %" PRIu64 " was changed: 0x%02x was sent, 0x%02x came back", j->at,
                       j->sent, j->came);
    else
        result_failure(number, faults[j->fault].kind, VIRTSOCK_OK, "%" PRIu64 " byte%s from %" PRIu64 " on: %s", j->size,
                       j->size == 1 ? "" : "s", j->at, faults[j->fault].text);
}

/* Every byte had left, and the end after them: a peer that knows no half-close takes it for the end of both. Said
 * once. */
static void advise(const struct exchange *x, virtsock_status status, const struct way *way)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;

    if (x->sent < x->length || stress.keeps_open || way->kind != WAY_HALF_CLOSES || status == VIRTSOCK_E_TIMEOUT)
        return;
    if (!atomic_flag_test_and_set(&told))
        report_line("a peer that knows no half-close ends when its client has sent all: --no-half-close does "
                    "without it");
}

/* way: to the peer; an end that was sent may be why. */
static void tell_end(const struct exchange *x, virtsock_status status, const virtsock_error *err, const struct way *way)
{
    uint64_t sent = x->sent;
    char     counts[80 + WAY_BLAME], blame[WAY_BLAME] = "";

    if (sent == x->length && !stress.keeps_open)
        way_blame(blame, way, "--no-half-close");
    snprintf(counts, sizeof counts, "%" PRIu64 " of %" PRIu64 " bytes were sent, %" PRIu64 " came back%s", sent, x->length, x->received, blame);
    if (status == VIRTSOCK_E_TIMEOUT)
        result_failure(x->number, RESULT_STALLED, VIRTSOCK_OK, "stalled, the peer %s: nothing moved for %.1f s; %s",
                       sent < x->length ? "takes no more" : x->received < x->length ? "sends no more back" : "does not end",
                       (double)stress.stall_ms / 1000, counts);
    else if (status != VIRTSOCK_E_EOF)
        result_failure(x->number, strcmp(err->op, "recv") == 0 ? RESULT_RECEIVE : RESULT_SEND, status, "%s; %s", err->message, counts);
    else
        result_failure(x->number, RESULT_EARLY, VIRTSOCK_OK, "the peer ended early: %s", counts);
    advise(x, status, way);
}

static void tell_good(const struct exchange *x)
{
    result.good++;
    if (peer_settings.verbose)
        report_line("connection %" PRId64 ": %" PRIu64 " bytes there and back in %.1f ms; checksum %016" PRIx64 " sent, %016" PRIx64 " came back",
                    x->number, x->length, (double)(tool_now_us() - x->begun_us) / 1000, content_total(&x->sent_sum),
                    content_total(&x->received_sum));
}

/* Both directions, and their end. */
static void converse(struct exchange *x)
{
    static const struct way_told nothing;
    struct content_judge judge = { .key = x->key, .length = x->length };
    virtsock_error       err = { 0 };
    virtsock_status      status = receive_all(x, &judge, &err);
    bool                 all_came = status == VIRTSOCK_E_EOF && x->received == x->length && judge.fault == CONTENT_GOOD;
    const struct way     way = way_of(x->stream, stress.address, &nothing);

    virtsock_stream_close(x->stream, all_came ? -1 : 0, NULL);
    tool_event_wait(x->sending_ended, -1);
    if (all_came)
        tell_good(x);
    else if (judge.fault != CONTENT_GOOD)
        tell_content(x->number, &judge);
    else if (status != VIRTSOCK_E_CANCELLED)
        tell_end(x, status, &err, &way);
}

/* --- Connections ------------------------------------------------------------------------------------------------------- */

static void converse_with(struct exchange *x)
{
    x->sending_ended = tool_event_new();
    x->moved_us = tool_now_us();
    if (x->sending_ended != NULL && tool_thread(send_all, x))
        converse(x);
    else
        result_failure(x->number, RESULT_THREAD, VIRTSOCK_OK, "the system has no thread to give: raise ulimit -u, or make -p smaller");
    tool_event_free(x->sending_ended);
}

static void connect_one(int64_t number)
{
    struct exchange x = { .number = number, .key = stress_key(number), .length = stress_length(number), .sent_sum = CONTENT_SUM,
                          .received_sum = CONTENT_SUM, .begun_us = tool_now_us() };
    virtsock_error  err;
    virtsock_status status;
    int64_t         type = VIRTSOCK_TYPE_STREAM;

    if (stress.address == NULL) {
        stress_datagrams(number, x.key, x.length);
        return;
    }
    if ((status = peer_connect_quietly(&x.stream, stress.address, &err)) != VIRTSOCK_OK) {
        result_failure(number, RESULT_CONNECT, status, "%s", err.message);
        return;
    }
    if (peer_settings.verbose > 1)
        report_line("connection %" PRId64 ": connected in %.1f ms, %" PRIu64 " bytes to send", number,
                    (double)(tool_now_us() - x.begun_us) / 1000, x.length);
    virtsock_stream_get(x.stream, VIRTSOCK_ITEM_TYPE, &type, NULL);
    x.messages = type != VIRTSOCK_TYPE_STREAM;
    converse_with(&x);
    virtsock_stream_free(x.stream);
}

static void work(void *unused)
{
    int64_t number;

    (void)unused;
    while (!result.over && (number = ++all.next) <= stress.connections) {
        connect_one(number);
        if (stress.pause_ms > 0 && number < stress.connections)
            tool_event_wait(result.stop, (int)stress.pause_ms);
    }
    if (--all.workers == 0)
        tool_event_set(all.ended);
}

static void begin(void)
{
    int64_t n = stress.parallel < stress.connections ? stress.parallel : stress.connections;

    all.workers = 1;                    /* so that the last of them is not the last before all are there */
    for (int64_t i = 0; i < n; i++) {
        all.workers++;
        if (!tool_thread(work, NULL)) {
            all.workers--;
            report_line("%" PRId64 " connections at once in place of %" PRId64 ": the system has no more threads (ulimit -u)", i, n);
            break;
        }
    }
    if (--all.workers == 0)
        tool_event_set(all.ended);
}

static void interrupt(void *unused)
{
    (void)unused;
    result.interrupted = true;
    result_stop();
}

int stress_client(void)
{
    all.ended = tool_event_new();
    result.stop = tool_event_new();
    if (all.ended == NULL || result.stop == NULL) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    tool_on_stop(interrupt, NULL);
    result_begin(tool_now_us());
    begin();
    for (int grace = 0; grace < GRACE_LOOKS && !tool_event_wait(all.ended, STRESS_LOOK_MS); grace += result.over)
        result_draw();
    tool_on_stop(NULL, NULL);
    return result_print();
}
