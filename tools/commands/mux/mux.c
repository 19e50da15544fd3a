/* SPDX-License-Identifier: MIT
 *
 * virtsock mux: a stand-in for a hypervisor. It takes what programs of a host say to a multiplexer, CONNECT/OK or HyperKit's request, and
 * joins them to the program of this machine that listens where a guest's connections would go: no guest is needed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/join.h"
#include "common/peer.h"
#include "common/report.h"
#include "common/serve.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "dialect.h"
#include "fault.h"

#define MUX_NAME      "vsock.sock"
#define HYPERKIT_NAME "connect"
#define PORT_NAME     "port_"           /* libkrun's, which has one for each port; a guest's program listens at the other */
#define GUEST_NAME    "guest_"
#define OWN_PORT      (UINT32_C(1) << 30)       /* the first that Firecracker gives itself */
#define PROGRAM_MS    2000              /* a program's time to accept, as Firecracker's guest has */
#define GLUE_MS       500               /* a program's time to say something that can be glued */
#define PIECE_MS      2

static struct {
    const char     *dialect, *fault;
    int64_t         fault_count, max;
    struct arg_list ports;
} set = { .fault_count = ARG_UNSET, .max = ARG_UNSET };

static const struct mux_dialect *dialect;
static enum mux_fault            fault;
static int                       late_ms;
static const char               *directory;
static virtsock_options         *to_programs;

struct call {
    virtsock_stream *client, *program;
    enum mux_fault   fault;
    bool             hyperkit;
    unsigned         number;
    char             what[VS_PORT_TEXT + 16];   /* the client wants, for the log */
    uint64_t         glued;             /* bytes that went with the answer */
    virtsock_error   err;               /* of the program that could not be reached */
};

/* A socket for programs of the host. */
static struct door {
    char               name[sizeof PORT_NAME + VS_PORT_TEXT];
    void             (*attend)(struct call *, const struct door *);
    const char        *port;            /* the only one that it leads to; NULL: clients say which */
    virtsock_listener *listener;
    struct tool_event *ended;
} doors[sizeof set.ports.item / sizeof *set.ports.item];
static int door_count;

/* --- Programs ---------------------------------------------------------------------------------------------------------- */

static virtsock_status address_of(virtsock_address **out, const char *name, virtsock_error *err)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);      /* one that is cut is too long still */
    return virtsock_address_path(out, VIRTSOCK_SCHEME_UNIX, path, 0, err);
}

static bool reach(struct call *c, const char *name)
{
    virtsock_address *address;
    virtsock_status   status = address_of(&address, name, &c->err);

    if (status == VIRTSOCK_OK)
        status = virtsock_connect(&c->program, address, to_programs, &c->err);
    virtsock_address_free(address);
    return status == VIRTSOCK_OK;
}

static bool reach_guest(struct call *c, const char *port)
{
    char name[sizeof GUEST_NAME + VS_PORT_TEXT];

    snprintf(name, sizeof name, GUEST_NAME "%s", port);
    return reach(c, name);
}

/* Where vsock-mux://:PORT listens. OpenVMM looks for the number first, and for the GUID then, whichever was asked for. */
static bool reach_port(struct call *c, const char *port)
{
    char     name[sizeof MUX_NAME + VS_PORT_TEXT], service[VS_PORT_TEXT];
    uint32_t number = (uint32_t)strtoul(port, NULL, 10);

    if (!mux_is_service(port) || virtsock_port_from_service(port, &number) == VIRTSOCK_OK) {
        snprintf(name, sizeof name, MUX_NAME "_%" PRIu32, number);
        if (reach(c, name))
            return true;
        if (!dialect->services)
            return false;
        virtsock_service_from_port(service, number);
        port = service;
    }
    snprintf(name, sizeof name, MUX_NAME "_%s", port);
    return reach(c, name);
}

/* Where hyperkit://CID:PORT listens, or hyperkit://:PORT. */
static bool reach_hyperkit(struct call *c, uint32_t cid, uint32_t port)
{
    char name[VS_HYPERKIT_LINE];

    vs_hyperkit_name(name, cid, port);
    if (reach(c, name))
        return true;
    vs_hyperkit_name(name, VIRTSOCK_CID_HOST, port);
    return reach(c, name);
}

/* --- Clients ----------------------------------------------------------------------------------------------------------- */

static void tell(const struct call *c, const char *what)
{
    if (peer_settings.verbose)
        report_line("client %u: %s%s%s", c->number, c->what, c->what[0] != '\0' ? ": " : "", what);
}

static void send_in_pieces(virtsock_stream *client, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        peer_send(client, line + i, 1, -1, NULL);
        tool_nap_ms(PIECE_MS);
    }
}

static void answer(struct call *c, const char *port)
{
    static atomic_uint_least32_t next = OWN_PORT;
    char                         own[VS_PORT_TEXT], line[VS_LINE_MAX + 4096];
    size_t                       size, more = 0;

    snprintf(own, sizeof own, "%" PRIuLEAST32, next++);
    size = vs_mux_reply(line, dialect->own_port ? own : port);
    if (c->fault == FAULT_GLUED && virtsock_stream_recv(c->program, line + size, sizeof line - size, &more, GLUE_MS, NULL) != VIRTSOCK_OK)
        more = 0;
    if (c->fault == FAULT_PIECES)
        send_in_pieces(c->client, line, size);
    else
        peer_send(c->client, line, size + more, -1, NULL);
    c->glued = more;
}

static void converse(struct call *c)
{
    struct join join = { .end = { c->client, c->program }, .breaks = c->fault == FAULT_RESET };
    char        counts[80];

    if (!c->hyperkit) {
        join.ends_both = dialect->ends_both;
        join.keeps_end = dialect->keeps_end;
        join.end_ms = dialect->host_ms;
    }

    tell(c, "joined");
    if (!join_streams(&join)) {
        tell(c, "out of memory");
        return;
    }
    snprintf(counts, sizeof counts, "%" PRIu64 " bytes to the program, %" PRIu64 " back", join.carried[0], join.carried[1] + c->glued);
    tell(c, counts);
}

static void attend_mux(struct call *c, const struct door *door)
{
    char port[VS_PORT_TEXT];

    (void)door;
    if (!mux_read_request(dialect, c->client, port)) {
        tell(c, "no request that this dialect takes");
        return;
    }
    snprintf(c->what, sizeof c->what, "port %s", port);
    if (mux_fault_play(c->client, c->fault, late_ms))
        return;
    if (!reach_port(c, port)) {
        tell(c, c->err.message);
        return;
    }
    answer(c, port);
    converse(c);
}

/* Taken before anybody is asked, as HyperKit does. */
static void attend_plain(struct call *c, const struct door *door)
{
    snprintf(c->what, sizeof c->what, "port %s", door->port);
    if (c->fault <= FAULT_SILENT && mux_fault_play(c->client, c->fault, late_ms))
        return;
    if (reach_guest(c, door->port))
        converse(c);
    else
        tell(c, c->err.message);
}

static void attend_hyperkit(struct call *c, const struct door *door)
{
    char     line[VS_HYPERKIT_LINE];
    uint32_t cid, port;
    size_t   n = 0;

    (void)door;
    c->hyperkit = true;
    if (virtsock_stream_recv(c->client, line, sizeof line, &n, -1, NULL) != VIRTSOCK_OK
        || vs_hyperkit_read_request(line, n, &cid, &port) != VS_SHAKE_DONE) {
        tell(c, "no request that HyperKit takes");
        return;
    }
    snprintf(c->what, sizeof c->what, "CID %" PRIu32 " port %" PRIu32, cid, port);
    if (c->fault <= FAULT_SILENT && mux_fault_play(c->client, c->fault, late_ms))
        return;
    if (reach_hyperkit(c, cid, port))
        converse(c);
    else
        tell(c, c->err.message);
}

/* More than the dialect has room for are hung up on, as a fault would. */
static void attend(virtsock_stream *client, unsigned number, const void *at)
{
    static atomic_int  active;
    const struct door *door = at;
    bool               at_fault = set.fault_count == ARG_UNSET || number <= set.fault_count;
    struct call        c = { .client = client, .number = number, .fault = at_fault ? fault : FAULT_NONE };
    int64_t            most = set.max == ARG_UNSET ? dialect->most : set.max;

    if (c.fault != FAULT_NONE)
        tell(&c, set.fault);
    if (++active > most && most > 0 && door->attend == attend_mux)
        tell(&c, "one too many, hung up on unread");
    else if (c.fault != FAULT_UNREAD)
        door->attend(&c, door);
    virtsock_stream_free(c.program);
    virtsock_stream_free(client);
    active--;
}

/* --- Listening ---------------------------------------------------------------------------------------------------------- */

static void stop(void *unused)
{
    (void)unused;
    for (int i = 0; i < door_count; i++)
        virtsock_listener_close(doors[i].listener, NULL);
}

static void serve_door(void *at)
{
    struct door *door = at;

    serve_clients(door->listener, attend, door);
    tool_event_set(door->ended);
}

/* The directory is made once it is known that nothing but the directory is missing. */
static int listen_at(virtsock_listener **out, const char *name)
{
    virtsock_address *address;
    virtsock_error    err;
    virtsock_status   status = address_of(&address, name, &err);
    int               code = 0;

    if (status == VIRTSOCK_OK)
        status = virtsock_listen(out, address, NULL, &err);
    if (status == VIRTSOCK_E_NOT_FOUND && (code = tool_make_directory(directory)) == 0)
        status = virtsock_listen(out, address, NULL, &err);
    virtsock_address_free(address);
    if (status == VIRTSOCK_OK)
        return EXIT_DONE;
    return code != 0 ? report_system(directory, code) : report_error(&err);
}

/* "unix:///run/vm/connect": the programs' address is scheme, and the path without its tail. */
static void tell_where(const struct door *door)
{
    virtsock_address *address;
    char             *text = NULL;
    bool              hyperkit = door->attend == attend_hyperkit;
    int               n;

    if (virtsock_listener_address(door->listener, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    n = text == NULL ? 0 : (int)(strlen(text) - strlen("unix://") - (door->port || hyperkit ? strlen(door->name) : 0));
    if (text != NULL && door->port != NULL)
        report_line("listening on %s for unix://%.*s" GUEST_NAME "%s", text, n, text + strlen("unix://"), door->port);
    else if (text != NULL)
        report_line("listening on %s for %s://:PORT%.*s%s", text, hyperkit ? "hyperkit" : "vsock-mux", n - hyperkit, text + strlen("unix://"),
                    hyperkit || dialect->ends_both ? "" : "?half-close=native");
    free(text);
    virtsock_address_free(address);
}

/* The last one here, the others each in a thread of its own. */
static int serve_doors(void)
{
    int begun = 0;

    tool_on_stop(stop, NULL);
    while (begun < door_count - 1 && (doors[begun].ended = tool_event_new()) != NULL && tool_thread(serve_door, &doors[begun]))
        begun++;
    if (begun < door_count - 1) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    for (int i = 0; i < door_count; i++)
        tell_where(&doors[i]);
    serve_clients(doors[begun].listener, attend, &doors[begun]);
    while (begun > 0)
        tool_event_wait(doors[--begun].ended, -1);
    tool_on_stop(NULL, NULL);
    return EXIT_DONE;
}

/* --- The command -------------------------------------------------------------------------------------------------------- */

static void add_door(const char *name, void (*attend_one)(struct call *, const struct door *), const char *port)
{
    struct door *door = &doors[door_count++];

    snprintf(door->name, sizeof door->name, "%s%s", name, port != NULL ? port : "");
    door->attend = attend_one;
    door->port = port;
}

/* Those of a dialect that has a socket for each port. */
static int choose_ports(void)
{
    for (int i = 0; i < set.ports.count; i++) {
        if (!mux_is_port(set.ports.item[i]))
            return report_usage("--port \"%s\": it is a number from 0 to 4294967295", set.ports.item[i]);
        add_door(PORT_NAME, attend_plain, set.ports.item[i]);
    }
    return door_count > 0 ? EXIT_DONE : report_usage("--dialect %s has a socket for each port: name them, each with --port", dialect->name);
}

static int choose_doors(void)
{
    if (dialect->plain)
        return choose_ports();
    if (set.ports.count > 0)
        return report_usage("--port is for --dialect libkrun: clients of the others say which");
    add_door(MUX_NAME, attend_mux, NULL);
    add_door(HYPERKIT_NAME, attend_hyperkit, NULL);
    return EXIT_DONE;
}

static int choose(void)
{
    if ((dialect = mux_dialect_find(set.dialect)) == NULL)
        return report_usage("--dialect \"%s\": it is " MUX_DIALECTS, set.dialect);
    if (set.fault == NULL && set.fault_count != ARG_UNSET)
        return report_usage("--fault-count counts what --fault does");
    if (set.fault != NULL && !mux_fault_parse(set.fault, &fault, &late_ms))
        return report_usage("--fault \"%s\": it is " FAULT_NAMES, set.fault);
    return choose_doors();
}

/* Trailing slashes off: the directory is part of addresses. */
static int name_directory(char *name)
{
    size_t n = strlen(name);

    while (n > 1 && name[n - 1] == '/')
        name[--n] = '\0';
    directory = name;
    return n > 0 ? EXIT_DONE : report_usage("the directory has no name");
}

/* Programs that look who serves their sockets see what is stood in for. */
static int make_options(void)
{
    virtsock_error err;

    tool_take_name(dialect->name);
    if ((to_programs = virtsock_options_new()) == NULL) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    return virtsock_options_set(to_programs, VIRTSOCK_OPTION_CONNECT_TIMEOUT, PROGRAM_MS, &err) == VIRTSOCK_OK ? EXIT_DONE : report_error(&err);
}

static int run(char **operand, int count)
{
    int code;

    (void)count;
    if ((code = choose()) != EXIT_DONE || (code = name_directory(operand[0])) != EXIT_DONE || (code = make_options()) != EXIT_DONE)
        return code;
    daemon_raise_descriptors();
    for (int i = 0; i < door_count && code == EXIT_DONE; i++)
        code = listen_at(&doors[i].listener, doors[i].name);
    if (code == EXIT_DONE)
        code = serve_doors();
    while (door_count > 0)
        virtsock_listener_free(doors[--door_count].listener);
    return code;
}

static const struct arg args[] = {
    { 'd', "dialect", "NAME", ARG_TEXT, &set.dialect, "whose requests, answers and ends; firecracker unless told" },
    { 'f', "fault", "FAULT", ARG_TEXT, &set.fault, "do that wrong" },
    { 'p', "port", "PORT", ARG_LIST, &set.ports, "with libkrun: a port that has a socket; may be said again" },
    { 0, "max", "N", ARG_NUMBER, &set.max, "connections of CONNECT/OK at once, 0 for any number; the dialect's unless told" },
    { 0, "fault-count", "N", ARG_NUMBER, &set.fault_count, "to the first N clients alone" },
    { 'v', "verbose", NULL, ARG_COUNT, &peer_settings.verbose, "tell of each client" },
    ARGS_COMMON
};

const struct command mux_command = {
    .name = "mux",
    .summary = "stand in for a hypervisor, for programs on one machine",
    .usage = "[OPTION]... DIRECTORY",
    .text = "Makes the directory (0700) if it is not there, and serves two sockets in it until it is interrupted:\n"
            "DIRECTORY/vsock.sock, CONNECT/OK as Firecracker and its kin have it, and DIRECTORY/connect, HyperKit's. A\n"
            "client that asks for a port is joined to the program of this machine that listens on the same address,\n"
            "vsock-mux://:PORT/DIRECTORY/vsock.sock or hyperkit://:PORT/DIRECTORY; where none does, it is hung up on.\n"
            "\n"
            "Dialects: firecracker, cloud-hypervisor, vhost-device-vsock, openvmm; and libkrun, which has a socket for each\n"
            "--port in place of both, DIRECTORY/port_PORT, and whose guest's programs listen at DIRECTORY/guest_PORT. They\n"
            "end as the real ones do. Over firecracker, vhost-device-vsock and libkrun a client that ends its sending ends\n"
            "both directions, and loses what is on its way back. The first two do not tell it that the guest has ended\n"
            "its sending. The first two of all take 1,023 connections, and hang up on the next unread.\n"
            "A VM that is paused: kill -STOP, and -CONT.\n"
            "\n"
            "Faults (HyperKit, which answers nothing, has those with a star):\n"
            "  late=MS*   answers so much later        refused*   hangs up without an answer\n"
            "  pieces     answers byte by byte         silent*    never answers\n"
            "  glued      answer and payload in one    garbage    answers something else\n"
            "  reset*     breaks the connection at     nul        answers with a NUL in the line\n"
            "             the client's first byte      endless    answers a line that does not end\n"
            "  unread*    hangs up before it has       digits     answers a number of 4096 digits\n"
            "             read the request             cut        hangs up in the middle of its answer\n",
    .examples = "  virtsock mux /tmp/vm                                serve, in one terminal\n"
                "  virtsock echo -s vsock-mux://:52/tmp/vm/vsock.sock  the `guest's` service, in another\n"
                "  virtsock echo vsock-mux://:52/tmp/vm/vsock.sock     its client, in a third\n"
                "  virtsock mux --fault refused --fault-count 3 /tmp/vm    is the client patient?\n",
    .operand = "a directory",
    .args = args, .least = 1, .most = 1, .run = run
};
