/* SPDX-License-Identifier: MIT
 *
 * Threads that serve clients: see crew.h.
 */
#include "common/crew.h"

#include "platform/tool.h"

#define IDLE_MOST 32                    /* threads that are kept for later */
#define PAUSE_MS  20

struct crew_hand {
    struct tool_event *called;
    struct crew_hand  *next;
};

static void lock(struct crew *crew)
{
    while (atomic_flag_test_and_set(&crew->locked))
        tool_nap_ms(0);
}

static void unlock(struct crew *crew)
{
    atomic_flag_clear(&crew->locked);
}

static bool call_idle(struct crew *crew)
{
    struct crew_hand *hand;

    lock(crew);
    if ((hand = crew->idle) != NULL) {
        crew->idle = hand->next;
        crew->idle_count--;
    }
    unlock(crew);
    if (hand != NULL)
        tool_event_set(hand->called);
    return hand != NULL;
}

/* Until it is called. False: there are enough. */
static bool rest(struct crew *crew, struct crew_hand *hand)
{
    bool rests;

    tool_event_clear(hand->called);
    lock(crew);
    if ((rests = crew->idle_count < IDLE_MOST)) {
        hand->next = crew->idle;
        crew->idle = hand;
        crew->idle_count++;
    }
    unlock(crew);
    return rests && tool_event_wait(hand->called, -1);
}

static void work(void *from);

/* Another waits for clients from here on. False: nobody does, and all is over. */
static bool call(struct crew *crew, const struct crew_client *client)
{
    for (bool told = false; !call_idle(crew) && !tool_thread(work, crew); told = true) {
        if (!crew->wait(crew->owner, client, told))
            return false;
        tool_nap_ms(PAUSE_MS);
    }
    return true;
}

static void work(void *from)
{
    struct crew       *crew = from;
    struct crew_hand   hand = { .called = tool_event_new() };
    struct crew_client client;
    bool               ours;

    do {
        if (!crew->next(crew->owner, &client) || !call(crew, &client)) {
            tool_event_set(crew->over);
            break;
        }
        crew->attend(crew->owner, &client);
        ours = hand.called != NULL && rest(crew, &hand);
    } while (ours);
    tool_event_free(hand.called);
}

bool crew_serve(struct crew *crew)
{
    atomic_flag_clear(&crew->locked);
    if ((crew->over = tool_event_new()) == NULL || !tool_thread(work, crew))
        return false;
    tool_event_wait(crew->over, -1);
    return true;
}
