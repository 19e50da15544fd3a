/* SPDX-License-Identifier: MIT
 *
 * The server of virtsock stress: sends back what comes until a client's end, then closes, as sock_stress's and hvstress's do. A thread a
 * client at a time, or one for all (-1). No client can end it.
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "common/crew.h"
#include "common/peer.h"
#include "common/report.h"
#include "platform/tool.h"
#include "content.h"
#include "result.h"
#include "stress.h"

#define PAUSE_MS 20

static struct {
    atomic_int_least64_t  clients, busy, failed;
    int64_t               accepted;     /* by whichever thread waits for the next */
    atomic_uint_least64_t bytes;
    atomic_bool           over;
} served;

struct client {
    virtsock_stream   *stream;
    int64_t            number;
    uint64_t           echoed;
    bool               messages;
    struct content_sum sum;
};

/* --- A client ---------------------------------------------------------------------------------------------------------- */

/* OK, or TIMEOUT for a stall. */
static virtsock_status look(int64_t moved_us)
{
    return stress.stall_ms >= 0 && tool_now_us() - moved_us >= stress.stall_ms * 1000 ? VIRTSOCK_E_TIMEOUT : VIRTSOCK_OK;
}

/* A message that is half sent cannot be told, so its time is not cut into pieces. */
static virtsock_status send_back(struct client *c, const unsigned char *data, size_t size, virtsock_error *err)
{
    int64_t         moved_us = tool_now_us();
    virtsock_status status = VIRTSOCK_OK;

    while (size > 0 && status == VIRTSOCK_OK && !served.over) {
        size_t done = 0;

        status = virtsock_stream_send(c->stream, data, size, &done, c->messages ? (int)stress.stall_ms : STRESS_LOOK_MS, err);
        if (status == VIRTSOCK_E_TIMEOUT)
            status = look(moved_us);
        if (done > 0)
            moved_us = tool_now_us();
        data += done;
        size -= done;
        c->echoed += done;
        served.bytes += done;
    }
    return status;
}

/* Until its end. */
static virtsock_status echo(struct client *c, virtsock_error *err)
{
    unsigned char   buf[STRESS_PIECE];
    int64_t         moved_us = tool_now_us();
    virtsock_status status = VIRTSOCK_OK;

    for (uint64_t turn = 0; status == VIRTSOCK_OK && !served.over;) {
        size_t n, cap = stress.alternates && !c->messages ? stress_chunk(0, turn++) : sizeof buf;

        status = virtsock_stream_recv(c->stream, buf, cap, &n, STRESS_LOOK_MS, err);
        if (status == VIRTSOCK_E_TIMEOUT)
            status = look(moved_us);
        if (n == 0)
            continue;
        if (peer_settings.verbose)
            content_add(&c->sum, buf, n);
        status = send_back(c, buf, n, err);
        moved_us = tool_now_us();
    }
    return status;
}

static void tell(const struct client *c, virtsock_status status, const virtsock_error *err, int64_t us)
{
    if (status == VIRTSOCK_E_TIMEOUT)
        report_line("client %" PRId64 ": stalled after %" PRIu64 " bytes: nothing moved for %.1f s", c->number, c->echoed,
                    (double)stress.stall_ms / 1000);
    else if (status != VIRTSOCK_OK)
        report_line("client %" PRId64 ": %" PRIu64 " bytes echoed, then %s", c->number, c->echoed, err->message);
    else if (peer_settings.verbose)
        report_line("client %" PRId64 ": %" PRIu64 " bytes echoed in %.1f ms; checksum %016" PRIx64, c->number, c->echoed, (double)us / 1000,
                    content_total(&c->sum));
}

static void attend(void *unused, const struct crew_client *client)
{
    struct client   c = { .stream = client->stream, .number = ++served.clients, .sum = CONTENT_SUM };
    int64_t         begun_us = tool_now_us(), type = VIRTSOCK_TYPE_STREAM;
    virtsock_error  err = { 0 };
    virtsock_status status;

    (void)unused;
    virtsock_stream_get(c.stream, VIRTSOCK_ITEM_TYPE, &type, NULL);
    c.messages = type != VIRTSOCK_TYPE_STREAM;
    if (peer_settings.verbose > 1)
        report_line("client %" PRId64 ": connected", c.number);
    if ((status = echo(&c, &err)) == VIRTSOCK_E_EOF) {
        virtsock_stream_close(c.stream, -1, NULL);
        status = VIRTSOCK_OK;
    }
    if (!served.over) {
        tell(&c, status, &err, tool_now_us() - begun_us);
        served.failed += status != VIRTSOCK_OK;
    }
    virtsock_stream_free(c.stream);
    served.busy--;
}

/* --- All of them ------------------------------------------------------------------------------------------------------- */

static void stop(void *listener)
{
    served.over = true;
    virtsock_listener_close(listener, NULL);
}

/* Fewer than that are left, or all is over. */
static void wait_for_room(int64_t at_once)
{
    for (bool told = false; served.busy >= at_once && !served.over; tool_nap_ms(PAUSE_MS)) {
        if (!told && at_once > 1)
            report_line("%" PRId64 " clients at once: the next waits (-p says how many)", at_once);
        told = true;
    }
}

static bool next(void *listener, struct crew_client *client)
{
    virtsock_status status = VIRTSOCK_OK, before;
    virtsock_error  err;

    if (served.accepted == stress.connections)
        return false;
    wait_for_room(stress.parallel);
    do {
        before = status;
        status = virtsock_accept(&client->stream, listener, -1, &err);
        if (status == VIRTSOCK_E_CANCELLED)
            return false;
        if (status != VIRTSOCK_OK) {
            if (status != before)       /* once, however long it lasts */
                report_error(&err);
            tool_nap_ms(PAUSE_MS);
        }
    } while (status != VIRTSOCK_OK);
    served.accepted++;
    served.busy++;
    return true;
}

static bool wait_for_thread(void *unused, const struct crew_client *client, bool told)
{
    (void)unused;
    if (served.over) {
        virtsock_stream_free(client->stream);
        served.busy--;
        return false;
    }
    if (!told)
        report_line("no thread for the next client: it waits until one has left, or for a higher ulimit -u");
    return true;
}

static bool serve_all(virtsock_listener *listener)
{
    static struct crew crew = { .next = next, .attend = attend, .wait = wait_for_thread };
    struct crew_client client;

    crew.owner = listener;
    if (!stress.single)
        return crew_serve(&crew);
    while (next(listener, &client))
        attend(NULL, &client);
    return true;
}

int stress_server(void)
{
    virtsock_listener *listener;
    bool               served_all;
    int                code;

    if (stress.address == NULL)
        return stress_datagram_server();
    if ((code = peer_listen(&listener, stress.address)) != EXIT_DONE)
        return code;
    tool_on_stop(stop, listener);
    served_all = serve_all(listener);
    wait_for_room(1);
    tool_on_stop(NULL, NULL);
    if (!served_all)
        report_no_memory();
    code = result_print_served(served.clients, served.failed, served.bytes);
    virtsock_listener_free(listener);
    return code;
}
