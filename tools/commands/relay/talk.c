/* SPDX-License-Identifier: MIT
 *
 * A conversation of `virtsock relay` that two threads have: of frames, which no loop can wait for, and each on Windows.
 */
#include "common/join.h"
#include "relay.h"

static void tell_kept(struct join *join)
{
    const struct relay_talk *talk = (struct relay_talk *)join;

    relay_tell_kept(talk->rule, talk->number, &talk->way);
}

struct relay_talk relay_talk_of(virtsock_stream *client, virtsock_stream *to, struct relay_rule *rule, unsigned number)
{
    struct relay_talk talk = {
        .join = { .end = { client, to }, .counts = rule->counts.bytes, .kept = tell_kept }, .rule = rule, .number = number
    };

    talk.way = way_of(to, rule->to.address, &relay_settings.way);
    talk.join.keeps_back = talk.way.kind != WAY_HALF_CLOSES;
    talk.join.try_ms = talk.way.kind == WAY_UNKNOWN ? RELAY_KEPT_MS : 0;
    return talk;
}

void relay_talk(struct relay_talk *talk)
{
    bool had = join_streams(&talk->join);

    talk->ending = talk->join.silent ? RELAY_IDLE : !had || talk->join.broke ? RELAY_BROKEN : RELAY_ENDED;
}
