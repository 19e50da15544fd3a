/* SPDX-License-Identifier: MIT
 *
 * virtsock relay: takes clients from one address and joins each to another, any to any: the command, its options, and its life from readiness
 * to the last conversation. See relay.h for the parts.
 */
#include "relay.h"

#include "commands/commands.h"
#include "common/privileged.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "platform/tool.h"

static struct relay_rule *rules;

static void tell_stats(void)
{
    relay_tell_stats(rules);
}

/* --- ssh's ProxyUseFdpass ------------------------------------------------------------------------------------------------ */

static int pass(void)
{
    virtsock_stream *stream;
    virtsock_error   err;
    virtsock_fd      fd;
    int              code;

    if (rules->next != NULL || rules->from.kind != RELAY_STANDARD)
        return report_usage("--pass-fd hands one connection over standard output: virtsock relay --pass-fd - TO");
    if (rules->limits.allow.count > 0)
        return report_usage("--pass-fd has no client of whom --allow could ask");
    if (relay_connect(&stream, rules, &err) != VIRTSOCK_OK)
        return report_error(&err);
    if (virtsock_stream_detach(stream, &fd, &err) != VIRTSOCK_OK)
        return report_error(&err);
    virtsock_stream_free(stream);
    code = daemon_pass(fd);
    return code == 0 ? EXIT_DONE : report_system("standard output, which must be a UNIX socket", code);
}

/* --- Serving ------------------------------------------------------------------------------------------------------------- */

/* Everything is open by now: who waits for readiness may connect at once. */
static int begin(void)
{
    const char *pidfile = relay_settings.pidfile;
    int         code = pidfile != NULL ? daemon_write_pid(pidfile) : 0;

    if (code == DAEMON_NO_FILE)
        report_line("%s: something stands there that is no file, which a pidfile is", pidfile);
    else if (code != 0)
        report_system(pidfile, code);
    if (code != 0)
        return EXIT_FAILED;
    if (relay_settings.detach)
        daemon_detach();
    relay_log(relay_settings.detach ? daemon_log : daemon_say);
    relay_notify("READY=1");
    return EXIT_DONE;
}

static int serve(void)
{
    struct relay_source *sources;
    int                  code, finished;

    daemon_on_report(tell_stats);
    tool_on_stop(relay_stop, NULL);     /* before anybody hears of it: who reads where it listens may end it at once */
    code = relay_open(&sources, rules);
    if (code == EXIT_DONE && (code = begin()) == EXIT_DONE) {
        code = relay_serve(sources, rules);
        finished = relay_finish_standard();
        code = code != EXIT_DONE ? code : finished;
        if (relay_settings.pidfile != NULL)
            daemon_remove_pid(relay_settings.pidfile);
        if (relay_settings.stats)
            tell_stats();
    }
    relay_close(sources);
    return code;
}

static int check(void)
{
    bool standard = false;

    for (const struct relay_rule *rule = rules; rule != NULL; rule = rule->next)
        standard |= rule->from.kind == RELAY_STANDARD || rule->to.kind == RELAY_STANDARD;
    if (relay_settings.json && standard)
        return report_usage("--json is for standard output, which a rule has");
    if (relay_settings.detach && standard)
        return report_usage("-detach leaves no standard input and output, which a rule has");
    return EXIT_DONE;
}

/* Of a conversation on standard input and output alone: ssh shows what its ProxyCommand says, and looks at its exit code. */
static int result(int code)
{
    const struct relay_counts *counts = &rules->counts;

    if (code == EXIT_DONE && rules->next == NULL && (rules->from.kind == RELAY_STANDARD || rules->to.kind == RELAY_STANDARD))
        return counts->unreached + counts->broken + counts->refused > 0 ? EXIT_FAILED : EXIT_DONE;
    return code;
}

static int run(char **operand, int count)
{
    int code = relay_read_rules(&rules, operand, count);

    if (code != EXIT_DONE || (code = check()) != EXIT_DONE)
        return code;
    return relay_settings.pass_fd ? pass() : result(serve());
}

static const struct arg args[] = {
    { 'r', "rules", "FILE", ARG_LIST, &relay_settings.rules, "more rules: FROM TO [KEY=VALUE]... a line, # begins a comment" },
    { 0, "allow", "RULE", ARG_LIST, &relay_settings.limits.allow, "whom to accept: host, local, CID, CID-CID, uid=N, self" },
    { 0, "mode", "OCTAL", ARG_OCTAL, &relay_settings.limits.mode, "permissions of a UNIX socket that listens, 600 unless told" },
    { 0, "group", "GROUP", ARG_TEXT, &relay_settings.limits.group, "of a UNIX socket that listens, 660 then unless told" },
    { 0, "max", "N", ARG_NUMBER, &relay_settings.limits.max, "clients of a rule at once; others wait to be accepted" },
    { 0, "idle", "SECONDS", ARG_SECONDS, &relay_settings.limits.idle_ms, "end a conversation in which nothing moves for so long" },
    { 0, "timeout", "SECONDS", ARG_SECONDS, &relay_settings.limits.timeout_ms, "connecting to TO: give an attempt up after that" },
    { 0, "wait", "SECONDS", ARG_SECONDS, &relay_settings.limits.wait_ms, "connecting to TO: try again until it is there, so long at most" },
    { 0, "stays", "SECONDS", ARG_SECONDS, &relay_settings.limits.stays_ms, "connecting to TO: if it hangs up within that, it is not there yet" },
    { 0, "privileged-port", NULL, ARG_FLAG, &relay_settings.limits.privileged, PRIVILEGED_HELP },
    ARGS_WAY(relay_settings.way),
    { 0, "drain", "SECONDS", ARG_SECONDS, &relay_settings.drain_ms, "asked to end: wait for conversations, so long at most; 10 unless told" },
    { 0, "threads", "N", ARG_NUMBER, &relay_settings.threads, "that serve; one a processor, and 4 at most, unless told" },
    { 0, "stats", NULL, ARG_FLAG, &relay_settings.stats, "tell the counters at the end; at SIGUSR1 they are told anyway" },
    { 0, "json", NULL, ARG_FLAG, &relay_settings.json, "tell them as JSON, a line each time, on standard output" },
    { 0, "pass-fd", NULL, ARG_FLAG, &relay_settings.pass_fd, "connect, and hand the descriptor over: for ssh's ProxyUseFdpass" },
    { 'v', "verbose", NULL, ARG_COUNT, &relay_settings.verbose, "tell of each client" },
    { 0, "pidfile", "FILE", ARG_TEXT, &relay_settings.pidfile, "write this process's number there, once it listens" },
    { 0, "detach", NULL, ARG_FLAG, &relay_settings.detach, "log to syslog; standard input and output become /dev/null" },
    { 0, "inport", "PORT:unix:PATH", ARG_LIST, &relay_settings.inport, "a rule: vsock://:PORT unix://PATH; PORT may be a GUID" },
    { 0, "syslog", "PORT:PATH", ARG_LIST, &relay_settings.syslog, "a rule: syslog:PATH vsock://host:PORT; PORT may be a GUID" },
    ARGS_COMMON
};

const struct command relay_command = {
    .name = "relay",
    .summary = "join clients of one address to another",
    .usage = "[OPTION]... FROM TO\n[OPTION]... FROM exec:PROGRAM [ARGUMENT]...\n[OPTION]... --rules FILE",
    .text = "Listens at FROM, connects to TO for each client, and carries bytes and the ends of both directions over, until it is\n"
            "asked to end: then it takes no more clients, waits for the conversations, and exits with 0.\n"
            "\n"
            "Both are addresses, or `-`, standard input and output: one conversation, also where that is a socket (inetd).\n"
            "FROM may also be fd://N that listens or is a client; activated or activated:NAME, what a service manager\n"
            "passed on (LISTEN_FDS); syslog:PATH, datagrams, each sent on as its length, a blank and its bytes.\n"
            "TO may also be tcp://NAME:PORT: the name is looked up for each client. Or exec:PROGRAM and all that follows, its\n"
            "arguments: run for each client, whose socket is its standard input and output.\n",
    .examples = "  virtsock relay unix:///run/docker.sock vsock://3:2375      a guest's service, for programs of this host\n"
                "  virtsock relay --allow host vsock://:22 tcp://127.0.0.1:22 a service of this guest, for its host\n"
                "  ssh -o ProxyCommand='virtsock relay - vsock://3:22' guest  ssh, with no network\n"
                "  virtsock relay vsock://:22 exec:/usr/sbin/sshd -i          a command for each client\n"
                "  virtsock relay -inport 2376:unix:/var/run/docker.sock -pidfile /run/vsudd.pid -detach\n",
    .args = args, .operand = "FROM and TO", .last = COMMAND, .least = 0, .most = 2, .run = run
};
