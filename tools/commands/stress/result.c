/* SPDX-License-Identifier: MIT
 *
 * What `virtsock stress` counts and tells: see result.h.
 */
#include "result.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/json.h"
#include "common/peer.h"
#include "platform/tool.h"
#include "stress.h"

#define TOLD      10                    /* failures; more only with -v */
#define STATUSES  (-VIRTSOCK_E_SYSTEM + 1)
#define COST      65536                 /* of a connection, in bytes that take as long: for the estimate */
#define COUNT_MAX 1000000               /* connections whose lengths are counted one by one */

struct result result;

static atomic_int_least64_t failures[RESULT_KINDS][STATUSES];

static const char *const kind_names[] = { "connect", "send", "receive", "changed", "missing", "twice", "out of order", "ended early",
                                          "stalled", "no thread" };

static struct {
    int64_t begun_us;
    double  all;                        /* bytes, with COST for each connection */
    bool    draws;
} progress;

/* --- Failures ---------------------------------------------------------------------------------------------------------- */

static void clear(void)
{
    if (progress.draws)
        fputs("\r\033[K", stderr);
}

void result_failure(int64_t number, enum result_kind kind, virtsock_status status, const char *format, ...)
{
    int64_t told = result.failed++;
    char    text[512];
    va_list values;

    failures[kind][status > -STATUSES && status <= 0 ? -status : -VIRTSOCK_E_SYSTEM]++;
    if (told < TOLD || peer_settings.verbose) {
        va_start(values, format);
        vsnprintf(text, sizeof text, format, values);
        va_end(values);
        clear();
        report_line("connection %" PRId64 ": %s", number, text);
    } else if (told == TOLD) {
        clear();
        report_line("more failures are counted; -v tells of each");
    }
    if (stress.ends)
        result_stop();
}

void result_stop(void)
{
    result.over = true;
    tool_event_set(result.stop);
}

static void failure_name(char name[64], int kind, int status)
{
    bool ours = kind > RESULT_RECEIVE;

    snprintf(name, 64, "%s%s%s", kind_names[kind], ours ? "" : ": ", ours ? "" : virtsock_status_name(-status));
}

/* --- Progress ---------------------------------------------------------------------------------------------------------- */

/* What all connections will have cost. */
static double all_work(void)
{
    double all = 0;

    if (stress.connections > COUNT_MAX)
        return (double)stress.connections * (COST + (double)(stress.least + stress.most) / 2);
    for (int64_t n = 1; n <= stress.connections; n++)
        all += COST + (double)stress_length(n);
    return all;
}

void result_begin(int64_t begun_us)
{
    progress.begun_us = begun_us;
    progress.draws = tool_errors_on_terminal();
    if (progress.draws)
        progress.all = all_work();
}

void result_draw(void)
{
    double seconds = (double)(tool_now_us() - progress.begun_us) / 1e6, received = (double)result.received;
    double done = received + COST * (double)(result.good + result.failed), left = seconds * (progress.all - done) / (done > 0 ? done : 1);

    if (!progress.draws || seconds < 0.5)
        return;
    fprintf(stderr, "\r\033[Kvirtsock: %" PRId64 " of %" PRId64 " connections, %" PRId64 " failed, %.1f MiB/s each way, ",
            (int64_t)(result.good + result.failed), stress.connections, (int64_t)result.failed, received / seconds / (1 << 20));
    if (done > 0)
        fprintf(stderr, "about %.0f s to go", left > 0 ? left : 0);
    else
        fputs("nothing came back yet", stderr);
}

/* --- Result ------------------------------------------------------------------------------------------------------------ */

/* In JSON, or behind the result (NULL). */
static void print_failures(struct json *j)
{
    const char *lead = ": ";
    char        name[64];

    for (int kind = 0; kind < RESULT_KINDS; kind++)
        for (int status = 0; status < STATUSES; status++) {
            int64_t n = failures[kind][status];

            if (n == 0)
                continue;
            failure_name(name, kind, status);
            if (j != NULL) {
                json_number(j, name, n);
            } else {
                printf("%s%s %" PRId64, lead, name, n);
                lead = ", ";
            }
        }
}

static void print_json(double seconds)
{
    struct json j = { stdout, false };

    json_open(&j, NULL, '{');
    json_text(&j, "address", stress.where);
    json_bool(&j, "ok", result.good == stress.connections);
    json_bool(&j, "interrupted", result.interrupted);
    json_number(&j, "connections", stress.connections);
    json_number(&j, "good", result.good);
    json_number(&j, "failed", result.failed);
    json_open(&j, "failures", '{');
    print_failures(&j);
    json_close(&j, '}');
    json_number(&j, "bytes_sent", (int64_t)result.sent);
    json_number(&j, "bytes_received", (int64_t)result.received);
    json_ms(&j, "ms", (int64_t)(seconds * 1e6));
    json_number(&j, "seed", stress.seed);
    json_close(&j, '}');
    putchar('\n');
}

static void print_text(double seconds)
{
    printf("%s: %" PRId64 " of %" PRId64 " connections got every byte back, %" PRId64 " failed", stress.where, (int64_t)result.good,
           stress.connections, (int64_t)result.failed);
    print_failures(NULL);
    printf("\n%" PRIu64 " bytes sent, %" PRIu64 " came back in %.3f s: %.1f MiB/s each way, %.1f connections/s; seed %" PRId64 "\n",
           (uint64_t)result.sent, (uint64_t)result.received, seconds, (double)result.received / seconds / (1 << 20),
           (double)result.good / seconds, stress.seed);
}

int result_print(void)
{
    double seconds = (double)(tool_now_us() - progress.begun_us + 1) / 1e6;

    clear();
    if (result.interrupted)
        report_line("interrupted");
    if (stress.json)
        print_json(seconds);
    else
        print_text(seconds);
    return result.good == stress.connections ? EXIT_DONE : EXIT_FAILED;
}

int result_print_served(int64_t clients, int64_t failed, uint64_t bytes)
{
    bool        endless = stress.connections == INT64_MAX, ok = failed == 0 && (endless || clients == stress.connections);
    struct json j = { stdout, false };

    if (!stress.json) {
        printf("%s: %" PRId64 " clients, %" PRIu64 " bytes echoed, %" PRId64 " failed\n", stress.where, clients, bytes, failed);
    } else {
        json_open(&j, NULL, '{');
        json_text(&j, "address", stress.where);
        json_bool(&j, "ok", ok);
        json_number(&j, "clients", clients);
        json_number(&j, "failed", failed);
        json_number(&j, "bytes_echoed", (int64_t)bytes);
        json_close(&j, '}');
        putchar('\n');
    }
    return ok || endless ? EXIT_DONE : EXIT_FAILED;
}
