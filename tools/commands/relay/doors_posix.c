/* SPDX-License-Identifier: MIT
 *
 * Where `virtsock relay` takes clients from, in its first thread, which deals them out to the one with the fewest. A door that fails, or whose
 * rule has all the clients that it may have, pauses; nothing that goes wrong with one client closes it.
 * One whose UNIX socket was removed, by a VMM that starts again, say, is made anew.
 */
#include <stdlib.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "platform/place.h"
#include "platform/tool.h"
#include "pair.h"

#define ACCEPTS  64                     /* in a row */
/* In which who removed a socket is done with its folder, and with what he makes in its place. */
#define MOVES_US 500000
#define AGAIN_US 1000000                /* until a socket that was removed and cannot be made is tried again */
#define LOOK_US  10000000               /* between looks for such, where nobody tells */

struct door {
    struct loop_watch    watch;
    struct relay_source *source;        /* NULL: it is closed */
    int64_t              due_us;        /* to be tried again, without an event; INT64_MAX: at an event */
    int64_t              pause_us;      /* the latest; 0: it goes on */
    unsigned             ends;          /* of relay.ends, when it was tried */
    bool                 full;          /* until a client of its rule has gone */
    bool                 told;          /* that accept fails */
    struct place         place;         /* of its socket */
    bool                 missing;       /* that is there no more: it is made again at again_us */
    bool                 complained;    /* that it cannot be */
    int64_t              again_us;
};

static struct door *door_list;
static int          door_count;

static struct {
    struct loop_watch watch;
    virtsock_fd       fd;
    bool              heard;
    int64_t           due_us;
} lookout = { .fd = -1, .due_us = INT64_MAX };

/* --- Clients ----------------------------------------------------------------------------------------------------------- */

static struct worker *least_loaded(void)
{
    struct worker *least = relay.worker[0];

    for (int i = 1; i < relay.workers; i++)
        if (relay.worker[i]->load < least->load)
            least = relay.worker[i];
    return least;
}

static void deal(const struct relay_source *source, virtsock_stream *client)
{
    static unsigned    clients;
    struct relay_pair *pair = calloc(1, sizeof *pair);
    virtsock_error     err;

    if (pair == NULL) {
        report_line("%s: out of memory for a client", source->rule->from.text);
        virtsock_stream_free(client);
        return;
    }
    pair->rule = source->rule;
    pair->end[0] = client;
    pair->shared[0] = source->shared && source->listener == NULL;
    pair->number = ++clients;
    pair->rule->counts.accepted++;
    pair->rule->counts.active++;
    relay_tell_client(pair->rule, pair->number, client);
    pair->stepped = pair_step(pair, &err);
    pair->worker = pair->stepped == VIRTSOCK_OK || pair->stepped == VIRTSOCK_E_AGAIN ? least_loaded() : relay.worker[0];
    pair->worker->load++;
    if (pair->worker == relay.worker[0])
        pair_begin(pair, pair->stepped, &err);
    else
        pair_send(pair->worker, pair);
}

/* --- Doors ------------------------------------------------------------------------------------------------------------- */

static void close_door(struct door *door)
{
    loop_forget(relay.worker[0]->loop, &door->watch);
    virtsock_listener_free(door->source->listener);
    door->source->listener = NULL;
    door->source = NULL;
    door->full = false;
    door->missing = false;
    door->due_us = INT64_MAX;
}

static bool is_full(const struct relay_rule *rule)
{
    return rule->limits.max != ARG_UNSET && (int64_t)rule->counts.active >= rule->limits.max;
}

/* Somebody has a client already, and no descriptor for the other end. */
static bool is_starved(void)
{
    for (int i = 0; i < relay.workers; i++)
        if (relay.worker[i]->starved > 0)
            return true;
    return false;
}

static void pause_door(struct door *door)
{
    relay.pausing = true;
    door->pause_us = relay_pause_us(door->pause_us);
    door->due_us = tool_now_us() + door->pause_us;
    loop_want(relay.worker[0]->loop, &door->watch, 0);
}

/* After the last client for now. What the system lacks, it may have later; what else goes wrong with one client must not keep the next out. */
static void rest(struct door *door, virtsock_status status, const virtsock_error *err)
{
    if (status == VIRTSOCK_E_AGAIN) {
        door->told = false;
        door->pause_us = 0;
        if (relay.draining)
            close_door(door);
        return;
    }
    if (!door->told)
        report_error(err);
    door->told = true;
    pause_door(door);
}

static void open_door(struct door *door)
{
    const struct relay_source *source = door->source;
    virtsock_stream           *client;
    virtsock_error             err;
    virtsock_status            status;

    door->due_us = INT64_MAX;
    door->full = false;
    door->ends = relay.ends;
    loop_want(relay.worker[0]->loop, &door->watch, LOOP_RECV);
    for (int i = 0; i < ACCEPTS; i++) {
        if (is_full(source->rule)) {
            door->full = true;
            loop_want(relay.worker[0]->loop, &door->watch, 0);
            return;
        }
        if (is_starved()) {
            pause_door(door);
            return;
        }
        if ((status = virtsock_accept(&client, source->listener, 0, &err)) != VIRTSOCK_OK) {
            rest(door, status, &err);
            return;
        }
        door->pause_us = 0;
        if (!relay_admits(source->rule, client, false)) {
            virtsock_stream_free(client);
            continue;
        }
        deal(source, client);
        if (relay_is_single(source->rule)) {
            close_door(door);
            return;
        }
    }
    door->due_us = 0;
}

static void on_client(void *owner, int events)
{
    struct door *door = owner;

    (void)events;
    if (!door->full && door->due_us == INT64_MAX)
        open_door(door);
}

/* --- Sockets that were removed ------------------------------------------------------------------------------------ */

static void on_removal(void *unused, int events)
{
    (void)unused, (void)events;
    place_heard(lookout.fd);
    lookout.heard = true;
}

/* Looks for it from now on, if it stands at a path. */
static void watch_place(struct door *door)
{
    if (!place_of(&door->place, virtsock_listener_fd(door->source->listener)))
        return;
    if (lookout.fd == -1 && lookout.due_us == INT64_MAX) {
        lookout.watch = (struct loop_watch){ .ready = on_removal, .fd = -1 };
        lookout.fd = place_lookout();
        if (lookout.fd == -1 || !loop_watch(relay.worker[0]->loop, &lookout.watch, lookout.fd, LOOP_RECV))
            lookout.due_us = 0;
    }
    place_watch(lookout.fd, &door->place);
    lookout.heard = true;               /* it may have gone before it was watched */
}

/* Watched anew first: a folder on the way may be another one by now. */
static bool still_stands(const struct place *place)
{
    place_watch(lookout.fd, place);
    return place_is_there(place);
}

/* Once, however often it is tried. */
static void complain(struct door *door, const char *why)
{
    if (!door->complained)
        report_line("%s: the socket was removed, and cannot be made again yet: %s", door->source->rule->from.text, why);
    door->complained = true;
}

/* Those who wait at the one that was removed come first. */
static void make_again(struct door *door, int64_t now_us)
{
    const struct relay_rule *rule = door->source->rule;
    virtsock_listener       *fresh;
    virtsock_error           err;

    if (still_stands(&door->place)) {
        door->missing = false;
        return;
    }
    open_door(door);
    door->again_us = now_us + AGAIN_US;
    if (door->source == NULL || door->full || door->due_us != INT64_MAX)
        return;
    if (virtsock_listen(&fresh, rule->from.address, rule->listening, &err) != VIRTSOCK_OK) {
        complain(door, err.message);
        return;
    }
    /* It says so if it cannot: then the socket is its owner's alone. */
    peer_give_group(rule->from.address, rule->limits.group, rule->limits.mode);
    loop_forget(relay.worker[0]->loop, &door->watch);
    if (!loop_watch(relay.worker[0]->loop, &door->watch, virtsock_listener_fd(fresh), LOOP_RECV)) {
        virtsock_listener_free(fresh);          /* nobody would be served there */
        complain(door, "the system has no room to watch it");
        return;
    }
    virtsock_listener_free(door->source->listener);
    door->source->listener = fresh;
    door->missing = door->complained = false;
    watch_place(door);
    report_line("%s: the socket was removed, and was made again", rule->from.text);
}

static void look_at_place(struct door *door, int64_t now_us)
{
    if (door->source == NULL || door->missing || door->place.path[0] == '\0' || still_stands(&door->place))
        return;
    door->missing = !door->source->shared;
    door->again_us = now_us + MOVES_US;
    if (door->missing)
        return;
    door->place.path[0] = '\0';
    report_line("%s: the socket was removed, and is for those to make again who passed it on",
                door->source->rule->from.text);
}

static void keep_places(int64_t now_us)
{
    const bool looks = lookout.heard || now_us >= lookout.due_us;

    lookout.heard = false;
    if (lookout.due_us != INT64_MAX && looks)
        lookout.due_us = now_us + LOOK_US;
    for (struct door *door = door_list; door < door_list + door_count; door++) {
        if (looks)
            look_at_place(door, now_us);
        if (door->missing && door->again_us <= now_us)
            make_again(door, now_us);
    }
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

void doors_drain(void)
{
    for (int i = 0; i < door_count; i++) {
        struct door *door = &door_list[i];

        if (door->source == NULL)
            continue;
        if (door->source->shared) {     /* it stays open for others */
            close_door(door);
            continue;
        }
        daemon_refuse_new(virtsock_listener_fd(door->source->listener));
        open_door(door);
    }
}

bool doors_are_closed(void)
{
    for (int i = 0; i < door_count; i++)
        if (door_list[i].source != NULL)
            return false;
    return true;
}

/* It pauses, and somebody has given descriptors back. */
static bool is_worth_a_try(const struct door *door)
{
    return door->pause_us > 0 && door->ends != relay.ends;
}

void doors_keep(int64_t now_us)
{
    bool pausing = false;

    if (!relay.draining)
        keep_places(now_us);
    for (int i = 0; i < door_count; i++) {
        struct door *door = &door_list[i];

        if (door->source != NULL && ((door->full && !is_full(door->source->rule)) || door->due_us <= now_us || is_worth_a_try(door)))
            open_door(door);
        pausing |= door->source != NULL && door->pause_us > 0;
    }
    relay.pausing = pausing;
}

int64_t doors_due_us(void)
{
    const bool keeps = !relay.draining;         /* places, too */
    int64_t    due_us = !keeps ? INT64_MAX : lookout.heard ? 0 : lookout.due_us;

    for (const struct door *door = door_list; door < door_list + door_count; door++) {
        due_us = door->due_us < due_us ? door->due_us : due_us;
        due_us = keeps && door->missing && door->again_us < due_us ? door->again_us : due_us;
    }
    return due_us;
}

bool doors_open(struct relay_source *sources)
{
    int count = 0;

    for (const struct relay_source *source = sources; source != NULL; source = source->next)
        count += source->listener != NULL;
    if ((door_list = calloc((size_t)count + 1, sizeof *door_list)) == NULL)
        return false;
    for (struct relay_source *source = sources; source != NULL; source = source->next) {
        struct door *door = &door_list[door_count];

        if (source->client != NULL)
            deal(source, source->client);
        source->client = NULL;
        if (source->listener == NULL)
            continue;
        door_count++;
        *door = (struct door){ .watch = { .ready = on_client, .owner = door }, .source = source, .due_us = INT64_MAX };
        if (!loop_watch(relay.worker[0]->loop, &door->watch, virtsock_listener_fd(source->listener), LOOP_RECV))
            return false;
        watch_place(door);
    }
    return true;
}

void doors_free(void)
{
    free(door_list);
}
