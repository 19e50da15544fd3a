/* SPDX-License-Identifier: MIT
 *
 * What can never work, whoever comes and however often it is tried: it is refused before `virtsock relay` listens. What
 * may be mended while it runs, a socket that is not there yet or a VM that is off, is none of that. See relay.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/privileged.h"
#include "platform/daemon.h"
#include "platform/host.h"
#include "platform/tool.h"
#include "relay.h"

#define WHY 256

static virtsock_scheme scheme_of(const struct relay_end *end)
{
    return end->address != NULL ? virtsock_address_scheme(end->address) : VIRTSOCK_SCHEME_NONE;
}

static uint32_t number(const struct relay_end *end, virtsock_part part)
{
    uint32_t value = 0;

    if (end->address != NULL)
        virtsock_address_number(end->address, part, &value);
    return value;
}

static const char *text(const struct relay_end *end, virtsock_part part)
{
    const char *found = end->address != NULL ? virtsock_address_text(end->address, part) : NULL;

    return found != NULL ? found : "";
}

/* --- Paths -------------------------------------------------------------------------------------------------------- */

/* What is added to the path that an address has. */
static void added(char *out, size_t cap, const struct relay_end *end, bool listens)
{
    const virtsock_scheme scheme = scheme_of(end);
    const char           *service = text(end, VIRTSOCK_PART_SERVICE);
    const uint32_t        cid = number(end, VIRTSOCK_PART_CID);

    *out = '\0';
    if (scheme == VIRTSOCK_SCHEME_MUX && listens && *service != '\0')
        snprintf(out, cap, "_%s", service);
    else if (scheme == VIRTSOCK_SCHEME_MUX && listens)
        snprintf(out, cap, "_%" PRIu32, number(end, VIRTSOCK_PART_PORT));
    else if (scheme == VIRTSOCK_SCHEME_HYPERKIT && listens)
        snprintf(out, cap, "/%08" PRIx32 ".%08" PRIx32, cid == VIRTSOCK_CID_ANY ? VIRTSOCK_CID_HOST : cid,
                 number(end, VIRTSOCK_PART_PORT));
    else if (scheme == VIRTSOCK_SCHEME_HYPERKIT)
        snprintf(out, cap, "/connect");
}

static bool has_room(char why[WHY], const struct relay_end *end, bool listens)
{
    const char *path = end->kind == RELAY_SYSLOG ? end->name : text(end, VIRTSOCK_PART_PATH);
    char        tail[64];
    size_t      n;

    added(tail, sizeof tail, end, listens);
    if ((n = strlen(path) + strlen(tail)) <= tool_path_most)
        return true;
    if (*tail != '\0')
        snprintf(why, WHY, "the path has %zu bytes with %s, which is added to it, and no socket's has more than %zu", n,
                 tail, tool_path_most);
    else
        snprintf(why, WHY, "the path has %zu bytes, and no socket's has more than %zu", n, tool_path_most);
    return false;
}

/* --- Sockets that are there already ------------------------------------------------------------------------------- */

/* What goes through an end; nothing is known of some. */
enum pieces { UNKNOWN, BYTES, MESSAGES, MIXED };

static enum pieces pieces_of_socket(virtsock_fd fd)
{
    const enum daemon_socket socket = daemon_socket_of(fd);

    return socket == DAEMON_STREAM ? BYTES : socket == DAEMON_MESSAGES ? MESSAGES : UNKNOWN;
}

/* All go to one TO. */
static enum pieces pieces_passed(const char *wanted)
{
    char        name[DAEMON_NAME];
    virtsock_fd fd;
    bool        bytes = false, messages = false;

    for (int i = 0; (fd = daemon_passed(i, name)) != -1; i++)
        if (*wanted == '\0' || strcmp(wanted, name) == 0) {
            bytes |= pieces_of_socket(fd) == BYTES;
            messages |= pieces_of_socket(fd) == MESSAGES;
        }
    return messages && bytes ? MIXED : messages ? MESSAGES : bytes ? BYTES : UNKNOWN;
}

static enum pieces pieces_of(const struct relay_end *end)
{
    switch (end->kind) {
    case RELAY_ADDRESS:
        if (scheme_of(end) == VIRTSOCK_SCHEME_FD)
            return pieces_of_socket((virtsock_fd)number(end, VIRTSOCK_PART_FD));
        return number(end, VIRTSOCK_PART_TYPE) == VIRTSOCK_TYPE_SEQPACKET ? MESSAGES : BYTES;
    case RELAY_STANDARD:
        return daemon_inetd() != -1 ? pieces_of_socket(daemon_inetd()) : UNKNOWN;
    case RELAY_ACTIVATED:
        return pieces_passed(end->name);
    case RELAY_NAMED:
        return BYTES;
    default:
        return UNKNOWN;
    }
}

static const char *of_pieces(enum pieces from, enum pieces to)
{
    if (from == UNKNOWN || to == UNKNOWN || from == to)
        return NULL;
    if (from == MIXED)
        return "some of the sockets that were passed on have messages (seqpacket), and some are streams";
    return from == MESSAGES ? "FROM has messages (seqpacket): in a stream they would lose their ends"
                            : "TO has messages (seqpacket), and FROM is a stream, which has no ends of any";
}

static const char *of_descriptor(const struct relay_end *end, bool listens)
{
    const virtsock_fd fd = (virtsock_fd)number(end, VIRTSOCK_PART_FD);

    if (scheme_of(end) != VIRTSOCK_SCHEME_FD)
        return NULL;
    switch (daemon_socket_of(fd)) {
    case DAEMON_CLOSED:
        return "this process has no such descriptor: see that its parent passes it on, under this number";
    case DAEMON_NO_SOCKET:
        return "that descriptor is no socket of a stream or of messages";
    default:
        return !listens && daemon_listens(fd) ? "that socket listens, and TO is connected to" : NULL;
    }
}

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

static const char *of_type(const struct relay_end *end)
{
    const virtsock_scheme scheme = scheme_of(end);
    const uint32_t        type = number(end, VIRTSOCK_PART_TYPE);

    if (type == VIRTSOCK_TYPE_DGRAM)
        return "no transport has datagrams: type=stream or type=seqpacket is";
    if (type == VIRTSOCK_TYPE_SEQPACKET && scheme != VIRTSOCK_SCHEME_UNIX && scheme != VIRTSOCK_SCHEME_VSOCK
        && scheme != VIRTSOCK_SCHEME_FD)
        return "this transport carries streams alone: leave type=seqpacket out";
    return NULL;
}

/* Whom TO names, in the words of the world that this system is of. */
static const char *of_machine(const struct relay_end *to)
{
    const bool  hyperv = host_registers() == 0;
    const char *vm = text(to, VIRTSOCK_PART_VM);
    uint32_t    cid = number(to, VIRTSOCK_PART_CID);

    if (scheme_of(to) == VIRTSOCK_SCHEME_VSOCK && cid == VIRTSOCK_CID_ANY)
        return "TO needs a CID, as in vsock://3:1024: `any` is for listening";
    if (scheme_of(to) == VIRTSOCK_SCHEME_VSOCK && hyperv && cid != VIRTSOCK_CID_HOST && cid != VIRTSOCK_CID_LOCAL)
        return "Windows knows VMs by id, not by CID: write hvsock://VM/SERVICE";
    if (scheme_of(to) != VIRTSOCK_SCHEME_HYPERV)
        return NULL;
    if (*vm == '\0' || strcmp(vm, "any") == 0 || strcmp(vm, "children") == 0)
        return "TO needs a VM: `any` and `children` are for listening";
    if (!hyperv && strcmp(vm, "parent") != 0 && strcmp(vm, "loopback") != 0)
        return "this system knows VMs by CID: write vsock://CID:PORT, or hvsock://parent for the host";
    return NULL;
}

/* What else TO cannot keep. A command has its client's own socket: whether anything moves there is not seen. */
static const char *of_limits(const struct relay_end *to, const struct relay_limits *limits)
{
    if (to->kind == RELAY_COMMAND && limits->idle_ms != ARG_UNSET && limits->idle_ms != -1)
        return "--idle cannot be kept: a command has its client's own socket, and the relay does not see whether "
               "anything moves there (give each other rule its own idle=)";
    if (limits->privileged && limits->stays_ms != ARG_UNSET)
        return "--stays is for ways that accept early, and --privileged-port for vsock://, which does not";
    return limits->privileged ? privileged_never(to->address) : NULL;
}

/* --- A rule ------------------------------------------------------------------------------------------------------- */

const char *relay_never(const struct relay_rule *rule, const struct relay_end **end)
{
    const struct relay_end *from = &rule->from, *to = &rule->to;
    static char             room[WHY];
    const char             *why;

    *end = from;
    if ((why = of_type(from)) != NULL || (why = of_descriptor(from, true)) != NULL)
        return why;
    if (!has_room(room, from, true))
        return room;
    if (rule->limits.max == 0)
        return "a max of 0 would let nobody in: leave it out for any number";
    *end = to;
    if ((why = of_type(to)) != NULL || (why = of_descriptor(to, false)) != NULL || (why = of_machine(to)) != NULL)
        return why;
    if (!has_room(room, to, false))
        return room;
    if ((why = of_limits(to, &rule->limits)) != NULL)
        return why;
    if (from->address != NULL && to->address != NULL && virtsock_address_equal(from->address, to->address))
        return "TO is FROM: it would be its own client, again and again";
    return of_pieces(pieces_of(from), pieces_of(to));
}
