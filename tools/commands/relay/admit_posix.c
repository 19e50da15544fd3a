/* SPDX-License-Identifier: MIT
 *
 * Whom --allow admits: a client that was accepted and one that was passed on alike, so the relay asks each stream by
 * itself, and says who is refused. The library has read the rules before (rules.c), so what stands here is one. See
 * relay.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "relay.h"

#define PRIVILEGED ":privileged"
#define RESERVED   1024                 /* ports below are for privileged users */

const bool relay_asks = true;

/* --- Rules ------------------------------------------------------------------------------------------------------------- */

enum asks { ASKS_CID, ASKS_PARENT, ASKS_VM, ASKS_UID, ASKS_SELF, ASKS_LOCAL };

struct admitted {
    enum asks   asks;
    uint32_t    first, last;            /* CIDs; or the uid */
    bool        privileged;
};

static struct admitted read_rule(const char *text)
{
    struct admitted rule = { .asks = ASKS_CID };
    size_t          n = strlen(text), tail = strlen(PRIVILEGED);
    char           *rest;

    rule.privileged = n > tail && strcmp(text + n - tail, PRIVILEGED) == 0;
    n -= rule.privileged ? tail : 0;
    if ((n == 4 && memcmp(text, "host", n) == 0) || (n == 6 && memcmp(text, "parent", n) == 0)) {
        rule.asks = ASKS_PARENT;
    } else if (n == 5 && memcmp(text, "local", n) == 0) {
        rule.asks = ASKS_LOCAL;
    } else if (n == 4 && memcmp(text, "self", n) == 0) {
        rule.asks = ASKS_SELF;
    } else if (memcmp(text, "uid=", n < 4 ? n : 4) == 0) {
        rule.asks = ASKS_UID;
        rule.first = (uint32_t)strtoul(text + 4, NULL, 10);
    } else if (n == strlen(VIRTSOCK_VM_PARENT)) {
        rule.asks = ASKS_VM;
    } else {
        rule.first = rule.last = (uint32_t)strtoul(text, &rest, 10);
        if (*rest == '-')
            rule.last = (uint32_t)strtoul(rest + 1, NULL, 10);
    }
    return rule;
}

/* --- What a socket can tell -------------------------------------------------------------------------------------------- */

static const char *const cannot[] = {
    [ASKS_CID] = "a peer's CID", [ASKS_PARENT] = "whether a peer is the host", [ASKS_VM] = "a peer's VM",
    [ASKS_UID] = "a peer's user", [ASKS_SELF] = "a peer's user", [ASKS_LOCAL] = "whether a peer is local"
};

static bool can_tell(const struct admitted *rule, virtsock_scheme scheme)
{
    const bool vsock = scheme == VIRTSOCK_SCHEME_VSOCK || scheme == VIRTSOCK_SCHEME_HYPERV;     /* AF_VSOCK as well */
    const bool here = scheme == VIRTSOCK_SCHEME_UNIX;

    if (rule->privileged && !vsock)
        return false;
    switch (rule->asks) {
    case ASKS_CID:
    case ASKS_PARENT: return vsock;
    case ASKS_LOCAL:  return vsock || here;
    case ASKS_VM:     return false;
    default:          return here || scheme == VIRTSOCK_SCHEME_MUX || scheme == VIRTSOCK_SCHEME_HYPERKIT;
    }
}

int relay_check_allow(const struct relay_rule *rule, virtsock_scheme scheme)
{
    const struct admitted plain = { .asks = ASKS_CID };

    for (int i = 0; i < rule->limits.allow.count; i++) {
        const char     *text = rule->limits.allow.item[i];
        struct admitted one = read_rule(text);

        if (can_tell(&one, scheme))
            continue;
        return report_usage("%s: --allow %s: this source cannot tell %s", rule->from.text, text,
                            one.privileged && !can_tell(&plain, scheme) ? "a peer's port" : cannot[one.asks]);
    }
    return EXIT_DONE;
}

/* --- Clients ----------------------------------------------------------------------------------------------------------- */

struct who {
    int64_t           scheme, uid, pid; /* -1: not to be had */
    virtsock_address *address;          /* NULL: it has none */
    uint32_t          cid, port;
};

static int64_t item(const virtsock_stream *client, virtsock_item which)
{
    int64_t value;

    return virtsock_stream_get(client, which, &value, NULL) == VIRTSOCK_OK ? value : -1;
}

static struct who who_is(const virtsock_stream *client)
{
    struct who who = { .cid = VIRTSOCK_CID_ANY, .port = RESERVED };     /* nobody's */

    who.scheme = item(client, VIRTSOCK_ITEM_SCHEME);
    who.uid = item(client, VIRTSOCK_ITEM_PEER_UID);
    who.pid = item(client, VIRTSOCK_ITEM_PEER_PID);
    if (virtsock_stream_peer(client, &who.address, NULL) == VIRTSOCK_OK) {
        virtsock_address_number(who.address, VIRTSOCK_PART_CID, &who.cid);
        virtsock_address_number(who.address, VIRTSOCK_PART_PORT, &who.port);
    }
    return who;
}

static bool fits(const struct admitted *rule, const struct who *who)
{
    if (!can_tell(rule, (virtsock_scheme)who->scheme) || (rule->privileged && who->port >= RESERVED))
        return false;
    switch (rule->asks) {
    case ASKS_CID:    return who->cid != VIRTSOCK_CID_ANY && rule->first <= who->cid && who->cid <= rule->last;
    case ASKS_PARENT: return who->cid == VIRTSOCK_CID_HOST;
    case ASKS_LOCAL:  return who->scheme == VIRTSOCK_SCHEME_UNIX || who->cid == VIRTSOCK_CID_LOCAL;
    case ASKS_UID:    return who->uid == (int64_t)rule->first;
    case ASKS_SELF:   return who->uid == daemon_user();
    default:          return false;
    }
}

static void tell_refused(const struct relay_rule *rule, const struct who *who)
{
    char *text = who->address != NULL ? peer_text(who->address) : NULL;

    if (who->uid != -1)
        report_line("%s: refused, as no --allow admits it: a client of user %" PRId64 " (process %" PRId64 ")", rule->from.text,
                    who->uid, who->pid);
    else
        report_line("%s: refused, as no --allow admits it: %s", rule->from.text, text != NULL ? text : "a client");
    free(text);
}

bool relay_admits(struct relay_rule *rule, const virtsock_stream *client, bool tell)
{
    struct who who;
    bool       admitted = rule->limits.allow.count == 0;

    if (admitted)
        return true;
    who = who_is(client);
    for (int i = 0; i < rule->limits.allow.count && !admitted; i++) {
        struct admitted one = read_rule(rule->limits.allow.item[i]);

        admitted = fits(&one, &who);
    }
    if (!admitted) {
        rule->counts.refused++;
        if (tell || relay_settings.verbose)
            tell_refused(rule, &who);
    }
    virtsock_address_free(who.address);
    return admitted;
}
