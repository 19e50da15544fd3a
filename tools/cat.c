/* SPDX-License-Identifier: MIT
 *
 * virtsock cat: standard input to the peer and the peer to standard output, both at once, a thread a direction: blocking reads and writes
 * are the one way that is right on pipes, files and terminals alike, and a reader that is slow in one direction stops that one alone.
 */
#include <stdatomic.h>

#include "args.h"
#include "peer.h"
#include "platform.h"
#include "report.h"
#include "serve.h"
#include "service.h"

#define LOOK_MS  100                    /* how often it is looked whether a peer that sends no more is still there */
#define CHUNK    65536

static struct {
    bool listen, echo, registers;
} set;

/* One conversation; static, as the sending thread may outlive it in a read. */
static struct {
    virtsock_stream   *stream;
    struct tool_event *sent;            /* set at the end of input, or when sending failed */
    atomic_int         code;            /* of the sending direction */
    atomic_bool        ended, late;     /* the peer's direction; something was sent after that */
    char               in[CHUNK], out[CHUNK];
} talk;

/* The sending direction. A failure of standard input must not look like its end to the peer: it breaks the connection. */
static void send_input(void *unused)
{
    virtsock_status status = VIRTSOCK_OK;
    virtsock_error  err;
    int64_t         n = 0;

    (void)unused;
    while (status == VIRTSOCK_OK && (n = tool_input(talk.in, sizeof talk.in)) > 0) {
        talk.late |= talk.ended;
        status = peer_send(talk.stream, talk.in, (size_t)n, -1, &err);
    }
    if (status == VIRTSOCK_OK && n == 0)
        status = virtsock_stream_shutdown(talk.stream, VIRTSOCK_SHUT_SEND, &err);
    if (n < 0) {
        talk.code = report_system("standard input", (int)-n);
        tool_break(virtsock_stream_fd(talk.stream));
        virtsock_stream_close(talk.stream, 0, NULL);
    } else if (status != VIRTSOCK_OK && status != VIRTSOCK_E_CANCELLED) {
        talk.code = report_error(&err);
    }
    tool_event_set(talk.sent);
}

/* The receiving direction, until the peer's end; the exit code. */
static int receive_output(void)
{
    virtsock_status status;
    virtsock_error  err;
    size_t          n;
    int             code;

    while ((status = virtsock_stream_recv(talk.stream, talk.out, sizeof talk.out, &n, -1, &err)) == VIRTSOCK_OK)
        if ((code = tool_output(talk.out, n)) != 0)
            return report_system("standard output", code);
    talk.ended = true;
    if (status == VIRTSOCK_E_EOF)
        return EXIT_DONE;
    return talk.code != EXIT_DONE ? EXIT_FAILED : report_error(&err);          /* or the other direction said why, and ended this one */
}

/* After the peer's end of sending: THERE when all input was sent too; else it has gone, and there is none to send. */
static enum tool_peer wait_for_input(void)
{
    virtsock_fd    fd = virtsock_stream_fd(talk.stream);
    int64_t        scheme = VIRTSOCK_SCHEME_UNIX;
    enum tool_peer peer = TOOL_PEER_THERE;

    virtsock_stream_get(talk.stream, VIRTSOCK_ITEM_SCHEME, &scheme, NULL);
    while (!tool_event_wait(talk.sent, LOOK_MS)) {
        if (peer != TOOL_PEER_THERE)    /* and input that was there has had its time to fail */
            return peer;
        peer = tool_peer(fd, scheme != VIRTSOCK_SCHEME_UNIX, 0);
    }
    if (talk.late && talk.code == EXIT_DONE && peer == TOOL_PEER_THERE)
        peer = tool_peer(fd, false, 0);
    return peer == TOOL_PEER_BROKE ? peer : TOOL_PEER_THERE;
}

static int converse(virtsock_stream *stream)
{
    enum tool_peer peer;
    int            code;

    talk.stream = stream;
    talk.sent = tool_event_new();
    if (talk.sent == NULL || !tool_thread(send_input, NULL)) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    code = receive_output();
    if (code != EXIT_DONE)
        return code;
    peer = wait_for_input();
    if (peer == TOOL_PEER_BROKE && talk.code == EXIT_DONE) {
        report_line("the peer broke the connection: it has not taken all that was sent");
        return EXIT_FAILED;
    }
    if (peer == TOOL_PEER_THERE && talk.code == EXIT_DONE) {
        virtsock_error err;

        if (virtsock_stream_close(stream, -1, &err) != VIRTSOCK_OK)
            talk.code = report_error(&err);
    }
    return talk.code;
}

/* One client, as netcat's; asked to end before it came, it is done. */
static int wait_for_client(const virtsock_address *address)
{
    virtsock_listener *listener;
    virtsock_stream   *stream;
    virtsock_status    status;
    virtsock_error     err;

    if (peer_listen(&listener, address, &err) != VIRTSOCK_OK)
        return EXIT_FAILED;
    status = virtsock_accept(&stream, listener, -1, &err);
    tool_on_stop(NULL, NULL);
    virtsock_listener_free(listener);
    if (status == VIRTSOCK_OK)
        return converse(stream);
    return status == VIRTSOCK_E_CANCELLED ? EXIT_DONE : report_error(&err);
}

static int talk_with(const virtsock_address *address)
{
    virtsock_stream *stream;
    virtsock_error   err;

    if (set.listen)
        return set.echo ? serve(address, NULL) : wait_for_client(address);
    return peer_connect(&stream, address, &err) == VIRTSOCK_OK ? converse(stream) : EXIT_FAILED;
}

static int run(char **operand, int count)
{
    virtsock_address *address;
    int               code = peer_options(set.listen);

    (void)count;
    if (code != EXIT_DONE)
        return code;
    if (set.echo && !set.listen)
        return report_usage("--echo is for listening: virtsock cat -l --echo ADDRESS");
    if (set.registers && !set.listen)
        return report_usage("--register is for listening: virtsock cat -l --register ADDRESS");
    if ((code = peer_address(&address, operand[0], PORT_HVCAT)) != EXIT_DONE)
        return code;
    if (set.registers)
        code = service_register(address, "virtsock cat");
    if (code == EXIT_DONE)
        code = talk_with(address);
    virtsock_address_free(address);
    return code;
}

static const struct arg args[] = {
    { 'l', "listen", NULL, ARG_FLAG, &set.listen, "wait for one client instead of connecting" },
    { 'e', "echo", NULL, ARG_FLAG, &set.echo, "with -l: send back what comes, to any number of clients" },
    { 0, "register", NULL, ARG_FLAG, &set.registers, "with -l: first register the Hyper-V service, on a Windows host" },
    ARGS_PEER,
    ARGS_COMMON
};

const struct command cat_command = {
    .name = "cat",
    .summary = "send standard input, print what comes back",
    .usage = "[OPTION]... ADDRESS\n-l [--echo] [--register] [OPTION]... ADDRESS",
    .text = "Sends standard input to the peer and writes what it sends to standard output, both at once. At the end\n"
            "of input it ends its own direction alone, so that a request gets its whole reply.\n"
            "An address without a port gets port 80.\n",
    .examples = "  printf 'hello\\n' | virtsock cat vsock://3:1024       ask a guest, print its answer\n"
                "  virtsock cat --wait 30 vsock://3:1024 < file        a guest that still boots\n"
                "  virtsock cat -l vsock://:1024 > file                take one connection\n"
                "  virtsock cat -l --echo --allow host vsock://:7      an echo server, in a guest\n",
    .args = args, .least = 1, .most = 1, .run = run
};
