/* SPDX-License-Identifier: MIT
 *
 * virtsock bench: results as a table, as JSON, and as the lines of linuxkit's data files. Each point is printed when it is there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "bench.h"

#define MS 1000000

static struct {
    struct json     json;
    enum bench_test test;               /* of the block under way */
    int             index;              /* of .dat */
} out = { .json = { NULL, false } };

/* --- Figures --------------------------------------------------------------------------------------------------------------- */

/* Upper bounds of the histogram of connections, in ns: three steps a decade below a millisecond, then the seeds'. */
static int64_t bound_of(int step)
{
    static const int64_t fine[] = { 10000, 20000, 50000, 100000, 200000, 500000 };

    if (step < 6)
        return fine[step];
    if (step < 16)
        return (int64_t)(step - 5) * MS;
    if (step < 25)
        return (int64_t)(step - 14) * 10 * MS;
    return step < BENCH_STEPS - 1 ? (int64_t)(step - 23) * 100 * MS : INT64_MAX;
}

void bench_count_step(struct bench_point *point, int64_t ns)
{
    int step = 0;

    while (ns >= bound_of(step))
        step++;
    point->step[step]++;
}

static void summarize(struct bench_run *run, const struct histogram *times)
{
    run->count = times->count;
    run->time[0] = times->least;
    run->time[1] = histogram_percentile(times, 500);
    run->time[2] = histogram_percentile(times, 900);
    run->time[3] = histogram_percentile(times, 990);
    run->time[4] = histogram_percentile(times, 999);
    run->time[5] = times->most;
    run->time[6] = times->count > 0 ? times->sum / times->count : 0;
}

void bench_add_times(struct bench_point *point, struct bench_run *run, const struct histogram *times)
{
    summarize(run, times);
    histogram_merge(&point->all, times);
}

static bool is_bandwidth(const struct bench_point *p)
{
    return p->test == BENCH_SEND || p->test == BENCH_RECEIVE;
}

/* Of a bandwidth bytes, else messages or connections. */
static double a_second(const struct bench_point *p, const struct bench_run *run)
{
    return run->ns > 0 ? (double)(is_bandwidth(p) ? run->bytes : run->count) * 1e9 / (double)run->ns : 0;
}

struct spread {
    double least, median, most;
};

static struct spread spread_of(const struct bench_point *p)
{
    double sorted[BENCH_RUNS_MAX];
    int    middle = p->runs / 2;

    for (int i = 0; i < p->runs; i++) {
        double value = a_second(p, &p->run[i]);
        int    to = i;

        for (; to > 0 && sorted[to - 1] > value; to--)
            sorted[to] = sorted[to - 1];
        sorted[to] = value;
    }
    return (struct spread){ sorted[0], p->runs % 2 != 0 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, sorted[p->runs - 1] };
}

/* Of all runs together: counts, errors and times. */
static struct bench_run sum_of(const struct bench_point *p)
{
    struct bench_run all = { 0 };

    summarize(&all, &p->all);
    for (int i = 0; i < p->runs; i++) {
        all.connect_errors += p->run[i].connect_errors;
        all.socket_errors += p->run[i].socket_errors;
        all.sent += p->run[i].sent;
        all.lost += p->run[i].lost;
    }
    return all;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------ */

static void json_spread(const char *key, struct spread s)
{
    json_open(&out.json, key, '{');
    json_number(&out.json, "min", (int64_t)s.least);
    json_number(&out.json, "median", (int64_t)s.median);
    json_number(&out.json, "max", (int64_t)s.most);
    json_close(&out.json, '}');
}

static void json_times(const struct bench_run *run)
{
    static const char *const names[BENCH_TIMES] = { "min", "p50", "p90", "p99", "p99.9", "max", "mean" };

    json_open(&out.json, "ns", '{');
    for (int i = 0; i < BENCH_TIMES; i++)
        json_number(&out.json, names[i], (int64_t)run->time[i]);
    json_close(&out.json, '}');
}

static const char *rate_name(const struct bench_point *p)
{
    return is_bandwidth(p) ? "bytes_per_second" : "per_second";
}

/* Of datagrams. */
static void json_lost(const struct bench_plan *plan, const struct bench_run *run)
{
    if (plan->udp == NULL)
        return;
    json_number(&out.json, "sent", (int64_t)run->sent);
    json_number(&out.json, "lost", (int64_t)run->lost);
}

static void json_run(const struct bench_plan *plan, const struct bench_point *p, const struct bench_run *run)
{
    json_open(&out.json, NULL, '{');
    json_number(&out.json, "duration_ns", run->ns);
    json_number(&out.json, is_bandwidth(p) ? "bytes" : "count", (int64_t)(is_bandwidth(p) ? run->bytes : run->count));
    json_number(&out.json, rate_name(p), (int64_t)a_second(p, run));
    if (!is_bandwidth(p))
        json_times(run);
    json_lost(plan, run);
    json_close(&out.json, '}');
}

static void json_steps(const struct bench_point *p)
{
    json_open(&out.json, "histogram", '[');
    for (int i = 0; i < BENCH_STEPS; i++) {
        json_open(&out.json, NULL, '{');
        if (i < BENCH_STEPS - 1)
            json_number(&out.json, "below_ns", bound_of(i));
        else
            json_text(&out.json, "below_ns", NULL);
        json_number(&out.json, "count", (int64_t)p->step[i]);
        json_close(&out.json, '}');
    }
    json_close(&out.json, ']');
}

static void json_figures(const struct bench_point *p, const struct bench_run *all)
{
    json_spread(rate_name(p), spread_of(p));
    if (is_bandwidth(p))
        return;
    json_number(&out.json, "count", (int64_t)all->count);
    json_times(all);
    if (p->test == BENCH_CONNECT) {
        json_number(&out.json, "connect_errors", (int64_t)all->connect_errors);
        json_number(&out.json, "socket_errors", (int64_t)all->socket_errors);
        json_steps(p);
    }
}

static void json_point(const struct bench_plan *plan, const struct bench_point *p, const struct bench_run *all)
{
    static const char *const names[] = { "", "bandwidth", "bandwidth", "latency", "connections" };

    json_open(&out.json, NULL, '{');
    json_text(&out.json, "test", names[p->test]);
    if (is_bandwidth(p))
        json_text(&out.json, "direction", p->test == BENCH_SEND ? "send" : "receive");
    if (p->test != BENCH_CONNECT) {
        json_number(&out.json, "message_bytes", p->message);
        json_number(&out.json, "receive_bytes", p->receive);
    }
    if (plan->plain)
        json_text(&out.json, "server_polls", NULL);
    else
        json_bool(&out.json, "server_polls", p->server_polls);
    json_figures(p, all);
    json_lost(plan, all);
    json_open(&out.json, "runs", '[');
    for (int i = 0; i < p->runs; i++)
        json_run(plan, p, &p->run[i]);
    json_close(&out.json, ']');
    json_close(&out.json, '}');
}

static void json_end(const virtsock_error *err)
{
    json_close(&out.json, ']');
    json_bool(&out.json, "ok", err == NULL);
    if (err != NULL) {
        json_text(&out.json, "status", virtsock_status_name(err->status));
        json_number(&out.json, "system_code", err->os_code);
        json_text(&out.json, "message", err->message);
        json_text(&out.json, "advice", virtsock_advice(err));
    }
    json_close(&out.json, '}');
    putchar('\n');
}

/* --- The seeds' lines -------------------------------------------------------------------------------------------------------- */

/* With as many decimals as it needs, two at most. */
static void print_short(double value)
{
    char   text[40];
    size_t n = (size_t)snprintf(text, sizeof text, "%.2f", value);

    while (n > 0 && text[n - 1] == '0')
        text[--n] = '\0';
    if (n > 0 && text[n - 1] == '.')
        text[--n] = '\0';
    fputs(text, stdout);
}

/* Mb/s: of 2^20 bits, whole; of messages to and fro the p50 in microseconds. */
static double dat_figure(const struct bench_point *p, const struct bench_run *run)
{
    if (p->test == BENCH_LATENCY)
        return (double)run->time[1] / 1000;
    return (double)(uint64_t)(a_second(p, run) * 8 / (1 << 20));
}

static void dat_sizes(const struct bench_point *p)
{
    double sum = 0;

    for (int i = 0; i < p->runs; i++)
        sum += dat_figure(p, &p->run[i]);
    printf("%" PRIu32 " ", p->message);
    print_short(sum / p->runs);
    for (int i = 0; i < p->runs; i++) {
        putchar(' ');
        print_short(dat_figure(p, &p->run[i]));
    }
    putchar('\n');
}

static void dat_step(const char *label, uint64_t count, uint64_t *seen, uint64_t total)
{
    *seen += count;
    printf("%s %" PRIu64 " %6.2f\n", label, count, total > 0 ? (double)*seen * 100 / (double)total : 0);
}

static void dat_steps(const struct bench_point *p, const struct bench_run *all)
{
    uint64_t seen = 0, total = all->count + all->connect_errors + all->socket_errors;
    char     label[32];

    for (int i = 0; i < BENCH_STEPS; i++) {
        if (i < BENCH_STEPS - 1)
            snprintf(label, sizeof label, "%g", (double)bound_of(i) / MS);
        else
            snprintf(label, sizeof label, ">=1000");
        dat_step(label, p->step[i], &seen, total);
    }
    dat_step("connect_err", all->connect_errors, &seen, total);
    dat_step("socket_err", all->socket_errors, &seen, total);
}

static void dat_head(const struct bench_plan *plan, const struct bench_point *p)
{
    const char *client = plan->polls ? "poll() client" : "blocking client", *server = p->server_polls ? "poll() server" : "blocking server";

    printf("%s# Index %d: ", out.index > 0 ? "\n\n" : "", out.index);
    if (p->test == BENCH_CONNECT)
        printf("connect()%s\n# time (ms) vs count vs cumulative percent\n", plan->polls ? " with timeout" : "");
    else if (p->test == BENCH_LATENCY)
        printf("latency: %s, %s\n# message (bytes) vs average p50 (us) + individual results\n", client, server);
    else
        printf("BW: %s, %s, %s (%s recv())\n# message (bytes) vs average (Mb/s) + individual results\n",
               p->test == BENCH_SEND ? "client sends" : "client receives", client, plan->plain ? "plain server" : server,
               plan->bulk ? "bulk" : "msg");
    out.index++;
}

/* --- The table ---------------------------------------------------------------------------------------------------------------- */

static void table_head(const struct bench_plan *plan, const struct bench_point *p)
{
    const char *how = plan->udp != NULL ? "datagrams" : plan->polls ? "polled" : "blocking";
    const char *lost = plan->udp != NULL ? "      lost" : "";

    if (is_bandwidth(p))
        printf("bandwidth, client %s, %s%s\n  %10s %12s %12s %12s%s\n", p->test == BENCH_SEND ? "sends" : "receives", how,
               plan->bulk ? ", bulk receives" : "", "bytes", "Mb/s", "min", "max", lost);
    else if (p->test == BENCH_LATENCY)
        printf("latency, %s, in microseconds\n  %10s %9s %9s %9s %9s %9s %9s%s\n", how, "bytes", "messages", "p50", "p90", "p99", "p99.9", "max",
               lost);
    else
        printf("connections, %s, in milliseconds\n", how);
}

/* p50, p90, p99, p99.9 and max. */
static void print_times(const struct bench_run *all, double unit, const char *format)
{
    for (int i = 1; i < 6; i++)
        printf(format, (double)all->time[i] / unit);
}

static void table_steps(const struct bench_point *p, const struct bench_run *all)
{
    uint64_t seen = 0;

    printf("  %" PRIu64 " at %.0f a second; p50, p90, p99, p99.9, max:", all->count, spread_of(p).median);
    print_times(all, MS, " %.3f");
    putchar('\n');
    for (int i = 0; i < BENCH_STEPS; i++) {
        seen += p->step[i];
        if (p->step[i] > 0)
            printf("  %c %6g %10" PRIu64 " %6.2f %%\n", i < BENCH_STEPS - 1 ? '<' : '>', i < BENCH_STEPS - 1 ? (double)bound_of(i) / MS : 1000,
                   p->step[i], (double)seen * 100 / (double)all->count);
    }
    if (all->connect_errors + all->socket_errors > 0)
        printf("  failed: %" PRIu64 " connections, %" PRIu64 " sockets\n", all->connect_errors, all->socket_errors);
}

static void table_point(const struct bench_plan *plan, const struct bench_point *p, const struct bench_run *all)
{
    if (p->test == BENCH_CONNECT) {
        table_steps(p, all);
        return;
    }
    if (p->test == BENCH_LATENCY) {
        printf("  %10" PRIu32 " %9" PRIu64, p->message, all->count);
        print_times(all, 1000, " %9.1f");
    } else {
        struct spread s = spread_of(p);

        printf("  %10" PRIu32 " %12.1f %12.1f %12.1f", p->message, s.median * 8 / (1 << 20), s.least * 8 / (1 << 20),
               s.most * 8 / (1 << 20));
    }
    if (plan->udp != NULL)
        printf(" %7.2f %%", all->sent > 0 ? (double)all->lost * 100 / (double)all->sent : 0);
    putchar('\n');
}

/* --- All of them -------------------------------------------------------------------------------------------------------------- */

void bench_report_begin(const struct bench_plan *plan)
{
    if (plan->json) {
        out.json.out = stdout;
        json_open(&out.json, NULL, '{');
        json_text(&out.json, "address", plan->where);
        json_text(&out.json, "version", virtsock_version());
        json_bool(&out.json, "plain", plan->plain);
        json_bool(&out.json, "polls", plan->polls);
        json_number(&out.json, "warmup_ms", plan->warmup_ms);
        json_number(&out.json, "measured_ms", plan->measure_ms);
        json_open(&out.json, "results", '[');
    } else if (plan->dat) {
        printf("# virtsock %s bench %s\n#\n", virtsock_version(), plan->where);
    }
}

void bench_report_point(const struct bench_plan *plan, const struct bench_point *p)
{
    const struct bench_run all = sum_of(p);

    if (plan->json) {
        json_point(plan, p, &all);
    } else if (plan->dat) {
        if (p->test != out.test)
            dat_head(plan, p);
        if (p->test == BENCH_CONNECT)
            dat_steps(p, &all);
        else
            dat_sizes(p);
    } else {
        if (p->test != out.test)
            table_head(plan, p);
        table_point(plan, p, &all);
    }
    out.test = p->test;
    fflush(stdout);
}

void bench_report_end(const struct bench_plan *plan, const virtsock_error *err)
{
    if (plan->json)
        json_end(err);
    else if (plan->dat && err != NULL)
        printf("# %s\n", err->message);
}
