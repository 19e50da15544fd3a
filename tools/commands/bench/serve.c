/* SPDX-License-Identifier: MIT
 *
 * virtsock bench -s: the end that does what a request says. A client that begins with anything else is hvbench, or a program of its kind: what
 * it sends is drained until its end. Requests begin with a letter and hvbench's data with a zero, so the first byte tells.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/peer.h"
#include "common/report.h"
#include "common/serve.h"
#include "platform/tool.h"
#include "bench.h"

#define FIRST_CAP 65536

static struct {
    struct bench_server set;
    virtsock_listener  *listener;
    atomic_long         clients;        /* to come that ask for nothing */
    struct tool_event  *ended;          /* the last of them has closed the listener */
} server;

struct client {
    struct bench_end end;
    unsigned         number;
};

static void tell(const struct client *c, const char *what, uint64_t bytes, int64_t ns)
{
    if (peer_settings.verbose)
        report_line("client %u: %s, %" PRIu64 " bytes in %" PRId64 ".%03d ms", c->number, what, bytes, ns / 1000000, (int)(ns / 1000 % 1000));
}

static void tell_error(const struct client *c, const virtsock_error *err)
{
    if (peer_settings.verbose)
        report_line("client %u: %s", c->number, err->message);
}

/* --- What clients ask for ------------------------------------------------------------------------------------------------ */

/* Counts what the client sends, tells it, and waits for its end, so that the number arrives. */
static virtsock_status attend_send(const struct client *c, const struct bench_request *r, void *buf, virtsock_error *err)
{
    struct bench_window w = { .stream = c->end.stream, .warmup_ms = (int)r->warmup_ms, .measure_ms = (int)r->measure_ms,
                              .shut = VIRTSOCK_SHUT_RECV };
    unsigned char       count[BENCH_COUNT_SIZE];
    virtsock_status     status;
    uint64_t            bytes;

    if (!bench_window_open(&w))
        return bench_no_memory(err);
    status = bench_count(&c->end, &w, buf, r->receive, &bytes, err);
    if (status == VIRTSOCK_OK) {
        bench_write_count(count, bytes, (uint64_t)(w.ended_ns - w.begun_ns));
        status = bench_send(&c->end, count, sizeof count, NULL, err);
        tell(c, "received", bytes, w.ended_ns - w.begun_ns);
    }
    for (size_t n; status == VIRTSOCK_OK;)
        if (bench_recv(&c->end, buf, r->receive, &n, NULL) != VIRTSOCK_OK)
            break;
    bench_window_close(&w);
    return status;
}

/* Sends until the client has gone, which is how it ends. */
static void attend_receive(const struct client *c, const struct bench_request *r, const void *buf)
{
    const int64_t begun_ns = tool_now_ns();
    uint64_t      bytes = 0;
    size_t        sent;

    while (bench_send(&c->end, buf, r->message, &sent, NULL) == VIRTSOCK_OK)
        bytes += sent;
    tell(c, "sent", bytes + sent, tool_now_ns() - begun_ns);
}

static void attend_latency(const struct client *c, const struct bench_request *r, void *buf)
{
    const int64_t begun_ns = tool_now_ns();
    uint64_t      bytes = 0;

    while (bench_recv_exact(&c->end, buf, r->message, NULL) == VIRTSOCK_OK && bench_send(&c->end, buf, r->message, NULL, NULL) == VIRTSOCK_OK)
        bytes += r->message;
    tell(c, "sent back", bytes, tool_now_ns() - begun_ns);
}

/* The window is here for its end alone: a client that stays is left. */
static virtsock_status attend_test(const struct client *c, const struct bench_request *r, void *buf, virtsock_error *err)
{
    struct bench_window w = { .stream = c->end.stream, .warmup_ms = (int)r->warmup_ms, .measure_ms = (int)r->measure_ms, .shut = -1 };

    if (r->test == BENCH_CONNECT)
        return VIRTSOCK_OK;
    if (r->test == BENCH_SEND)
        return attend_send(c, r, buf, err);
    if (!bench_window_open(&w))
        return bench_no_memory(err);
    if (r->test == BENCH_RECEIVE)
        attend_receive(c, r, buf);
    else
        attend_latency(c, r, buf);
    bench_window_close(&w);
    return VIRTSOCK_OK;
}

static void attend_request(const struct client *c, const unsigned char *bytes)
{
    struct bench_request r = { 0 };
    enum bench_answer    answer = bench_read_request(&r, bytes);
    unsigned char        reply[BENCH_REPLY_SIZE];
    virtsock_error       err = { 0 };
    virtsock_status      status;
    size_t               cap = r.message > r.receive ? r.message : r.receive;
    void                *buf = calloc(1, answer == BENCH_READY ? cap : 1);

    bench_write_reply(reply, answer, c->end.polls);
    status = buf == NULL ? bench_no_memory(&err) : bench_send(&c->end, reply, sizeof reply, NULL, &err);
    if (status == VIRTSOCK_OK && answer == BENCH_READY)
        status = attend_test(c, &r, buf, &err);
    else if (status == VIRTSOCK_OK && peer_settings.verbose)
        report_line("client %u: asked for what is not done here", c->number);
    if (status != VIRTSOCK_OK)
        tell_error(c, &err);
    free(buf);
}

/* --- Clients that ask for nothing ----------------------------------------------------------------------------------------- */

/* first bytes have come; status: how the last receive ended. */
static void drain(const struct client *c, uint64_t first, virtsock_status status, virtsock_error *err)
{
    const size_t  cap = server.set.receive != 0 ? server.set.receive : BENCH_BULK;
    const int64_t begun_ns = tool_now_ns();
    void         *buf = status == VIRTSOCK_OK ? malloc(cap) : NULL;
    uint64_t      bytes = first;

    if (status == VIRTSOCK_OK && buf == NULL)
        status = bench_no_memory(err);
    while (status == VIRTSOCK_OK) {
        size_t n = 0;

        status = bench_recv(&c->end, buf, cap, &n, err);
        bytes += n;
    }
    tell(c, "drained", bytes, tool_now_ns() - begun_ns);
    if (status != VIRTSOCK_E_EOF)
        tell_error(c, err);
    free(buf);
}

/* The last one that hvbench's server would have taken: it ends. */
static void count_client(void)
{
    if (server.set.clients == 0 || --server.clients != 0)
        return;
    virtsock_listener_close(server.listener, NULL);
    tool_event_set(server.ended);
}

static void attend(virtsock_stream *stream, unsigned number, const void *unused)
{
    struct client   c = { { stream, server.set.polls }, number };
    unsigned char   first[FIRST_CAP];
    virtsock_error  err = { 0 };
    virtsock_status status = VIRTSOCK_OK;
    size_t          size = 0;

    (void)unused;
    while (status == VIRTSOCK_OK && size < BENCH_REQUEST_SIZE && bench_begins_request(first, size)) {
        size_t n = 0;

        status = bench_recv(&c.end, first + size, sizeof first - size, &n, &err);
        size += n;
    }
    if (size >= BENCH_REQUEST_SIZE && bench_begins_request(first, size)) {
        attend_request(&c, first);
        virtsock_stream_free(stream);
        return;
    }
    drain(&c, size, status, &err);
    virtsock_stream_free(stream);
    count_client();
}

int bench_serve(const virtsock_address *address, const struct bench_server *settings)
{
    int code;

    server.set = *settings;
    server.clients = settings->clients;
    if ((server.ended = tool_event_new()) == NULL) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    if ((code = peer_listen(&server.listener, address)) != EXIT_DONE)
        return code;
    serve_clients(server.listener, attend, NULL);
    tool_on_stop(NULL, NULL);
    if (settings->clients > 0 && server.clients <= 0)
        tool_event_wait(server.ended, -1);      /* its thread is done with the listener */
    virtsock_listener_free(server.listener);
    return EXIT_DONE;
}
