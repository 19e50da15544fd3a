/* SPDX-License-Identifier: MIT
 *
 * virtsock bench, the client: goes through the plan, a connection a measurement. What is plain is hvbench's: nothing but data is sent, and what
 * counts as received is what the peer confirms by its end.
 */
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "common/way.h"
#include "platform/tool.h"
#include "bench.h"

#define POLL_CONNECT_MS 500             /* hvbench's connect with -p */

static struct bench_work at;

static virtsock_status broke(virtsock_error *err, virtsock_status status, const char *what)
{
    return bench_broke(err, status, at.plan->where, what);
}

/* --- A measurement: the window and what moves in it ------------------------------------------------------------------------ */

static struct bench_window make_window(const struct bench_end *end, int shut)
{
    return (struct bench_window){ .stream = end->stream, .warmup_ms = at.plan->warmup_ms, .measure_ms = at.plan->measure_ms,
                                  .shut = shut, .tick = bench_progress_shown() ? bench_progress_draw : NULL };
}

/* After the window was closed: why it ended before it should. */
static virtsock_status ended_early(struct bench_window *w, virtsock_status status, virtsock_error *err)
{
    if (w->gave_up)
        return broke(err, VIRTSOCK_E_TIMEOUT, "the peer does not end what is over");
    if (status == VIRTSOCK_E_EOF)
        return broke(err, VIRTSOCK_E_PROTOCOL, "the peer ended in the middle of a measurement");
    return status;
}

/* The client's sending half: until its stream is closed. */
struct sender {
    const struct bench_end *end;
    struct tool_event      *over;
};

static void send_on(void *argument)
{
    struct sender *s = argument;

    while (bench_send(s->end, at.buf, at.point.message, NULL, NULL) == VIRTSOCK_OK)
        continue;
    tool_event_set(s->over);
}

static virtsock_status measure_send(const struct bench_end *end, struct bench_run *run, virtsock_error *err)
{
    struct bench_window w = make_window(end, -1);
    struct sender       s = { end, tool_event_new() };
    unsigned char       count[BENCH_COUNT_SIZE];
    virtsock_status     status;
    uint64_t            ns;

    if (s.over == NULL || !bench_window_open(&w)) {
        tool_event_free(s.over);
        return bench_no_memory(err);
    }
    if (tool_thread(send_on, &s)) {
        status = bench_recv_exact(end, count, sizeof count, err);
        bench_window_close(&w);
        virtsock_stream_close(end->stream, 0, NULL);
        tool_event_wait(s.over, -1);
        bench_read_count(count, &run->bytes, &ns);
        run->ns = (int64_t)ns;
    } else {
        status = bench_no_memory(err);
        bench_window_close(&w);
    }
    tool_event_free(s.over);
    if (status == VIRTSOCK_OK && run->ns <= 0)
        status = broke(err, VIRTSOCK_E_PROTOCOL, "the server counted in no time");
    return status == VIRTSOCK_OK ? status : ended_early(&w, status, err);
}

static virtsock_status measure_receive(const struct bench_end *end, struct bench_run *run, virtsock_error *err)
{
    struct bench_window w = make_window(end, VIRTSOCK_SHUT_RECV);
    virtsock_status     status;

    if (!bench_window_open(&w))
        return bench_no_memory(err);
    status = bench_count(end, &w, at.buf, at.point.receive, &run->bytes, err);
    bench_window_close(&w);
    run->ns = w.ended_ns - w.begun_ns;
    return status == VIRTSOCK_OK ? status : ended_early(&w, status, err);
}

static virtsock_status ping(const struct bench_end *end, virtsock_error *err)
{
    virtsock_status status = bench_send(end, at.buf, at.point.message, NULL, err);

    return status == VIRTSOCK_OK ? bench_recv_exact(end, at.buf, at.point.message, err) : status;
}

static virtsock_status measure_latency(const struct bench_end *end, struct bench_run *run, virtsock_error *err)
{
    struct bench_window w = make_window(end, VIRTSOCK_SHUT_RECV);
    virtsock_status     status;
    int                 phase, before = BENCH_WARMUP;

    if (!bench_window_open(&w))
        return bench_no_memory(err);
    do {
        int64_t begun_ns = tool_now_ns();

        status = ping(end, err);
        phase = bench_window_phase(&w);
        if (status == VIRTSOCK_OK && before == BENCH_COUNTED)           /* it began in the window */
            histogram_add(&at.times, (uint64_t)(tool_now_ns() - begun_ns));
        before = phase;
    } while (status == VIRTSOCK_OK && phase != BENCH_OVER);
    bench_window_close(&w);
    run->ns = w.ended_ns - w.begun_ns;
    return phase == BENCH_OVER ? VIRTSOCK_OK : ended_early(&w, status, err);
}

/* What was sent from the window's beginning on has been received when the peer's end says so, and the time runs until then. */
static virtsock_status measure_plain(const struct bench_end *end, struct bench_run *run, virtsock_error *err)
{
    struct bench_window w = make_window(end, VIRTSOCK_SHUT_SEND_UNCHECKED);
    virtsock_status     status;
    size_t              n;
    int                 phase;

    if (!bench_window_open(&w))
        return bench_no_memory(err);
    do {
        status = bench_send(end, at.buf, at.point.message, &n, err);
        if ((phase = bench_window_phase(&w)) != BENCH_WARMUP)
            run->bytes += n;
    } while (status == VIRTSOCK_OK && phase != BENCH_OVER);
    bench_window_noticed(&w);
    if (phase == BENCH_OVER && (status = way_half_close(end->stream, err)) == VIRTSOCK_OK)
        while ((status = bench_recv(end, at.buf, at.point.message, &n, err)) == VIRTSOCK_OK)
            continue;
    run->ns = tool_now_ns() - w.begun_ns;
    bench_window_close(&w);
    return phase == BENCH_OVER && status == VIRTSOCK_E_EOF ? VIRTSOCK_OK : ended_early(&w, status, err);
}

/* --- Asking -------------------------------------------------------------------------------------------------------------- */

static int answer_ms(void)
{
    return peer_settings.timeout_ms == ARG_UNSET ? BENCH_PATIENCE_MS : (int)peer_settings.timeout_ms;
}

static virtsock_status read_reply(const struct bench_end *end, virtsock_error *err)
{
    unsigned char   reply[BENCH_REPLY_SIZE];
    size_t          size = 0;
    uint32_t        answer;
    virtsock_status status = VIRTSOCK_OK;

    while (size < sizeof reply && status == VIRTSOCK_OK) {
        size_t n = 0;

        status = virtsock_stream_recv(end->stream, reply + size, sizeof reply - size, &n, answer_ms(), err);
        size += n;
    }
    if (status == VIRTSOCK_E_TIMEOUT)
        return broke(err, status, "no answer: is that virtsock bench -s? For hvbench, or another program that reads, say --plain");
    if (status == VIRTSOCK_E_EOF)
        return broke(err, VIRTSOCK_E_PROTOCOL, "the peer ended without an answer: it is no virtsock bench -s");
    if (status != VIRTSOCK_OK)
        return status;
    if (!bench_read_reply(reply, &answer, &at.point.server_polls))
        return broke(err, VIRTSOCK_E_PROTOCOL, "the peer answers something else: it is no virtsock bench -s");
    if (answer == BENCH_READY)
        return VIRTSOCK_OK;
    return broke(err, VIRTSOCK_E_PROTOCOL, answer == BENCH_OTHER_VERSION ? "the server is of another version: use one on both ends"
                                                                         : "the server refuses such sizes or times");
}

/* Once it is OK, the server is ready. */
static virtsock_status ask(const struct bench_end *end, virtsock_error *err)
{
    const struct bench_request request = { at.point.test, at.point.message, at.point.receive, (uint32_t)at.plan->warmup_ms,
                                           (uint32_t)at.plan->measure_ms, 0 };
    unsigned char              bytes[BENCH_REQUEST_SIZE];
    virtsock_status            status;

    bench_write_request(bytes, &request);
    status = bench_send(end, bytes, sizeof bytes, NULL, err);
    return status == VIRTSOCK_OK ? read_reply(end, err) : status;
}

static virtsock_status measure(const struct bench_end *end, struct bench_run *run, virtsock_error *err)
{
    virtsock_status status;

    if (at.plan->plain)
        return measure_plain(end, run, err);
    if ((status = ask(end, err)) != VIRTSOCK_OK)
        return status;
    if (at.point.test == BENCH_LATENCY)
        return measure_latency(end, run, err);
    return at.point.test == BENCH_SEND ? measure_send(end, run, err) : measure_receive(end, run, err);
}

/* Failures are told of here and in peer_connect. */
static virtsock_status measure_one(struct bench_run *run, virtsock_error *err)
{
    struct bench_end end = { .polls = at.plan->polls };
    virtsock_status  status = at.address != NULL ? peer_connect(&end.stream, at.address, err) : VIRTSOCK_OK;

    if (status != VIRTSOCK_OK)
        return status;
    bench_progress_begin(at.point.test, at.point.message);
    status = at.address != NULL ? measure(&end, run, err) : bench_measure_datagrams(&at, run, err);
    if (status == VIRTSOCK_OK && run->bytes == 0 && at.times.count == 0)
        status = broke(err, VIRTSOCK_E_TIMEOUT, "nothing arrived in the time measured: give it more --seconds, or the way is stuck");
    bench_progress_end();
    virtsock_stream_free(end.stream);
    if (status != VIRTSOCK_OK)
        report_error(err);
    return status;
}

/* --- Connections ---------------------------------------------------------------------------------------------------------- */

static virtsock_status connect_polled(virtsock_stream **out, virtsock_error *err)
{
    const int64_t   end_us = tool_now_us() + POLL_CONNECT_MS * 1000;
    virtsock_status status = virtsock_connect_start(out, at.address, peer_made_options(), err);

    while (status == VIRTSOCK_OK && (status = virtsock_stream_connect(*out, 0, err)) == VIRTSOCK_E_AGAIN) {
        int64_t     left_ms = (end_us - tool_now_us() + 999) / 1000;
        int         events, timeout_ms;
        virtsock_fd fd;

        if (left_ms <= 0)
            return broke(err, VIRTSOCK_E_TIMEOUT, "no connection within 500 ms");
        virtsock_stream_wants(*out, &fd, &events, &timeout_ms);
        tool_wait(fd, events, timeout_ms < 0 || timeout_ms > left_ms ? (int)left_ms : timeout_ms);
        status = VIRTSOCK_OK;
    }
    return status;
}

/* What follows it: hvbench leaves at once; we wait for an answer, so that no queue of connections fills up. */
static virtsock_status hang_up(virtsock_stream *stream, virtsock_error *err)
{
    const struct bench_end end = { stream, false };

    return at.plan->plain ? VIRTSOCK_OK : ask(&end, err);
}

static void count_connection(int64_t ns)
{
    histogram_add(&at.times, (uint64_t)ns);
    bench_count_step(&at.point, ns);
}

/* One, timed. */
static virtsock_status connect_once(struct bench_run *run, virtsock_error *err)
{
    virtsock_stream *stream = NULL;
    const int64_t    begun_ns = tool_now_ns();
    virtsock_status  status = at.plan->polls ? connect_polled(&stream, err) : virtsock_connect(&stream, at.address, peer_made_options(), err);
    const int64_t    took_ns = tool_now_ns() - begun_ns;

    if (status == VIRTSOCK_E_NO_RESOURCES || status == VIRTSOCK_E_UNSUPPORTED) {
        run->socket_errors++;
    } else if (status != VIRTSOCK_OK || (status = hang_up(stream, err)) != VIRTSOCK_OK) {
        run->connect_errors++;
    } else {
        count_connection(took_ns);
    }
    virtsock_stream_free(stream);
    return status;
}

/* After done of them. One that fails is counted and the next one tried; err has the latest failure. */
static void connect_many(struct bench_run *run, int64_t done, virtsock_error *err)
{
    const int64_t  begun_ns = tool_now_ns(), end_ns = begun_ns + (int64_t)at.plan->measure_ms * 1000000;
    virtsock_error failure;

    for (int64_t i = done; i < at.plan->connects && tool_now_ns() < end_ns; i++) {
        if (connect_once(run, &failure) != VIRTSOCK_OK)
            *err = failure;
        if (i % 64 == 0)
            bench_progress_draw();
    }
    run->ns += tool_now_ns() - begun_ns;
}

/* The first one may wait for the peer. A plain server counts it, and may leave after so many: it is counted there. */
static virtsock_status measure_connections(struct bench_run *run, virtsock_error *err)
{
    virtsock_stream *first;
    virtsock_status  status = peer_connect(&first, at.address, err);

    if (status != VIRTSOCK_OK)
        return status;
    status = hang_up(first, err);
    virtsock_stream_free(first);
    if (at.plan->plain)
        count_connection(run->ns = peer_took_ns());
    if (status == VIRTSOCK_OK)
        status = virtsock_options_set(peer_made_options(), VIRTSOCK_OPTION_WAIT, 0, err);
    bench_progress_begin(at.point.test, at.point.message);
    if (status == VIRTSOCK_OK)
        connect_many(run, at.plan->plain, err);
    bench_progress_end();
    if (status != VIRTSOCK_OK || run->connect_errors + run->socket_errors > 0)
        report_error(err);
    return status;
}

/* --- The plan -------------------------------------------------------------------------------------------------------------- */

static virtsock_status measure_point(enum bench_test test, uint32_t message, virtsock_error *err)
{
    struct bench_point *p = &at.point;
    virtsock_status     status = VIRTSOCK_OK;
    bool                failed = false;

    memset(p, 0, sizeof *p);
    p->test = test;
    p->message = message;
    p->receive = at.plan->bulk && test != BENCH_LATENCY ? BENCH_BULK : message;
    while (p->runs < at.plan->runs && status == VIRTSOCK_OK) {
        struct bench_run *run = &p->run[p->runs];

        memset(&at.times, 0, sizeof at.times);
        status = test == BENCH_CONNECT ? measure_connections(run, err) : measure_one(run, err);
        if (status != VIRTSOCK_OK)
            break;
        p->runs++;
        bench_add_times(p, run, &at.times);
        failed = failed || run->connect_errors + run->socket_errors > 0;
    }
    if (p->runs > 0)
        bench_report_point(at.plan, p);
    return status == VIRTSOCK_OK && failed ? err->status : status;
}

static virtsock_status measure_sizes(enum bench_test test, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_OK;

    for (int i = 0; i < at.plan->size_count && status == VIRTSOCK_OK; i++)
        status = measure_point(test, at.plan->sizes[i], err);
    return status;
}

static virtsock_status measure_all(virtsock_error *err)
{
    const struct bench_plan *p = at.plan;
    virtsock_status          status = VIRTSOCK_OK;

    if (p->bandwidth && p->send)
        status = measure_sizes(BENCH_SEND, err);
    if (status == VIRTSOCK_OK && p->bandwidth && p->receive)
        status = measure_sizes(BENCH_RECEIVE, err);
    if (status == VIRTSOCK_OK && p->latency)
        status = measure_sizes(BENCH_LATENCY, err);
    if (status == VIRTSOCK_OK && p->connections)
        status = measure_point(BENCH_CONNECT, 1, err);
    return status;
}

static int count_measurements(const struct bench_plan *p)
{
    int streams = p->size_count * ((p->bandwidth ? p->send + p->receive : 0) + p->latency);

    return (streams + p->connections) * p->runs;
}

int bench_ask(const virtsock_address *address, const struct bench_plan *plan)
{
    uint32_t        largest = BENCH_BULK;
    virtsock_error  err = { 0 };
    virtsock_status status = VIRTSOCK_OK;

    if (address != NULL && virtsock_resolve(&at.address, address, peer_made_options(), &err) != VIRTSOCK_OK)
        return report_error(&err);
    for (int i = 0; i < plan->size_count; i++)
        largest = plan->sizes[i] > largest ? plan->sizes[i] : largest;
    at.plan = plan;
    at.buf = calloc(1, largest);
    bench_progress(plan, count_measurements(plan));
    bench_report_begin(plan);
    if (at.buf != NULL) {
        status = measure_all(&err);
    } else {
        status = bench_no_memory(&err);
        report_error(&err);
    }
    bench_report_end(plan, status != VIRTSOCK_OK ? &err : NULL);
    free(at.buf);
    virtsock_address_free(at.address);
    return status == VIRTSOCK_OK ? EXIT_DONE : EXIT_FAILED;
}
