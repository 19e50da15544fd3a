/* SPDX-License-Identifier: MIT
 *
 * virtsock bench -s over UDP: one client at a time, the latest that asks. Datagrams of 40 bytes that begin as a request are answered, all others
 * are the client's messages. Where a datagram comes from is easily forged: no answer is greater than what it answers, nothing is sent
 * unasked, and a client's time is bounded.
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/tool.h"
#include "bench.h"

#define LOOK_MS  200                    /* how often it is looked whether all is over */
#define PAUSE_MS 20
#define MS       1000000

static struct {
    struct udp          *udp;
    unsigned char        heard[UDP_BIGGEST + 1];        /* one more than any message */
    atomic_bool          over;
    struct bench_request request;       /* of the client that was heard of last */
    unsigned             clients;
    int64_t              begun_ns, ended_ns;    /* its first message; what is counted has been asked for. 0: not yet */
    uint64_t             bytes, datagrams;      /* in its window; in all */
} server;

static int64_t window_begin(void)
{
    return server.begun_ns + (int64_t)server.request.warmup_ms * MS;
}

static int64_t window_end(void)
{
    return window_begin() + (int64_t)server.request.measure_ms * MS;
}

/* A message: counted, and of a latency sent back. */
static int take_message(size_t size)
{
    const int64_t now_ns = tool_now_ns();

    if (server.clients == 0 || server.ended_ns != 0 || size != server.request.message || !udp_is_remembered(server.udp))
        return 0;
    if (server.begun_ns == 0)
        server.begun_ns = now_ns;
    if (now_ns >= window_end() + (int64_t)BENCH_PATIENCE_MS * MS)
        return 0;
    server.datagrams++;
    if (now_ns >= window_begin() && now_ns < window_end())
        server.bytes += size;
    return server.request.test == BENCH_LATENCY ? udp_send(server.udp, server.heard, size) : 0;
}

static int answer(enum bench_answer what)
{
    unsigned char reply[BENCH_REPLY_SIZE];

    bench_write_reply(reply, what, false);
    return udp_send(server.udp, reply, sizeof reply);
}

/* Whether it is of the measurement under way. */
static bool is_known(const struct bench_request *r)
{
    return server.clients > 0 && udp_is_remembered(server.udp) && r->number == server.request.number;
}

/* What was counted, up to the window's end or now; from then on no more is. */
static int tell_count(const struct bench_request *r)
{
    unsigned char told[BENCH_TOLD_SIZE];
    const bool    again = server.ended_ns != 0;
    int64_t       ns = 0;

    if (!is_known(r))
        return answer(BENCH_REPLACED);
    if (!again)
        server.ended_ns = tool_now_ns();
    if (server.begun_ns != 0 && server.ended_ns > window_begin())
        ns = (server.ended_ns < window_end() ? server.ended_ns : window_end()) - window_begin();
    if (!again && peer_settings.verbose)
        report_line("client %u: %s, %" PRIu64 " bytes in %" PRId64 ".%03d ms, %" PRIu64 " datagrams in all", server.clients,
                    server.request.test == BENCH_LATENCY ? "sent back" : "received", server.bytes, ns / MS, (int)(ns / 1000 % 1000),
                    server.datagrams);
    bench_write_told(told, server.bytes, (uint64_t)ns, server.datagrams);
    return udp_send(server.udp, told, sizeof told);
}

static int attend(const struct bench_request *r)
{
    if ((r->test != BENCH_SEND && r->test != BENCH_LATENCY) || r->message > UDP_BIGGEST)
        return answer(BENCH_OUT_OF_RANGE);
    if (!is_known(r)) {
        udp_remember(server.udp);
        server.request = *r;
        server.clients++;
        server.begun_ns = server.ended_ns = 0;
        server.bytes = server.datagrams = 0;
    }
    return answer(BENCH_READY);
}

/* Its answer, if it has one: 0 or the code. */
static int take_datagram(size_t size)
{
    struct bench_request r = { 0 };

    if (size != BENCH_REQUEST_SIZE || !bench_begins_request(server.heard, size))
        return take_message(size);
    switch (bench_read_request(&r, server.heard)) {
    case BENCH_OTHER_VERSION:
        return answer(BENCH_OTHER_VERSION);
    case BENCH_READY:
        return attend(&r);
    default:
        return r.test == BENCH_TOLD ? tell_count(&r) : answer(BENCH_OUT_OF_RANGE);
    }
}

static void stop(void *unused)
{
    (void)unused;
    server.over = true;
}

int bench_serve_datagrams(const struct udp_end *end)
{
    struct udp_end at = *end;
    char           where[UDP_TEXT];
    size_t         size;
    int            code = udp_open(&server.udp, end, true, &at.port);

    udp_write(where, &at);
    if (code != 0)
        return report_system(where, code);
    tool_on_stop(stop, NULL);
    if (peer_settings.verbose || end->port == 0)
        report_line("listening on %s", where);
    while (!server.over) {
        code = udp_receive(server.udp, server.heard, sizeof server.heard, &size, LOOK_MS);
        if (code == 0)
            code = take_datagram(size);
        if (code == 0 || code == UDP_NOTHING)
            continue;
        if (peer_settings.verbose)
            report_system(where, code);
        tool_nap_ms(PAUSE_MS);
    }
    tool_on_stop(NULL, NULL);
    udp_close(server.udp);
    return EXIT_DONE;
}
