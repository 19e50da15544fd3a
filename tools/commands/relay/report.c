/* SPDX-License-Identifier: MIT
 *
 * What `virtsock relay` tells: of each client, of everything together, and to a service manager. See relay.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/peer.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "relay.h"

/* --- Clients ----------------------------------------------------------------------------------------------------------- */

void relay_tell_client(const struct relay_rule *rule, unsigned number, const virtsock_stream *client)
{
    virtsock_address *address = NULL;
    char             *text = NULL;

    if (!relay_settings.verbose)
        return;
    if (virtsock_stream_peer(client, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    report_line("client %u of %s%s%s: to %s", number, rule->from.text, text ? ", from " : "", text ? text : "", rule->to.text);
    free(text);
    virtsock_address_free(address);
}

void relay_tell_command(const struct relay_rule *rule, unsigned number, int code)
{
    if (relay_settings.verbose)
        report_line("client %u of %s: %s ended %s %d", number, rule->from.text, rule->to.argv[0],
                    code < 0 ? "by signal" : "with exit code", code < 0 ? -code : code);
}

void relay_tell_kept(const struct relay_rule *rule, unsigned number, const struct way *way)
{
    if (relay_settings.verbose)
        report_line("client %u of %s: its end of sending is kept back: %s%s%s", number, rule->from.text, way->name != NULL ? way->name : "",
                    way->name != NULL ? ": " : "", way->known);
}

void relay_tell_message(const struct relay_rule *rule, unsigned number, const char *why)
{
    report_line("client %u of %s: %s", number, rule->from.text, why);
}

void relay_tell_end(struct relay_rule *rule, unsigned number, enum relay_ending ending, const uint64_t bytes[2], const virtsock_error *err)
{
    static const char *const words[] = {
        [RELAY_ENDED] = "", [RELAY_BROKEN] = ", then the connection broke", [RELAY_IDLE] = ", then nothing for too long",
        [RELAY_CUT] = ", then it was cut", [RELAY_UNREACHED] = "", [RELAY_LEFT] = ", it left before it was connected"
    };

    if (ending == RELAY_BROKEN)
        rule->counts.broken++;
    if (ending == RELAY_IDLE)
        rule->counts.idle++;
    if (ending == RELAY_UNREACHED) {
        rule->counts.unreached++;
        report_line("client %u of %s: %s", number, rule->from.text, err->message);
    } else if (relay_settings.verbose && rule->to.kind != RELAY_COMMAND) {
        report_line("client %u of %s: %" PRIu64 " bytes, %" PRIu64 " back%s", number, rule->from.text, bytes[0], bytes[1], words[ending]);
    }
    rule->counts.active--;
}

/* --- Counters ---------------------------------------------------------------------------------------------------------- */

struct count {
    const char                  *name;
    const atomic_uint_least64_t *value; /* NULL: not known */
};

#define COUNTS 10

/* Of a command's clients nobody knows their bytes: it has their sockets. */
static void counts_of(const struct relay_rule *rule, struct count out[COUNTS])
{
    const struct relay_counts   *c = &rule->counts;
    const bool                   sees = rule->to.kind != RELAY_COMMAND;
    static atomic_uint_least64_t unlogged;
    const struct count           all[COUNTS] = {
        { "accepted", &c->accepted }, { "active", &c->active }, { "unreached", &c->unreached }, { "broken", &c->broken }, { "idle", &c->idle },
        { "refused", &c->refused },
        { "bytes", sees ? &c->bytes[0] : NULL }, { "bytes_back", sees ? &c->bytes[1] : NULL },
        { "lost", &c->lost },
        { "unlogged", &unlogged }       /* of the whole relay */
    };

    unlogged = relay_unlogged();
    memcpy(out, all, sizeof all);
}

static void print_json(struct relay_rule *rules)
{
    struct json  j = { stdout, false };
    struct count count[COUNTS];

    json_open(&j, NULL, '[');
    for (; rules != NULL; rules = rules->next) {
        counts_of(rules, count);
        json_open(&j, NULL, '{');
        json_text(&j, "from", rules->from.text);
        json_text(&j, "to", rules->to.text);
        for (int i = 0; i < COUNTS; i++)
            if (count[i].value != NULL)
                json_number(&j, count[i].name, (int64_t)*count[i].value);
            else
                json_text(&j, count[i].name, NULL);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    putchar('\n');
    fflush(stdout);
}

void relay_tell_stats(struct relay_rule *rules)
{
    struct count count[COUNTS];
    char         line[COUNTS * 40];

    if (relay_settings.json) {
        print_json(rules);
        return;
    }
    for (; rules != NULL; rules = rules->next) {
        size_t n = 0;

        counts_of(rules, count);
        for (int i = 0; i < COUNTS; i++)
            if (count[i].value != NULL)
                n += (size_t)snprintf(line + n, sizeof line - n, " %s %" PRIuLEAST64, count[i].name, *count[i].value);
            else
                n += (size_t)snprintf(line + n, sizeof line - n, " %s unknown", count[i].name);
        report_line("%s to %s:%s", rules->from.text, rules->to.text, line);
    }
}

/* --- The service manager ----------------------------------------------------------------------------------------------- */

/* In a VM the manager may be the host's (systemd's vmm.notify_socket). One message, or a stream where messages cannot
 * be had; where the text says which, that. */
static virtsock_status notify_host(const char *where, const char *state, virtsock_error *err)
{
    static const char *const types[] = { "?type=seqpacket", "" };
    const bool               open = strncmp(where, "vsock:", 6) == 0;
    virtsock_status          status = VIRTSOCK_OK;

    for (int i = open ? 0 : 1; i < 2; i++) {
        virtsock_address *address = NULL;
        virtsock_options *options = virtsock_options_new();
        virtsock_stream  *stream = NULL;
        char              text[64];

        snprintf(text, sizeof text, "%s%s", where, types[i]);
        status = virtsock_address_parse(&address, text, err);
        if (status == VIRTSOCK_OK && options != NULL)
            status = virtsock_options_set(options, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 5000, err);
        if (status == VIRTSOCK_OK && (status = virtsock_connect(&stream, address, options, err)) == VIRTSOCK_OK)
            status = peer_send(stream, state, strlen(state), 5000, err);
        virtsock_stream_free(stream);
        virtsock_options_free(options);
        virtsock_address_free(address);
        if (status == VIRTSOCK_OK || status == VIRTSOCK_E_INVALID)
            break;
    }
    return status;
}

void relay_notify(const char *state)
{
    const char    *where = getenv("NOTIFY_SOCKET");
    virtsock_error err;
    int            code;

    if (where == NULL || *where == '\0')
        return;
    if (strncmp(where, "vsock", 5) == 0) {
        if (notify_host(where, state, &err) != VIRTSOCK_OK)
            report_line("NOTIFY_SOCKET: %s", err.message);
    } else if ((code = daemon_tell(where, state)) != 0) {
        report_system("NOTIFY_SOCKET", code);
    }
}
