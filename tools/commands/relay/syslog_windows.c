/* SPDX-License-Identifier: MIT
 *
 * Windows has no datagrams at paths: see relay.h.
 */
#include "common/report.h"
#include "relay.h"

int relay_syslog_start(struct relay_rule *rule)
{
    return report_usage("%s: Windows has no such datagrams", rule->from.text);
}

void relay_syslog_stop(void)
{
}
