/* SPDX-License-Identifier: MIT
 *
 * Standard input and output as an end of a rule of `virtsock relay`. Pipes, files and terminals are read and written by a
 * thread a direction, and are one end of a pair of sockets so: cat.c says why. And TO, which they may be. See relay.h.
 */
#include "common/peer.h"
#include "common/privileged.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "platform/tool.h"
#include "relay.h"

#define CHUNK 65536

static struct {
    virtsock_stream   *stream;          /* its other end is the conversation's */
    struct tool_event *written;
    atomic_int         code;
    atomic_bool        broke;           /* input could not be read */
    char               in[CHUNK], out[CHUNK];
} standard;

static void read_input(void *unused)
{
    virtsock_status status = VIRTSOCK_OK;
    int64_t         n = 0;

    (void)unused;
    while (status == VIRTSOCK_OK && (n = tool_input(standard.in, sizeof standard.in)) > 0)
        status = peer_send(standard.stream, standard.in, (size_t)n, -1, NULL);
    if (n < 0) {
        standard.code = report_system("standard input", (int)-n);
        standard.broke = true;
    }
    virtsock_stream_shutdown(standard.stream, VIRTSOCK_SHUT_SEND, NULL);
}

static void write_output(void *unused)
{
    size_t n;
    int    code = 0;

    (void)unused;
    while (code == 0 && virtsock_stream_recv(standard.stream, standard.out, sizeof standard.out, &n, -1, NULL) == VIRTSOCK_OK)
        code = tool_output(standard.out, n);
    if (code != 0) {
        standard.code = report_system("standard output", code);
        virtsock_stream_shutdown(standard.stream, VIRTSOCK_SHUT_RECV, NULL);
    } else {
        daemon_end_output();
    }
    tool_event_set(standard.written);
}

int relay_refuse_standard(void)
{
    report_line("standard input and output are nothing that this system can relay: use virtsock cat");
    return EXIT_FAILED;
}

int relay_open_standard(virtsock_stream **out)
{
    virtsock_fd inetd = daemon_inetd(), pair[2];

    if (inetd != -1) {
        virtsock_error err;

        return virtsock_stream_from_fd(out, inetd, NULL, &err) == VIRTSOCK_OK ? EXIT_DONE : report_error(&err);
    }
    if (!daemon_pair(pair))
        return relay_refuse_standard();
    standard.written = tool_event_new();
    if (standard.written == NULL || virtsock_stream_from_fd(out, pair[0], NULL, NULL) != VIRTSOCK_OK
        || virtsock_stream_from_fd(&standard.stream, pair[1], NULL, NULL) != VIRTSOCK_OK
        || !tool_thread(write_output, NULL) || !tool_thread(read_input, NULL))
        return report_no_memory();
    return EXIT_DONE;
}

bool relay_input_broke(const struct relay_rule *rule, int end)
{
    return standard.broke && (end == 0 ? rule->from.kind : rule->to.kind) == RELAY_STANDARD;
}

int relay_finish_standard(void)
{
    if (standard.stream == NULL)
        return EXIT_DONE;
    tool_event_wait(standard.written, -1);
    return standard.code;
}

/* --- TO ---------------------------------------------------------------------------------------------------------------- */

virtsock_status relay_connect(virtsock_stream **out, const struct relay_rule *rule, virtsock_error *err)
{
    *out = NULL;
    if (rule->to.kind == RELAY_COMMAND) {
        *err = (virtsock_error){ .status = VIRTSOCK_E_UNSUPPORTED, .op = "connect",
                                 .message = "a command is for clients, and not to be passed on" };
        return err->status;
    }
    if (rule->to.kind == RELAY_NAMED)
        return relay_connect_named(out, rule, err);
    if (rule->limits.privileged) {
        const struct privileged_way way = { rule->to.address, rule->limits.timeout_ms, rule->limits.wait_ms };

        return privileged_connect(out, &way, err);
    }
    if (rule->to.kind != RELAY_STANDARD)
        return virtsock_connect(out, rule->to.address, rule->connecting, err);
    *err = (virtsock_error){ .status = VIRTSOCK_E_SYSTEM, .op = "connect", .message = "standard output: it cannot be had" };
    return relay_open_standard(out) == EXIT_DONE ? VIRTSOCK_OK : err->status;
}
