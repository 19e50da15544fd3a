/* SPDX-License-Identifier: MIT
 *
 * virtsock stress over UDP, as a baseline. A datagram has its number in its first four bytes (little-endian), and then bytes that are known
 * from it. Few are under way at once, so that nothing but the network loses any; another order is no fault of theirs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/peer.h"
#include "platform/tool.h"
#include "content.h"
#include "result.h"
#include "stress.h"

#define HEAD    4
#define BIGGEST 4096                    /* that linuxkit's server sends back whole */
#define WINDOW  4                       /* datagrams under way */
#define WAIT_MS 1000                    /* for one of them */
#define PAUSE_MS 20

struct flight {
    int64_t     number;                 /* of the connection */
    uint64_t    key, left;              /* bytes to be sent yet */
    struct udp *udp;
    uint32_t    next, first;            /* datagram to be sent; the first that has not come back */
    size_t      size[WINDOW];           /* of those under way; 0: came back */
};

static void system_failure(const struct flight *f, enum result_kind kind, int code)
{
    char text[TOOL_CODE_TEXT];

    tool_code_text(code, text, sizeof text);
    result_failure(f->number, kind, VIRTSOCK_E_SYSTEM, "%s: %s", stress.where, text);
}

static void make(const struct flight *f, uint32_t number, unsigned char *buf, size_t size)
{
    for (int i = 0; i < HEAD; i++)
        buf[i] = (unsigned char)(number >> 8 * i);
    content_fill(content_random(f->key, number), 0, buf + HEAD, size - HEAD);
}

static int send_next(struct flight *f)
{
    unsigned char buf[BIGGEST];
    size_t        size = stress_chunk(f->key, f->next);
    int           code;

    size = size > BIGGEST ? BIGGEST : size;
    size = size > f->left ? (size_t)f->left : size;
    size = size < HEAD ? HEAD : size;
    make(f, f->next, buf, size);
    if ((code = udp_send(f->udp, buf, size)) != 0)
        return code;
    f->size[f->next++ % WINDOW] = size;
    f->left -= size < f->left ? size : f->left;
    result.sent += size;
    return 0;
}

/* True: one of those under way came back. */
static bool judge(struct flight *f, const unsigned char *buf, size_t size)
{
    unsigned char sent[BIGGEST];
    uint32_t      number = UINT32_MAX;

    if (size >= HEAD)
        number = buf[0] | (uint32_t)buf[1] << 8 | (uint32_t)buf[2] << 16 | (uint32_t)buf[3] << 24;
    if (number < f->first || (number < f->next && f->size[number % WINDOW] == 0)) {
        result_failure(f->number, RESULT_TWICE, VIRTSOCK_OK, "datagram %" PRIu32 " came back twice", number);
        return false;
    }
    if (number < f->next && size == f->size[number % WINDOW]) {
        make(f, number, sent, size);
        if (memcmp(sent, buf, size) == 0) {
            f->size[number % WINDOW] = 0;
            while (f->first < f->next && f->size[f->first % WINDOW] == 0)
                f->first++;
            return true;
        }
    }
    result_failure(f->number, RESULT_CHANGED, VIRTSOCK_OK, "a datagram of %u bytes was changed; its number seems to be %" PRIu32,
                   (unsigned)size, number);
    return false;
}

/* Waits for one. False: the connection has failed, or all is over. */
static bool receive_one(struct flight *f)
{
    unsigned char buf[BIGGEST + 1];
    int64_t       until_us = tool_now_us() + WAIT_MS * 1000;
    size_t        size;
    int           code;

    do {
        if (result.over)
            return false;
        code = udp_receive(f->udp, buf, sizeof buf, &size, STRESS_LOOK_MS);
    } while (code == UDP_NOTHING && tool_now_us() < until_us);
    if (code == UDP_NOTHING) {
        result_failure(f->number, RESULT_MISSING, VIRTSOCK_OK, "datagram %" PRIu32 " of %u bytes is missing", f->first,
                       (unsigned)f->size[f->first % WINDOW]);
        return false;
    }
    if (code != 0) {
        system_failure(f, RESULT_RECEIVE, code);
        return false;
    }
    result.received += size;
    return judge(f, buf, size);
}

void stress_datagrams(int64_t number, uint64_t key, uint64_t length)
{
    struct flight f = { .number = number, .key = key, .left = length };
    uint16_t      port;
    int           code = udp_open(&f.udp, &stress.udp, false, &port);
    bool          good = code == 0;

    if (!good)
        system_failure(&f, RESULT_CONNECT, code);
    while (good && (f.left > 0 || f.first < f.next)) {
        if (f.left == 0 || f.next - f.first == WINDOW)
            good = receive_one(&f);
        else if ((code = send_next(&f)) != 0) {
            system_failure(&f, RESULT_SEND, code);
            good = false;
        }
    }
    udp_close(f.udp);
    if (!good)
        return;
    result.good++;
    if (peer_settings.verbose)
        report_line("connection %" PRId64 ": %" PRIu64 " bytes there and back in %" PRIu32 " datagrams", number, length, f.next);
}

/* --- Server ------------------------------------------------------------------------------------------------------------ */

#define OTHERS   1024                   /* the first port of clients: below are services that answer, too */
#define TURNS    64                     /* the same datagram from the same end, in that time: it goes round between two that answer */
#define TURNS_US 2000000
#define SEEN     4096

/* Answers that may be answered have no end: a forged source would make a server talk to itself, to its kind, or to an
 * echo or a DNS server, for ever (CERT CA-1996-01). NULL, or why there is no answer. */
static const char *refuse(const struct udp *udp, uint16_t own, const unsigned char *data, size_t size)
{
    static struct {
        uint64_t sum;
        int64_t  since_us;
        int      turns;
    } seen[SEEN], *s;
    struct content_sum sum = CONTENT_SUM;
    uint64_t           number, total;
    int64_t            now_us = tool_now_us();
    uint16_t           port = udp_heard(udp, &number);

    if (port == own || port < OTHERS)
        return port == own ? "it is from a server's port" : "it is from a service's port";
    sum.hash ^= number;
    content_add(&sum, data, size);
    total = content_total(&sum);
    s = &seen[total % SEEN];
    if (s->sum != total || now_us - s->since_us > TURNS_US) {
        s->sum = total;
        s->since_us = now_us;
        s->turns = 0;
    }
    return ++s->turns > TURNS ? "it goes round" : NULL;
}

static void stop(void *over)
{
    *(atomic_bool *)over = true;
}

int stress_datagram_server(void)
{
    static atomic_bool   over;
    static unsigned char buf[STRESS_PIECE];
    struct udp          *udp;
    uint16_t             port;
    uint64_t             bytes = 0;
    const char          *refused;
    size_t               size;
    int                  code = udp_open(&udp, &stress.udp, true, &port);

    if (code != 0)
        return report_system(stress.where, code);
    tool_on_stop(stop, &over);
    if (peer_settings.verbose || stress.udp.port == 0)
        report_line("listening on %s, port %d", stress.where, port);
    while (!over) {
        code = udp_receive(udp, buf, sizeof buf, &size, STRESS_LOOK_MS);
        if (code == 0 && (refused = refuse(udp, port, buf, size)) != NULL) {
            if (peer_settings.verbose)
                report_line("a datagram of %u bytes is not sent back: %s", (unsigned)size, refused);
            continue;
        }
        if (code == 0 && (code = udp_send(udp, buf, size)) == 0)
            bytes += size;
        if (code != 0 && code != UDP_NOTHING) {
            if (peer_settings.verbose)
                report_system(stress.where, code);
            tool_nap_ms(PAUSE_MS);
        }
    }
    tool_on_stop(NULL, NULL);
    udp_close(udp);
    return result_print_served(0, 0, bytes);
}
