/* SPDX-License-Identifier: MIT
 *
 * virtsock bench over UDP, as a baseline: the client's measurements. What is said around them may be lost, so it is said until it is answered;
 * messages begin with a number, or as much of it as fits, so that one which comes late is not taken for the next.
 */
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/tool.h"
#include "bench.h"

#define ANSWER_MS 200                   /* after that a message is lost, and a request said again */
#define BEGIN_MS  1000                  /* for the first answer, unless --timeout or --wait says; later the server may have a queue to empty */
#define TICK_NS   500000000
#define MS        1000000

static unsigned char heard[UDP_BIGGEST + 1];    /* one more than any message */

/* --- Requests ------------------------------------------------------------------------------------------------------------ */

struct asker {
    struct bench_work   *at;
    struct udp          *udp;
    struct bench_request request;
    uint64_t             bytes, ns, datagrams;  /* that the server told */
};

static virtsock_status broke(const struct asker *a, virtsock_error *err, virtsock_status status, const char *what)
{
    return bench_broke(err, status, a->at->plan->where, what);
}

static virtsock_status system_failure(const struct asker *a, virtsock_error *err, int code)
{
    const bool refused = udp_is_refused(code);
    char       text[TOOL_CODE_TEXT];

    tool_code_text(code, text, sizeof text);
    broke(a, err, refused ? VIRTSOCK_E_REFUSED : VIRTSOCK_E_SYSTEM, refused ? "nobody has that port: is virtsock bench -s there?" : text);
    err->os_code = code;
    return err->status;
}

/* One datagram, or UDP_NOTHING: there is none by then. */
static int hear(const struct asker *a, size_t *size, int64_t until_us)
{
    for (;;) {
        const int64_t left_us = until_us - tool_now_us();
        int           code = left_us > 0 ? udp_receive(a->udp, heard, sizeof heard, size, (int)((left_us + 999) / 1000)) : UDP_NOTHING;

        if (code != UDP_NOTHING || left_us <= 0)
            return code;
    }
}

static virtsock_status judge(const struct asker *a, uint32_t answer, virtsock_error *err)
{
    if (answer == BENCH_READY)
        return VIRTSOCK_OK;
    return broke(a, err, VIRTSOCK_E_PROTOCOL, answer == BENCH_OTHER_VERSION ? "the server is of another version: use one on both ends"
                                              : answer == BENCH_REPLACED    ? "the server has another client by now: one at a time"
                                                                            : "the server refuses such sizes or times");
}

/* OK, AGAIN where nothing came that answers, or the failure. */
static virtsock_status await_answer(struct asker *a, virtsock_error *err)
{
    const bool    told = a->request.test == BENCH_TOLD;
    const int64_t until_us = tool_now_us() + ANSWER_MS * 1000;
    uint32_t      answer;
    size_t        size;
    int           code;

    while ((code = hear(a, &size, until_us)) == 0) {
        if (told && size == BENCH_TOLD_SIZE && bench_read_told(heard, &a->bytes, &a->ns, &a->datagrams))
            return VIRTSOCK_OK;
        if (size == BENCH_REPLY_SIZE && bench_read_reply(heard, &answer, &a->at->point.server_polls) && !(told && answer == BENCH_READY))
            return judge(a, answer, err);
    }
    return code == UDP_NOTHING ? VIRTSOCK_E_AGAIN : system_failure(a, err, code);
}

/* Says the request until it is answered. With --wait there may be nobody yet. */
static virtsock_status ask(struct asker *a, enum bench_test test, virtsock_error *err)
{
    const bool      begins = test != BENCH_TOLD, waits = begins && peer_settings.wait_ms != ARG_UNSET;
    const int64_t   set_ms = waits ? peer_settings.wait_ms : peer_settings.timeout_ms;
    const int64_t   for_ms = set_ms == ARG_UNSET ? (begins ? BEGIN_MS : BENCH_PATIENCE_MS) : set_ms < 0 ? INT32_MAX : set_ms;
    const int64_t   until_us = tool_now_us() + for_ms * 1000;
    unsigned char   bytes[BENCH_REQUEST_SIZE];
    virtsock_status status;
    int             attempts = 0;

    a->request.test = test;
    bench_write_request(bytes, &a->request);
    do {
        int code = udp_send(a->udp, bytes, sizeof bytes);

        status = code == 0 ? await_answer(a, err) : system_failure(a, err, code);
        if (status == VIRTSOCK_E_AGAIN)
            broke(a, err, VIRTSOCK_E_TIMEOUT, "no answer: is virtsock bench -s there?");
        else if (status == VIRTSOCK_E_REFUSED && waits)
            tool_nap_ms(ANSWER_MS);
        else
            return status;
        if (peer_settings.verbose)
            report_line("attempt %d: %s", ++attempts, err->message);
        bench_progress_draw();
    } while (tool_now_us() < until_us);
    return err->status;
}

/* --- Measurements ---------------------------------------------------------------------------------------------------------- */

struct pace {
    int64_t from_ns, until_ns;          /* what begins in between counts */
    int64_t tick_ns;
};

static struct pace begin(const struct bench_work *at)
{
    const int64_t now_ns = tool_now_ns(), from_ns = now_ns + (int64_t)at->plan->warmup_ms * MS;

    return (struct pace){ from_ns, from_ns + (int64_t)at->plan->measure_ms * MS, now_ns + TICK_NS };
}

/* The time; progress is drawn now and then. */
static int64_t look(struct pace *p)
{
    const int64_t now_ns = tool_now_ns();

    if (now_ns >= p->tick_ns) {
        bench_progress_draw();
        p->tick_ns = now_ns + TICK_NS;
    }
    return now_ns;
}

/* There and back: 0, UDP_NOTHING: it is lost, or the code. */
static int ping(const struct asker *a, uint64_t number)
{
    const struct bench_work *at = a->at;
    const size_t             message = at->point.message, told = bench_write_number(at->buf, number, message);
    size_t                   size;
    int                      code = udp_send(a->udp, at->buf, message);

    if (code != 0)
        return code;
    const int64_t until_us = tool_now_us() + ANSWER_MS * 1000;

    do {
        code = hear(a, &size, until_us);
    } while (code == 0 && (size != message || memcmp(heard, at->buf, told) != 0));     /* a late one, or one more */
    return code;
}

static virtsock_status measure_latency(struct asker *a, struct bench_run *run, virtsock_error *err)
{
    struct pace pace = begin(a->at);
    int64_t     begun_ns = look(&pace);

    run->ns = pace.until_ns - pace.from_ns;
    while (begun_ns < pace.until_ns) {
        const int     code = ping(a, ++run->sent);
        const int64_t now_ns = look(&pace);

        if (code != 0 && code != UDP_NOTHING)
            return system_failure(a, err, code);
        run->lost += code == UDP_NOTHING;
        if (code == 0 && begun_ns >= pace.from_ns)
            histogram_add(&a->at->times, (uint64_t)(now_ns - begun_ns));
        begun_ns = now_ns;
    }
    return ask(a, BENCH_TOLD, err);
}

static virtsock_status measure_send(struct asker *a, struct bench_run *run, virtsock_error *err)
{
    struct pace     pace = begin(a->at);
    virtsock_status status;

    while (look(&pace) < pace.until_ns) {
        int code;

        bench_write_number(a->at->buf, run->sent++, a->at->point.message);
        if ((code = udp_send(a->udp, a->at->buf, a->at->point.message)) != 0)
            return system_failure(a, err, code);
    }
    if ((status = ask(a, BENCH_TOLD, err)) != VIRTSOCK_OK)
        return status;
    run->bytes = a->bytes;
    run->ns = (int64_t)a->ns;
    run->lost = a->datagrams < run->sent ? run->sent - a->datagrams : 0;
    return VIRTSOCK_OK;
}

virtsock_status bench_measure_datagrams(struct bench_work *at, struct bench_run *run, virtsock_error *err)
{
    const struct bench_plan *p = at->plan;
    const uint32_t           now = (uint32_t)tool_now_us();
    struct asker             a = { .at = at };
    uint16_t                 port;
    virtsock_status          status;
    int                      code = udp_open(&a.udp, p->udp, false, &port);

    if (code != 0)
        return system_failure(&a, err, code);
    a.request = (struct bench_request){ at->point.test, at->point.message, at->point.receive, (uint32_t)p->warmup_ms, (uint32_t)p->measure_ms, now };
    status = ask(&a, at->point.test, err);
    if (status == VIRTSOCK_OK)
        status = at->point.test == BENCH_LATENCY ? measure_latency(&a, run, err) : measure_send(&a, run, err);
    udp_close(a.udp);
    return status;
}
