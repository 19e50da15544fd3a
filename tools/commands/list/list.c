/* SPDX-License-Identifier: MIT
 *
 * virtsock list: this machine's vsock sockets, their states and peers, and whose they are, as `ss --vsock` tells them.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/escape.h"
#include "common/json.h"
#include "common/report.h"
#include "platform/list.h"
#include "platform/tool.h"
#include "diag.h"

static struct {
    bool all, listening, processes, json;
} set;

struct owner {
    size_t row;
    int    pid, fd;
    char   name[32];
};

/* All that is known, before anything is told. */
static struct {
    struct diag_socket *rows;
    struct owner       *owners;
    size_t              count, room, owner_count, owner_room;
} found;

/* Room for one more. False: no memory. */
static bool make_room(void **items, size_t size, size_t count, size_t *room)
{
    size_t wanted = *room * 2 + 64;
    void  *larger;

    if (count < *room)
        return true;
    if ((larger = realloc(*items, wanted * size)) == NULL)
        return false;
    *items = larger;
    *room = wanted;
    return true;
}

static bool take_socket(const struct diag_socket *socket)
{
    if (!make_room((void **)&found.rows, sizeof *found.rows, found.count, &found.room))
        return false;
    found.rows[found.count++] = *socket;
    return true;
}

/* A datagram of the kernel's answer. */
static int read_sockets(const unsigned char *data, size_t size)
{
    struct diag_socket socket;
    enum diag_step     step;
    size_t             at = 0;
    int                code = 0;

    while ((step = diag_next(data, size, &at, &socket, &code)) == DIAG_SOCKET)
        if (!take_socket(&socket))
            return LIST_STOPPED;
    switch (step) {
    case DIAG_MORE:   return LIST_MORE;
    case DIAG_DONE:   return 0;
    case DIAG_FAILED: return list_failure(code);
    default:          return LIST_GARBLED;
    }
}

static int look(uint32_t states)
{
    unsigned char request[DIAG_REQUEST_SIZE];

    diag_request(request, states);
    return list_ask(request, sizeof request, read_sockets);
}

static void take_descriptor(uint32_t inode, int pid, int fd, const char *name, void *unused)
{
    (void)unused;
    for (size_t i = 0; i < found.count; i++) {
        struct owner *owner;

        if (found.rows[i].inode != inode || !make_room((void **)&found.owners, sizeof *owner, found.owner_count, &found.owner_room))
            continue;
        owner = &found.owners[found.owner_count++];
        *owner = (struct owner){ .row = i, .pid = pid, .fd = fd };
        snprintf(owner->name, sizeof owner->name, "%s", name);
    }
}

/* --- What is told --------------------------------------------------------------------------------------------------------- */

static const char *state_name(uint8_t state)
{
    switch (state) {
    case DIAG_ESTABLISHED: return "established";
    case DIAG_SYN_SENT:    return "syn-sent";
    case DIAG_CLOSED:      return "unconnected";
    case DIAG_LISTEN:      return "listen";
    case DIAG_CLOSING:     return "closing";
    default:               return "unknown";
    }
}

/* SOCK_ of Linux. */
static const char *type_name(uint8_t type)
{
    return type == 1 ? "stream" : type == 2 ? "dgram" : type == 5 ? "seqpacket" : "unknown";
}

static const char *number(char text[16], uint32_t value)
{
    if (value == UINT32_MAX)
        return "*";
    snprintf(text, 16, "%" PRIu32, value);
    return text;
}

static void print_end(uint32_t cid, uint32_t port)
{
    char a[16], b[16], text[40];

    snprintf(text, sizeof text, "%s:%s", number(a, cid), number(b, port));
    printf("%-24s", text);
}

/* A name is the process's own choice. */
static void print_owners(size_t row)
{
    const char *comma = "";

    for (size_t i = 0; i < found.owner_count; i++) {
        const struct owner *owner = &found.owners[i];
        char                name[ESCAPED(sizeof owner->name)];

        if (owner->row != row)
            continue;
        printf("%s%d/%s fd %d", comma, owner->pid, escape_text(name, sizeof name, owner->name), owner->fd);
        comma = ", ";
    }
}

static void print_all(void)
{
    printf("%-13s%-11s%-24s%-24s%s", "STATE", "TYPE", "LOCAL", "PEER", set.processes ? "PROCESS\n" : "\n");
    for (size_t i = 0; i < found.count; i++) {
        const struct diag_socket *s = &found.rows[i];

        printf("%-13s%-11s", state_name(s->state), type_name(s->type));
        print_end(s->local_cid, s->local_port);
        print_end(s->peer_cid, s->peer_port);
        print_owners(i);
        putchar('\n');
    }
}

static void tell_number(struct json *j, const char *key, uint32_t value)
{
    if (value == UINT32_MAX)
        json_text(j, key, NULL);
    else
        json_number(j, key, value);
}

static void tell_end(struct json *j, const char *key, uint32_t cid, uint32_t port)
{
    json_open(j, key, '{');
    tell_number(j, "cid", cid);
    tell_number(j, "port", port);
    json_close(j, '}');
}

static void tell_owners(struct json *j, size_t row)
{
    json_open(j, "processes", '[');
    for (size_t i = 0; i < found.owner_count; i++) {
        const struct owner *owner = &found.owners[i];

        if (owner->row != row)
            continue;
        json_open(j, NULL, '{');
        json_number(j, "pid", owner->pid);
        json_text(j, "name", owner->name);
        json_number(j, "fd", owner->fd);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void tell_all(void)
{
    struct json j = { stdout, false };

    json_open(&j, NULL, '[');
    for (size_t i = 0; i < found.count; i++) {
        const struct diag_socket *s = &found.rows[i];

        json_open(&j, NULL, '{');
        json_text(&j, "state", state_name(s->state));
        json_text(&j, "type", type_name(s->type));
        tell_end(&j, "local", s->local_cid, s->local_port);
        tell_end(&j, "peer", s->peer_cid, s->peer_port);
        json_bool(&j, "receives", !(s->shutdown & 1));
        json_bool(&j, "sends", !(s->shutdown & 2));
        json_number(&j, "inode", s->inode);
        if (set.processes)
            tell_owners(&j, i);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    putchar('\n');
}

/* --- The command ---------------------------------------------------------------------------------------------------------- */

static int refuse(int code)
{
    char text[TOOL_CODE_TEXT];

    switch (code) {
    case LIST_NO_SUCH:
        report_line("this system does not tell of its vsock sockets; Linux does");
        break;
    case LIST_NO_DIAG:
        report_line("this kernel does not tell of its vsock sockets: vsock_diag is not loaded");
        report_line("modprobe vsock_diag (Linux 4.15 or later); in a container, on its host");
        break;
    case LIST_GARBLED:
        report_line("what the kernel tells of its vsock sockets cannot be read");
        break;
    case LIST_STOPPED:
        report_line("out of memory");
        break;
    default:
        tool_code_text(code, text, sizeof text);
        report_line("the kernel does not tell of its vsock sockets: %s", text);
        report_line("a container's seccomp profile or a security policy may forbid netlink (NETLINK_SOCK_DIAG): run it outside");
    }
    return EXIT_FAILED;
}

static int run(char **operand, int count)
{
    uint32_t states = 1u << DIAG_ESTABLISHED | 1u << DIAG_SYN_SENT | 1u << DIAG_CLOSING;
    int      code;

    (void)operand, (void)count;
    if (set.all && set.listening)
        return report_usage("--all has those that listen as well: leave one of --all and --listening out");
    if (set.all)
        states = UINT32_MAX;
    else if (set.listening)
        states = 1u << DIAG_LISTEN;
    if ((code = look(states)) == 0) {
        if (set.processes)
            list_descriptors(take_descriptor, NULL);
        if (set.json)
            tell_all();
        else
            print_all();
    }
    free(found.rows);
    free(found.owners);
    return code == 0 ? EXIT_DONE : refuse(code);
}

static const struct arg args[] = {
    { 'l', "listening", NULL, ARG_FLAG, &set.listening, "those that listen, in place of those with a peer" },
    { 'a', "all", NULL, ARG_FLAG, &set.all, "all of them" },
    { 'p', "processes", NULL, ARG_FLAG, &set.processes, "whose they are; root sees everybody's" },
    { 0, "json", NULL, ARG_FLAG, &set.json, "print it as JSON" },
    ARGS_COMMON
};

const struct command list_command = {
    .name = "list",
    .summary = "this machine's vsock sockets, their states and peers",
    .usage = "[-l|-a] [-p] [--json]",
    .text = "Prints the AF_VSOCK sockets of a Linux system: those with a peer, unless told. `*` is any CID or port. The kernel's\n"
            "module vsock_diag tells of them; UNIX sockets of multiplexers are not among them.\n",
    .examples = "  virtsock list -l -p                                 who listens?\n"
                "  virtsock list -a --json                             all of them, for a program\n",
    .args = args, .operand = "nothing", .least = 0, .most = 0, .run = run
};
