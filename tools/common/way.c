/* SPDX-License-Identifier: MIT
 *
 * How the end of one direction is told on the way to a peer: see way.h.
 */
#include "common/way.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/report.h"
#include "platform/tool.h"

#define WAY_NAME 16                     /* bytes of a process's name that Linux keeps */
#define BOTH(version) "the end of one direction is the end of both there, and loses what is on its way back (seen with " version ")"

/* Seen in November 2026. Names as Linux has them. */
static const struct {
    const char   *who, *name;           /* the first is cut to what Linux keeps */
    enum way_kind kind;
    const char   *known;
} table[] = {
    { "firecracker", "firecracker", WAY_ENDS_BOTH, BOTH("Firecracker 1.16.1") },
    { "vhost-device-vs", "vhost-device-vsock", WAY_ENDS_BOTH, BOTH("vhost-device-vsock 0.3.0") },
    { "cloud-hyperviso", "cloud-hypervisor", WAY_HALF_CLOSES, "it carries half-closes from 53.0 on; an older one needs --no-half-close" },
    { "libkrun", "libkrun", WAY_ENDS_BOTH, BOTH("libkrun 1.19.7") },
};

static const char option[] = "as the address or --no-half-close says, the end of one direction is the end of both";

static int64_t item(const virtsock_stream *stream, virtsock_item which)
{
    int64_t value;

    return virtsock_stream_get(stream, which, &value, NULL) == VIRTSOCK_OK ? value : 0;
}

/* A library has its user's name. */
static void name_server(char name[WAY_NAME], int64_t pid)
{
    if (tool_process_has(pid, "libkrun"))
        strcpy(name, "libkrun");
    else if (!tool_process_name(pid, name, WAY_NAME))
        name[0] = '\0';
}

/* Its row, or -1. The latest answer is kept, with the number of the process: a relay asks for each client. */
static int find_server(int64_t pid)
{
    static atomic_int_least64_t latest;         /* the row + 1 in its lowest byte */
    const int64_t               kept = latest;
    char                        name[WAY_NAME];
    int                         row = (int)(sizeof table / sizeof *table) - 1;

    if (pid <= 0)
        return -1;
    if (kept >> 8 == pid)
        return (int)(kept & 0xff) - 1;
    name_server(name, pid);
    while (row >= 0 && strcmp(name, table[row].who) != 0)
        row--;
    latest = pid << 8 | (row + 1);
    return row;
}

struct way way_of(const virtsock_stream *stream, const virtsock_address *address, const struct way_told *told)
{
    const int64_t scheme = item(stream, VIRTSOCK_ITEM_SCHEME);
    uint32_t      half_close = VIRTSOCK_HALF_CLOSE_NATIVE;
    int           row;

    virtsock_address_number(address, VIRTSOCK_PART_HALF_CLOSE, &half_close);
    if (told->ends_both || half_close == VIRTSOCK_HALF_CLOSE_NONE)
        return (struct way){ WAY_ENDS_BOTH, NULL, option };
    if (told->half_closes || half_close == VIRTSOCK_HALF_CLOSE_FRAMED
        || (half_close == VIRTSOCK_HALF_CLOSE_NATIVE && scheme != VIRTSOCK_SCHEME_UNIX))         /* of a multiplexer it was said */
        return (struct way){ WAY_HALF_CLOSES, NULL, NULL };
    if ((row = find_server(item(stream, VIRTSOCK_ITEM_PEER_PID))) >= 0)
        return (struct way){ table[row].kind, table[row].name, table[row].known };
    if (half_close == VIRTSOCK_HALF_CLOSE_UNKNOWN)
        return (struct way){ WAY_UNKNOWN, NULL, "nobody knows how conversations end over this multiplexer" };
    return (struct way){ WAY_HALF_CLOSES, NULL, NULL };
}

virtsock_status way_half_close(virtsock_stream *stream, virtsock_error *err)
{
    return virtsock_stream_shutdown(stream, VIRTSOCK_SHUT_SEND_UNCHECKED, err);
}

void way_tell(const struct way *way)
{
    if (way->known != NULL)
        report_line("%s%s%s", way->name != NULL ? way->name : "", way->name != NULL ? " serves this way: " : "", way->known);
}

const char *way_blame(char out[WAY_BLAME], const struct way *way, const char *remedy)
{
    const char *who = way->name != NULL ? way->name : way->kind == WAY_UNKNOWN ? "this multiplexer" : "half-close=none";

    out[0] = '\0';
    if (way->kind != WAY_HALF_CLOSES)
        snprintf(out, WAY_BLAME, ": with %s the end of one direction %s the end of both; %s does without it", who,
                 way->kind == WAY_UNKNOWN ? "may be" : "is", remedy);
    return out;
}
