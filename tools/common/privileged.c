/* SPDX-License-Identifier: MIT
 *
 * Connections from a source port below 1024: see privileged.h.
 */
#include "common/privileged.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/args.h"
#include "common/peer.h"
#include "platform/lowport.h"
#include "platform/tool.h"

#define PAUSE_US 100000                 /* after an attempt that has failed, where --wait says to go on */

struct privileged {
    virtsock_fd fd;                     /* -1: the next attempt begins at due_us */
    int64_t     due_us, late_us;        /* late: this attempt's end */
    int64_t     until_us;               /* of all */
};

static uint32_t number(const virtsock_address *address, virtsock_part part)
{
    uint32_t value = 0;

    virtsock_address_number(address, part, &value);
    return value;
}

/* Of a limit that begins now. */
static int64_t end_us(int64_t ms, int64_t unset_us)
{
    return ms == ARG_UNSET ? unset_us : ms < 0 ? INT64_MAX : tool_now_us() + ms * 1000;
}

/* A try shows whether this process may; what else it comes to may be mended later. */
const char *privileged_never(const virtsock_address *to)
{
    const char *text;
    virtsock_fd fd;
    int         code;

    if (!lowport_has)
        return "--privileged-port is for AF_VSOCK of Linux, and this system has none";
    if (to == NULL || virtsock_address_scheme(to) != VIRTSOCK_SCHEME_VSOCK)
        return "--privileged-port is for vsock://CID:PORT: no other end has a source port that :privileged asks for";
    if (number(to, VIRTSOCK_PART_HALF_CLOSE) == VIRTSOCK_HALF_CLOSE_FRAMED)
        return "--privileged-port cannot be kept with half-close=framed";
    code = lowport_open(&fd, false, 0);
    if (code == 0)
        lowport_close(fd);
    lowport_status(code, &text);
    return code == LOWPORT_DENIED ? text : NULL;
}

static virtsock_status fail(virtsock_error *err, const virtsock_address *to, int code)
{
    char        words[TOOL_CODE_TEXT], *where = peer_text(to);
    const char *text;

    *err = (virtsock_error){ .status = lowport_status(code, &text), .os_code = code > 0 ? code : 0,
                             .scheme = VIRTSOCK_SCHEME_VSOCK, .op = "connect" };
    tool_code_text(code, words, sizeof words);
    snprintf(err->message, sizeof err->message, "connect %.60s: %.150s", where != NULL ? where : "",
             text != NULL ? text : words);
    free(where);
    return err->status;
}

/* An attempt's beginning, or what has become of it. */
static int go_on(struct privileged *it, const struct privileged_way *way)
{
    const bool messages = number(way->to, VIRTSOCK_PART_TYPE) == VIRTSOCK_TYPE_SEQPACKET;
    int        code;

    if (it->fd != -1)
        return (code = lowport_result(it->fd)) == LOWPORT_PENDING && tool_now_us() >= it->late_us ? LOWPORT_LATE : code;
    it->late_us = end_us(way->timeout_ms, INT64_MAX);
    if (it->until_us > 0 && it->until_us < it->late_us)
        it->late_us = it->until_us;
    if ((code = lowport_open(&it->fd, messages, way->timeout_ms == ARG_UNSET ? 0 : way->timeout_ms)) != 0)
        return code;
    return lowport_connect(it->fd, number(way->to, VIRTSOCK_PART_CID), number(way->to, VIRTSOCK_PART_PORT),
                           number(way->to, VIRTSOCK_PART_TO_HOST) != 0);
}

static void drop(struct privileged *it)
{
    if (it->fd != -1)
        lowport_close(it->fd);
    it->fd = -1;
}

virtsock_status privileged_step(struct privileged **place, virtsock_stream **out, const struct privileged_way *way,
                                virtsock_error *err)
{
    struct privileged *it = *place;
    virtsock_status    status;
    int                code;

    *out = NULL;
    if (it == NULL) {
        if ((it = *place = calloc(1, sizeof *it)) == NULL) {
            *err = (virtsock_error){ .status = VIRTSOCK_E_NO_RESOURCES, .message = "out of memory" };
            return err->status;
        }
        it->fd = -1;
        it->until_us = end_us(way->wait_ms, 0);
    }
    if (it->fd == -1 && tool_now_us() < it->due_us)
        return VIRTSOCK_E_AGAIN;
    if ((code = go_on(it, way)) == LOWPORT_PENDING)
        return VIRTSOCK_E_AGAIN;
    if (code == 0 && virtsock_stream_from_fd(out, it->fd, NULL, err) == VIRTSOCK_OK) {
        it->fd = -1;
        return VIRTSOCK_OK;
    }
    drop(it);
    status = code == 0 ? err->status : fail(err, way->to, code);
    if ((status != VIRTSOCK_E_REFUSED && status != VIRTSOCK_E_UNREACHABLE && status != VIRTSOCK_E_TIMEOUT)
        || tool_now_us() >= it->until_us)
        return status;
    it->due_us = tool_now_us() + PAUSE_US;
    return VIRTSOCK_E_AGAIN;
}

void privileged_wants(const struct privileged *it, virtsock_fd *fd, int *events, int *timeout_ms)
{
    const int64_t at_us = it->fd != -1 ? it->late_us : it->due_us, left_us = at_us - tool_now_us();
    const int64_t left_ms = left_us <= 0 ? 0 : left_us / 1000 + 1;

    *fd = it->fd;
    *events = it->fd != -1 ? VIRTSOCK_WANT_SEND : 0;
    *timeout_ms = at_us == INT64_MAX ? -1 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

void privileged_free(struct privileged *it)
{
    if (it != NULL)
        drop(it);
    free(it);
}

virtsock_status privileged_connect(virtsock_stream **out, const struct privileged_way *way, virtsock_error *err)
{
    struct privileged *it = NULL;
    virtsock_status    status;

    while ((status = privileged_step(&it, out, way, err)) == VIRTSOCK_E_AGAIN) {
        virtsock_fd fd;
        int         events, timeout_ms;

        privileged_wants(it, &fd, &events, &timeout_ms);
        tool_wait(fd, events, timeout_ms);
    }
    privileged_free(it);
    return status;
}
