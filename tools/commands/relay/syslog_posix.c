/* SPDX-License-Identifier: MIT
 *
 * Datagrams to a stream, as linuxkit's vsudd -syslog: each becomes its length in decimal, a blank and its bytes (RFC 5425, 4.3). The stream is
 * made when there is something to send. A break shows at the write after the one that was lost, so a new stream begins with the last message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "relay.h"

#define MESSAGE_SIZE (1 << 20)          /* a datagram of a UNIX socket is as long as net.core.wmem_max lets it be: 208 KiB unless it was raised */
#define HEAD         16
#define TRIES        2
#define SYSLOGS      16

static struct syslog {
    struct relay_rule *rule;
    virtsock_fd        fd;
    virtsock_stream   *stream;
    struct tool_event *ended;
    char              *frame, *last;    /* HEAD + MESSAGE_SIZE: the message is at HEAD, and its length right before it */
    size_t             last_size;       /* with the length; it ends at the message's end */
    size_t             last_at;
} syslogs[SYSLOGS];
static int syslog_count;

/* The peer says nothing here; what it says is no matter. */
static virtsock_status connect_stream(struct syslog *s, virtsock_error *err)
{
    virtsock_status status = relay_connect(&s->stream, s->rule, err);

    if (status == VIRTSOCK_OK)
        virtsock_stream_shutdown(s->stream, VIRTSOCK_SHUT_RECV, NULL);
    if (status == VIRTSOCK_OK && s->last_size > 0)
        status = peer_send(s->stream, s->last + s->last_at, s->last_size, -1, err);
    return status;
}

static void forward(struct syslog *s, size_t at, size_t size)
{
    virtsock_status status = VIRTSOCK_E_RESET;
    virtsock_error  err;

    for (int i = 0; i < TRIES && status != VIRTSOCK_OK; i++) {
        status = s->stream != NULL ? VIRTSOCK_OK : connect_stream(s, &err);
        if (status == VIRTSOCK_OK)
            status = peer_send(s->stream, s->frame + at, size, -1, &err);
        if (status == VIRTSOCK_OK)
            continue;
        virtsock_stream_free(s->stream);
        s->stream = NULL;
    }
    if (status != VIRTSOCK_OK) {
        s->rule->counts.unreached++;
        report_line("%s: a message is lost: %s", s->rule->from.text, err.message);
    } else {
        s->rule->counts.bytes[0] += size;
    }
}

static void forward_all(void *from)
{
    struct syslog *s = from;
    char           head[HEAD], *frame;
    int64_t        n;

    while ((n = daemon_datagram(s->fd, s->frame + HEAD, MESSAGE_SIZE)) > 0) {
        size_t length = (size_t)snprintf(head, sizeof head, "%lld ", (long long)n), at = HEAD - length;

        memcpy(s->frame + at, head, length);
        s->rule->counts.accepted++;
        forward(s, at, length + (size_t)n);
        frame = s->last;
        s->last = s->frame;
        s->frame = frame;
        s->last_at = at;
        s->last_size = length + (size_t)n;
    }
    if (n < 0)
        report_system(s->rule->from.text, (int)-n);
    virtsock_stream_free(s->stream);
    tool_event_set(s->ended);
}

int relay_syslog_start(struct relay_rule *rule)
{
    struct syslog *s = &syslogs[syslog_count];
    int            code;

    if (syslog_count == SYSLOGS)
        return report_usage("%s: there are %d already", rule->from.text, SYSLOGS);
    s->rule = rule;
    s->frame = malloc(HEAD + MESSAGE_SIZE);
    s->last = malloc(HEAD + MESSAGE_SIZE);
    s->ended = tool_event_new();
    if (s->frame == NULL || s->last == NULL || s->ended == NULL)
        return report_no_memory();
    code = daemon_datagrams(&s->fd, rule->from.name, rule->limits.mode == ARG_UNSET ? 0600 : (int)rule->limits.mode);
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

    for (int i = 0; i < syslog_count; i++) {
        daemon_datagrams_end(syslogs[i].fd, syslogs[i].rule->from.name);
        tool_event_wait(syslogs[i].ended, patience_ms);
    }
    syslog_count = 0;
}
