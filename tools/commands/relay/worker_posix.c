/* SPDX-License-Identifier: MIT
 *
 * What a thread of `virtsock relay` has: the lists of its conversations, by their states, and the inbox. It shares nothing
 * else with the others but counters.
 */
#include "pair.h"

struct relay_threads relay;

/* --- Lists ------------------------------------------------------------------------------------------------------------- */

void pair_leave(struct relay_pair *pair)
{
    struct relay_pair **list = pair->worker->pairs;

    if (pair->before != NULL)
        pair->before->next = pair->next;
    else if (list[pair->state] == pair)
        list[pair->state] = pair->next;
    if (pair->next != NULL)
        pair->next->before = pair->before;
}

void pair_enter(struct relay_pair *pair, enum relay_state state)
{
    struct relay_pair **list = &pair->worker->pairs[state];

    pair_leave(pair);
    pair->state = state;
    pair->before = NULL;
    pair->next = *list;
    if (*list != NULL)
        (*list)->before = pair;
    *list = pair;
}

/* --- What the system lacks -------------------------------------------------------------------------------------------- */

int64_t relay_pause_us(int64_t before_us)
{
    return before_us == 0 ? RELAY_PAUSE_US : before_us * 2 > RELAY_PAUSE_MAX_US ? RELAY_PAUSE_MAX_US : before_us * 2;
}

/* --- The inbox --------------------------------------------------------------------------------------------------------- */

void pair_send(struct worker *worker, struct relay_pair *pair)
{
    struct relay_pair *first = worker->inbox;

    relay.sending++;
    do
        pair->more = first;
    while (!atomic_compare_exchange_weak(&worker->inbox, &first, pair));
    loop_wake(worker->loop);
    relay.sending--;
}
