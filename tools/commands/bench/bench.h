/* SPDX-License-Identifier: MIT
 *
 * virtsock bench: what its files share. A measurement is one connection: the client says what it wants, the server agrees, and whoever
 * receives counts what comes while its window is open. Over UDP it is a socket of the client. docs/virtsock.md has the bytes.
 */
#ifndef TOOL_BENCH_H
#define TOOL_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/udp.h"
#include "histogram.h"
#include "virtsock.h"

enum bench_test {                       /* as on the wire */
    BENCH_SEND    = 1,                  /* bandwidth, the client sends */
    BENCH_RECEIVE = 2,                  /* bandwidth, the client receives */
    BENCH_LATENCY = 3,                  /* messages to and fro */
    BENCH_CONNECT = 4,                  /* connections one after another: the answer is all */
    BENCH_TOLD    = 5                   /* of datagrams alone, after SEND and LATENCY: what was counted, and no more of it */
};

#define BENCH_SIZE_MAX    (16 << 20)    /* bytes of a message, and of a receive */
#define BENCH_BULK        (2 << 20)     /* hvbench's greatest receive, and its message where no size is told */
#define BENCH_TIME_MAX_MS 3600000
#define BENCH_RUNS_MAX    100
#define BENCH_PATIENCE_MS 10000         /* for an answer, and for the end of what should have ended */

struct bench_request {
    uint32_t test, message, receive;    /* bytes of each message, and of the receiver's receives */
    uint32_t warmup_ms, measure_ms;
    uint32_t number;                    /* of datagrams, the client's choice: the same in all that it says of one measurement; else 0 */
};

/* --- The wire: wire.c ----------------------------------------------------------------------------------------------- */

#define BENCH_REQUEST_SIZE 40
#define BENCH_REPLY_SIZE   24
#define BENCH_COUNT_SIZE   16

#define BENCH_TOLD_SIZE    40           /* no more than what asks for it: whoever forges its source gains nothing */

enum bench_answer { BENCH_READY = 0, BENCH_OTHER_VERSION = 1, BENCH_OUT_OF_RANGE = 2, BENCH_REPLACED = 3 };

void bench_write_request(unsigned char out[BENCH_REQUEST_SIZE], const struct bench_request *request);
/* Whether what begins with these bytes may be, or is, a request: of this version or another. */
bool bench_begins_request(const unsigned char *bytes, size_t size);
enum bench_answer bench_read_request(struct bench_request *request, const unsigned char in[BENCH_REQUEST_SIZE]);
void bench_write_reply(unsigned char out[BENCH_REPLY_SIZE], enum bench_answer answer, bool polls);
/* False: no reply. */
bool bench_read_reply(const unsigned char in[BENCH_REPLY_SIZE], uint32_t *answer, bool *polls);
void bench_write_count(unsigned char out[BENCH_COUNT_SIZE], uint64_t bytes, uint64_t ns);
void bench_read_count(const unsigned char in[BENCH_COUNT_SIZE], uint64_t *bytes, uint64_t *ns);
/* The same of datagrams, with how many came in all, the window's or not. */
void bench_write_told(unsigned char out[BENCH_TOLD_SIZE], uint64_t bytes, uint64_t ns, uint64_t datagrams);
/* False: it is something else. */
bool bench_read_told(const unsigned char in[BENCH_TOLD_SIZE], uint64_t *bytes, uint64_t *ns, uint64_t *datagrams);
/* The number of a datagram, or as much of its end as fits, into its beginning; how many bytes that is. */
size_t bench_write_number(unsigned char *out, uint64_t number, size_t size);

/* --- Moving bytes: io.c --------------------------------------------------------------------------------------------- */

struct bench_end {
    virtsock_stream *stream;
    bool             polls;             /* calls that do not block, and a poll where they would */
};

/* All of it; *sent (may be NULL): how much went. */
virtsock_status bench_send(const struct bench_end *end, const void *data, size_t size, size_t *sent, virtsock_error *err);
virtsock_status bench_recv(const struct bench_end *end, void *buf, size_t cap, size_t *done, virtsock_error *err);
virtsock_status bench_recv_exact(const struct bench_end *end, void *buf, size_t size, virtsock_error *err);

/* The time of one measurement, kept by a thread of its own, so that those who move bytes look at no clock and no call can last for ever. */
struct bench_window {
    virtsock_stream   *stream;
    int                warmup_ms, measure_ms;
    int                shut;            /* VIRTSOCK_SHUT_ of what stands still at the end; -1: nothing is shut */
    void             (*tick)(void);     /* called now and then; may be NULL */
    atomic_int         phase;           /* this and what follows is io.c's own, but to read */
    atomic_bool        gave_up;         /* closed the stream, as it had not ended */
    int64_t            begun_ns, ended_ns;
    struct tool_event *noticed, *done, *over;
};
enum { BENCH_WARMUP, BENCH_COUNTED, BENCH_OVER };

/* False: the system has no thread or memory to give. */
bool bench_window_open(struct bench_window *w);
int  bench_window_phase(struct bench_window *w);
void bench_window_noticed(struct bench_window *w);      /* that it is over */
void bench_window_close(struct bench_window *w);        /* early, or after its end */

/* Receives until the window is over: *bytes came while it was open. */
virtsock_status bench_count(const struct bench_end *end, struct bench_window *w, void *buf, size_t cap, uint64_t *bytes, virtsock_error *err);


virtsock_status bench_no_memory(virtsock_error *err);
/* "bench WHERE: what". */
virtsock_status bench_broke(virtsock_error *err, virtsock_status status, const char *where, const char *what);

/* --- Results: report.c ---------------------------------------------------------------------------------------------- */

#define BENCH_TIMES 7
#define BENCH_STEPS 35                  /* of the histogram of connections */

struct bench_run {
    uint64_t bytes;                     /* of a bandwidth */
    uint64_t count, connect_errors, socket_errors;
    uint64_t sent, lost;                /* datagrams, of all its time */
    int64_t  ns;                        /* that it lasted */
    uint64_t time[BENCH_TIMES];         /* ns, of messages to and fro and of connections: min, p50, p90, p99, p99.9, max, mean */
};

struct bench_point {                    /* one size of one test, all its runs */
    enum bench_test  test;
    uint32_t         message, receive;
    bool             server_polls;
    int              runs;
    struct bench_run run[BENCH_RUNS_MAX];
    struct histogram all;               /* of all runs */
    uint64_t         step[BENCH_STEPS];
};

struct bench_plan {
    bool        bandwidth, latency, connections;
    bool        send, receive;          /* directions of the bandwidth */
    bool        plain;                  /* as hvbench */
    bool        polls, bulk;
    uint32_t    sizes[64];
    int         size_count, runs;
    int64_t     connects;               /* connections of a run, at most */
    int         warmup_ms, measure_ms;
    bool        json, dat;
    const struct udp_end *udp;          /* datagrams; NULL: streams */
    const char *where;                  /* the address, for results */
};

void bench_count_step(struct bench_point *point, int64_t ns);
/* The numbers of a run and its point from the histogram of that run. */
void bench_add_times(struct bench_point *point, struct bench_run *run, const struct histogram *times);

void bench_report_begin(const struct bench_plan *plan);
void bench_report_point(const struct bench_plan *plan, const struct bench_point *point);
/* err is NULL where all went well. */
void bench_report_end(const struct bench_plan *plan, const virtsock_error *err);

/* --- Progress on a terminal: progress.c --------------------------------------------------------------------------------- */

void bench_progress(const struct bench_plan *plan, int measurements);
void bench_progress_begin(enum bench_test test, uint32_t message);
void bench_progress_draw(void);
bool bench_progress_shown(void);
void bench_progress_end(void);

/* --- Both ends: client.c, serve.c, bench_datagrams*.c --------------------------------------------------------------- */

struct bench_work {                     /* the client's */
    const struct bench_plan *plan;
    virtsock_address        *address;   /* without a name; NULL: datagrams */
    unsigned char           *buf;       /* of zeros, for any message or receive */
    struct bench_point       point;
    struct histogram         times;     /* of a run */
};

/* The exit code. address: NULL for datagrams. */
int bench_ask(const virtsock_address *address, const struct bench_plan *plan);
/* One run of BENCH_SEND or BENCH_LATENCY. */
virtsock_status bench_measure_datagrams(struct bench_work *at, struct bench_run *run, virtsock_error *err);

struct bench_server {
    bool     polls;
    uint32_t receive;                   /* bytes of each receive from a client that asks for nothing; 0: BENCH_BULK */
    long     clients;                   /* such clients after whom it ends; 0: it does not */
};
int bench_serve(const virtsock_address *address, const struct bench_server *settings);
/* One client at a time: the latest that asks. */
int bench_serve_datagrams(const struct udp_end *end);

#endif
