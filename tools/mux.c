/* SPDX-License-Identifier: MIT
 *
 * virtsock mux: a stand-in for a hypervisor. It takes what programs of a host say to a multiplexer, CONNECT/OK or HyperKit's request, and
 * joins them to the program of this machine that listens where a guest's connections would go: no guest is needed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "join.h"
#include "mux_fault.h"
#include "peer.h"
#include "platform.h"
#include "report.h"
#include "serve.h"
#include "transport/handshake.h"

#define MUX_NAME      "vsock.sock"
#define HYPERKIT_NAME "connect"
#define OWN_PORT      (UINT32_C(1) << 30)       /* the first that Firecracker gives itself */
#define PROGRAM_MS    2000              /* a program's time to accept, as Firecracker's guest has */
#define GLUE_MS       500               /* a program's time to say something that can be glued */
#define PIECE_MS      2

static const struct dialect {
    const char *name;
    size_t      longest;                /* bytes of a request */
    int         patience_ms;            /* for the rest of one that has begun; 0: it must come whole; -1: any time */
    bool        own_port;               /* answers a port of its own, else what was asked for */
    bool        services;               /* takes GUIDs as well */
    bool        forgets;                /* what a client sends before it has its answer */
} dialects[] = {
    { .name = "firecracker", .longest = 32, .patience_ms = 0, .own_port = true },
    { .name = "cloud-hypervisor", .longest = 32, .patience_ms = -1, .own_port = true },
    { .name = "vhost-device-vsock", .longest = VS_LINE_MAX, .patience_ms = 0, .forgets = true },
    { .name = "openvmm", .longest = 45, .patience_ms = 2000, .services = true },
};

static struct {
    const char *dialect, *fault;
    int64_t     fault_count;
} set = { .fault_count = ARG_UNSET };

static const struct dialect *dialect = &dialects[0];
static enum mux_fault        fault;
static int                   late_ms;
static const char           *directory;
static virtsock_options     *to_programs;

struct call {
    virtsock_stream *client, *program;
    enum mux_fault   fault;
    unsigned         number;
    char             what[VS_PORT_TEXT + 16];   /* the client wants, for the log */
    uint64_t         glued;             /* bytes that went with the answer */
    virtsock_error   err;               /* of the program that could not be reached */
};

static bool is_service(const char *port)
{
    return strchr(port, '-') != NULL;
}

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

    if (address_of(&address, name, &c->err) == VIRTSOCK_OK)
        virtsock_connect(&c->program, address, to_programs, &c->err);
    virtsock_address_free(address);
    return c->program != NULL;
}

/* Where vsock-mux://:PORT listens. OpenVMM looks for the number first, and for the GUID then, whichever was asked for. */
static bool reach_port(struct call *c, const char *port)
{
    char     name[sizeof MUX_NAME + VS_PORT_TEXT], service[VS_PORT_TEXT];
    uint32_t number = (uint32_t)strtoul(port, NULL, 10);

    if (!is_service(port) || virtsock_port_from_service(port, &number) == VIRTSOCK_OK) {
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

/* For the next byte of a request of which n have come, the first at begun_us. */
static int patience_left(size_t n, int64_t begun_us)
{
    int64_t left = dialect->patience_ms - (tool_now_us() - begun_us) / 1000;

    if (n == 0 || dialect->patience_ms < 0)
        return -1;
    return left > 0 ? (int)left : 0;
}

/* As programs print it: decimal without zeros before, GUIDs in lower case. */
static void normalize(char port[VS_PORT_TEXT])
{
    if (!is_service(port))
        snprintf(port, VS_PORT_TEXT, "%lu", strtoul(port, NULL, 10));
    for (; *port != '\0'; port++)
        if (*port >= 'A' && *port <= 'F')
            *port = (char)(*port - 'A' + 'a');
}

/* Byte by byte, so that what follows stays where it is; but for a dialect that forgets it. */
static bool read_request(virtsock_stream *client, char port[VS_PORT_TEXT])
{
    char          line[VS_LINE_MAX], scrap[8192];
    int64_t       begun_us = 0;
    size_t        n = 0, used, done;
    enum vs_shake shake = VS_SHAKE_MORE;

    while (shake == VS_SHAKE_MORE && n < dialect->longest
           && virtsock_stream_recv(client, line + n, 1, &done, patience_left(n, begun_us), NULL) == VIRTSOCK_OK) {
        if (n == 0)
            begun_us = tool_now_us();
        shake = vs_mux_read_request(line, ++n, &used, port);
    }
    if (shake != VS_SHAKE_DONE || (is_service(port) && !dialect->services))
        return false;
    normalize(port);
    if (dialect->forgets)
        virtsock_stream_recv(client, scrap, sizeof scrap, &done, 0, NULL);
    return true;
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
    if (c->fault == FAULT_GLUED)
        virtsock_stream_recv(c->program, line + size, sizeof line - size, &more, GLUE_MS, NULL);
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

    tell(c, "joined");
    if (!join_streams(&join)) {
        tell(c, "out of memory");
        return;
    }
    snprintf(counts, sizeof counts, "%" PRIu64 " bytes to the program, %" PRIu64 " back", join.carried[0], join.carried[1] + c->glued);
    tell(c, counts);
}

static void attend_mux(struct call *c)
{
    char port[VS_PORT_TEXT];

    if (!read_request(c->client, port)) {
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

static void attend_hyperkit(struct call *c)
{
    char     line[VS_HYPERKIT_LINE];
    uint32_t cid, port;
    size_t   n = 0;

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

/* protocol: the name of its socket. */
static void attend(virtsock_stream *client, unsigned number, const void *protocol)
{
    bool        at_fault = set.fault_count == ARG_UNSET || number <= set.fault_count;
    struct call c = { .client = client, .number = number, .fault = at_fault ? fault : FAULT_NONE };

    if (c.fault != FAULT_NONE)
        tell(&c, set.fault);
    if (c.fault != FAULT_UNREAD && strcmp(protocol, MUX_NAME) == 0)
        attend_mux(&c);
    else if (c.fault != FAULT_UNREAD)
        attend_hyperkit(&c);
    virtsock_stream_free(c.program);
    virtsock_stream_free(client);
}

/* --- Listening ---------------------------------------------------------------------------------------------------------- */

static struct {
    virtsock_listener *mux, *hyperkit;
    struct tool_event *hyperkit_ended;
} at;

static void stop(void *unused)
{
    (void)unused;
    virtsock_listener_close(at.mux, NULL);
    virtsock_listener_close(at.hyperkit, NULL);
}

static void serve_hyperkit(void *unused)
{
    (void)unused;
    serve_clients(at.hyperkit, attend, HYPERKIT_NAME);
    tool_event_set(at.hyperkit_ended);
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
static void tell_where(const virtsock_listener *listener, const char *scheme, const char *tail)
{
    virtsock_address *address;
    char             *text = NULL;

    if (virtsock_listener_address(listener, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    if (text != NULL)
        report_line("listening on %s for %s://:PORT%.*s", text, scheme,
                    (int)(strlen(text) - strlen("unix://") - strlen(tail)), text + strlen("unix://"));
    free(text);
    virtsock_address_free(address);
}

static int serve_both(void)
{
    at.hyperkit_ended = tool_event_new();
    tool_on_stop(stop, NULL);
    if (at.hyperkit_ended == NULL || !tool_thread(serve_hyperkit, NULL)) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    tell_where(at.mux, "vsock-mux", "");
    tell_where(at.hyperkit, "hyperkit", "/" HYPERKIT_NAME);
    serve_clients(at.mux, attend, MUX_NAME);
    tool_event_wait(at.hyperkit_ended, -1);
    tool_on_stop(NULL, NULL);
    return EXIT_DONE;
}

/* --- The command -------------------------------------------------------------------------------------------------------- */

static int choose(void)
{
    size_t i = 0;

    while (set.dialect != NULL && i < sizeof dialects / sizeof *dialects && strcmp(set.dialect, dialects[i].name) != 0)
        i++;
    if (i == sizeof dialects / sizeof *dialects)
        return report_usage("--dialect \"%s\": it is firecracker, cloud-hypervisor, vhost-device-vsock or openvmm", set.dialect);
    dialect = &dialects[i];
    if (set.fault == NULL && set.fault_count != ARG_UNSET)
        return report_usage("--fault-count counts what --fault does");
    if (set.fault != NULL && !mux_fault_parse(set.fault, &fault, &late_ms))
        return report_usage("--fault \"%s\": it is " FAULT_NAMES, set.fault);
    return EXIT_DONE;
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

static int make_options(void)
{
    virtsock_error err;

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
    if ((code = listen_at(&at.mux, MUX_NAME)) == EXIT_DONE && (code = listen_at(&at.hyperkit, HYPERKIT_NAME)) == EXIT_DONE)
        code = serve_both();
    virtsock_listener_free(at.hyperkit);
    virtsock_listener_free(at.mux);
    return code;
}

static const struct arg args[] = {
    { 'd', "dialect", "NAME", ARG_TEXT, &set.dialect, "whose CONNECT/OK; firecracker unless told" },
    { 'f', "fault", "FAULT", ARG_TEXT, &set.fault, "do that wrong" },
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
            "Dialects: firecracker, cloud-hypervisor, vhost-device-vsock, openvmm.\n"
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
