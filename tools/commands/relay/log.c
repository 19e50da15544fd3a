/* SPDX-License-Identifier: MIT
 *
 * Where the lines of `virtsock relay` go: standard error, or the system's log. Nobody waits for either: a reader that
 * hangs costs lines, which are counted, and no service. See relay.h.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/report.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "relay.h"

static struct {
    bool                 (*take)(const char *line);
    atomic_uint_least64_t  lost, told;
    atomic_flag            busy;        /* one line at a time: no other takes the room that was seen */
} log_ = { .busy = ATOMIC_FLAG_INIT };

/* How many were lost comes before the first that is taken again. */
static bool tell_lost(void)
{
    const uint_least64_t lost = log_.lost;
    char                 line[80];

    if (lost == log_.told)
        return true;
    snprintf(line, sizeof line, "%" PRIuLEAST64 " lines of this log were lost: nobody took them", lost - log_.told);
    if (!log_.take(line))
        return false;
    log_.told = lost;
    return true;
}

static void say(const char *line)
{
    while (atomic_flag_test_and_set(&log_.busy))
        tool_nap_ms(1);
    if (!tell_lost() || !log_.take(line))
        log_.lost++;
    atomic_flag_clear(&log_.busy);
}

void relay_log(bool (*take)(const char *line))
{
    log_.take = take;
    report_through(say);
}

uint64_t relay_unlogged(void)
{
    return log_.lost;
}
