/* SPDX-License-Identifier: MIT
 *
 * virtsock bench: moving bytes, blocking or with a poll, and the window of time in which they are counted. What stands still when the
 * window ends is woken: a link that is slow makes a measurement no longer.
 */
#include <stdio.h>

#include "platform/tool.h"
#include "bench.h"

#define LOOK_MS  100                    /* how often a poll looks whether the stream is closed */
#define TICK_MS  500
#define STALL_MS 200                    /* for the receiver to notice that the time is over; one that does not is waiting for bytes */

/* --- Bytes --------------------------------------------------------------------------------------------------------------- */

virtsock_status bench_no_memory(virtsock_error *err)
{
    *err = (virtsock_error){ .status = VIRTSOCK_E_NO_RESOURCES, .message = "out of memory" };
    return err->status;
}

virtsock_status bench_broke(virtsock_error *err, virtsock_status status, const char *where, const char *what)
{
    *err = (virtsock_error){ .status = status, .op = "bench" };
    snprintf(err->message, sizeof err->message, "bench %.120s: %s", where, what);
    return status;
}

/* True: call again. */
static bool is_to_wait(const struct bench_end *end, virtsock_status status, int events)
{
    if (status != VIRTSOCK_E_AGAIN)
        return false;
    tool_poll(virtsock_stream_fd(end->stream), events, LOOK_MS);
    return true;
}

virtsock_status bench_send(const struct bench_end *end, const void *data, size_t size, size_t *sent, virtsock_error *err)
{
    const char     *at = data;
    virtsock_status status = VIRTSOCK_OK;
    size_t          left = size;

    while (left > 0 && status == VIRTSOCK_OK) {
        size_t done = 0;

        status = virtsock_stream_send(end->stream, at, left, &done, end->polls ? 0 : -1, err);
        at += done;
        left -= done;
        if (is_to_wait(end, status, VIRTSOCK_WANT_SEND))
            status = VIRTSOCK_OK;
    }
    if (sent != NULL)
        *sent = size - left;
    return status;
}

virtsock_status bench_recv(const struct bench_end *end, void *buf, size_t cap, size_t *done, virtsock_error *err)
{
    virtsock_status status;

    do {
        status = virtsock_stream_recv(end->stream, buf, cap, done, end->polls ? 0 : -1, err);
    } while (is_to_wait(end, status, VIRTSOCK_WANT_RECV));
    return status;
}

virtsock_status bench_recv_exact(const struct bench_end *end, void *buf, size_t size, virtsock_error *err)
{
    char           *at = buf;
    virtsock_status status = VIRTSOCK_OK;

    while (size > 0 && status == VIRTSOCK_OK) {
        size_t done = 0;

        status = bench_recv(end, at, size, &done, err);
        at += done;
        size -= done;
    }
    return status;
}

/* --- The window ---------------------------------------------------------------------------------------------------------- */

/* False: it was closed before. */
static bool pass(struct bench_window *w, int ms)
{
    const int64_t end_us = tool_now_us() + (int64_t)ms * 1000;
    int64_t       left_ms = ms;

    while (left_ms > 0) {
        if (tool_event_wait(w->done, left_ms < TICK_MS ? (int)left_ms : TICK_MS))
            return false;
        if (w->tick != NULL)
            w->tick();
        left_ms = (end_us - tool_now_us() + 999) / 1000;
    }
    return true;
}

static void keep_time(void *argument)
{
    struct bench_window *w = argument;

    if (pass(w, w->warmup_ms)) {
        w->begun_ns = tool_now_ns();
        w->phase = BENCH_COUNTED;
        if (pass(w, w->measure_ms)) {
            w->ended_ns = tool_now_ns();
            w->phase = BENCH_OVER;
            if (w->shut >= 0 && !tool_event_wait(w->noticed, STALL_MS))
                virtsock_stream_shutdown(w->stream, w->shut, NULL);
            if (!tool_event_wait(w->done, BENCH_PATIENCE_MS)) {
                w->gave_up = true;
                virtsock_stream_close(w->stream, 0, NULL);
            }
        }
    }
    tool_event_set(w->over);
}

static void release(struct bench_window *w)
{
    tool_event_free(w->noticed);
    tool_event_free(w->done);
    tool_event_free(w->over);
}

bool bench_window_open(struct bench_window *w)
{
    w->noticed = tool_event_new();
    w->done = tool_event_new();
    w->over = tool_event_new();
    if (w->noticed != NULL && w->done != NULL && w->over != NULL && tool_thread(keep_time, w))
        return true;
    release(w);
    return false;
}

int bench_window_phase(struct bench_window *w)
{
    return atomic_load_explicit(&w->phase, memory_order_acquire);
}

void bench_window_noticed(struct bench_window *w)
{
    tool_event_set(w->noticed);
}

void bench_window_close(struct bench_window *w)
{
    tool_event_set(w->noticed);
    tool_event_set(w->done);
    tool_event_wait(w->over, -1);
    release(w);
}

virtsock_status bench_count(const struct bench_end *end, struct bench_window *w, void *buf, size_t cap, uint64_t *bytes, virtsock_error *err)
{
    virtsock_status status;
    int             phase;

    *bytes = 0;
    do {
        size_t n = 0;

        status = bench_recv(end, buf, cap, &n, err);
        if ((phase = bench_window_phase(w)) == BENCH_COUNTED)
            *bytes += n;
    } while (status == VIRTSOCK_OK && phase != BENCH_OVER);
    bench_window_noticed(w);
    return phase == BENCH_OVER ? VIRTSOCK_OK : status;
}
