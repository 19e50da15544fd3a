/* SPDX-License-Identifier: MIT
 *
 * virtsock cat: standard input to the peer and the peer to standard output, both at once, a thread a direction: blocking reads and writes
 * are the one way that is right on pipes, files and terminals alike, and a reader that is slow in one direction stops that one alone.
 */
#include <stdatomic.h>

#include "commands/commands.h"
#include "common/peer.h"
#include "common/privileged.h"
#include "common/report.h"
#include "common/serve.h"
#include "common/service.h"
#include "common/way.h"
#include "platform/tool.h"

#define LOOK_MS  100                    /* how often it is looked whether a peer that sends no more is still there, or has been quiet */
#define QUIET_MS 5000                   /* unless --quiet says */
#define CHUNK    65536

static struct {
    bool            listen, echo, registers, privileged;
    struct way_told way;
    int64_t         quiet_ms;
} set = { .quiet_ms = ARG_UNSET };

/* One conversation; static, as the sending thread may outlive it in a read. */
static struct {
    virtsock_stream   *stream;
    enum way_kind      way;             /* unless it carries half-closes, this direction stays open at the end of input */
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
    if (status == VIRTSOCK_OK && n == 0 && talk.way == WAY_HALF_CLOSES)
        status = way_half_close(talk.stream, &err);
    if (n < 0) {
        talk.code = report_system("standard input", (int)-n);
        tool_break(virtsock_stream_fd(talk.stream));
        virtsock_stream_close(talk.stream, 0, NULL);
    } else if (status != VIRTSOCK_OK && status != VIRTSOCK_E_CANCELLED) {
        talk.code = report_error(&err);
    }
    tool_event_set(talk.sent);
}

/* The next bytes. TIMEOUT: the input has been sent, and the peer was quiet for so long since then, and since it has said something. */
static virtsock_status receive(size_t *n, int64_t quiet_ms, virtsock_error *err)
{
    int64_t         since_us = tool_now_us();
    virtsock_status status;

    while ((status = virtsock_stream_recv(talk.stream, talk.out, sizeof talk.out, n, quiet_ms < 0 ? -1 : LOOK_MS, err)) == VIRTSOCK_E_TIMEOUT) {
        if (!tool_event_wait(talk.sent, 0))
            since_us = tool_now_us();
        else if (tool_now_us() - since_us >= quiet_ms * 1000)
            break;
    }
    return status;
}

/* The peer has been quiet, and this direction was kept open for its answer. Where it is not known what becomes of that, it is tried: true,
 * what comes after it shows. */
static bool end_after_silence(void)
{
    return talk.way == WAY_UNKNOWN && way_half_close(talk.stream, NULL) == VIRTSOCK_OK;
}

/* An answer may have been cut, but where the user has said what silence means. */
static int judge_silence(void)
{
    if (set.quiet_ms != ARG_UNSET)
        return EXIT_DONE;
    report_line("the peer was quiet for %d s after the end of input, and ended with this direction: its answer may be cut", QUIET_MS / 1000);
    report_line("--quiet SECONDS, or forever, says how long to wait for it, and that the silence is its end");
    return EXIT_FAILED;
}

/* Who listens has no time of its own for a client; that the two may wait for each other is said once. */
static bool is_patient(void)
{
    if (!set.listen || set.quiet_ms != ARG_UNSET)
        return false;
    report_line("the peer is quiet; should it have ended its sending, this way may not tell: --quiet SECONDS takes its silence for its end");
    return true;
}

/* The receiving direction, until the peer's end; the exit code. */
static int receive_output(void)
{
    int64_t         quiet_ms = talk.way == WAY_HALF_CLOSES ? -1 : set.quiet_ms != ARG_UNSET ? set.quiet_ms : QUIET_MS;
    bool            silent = false;
    virtsock_status status;
    virtsock_error  err;
    size_t          n;
    int             code;

    while ((status = receive(&n, quiet_ms, &err)) == VIRTSOCK_OK || (status == VIRTSOCK_E_TIMEOUT && !silent)) {
        silent = status == VIRTSOCK_E_TIMEOUT && !is_patient();
        if (silent && !end_after_silence())
            return judge_silence();
        if (status == VIRTSOCK_E_TIMEOUT)
            quiet_ms = -1;
        else if ((code = tool_output(talk.out, n)) != 0)
            return report_system("standard output", code);
    }
    talk.ended = true;
    if (status == VIRTSOCK_E_EOF && silent)
        return judge_silence();
    if (status == VIRTSOCK_E_EOF)
        return EXIT_DONE;
    return talk.code != EXIT_DONE ? EXIT_FAILED : report_error(&err);          /* or the other direction said why, and ended this one */
}

/* After the peer's end of sending: THERE when all input was sent too; else it has gone, and there is none to send. */
static enum peer_state wait_for_input(void)
{
    enum peer_state peer = PEER_THERE;

    while (!tool_event_wait(talk.sent, LOOK_MS)) {
        if (peer != PEER_THERE)         /* and input that was there has had its time to fail */
            return peer;
        peer = peer_look(talk.stream);
    }
    if (talk.late && talk.code == EXIT_DONE && peer == PEER_THERE)
        peer = peer_look(talk.stream);
    return peer == PEER_BROKE ? peer : PEER_THERE;
}

static int converse(virtsock_stream *stream, const virtsock_address *address)
{
    struct way      way = way_of(stream, address, &set.way);
    enum peer_state peer;
    int             code;

    if (peer_settings.verbose)
        way_tell(&way);
    talk.stream = stream;
    talk.way = way.kind;
    talk.sent = tool_event_new();
    if (talk.sent == NULL || !tool_thread(send_input, NULL)) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    code = receive_output();
    if (code != EXIT_DONE)
        return code;
    peer = wait_for_input();
    if (peer == PEER_BROKE && talk.code == EXIT_DONE) {
        report_line("the peer broke the connection: it has not taken all that was sent");
        return EXIT_FAILED;
    }
    if (peer == PEER_THERE && talk.code == EXIT_DONE) {
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
    int                code = peer_listen(&listener, address);

    if (code != EXIT_DONE)
        return code;
    status = virtsock_accept(&stream, listener, -1, &err);
    tool_on_stop(NULL, NULL);
    virtsock_listener_free(listener);
    if (status == VIRTSOCK_OK)
        return converse(stream, address);
    return status == VIRTSOCK_E_CANCELLED ? EXIT_DONE : report_error(&err);
}

static int talk_with(const virtsock_address *address)
{
    virtsock_stream *stream;
    virtsock_error   err;

    if (set.listen)
        return set.echo ? serve(address, NULL) : wait_for_client(address);
    if (set.privileged) {
        const struct privileged_way way = { address, peer_settings.timeout_ms, peer_settings.wait_ms };

        return privileged_connect(&stream, &way, &err) == VIRTSOCK_OK ? converse(stream, address) : report_error(&err);
    }
    return peer_connect(&stream, address, &err) == VIRTSOCK_OK ? converse(stream, address) : EXIT_FAILED;
}

static int run(char **operand, int count)
{
    virtsock_address *address;
    const char       *why;
    int               code = peer_options(set.listen);

    if (code != EXIT_DONE)
        return code;
    if (set.echo && !set.listen)
        return report_usage("--echo is for listening: virtsock cat -l --echo ADDRESS");
    if (set.echo && (set.way.ends_both || set.way.half_closes || set.quiet_ms != ARG_UNSET))
        return report_usage("--no-half-close, --half-close and --quiet are for one conversation, and --echo for many");
    if (set.registers && !set.listen)
        return report_usage("--register is for listening: virtsock cat -l --register ADDRESS");
    if (set.privileged && (set.listen || peer_settings.stays_ms != ARG_UNSET))
        return report_usage("--privileged-port is for connecting, and without --stays");
    if (count == 0) {                   /* as hvcat; but there a client's was every CID */
        operand[0] = set.listen ? "vsock://:80" : "vsock://local:80";
        report_line("no address: %s is taken", operand[0]);
    }
    if ((code = peer_address(&address, operand[0], PORT_HVCAT)) != EXIT_DONE)
        return code;
    if (set.privileged && (why = privileged_never(address)) != NULL)
        return report_usage("%s: %s", operand[0], why);
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
    { 0, "register-guid", NULL, ARG_FLAG, &set.registers, "the same, as hvcat has it" },
    { 0, "privileged-port", NULL, ARG_FLAG, &set.privileged, PRIVILEGED_HELP },
    ARGS_WAY(set.way),
    { 0, "quiet", "SECONDS", ARG_SECONDS, &set.quiet_ms, "where it is kept back: a peer that says nothing for so long has ended; 5 unless told" },
    ARGS_PEER,
    ARGS_COMMON
};

const struct command cat_command = {
    .name = "cat",
    .summary = "send standard input, print what comes back",
    .usage = "[OPTION]... [ADDRESS]\n-l [--echo] [--register] [OPTION]... [ADDRESS]",
    .text = "Sends standard input to the peer and writes what it sends to standard output, both at once. At the end\n"
            "of input it ends its own direction alone, so that a request gets its whole reply.\n"
            "\n"
            "Over some ways that would be the end of both: with Firecracker, vhost-device-vsock or libkrun at the other end of\n"
            "the socket, or a multiplexer that is not known, it stays open until the peer has ended, or has been quiet for 5\n"
            "seconds: its answer may then be cut, so the exit code is 1 unless --quiet says how long its silence is. -v tells.\n"
            "\n"
            "An address without a port gets port 80. Without an address it is vsock://local:80, with -l vsock://:80.\n",
    .examples = "  printf 'hello\\n' | virtsock cat vsock://3:1024       ask a guest, print its answer\n"
                "  virtsock cat --wait 30 vsock://3:1024 < file        a guest that still boots\n"
                "  virtsock cat -l vsock://:1024 > file                take one connection\n"
                "  virtsock cat -l --echo --allow host vsock://:7      an echo server, in a guest\n",
    .args = args, .least = 0, .most = 1, .run = run
};
