/* SPDX-License-Identifier: MIT
 *
 * virtsock bench, the client: the line on a terminal that tells how far it is and how long it takes yet.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/peer.h"
#include "platform/tool.h"
#include "bench.h"

static struct {
    bool    shown, drawn;
    int     done, total;                /* measurements */
    int64_t each_us, begun_us;          /* begun_us: of the current one */
    char    what[64];
} progress;

void bench_progress(const struct bench_plan *plan, int measurements)
{
    progress.shown = !peer_settings.verbose && tool_errors_on_terminal();
    progress.total = measurements;
    progress.each_us = (int64_t)(plan->warmup_ms + plan->measure_ms) * 1000;
}

bool bench_progress_shown(void)
{
    return progress.shown;
}

void bench_progress_draw(void)
{
    int64_t left_us = (progress.total - progress.done) * progress.each_us - (tool_now_us() - progress.begun_us);

    if (!progress.shown)
        return;
    fprintf(stderr, "\r\033[Kvirtsock: %s: %d of %d, %" PRId64 " s left", progress.what, progress.done + 1, progress.total,
            left_us > 0 ? (left_us + 999999) / 1000000 : 0);
    progress.drawn = true;
}

void bench_progress_begin(enum bench_test test, uint32_t message)
{
    static const char *const names[] = { "", "bandwidth, sending", "bandwidth, receiving", "latency", "connections" };

    snprintf(progress.what, sizeof progress.what, test == BENCH_CONNECT ? "%s" : "%s %" PRIu32 " bytes", names[test], message);
    progress.begun_us = tool_now_us();
    bench_progress_draw();
}

void bench_progress_end(void)
{
    progress.done++;
    if (progress.drawn)
        fputs("\r\033[K", stderr);
    progress.drawn = false;
}
