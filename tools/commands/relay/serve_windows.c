/* SPDX-License-Identifier: MIT
 *
 * What becomes of the clients of `virtsock relay` on Windows, where no loop can wait for all kinds of sockets: two threads a conversation, so
 * as many as there are threads. Nothing is carried by the kernel, and idle conversations are not ended.
 */
#include "common/peer.h"
#include "common/report.h"
#include "common/serve.h"
#include "relay.h"

#define LOOK_MS 50

const bool relay_asks = false;          /* no client is passed on here but by fd://N, which is refused with a rule */

int relay_check_allow(const struct relay_rule *rule, virtsock_scheme scheme)
{
    (void)scheme;
    if (rule->limits.allow.count == 0)
        return EXIT_DONE;
    return report_usage("%s: --allow is for listeners here: nobody asks a client that is passed on", rule->from.text);
}

bool relay_admits(struct relay_rule *rule, const virtsock_stream *client, bool tell)
{
    (void)rule;
    (void)client;
    (void)tell;
    return true;
}

static struct {
    _Atomic(struct relay_source *) sources;
    atomic_bool                    stop;        /* asked to end, perhaps before it serves */
    atomic_uint                    serving, active;     /* listeners, clients */
} relay;

static void converse(struct relay_rule *rule, unsigned number, virtsock_stream *client)
{
    struct relay_talk talk = { .ending = RELAY_UNREACHED };
    virtsock_stream  *to;
    virtsock_error    err;

    relay_tell_client(rule, number, client);
    if (relay_connect(&to, rule, &err) == VIRTSOCK_OK) {
        talk = relay_talk_of(client, to, rule, number);
        relay_talk(&talk);
    }
    virtsock_stream_close(to, talk.ending == RELAY_ENDED ? -1 : 0, NULL);
    virtsock_stream_close(client, talk.ending == RELAY_ENDED ? -1 : 0, NULL);
    virtsock_stream_free(to);
    virtsock_stream_free(client);
    relay_tell_end(rule, number, talk.ending, talk.join.carried, &err);
}

/* One too many waits, accepted already: no listener can be told to wait. */
static void attend(virtsock_stream *client, unsigned number, const void *argument)
{
    struct relay_rule *rule = ((const struct relay_source *)argument)->rule;

    relay.active++;
    while (rule->limits.max != ARG_UNSET && (int64_t)rule->counts.active >= rule->limits.max)
        tool_nap_ms(LOOK_MS);
    rule->counts.accepted++;
    rule->counts.active++;
    converse(rule, number, client);
    relay.active--;
}

static void serve_source(void *argument)
{
    struct relay_source *source = argument;

    if (source->listener != NULL)
        serve_clients(source->listener, attend, source);
    else
        attend(source->client, 1, source);
    source->client = NULL;
    relay.serving--;
}

void relay_stop(void *unused)
{
    (void)unused;
    relay.stop = true;
    for (struct relay_source *source = relay.sources; source != NULL; source = source->next)
        virtsock_listener_close(source->listener, NULL);
}

/* False: the system has no thread to give. */
static bool start_serving(struct relay_source *source)
{
    relay.serving++;
    if (tool_thread(serve_source, source))
        return true;
    relay.serving--;
    return false;
}

int relay_serve(struct relay_source *sources, const struct relay_rule *rules)
{
    int64_t patience_ms = relay_settings.drain_ms;
    bool    begun = true;

    (void)rules;
    relay.sources = sources;
    for (struct relay_source *source = sources; source != NULL && begun; source = source->next)
        begun = start_serving(source);
    if (!begun)
        report_line("the system has no thread to give");
    if (!begun || relay.stop)
        relay_stop(NULL);
    while (relay.serving > 0)
        tool_nap_ms(LOOK_MS);
    for (; relay.active > 0 && patience_ms != 0; patience_ms -= patience_ms < 0 ? 0 : patience_ms < LOOK_MS ? patience_ms : LOOK_MS)
        tool_nap_ms(LOOK_MS);
    tool_on_stop(NULL, NULL);
    return begun ? EXIT_DONE : EXIT_FAILED;
}
