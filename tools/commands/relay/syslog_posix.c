/* SPDX-License-Identifier: MIT
 *
 * Datagrams to a stream, as linuxkit's vsudd -syslog: each becomes its length in decimal, a blank and its bytes
 * (RFC 5425, 4.3). The stream is made when there is something to send. A break shows at the write after the one that
 * was lost, so a new stream begins with the last message; so it does when the last could not be
 * sent at all. What is told is told once for as long as TO is away: a line for each message would be a message more
 * where this log is forwarded, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/datagrams.h"
#include "platform/tool.h"
#include "relay.h"

#define MESSAGE_SIZE (1 << 20)          /* a datagram of a UNIX socket is as long as net.core.wmem_max lets it be: 208 KiB unless it was raised */
#define HEAD         16

static struct syslog {
    struct relay_rule *rule;
    struct datagrams   from;
    virtsock_stream   *stream;
    struct tool_event *ended;
    char              *frame, *last;    /* HEAD + MESSAGE_SIZE: the message is at HEAD, and its length right before it */
    size_t             last_size;       /* with the length; it ends at the message's end */
    size_t             last_at;
    uint64_t           lost;            /* since TO is away */
    bool               away, owed;      /* TO; the last message was on no stream yet */
    bool               removed;         /* the socket, and that was told */
} syslogs[DATAGRAMS_SOCKETS];
static int syslog_count;

static int mode_of(const struct relay_rule *rule)
{
    return rule->limits.mode == ARG_UNSET ? 0600 : (int)rule->limits.mode;
}

/* --- To the stream ------------------------------------------------------------------------------------------------ */

static virtsock_status put(struct syslog *s, const char *frame, size_t size, virtsock_error *err)
{
    virtsock_status status = peer_send(s->stream, frame, size, -1, err);

    if (status == VIRTSOCK_OK)
        s->rule->counts.bytes[0] += size;
    return status;
}

/* The peer says nothing here; what it says is no matter. */
static virtsock_status connect_stream(struct syslog *s, virtsock_error *err)
{
    virtsock_status status = relay_connect(&s->stream, s->rule, err);

    if (status == VIRTSOCK_OK)
        virtsock_stream_shutdown(s->stream, VIRTSOCK_SHUT_RECV, NULL);
    if (status == VIRTSOCK_OK && s->last_size > 0)
        status = put(s, s->last + s->last_at, s->last_size, err);
    s->owed &= status != VIRTSOCK_OK;
    return status;
}

static virtsock_status send_frame(struct syslog *s, size_t at, size_t size, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_E_RESET;

    for (bool fresh = false; status != VIRTSOCK_OK && !fresh;) {
        fresh = s->stream == NULL;
        status = fresh ? connect_stream(s, err) : VIRTSOCK_OK;
        if (status == VIRTSOCK_OK)
            status = put(s, s->frame + at, size, err);
        if (status == VIRTSOCK_OK)
            break;
        virtsock_stream_free(s->stream);
        s->stream = NULL;
    }
    return status;
}

/* That message is in nobody's hands any more. */
static void lose(struct syslog *s)
{
    s->rule->counts.lost++;
    s->lost++;
    s->owed = false;
}

static void tell_lost(struct syslog *s, const char *then)
{
    if (s->lost > 0)
        report_line("%s: messages that are lost: %" PRIu64 "%s", s->rule->from.text, s->lost, then);
    s->lost = 0;
}

/* A message that cannot be sent takes the place of the one that was kept. */
static void forward(struct syslog *s, size_t at, size_t size)
{
    virtsock_error err;

    if (send_frame(s, at, size, &err) == VIRTSOCK_OK) {
        tell_lost(s, "; those from now on are sent");
        s->away = false;
        return;
    }
    s->rule->counts.unreached++;
    if (s->owed)
        lose(s);
    if (!s->away)
        report_line("%s: %s: the last message is kept until that changes", s->rule->from.text, err.message);
    s->away = true;
    s->owed = true;
}

static void take(struct syslog *s, size_t n)
{
    char   head[HEAD], *frame;
    size_t length = (size_t)snprintf(head, sizeof head, "%zu ", n), at = HEAD - length;

    memcpy(s->frame + at, head, length);
    s->rule->counts.accepted++;
    forward(s, at, length + n);
    frame = s->last;
    s->last = s->frame;
    s->frame = frame;
    s->last_at = at;
    s->last_size = length + n;
}

/* --- From the socket ---------------------------------------------------------------------------------------------- */

static void tell_missing(const struct syslog *s, int code)
{
    char text[TOOL_CODE_TEXT];

    tool_code_text(code, text, sizeof text);
    report_line("%s: the socket was removed, and cannot be made again yet: %s", s->rule->from.text, text);
}

static void make_again(struct syslog *s)
{
    int code = datagrams_again(&s->from, s->rule->from.name, mode_of(s->rule));

    if (code == 0)
        report_line("%s: the socket was removed, and was made again", s->rule->from.text);
    else if (!s->removed)
        tell_missing(s, code);
    s->removed = code != 0;
}

static void forward_all(void *from)
{
    struct syslog *s = from;
    int64_t        n;

    while ((n = datagrams_take(&s->from, s->frame + HEAD, MESSAGE_SIZE)) >= 0 || n == DATAGRAMS_REMOVED)
        if (n >= 0)
            take(s, (size_t)n);
        else
            make_again(s);
    if (n != DATAGRAMS_END)
        report_system(s->rule->from.text, (int)-n);
    if (s->owed)
        lose(s);
    tell_lost(s, "");
    virtsock_stream_free(s->stream);
    tool_event_set(s->ended);
}

int relay_syslog_start(struct relay_rule *rule)
{
    struct syslog *s = &syslogs[syslog_count];
    int            code;

    if (syslog_count == DATAGRAMS_SOCKETS)
        return report_usage("%s: there are %d already", rule->from.text, DATAGRAMS_SOCKETS);
    s->rule = rule;
    s->frame = malloc(HEAD + MESSAGE_SIZE);
    s->last = malloc(HEAD + MESSAGE_SIZE);
    s->ended = tool_event_new();
    if (s->frame == NULL || s->last == NULL || s->ended == NULL)
        return report_no_memory();
    code = datagrams_open(&s->from, rule->from.name, mode_of(rule));
    if (code != 0)
        return report_system(rule->from.text, code);
    syslog_count++;
    if (relay_settings.verbose)
        report_line("datagrams at %s for %s", rule->from.name, rule->to.text);
    return tool_thread(forward_all, s) ? EXIT_DONE : report_no_memory();
}

/* Those that lie there are forwarded still, as long as that can go on. */
void relay_syslog_stop(void)
{
    int patience_ms = relay_settings.drain_ms < 0 || relay_settings.drain_ms > 1000 ? 1000 : (int)relay_settings.drain_ms;

    for (int i = 0; i < syslog_count; i++)
        datagrams_end(&syslogs[i].from);
    for (int i = 0; i < syslog_count; i++) {
        if (!tool_event_wait(syslogs[i].ended, patience_ms))
            report_line("%s: %s does not take what is left: it is lost", syslogs[i].rule->from.text,
                        syslogs[i].rule->to.text);
        datagrams_remove(&syslogs[i].from);
    }
    syslog_count = 0;
}
