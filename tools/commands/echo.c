/* SPDX-License-Identifier: MIT
 *
 * virtsock echo: the exchange of hvecho (linuxkit/virtsock, c/hvecho.c), either end. The client says `this is a test`, reads it back, ends
 * its direction, and is told `Bye!`; a 64-bit hvecho tells 8 bytes, of which the fifth is NUL and the rest what follows in its memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/ancestor.h"
#include "common/json.h"
#include "common/peer.h"
#include "common/report.h"
#include "common/serve.h"
#include "common/way.h"
#include "platform/tool.h"

#define ANSWER_MS 10000                 /* how long an answer may take unless --timeout says */

static const char greeting[] = "this is a test";
static const char bye[] = "Bye!";

static struct {
    bool server, client, json, no_bye, vsock;
} set;

static const virtsock_address *asked;   /* of the client */

struct exchange {
    int64_t attempts;
    int64_t connect_us, echo_us, bye_us;        /* each from the one before */
    size_t  bye_size;
};

/* The peer is there, and does not do its part. */
static virtsock_status broke(virtsock_error *err, const char *what)
{
    *err = (virtsock_error){ .status = VIRTSOCK_E_PROTOCOL, .op = "echo" };
    snprintf(err->message, sizeof err->message, "echo: %s", what);
    return err->status;
}

/* Until cap bytes or the peer's end; *size: how many. */
static virtsock_status collect(virtsock_stream *stream, char *buf, size_t cap, size_t *size, virtsock_error *err)
{
    int             timeout_ms = peer_settings.timeout_ms == ARG_UNSET ? ANSWER_MS : (int)peer_settings.timeout_ms;
    virtsock_status status = VIRTSOCK_OK;

    *size = 0;
    while (*size < cap && status == VIRTSOCK_OK) {
        size_t n = 0;

        status = virtsock_stream_recv(stream, buf + *size, cap - *size, &n, timeout_ms, err);
        *size += n;
    }
    return status == VIRTSOCK_E_EOF ? VIRTSOCK_OK : status;
}

static virtsock_status read_echo(virtsock_stream *stream, virtsock_error *err)
{
    char            buf[sizeof greeting - 1];
    size_t          size;
    virtsock_status status = collect(stream, buf, sizeof buf, &size, err);

    if (status != VIRTSOCK_OK)
        return status;
    if (size < sizeof buf)
        return broke(err, "the peer ended before it had sent all 14 bytes back");
    if (memcmp(buf, greeting, size) != 0)
        return broke(err, "other bytes came back than were sent");
    return VIRTSOCK_OK;
}

/* Over some ways it cannot be heard. */
static virtsock_status no_bye(const virtsock_stream *stream, virtsock_error *err)
{
    const struct way_told nothing = { false, false };
    const struct way      way = way_of(stream, asked, &nothing);
    char                  what[60 + WAY_BLAME], blame[WAY_BLAME];

    snprintf(what, sizeof what, "the peer sent all bytes back, and said no bye%s", way_blame(blame, &way, "--no-bye"));
    return broke(err, what);
}

static virtsock_status read_bye(virtsock_stream *stream, size_t *size, virtsock_error *err)
{
    char            buf[9];
    virtsock_status status = collect(stream, buf, sizeof buf, size, err);

    if (status == VIRTSOCK_E_RESET && *size == 0)
        return no_bye(stream, err);
    if (status != VIRTSOCK_OK)
        return status;
    if (*size == 0)
        return no_bye(stream, err);
    if ((*size != 4 && *size != 8) || memcmp(buf, bye, *size == 8 ? 5 : 4) != 0)
        return broke(err, "what the peer said at the end is no bye");
    return VIRTSOCK_OK;
}

/* *since to now. */
static int64_t lap(int64_t *since)
{
    int64_t now = tool_now_us(), took = now - *since;

    *since = now;
    return took;
}

static virtsock_status talk(virtsock_stream *stream, struct exchange *x, virtsock_error *err)
{
    int64_t         since = tool_now_us();
    virtsock_status status = peer_send(stream, greeting, sizeof greeting - 1, ANSWER_MS, err);

    if (status == VIRTSOCK_OK)
        status = read_echo(stream, err);
    x->echo_us = lap(&since);
    if (status != VIRTSOCK_OK || set.no_bye)
        return status;
    status = way_half_close(stream, err);
    if (status == VIRTSOCK_E_UNSUPPORTED)
        return no_bye(stream, err);
    if (status == VIRTSOCK_OK)
        status = read_bye(stream, &x->bye_size, err);
    x->bye_us = lap(&since);
    return status;
}

static void print_json(const char *where, const struct exchange *x, const virtsock_error *err)
{
    struct json j = { stdout, false };

    json_open(&j, NULL, '{');
    json_text(&j, "address", where);
    json_bool(&j, "ok", err == NULL);
    json_number(&j, "attempts", err != NULL && err->attempts > x->attempts ? err->attempts : x->attempts);
    if (err == NULL) {
        json_ms(&j, "connect_ms", x->connect_us);
        json_ms(&j, "echo_ms", x->echo_us);
        json_ms(&j, "bye_ms", x->bye_us);
        json_number(&j, "bye_bytes", (int64_t)x->bye_size);
    } else {
        json_text(&j, "status", virtsock_status_name(err->status));
        json_number(&j, "system_code", err->os_code);
        json_text(&j, "message", err->message);
        json_text(&j, "advice", virtsock_advice(err));
    }
    json_close(&j, '}');
    putchar('\n');
}

static int ask(const virtsock_address *address)
{
    char            *where = peer_text(asked = address);
    struct exchange  x = { 0 };
    virtsock_error   err;
    virtsock_stream *stream;
    int64_t          since = tool_now_us();
    virtsock_status  status = peer_connect(&stream, address, &err);

    x.connect_us = lap(&since);
    if (status == VIRTSOCK_OK) {
        virtsock_stream_get(stream, VIRTSOCK_ITEM_ATTEMPTS, &x.attempts, NULL);
        if ((status = talk(stream, &x, &err)) != VIRTSOCK_OK)
            report_error(&err);
    }
    virtsock_stream_free(stream);
    if (set.json)
        print_json(where, &x, status == VIRTSOCK_OK ? NULL : &err);
    else if (status == VIRTSOCK_OK)
        printf("%s: connected in %.3f ms, %zu bytes echoed in %.3f ms, bye in %.3f ms\n", where, (double)x.connect_us / 1000,
               sizeof greeting - 1, (double)x.echo_us / 1000, (double)x.bye_us / 1000);
    free(where);
    return status == VIRTSOCK_OK ? EXIT_DONE : EXIT_FAILED;
}

static int find_address(virtsock_address **out, const char *word)
{
    if (set.vsock || *word == '\0' || ancestor_is_target(word))
        return ancestor_address(out, word, set.vsock, set.server);
    return peer_address(out, word, PORT_HVECHO);
}

static int run(char **operand, int count)
{
    virtsock_address *address;
    int               code = peer_options(set.server);

    if (code != EXIT_DONE)
        return code;
    if (set.server && set.client)
        return report_usage("--server and --client are one end each");
    if (set.server && (set.json || set.no_bye))
        return report_usage("%s is for the client", set.json ? "--json" : "--no-bye");
    if ((code = find_address(&address, count > 0 ? operand[0] : "")) != EXIT_DONE)
        return code;
    code = set.server ? serve(address, bye) : ask(address);
    virtsock_address_free(address);
    return code;
}

static const struct arg args[] = {
    { 's', "server", NULL, ARG_FLAG, &set.server, "serve any number of clients, until it is interrupted" },
    { 'l', "listen", NULL, ARG_FLAG, &set.server, "the same" },
    { 'c', "client", NULL, ARG_FLAG, &set.client, "be the client: as without" },
    { 0, "no-bye", NULL, ARG_FLAG, &set.no_bye, "end after the echo: for a way that knows no half-close" },
    { 0, "json", NULL, ARG_FLAG, &set.json, "print the client's result and times as JSON" },
    ARG_ANCESTOR(set.vsock, "hvecho"),
    ARGS_PEER,
    ARGS_COMMON
};

const struct command echo_command = {
    .name = "echo",
    .summary = "try a peer out: an echo and a goodbye",
    .usage = "[-c] [OPTION]... [ADDRESS]\n-s [OPTION]... [ADDRESS]\n-c loopback|parent|GUID [-vsock] [OPTION]...",
    .text = "The client sends 14 bytes, reads them back, ends its direction and waits for the server's goodbye: both\n"
            "directions and the half-close work if it exits with 0. hvecho of linuxkit/virtsock may be either end.\n"
            "Without an address the client's is vsock://local:810097020 and the server's vsock://:810097020; an address\n"
            "without a port gets 810097020 (0x3049197c). An answer is waited for as long as --timeout says, or 10 seconds.\n",
    .examples = "  virtsock echo -s                                    serve, in a guest\n"
                "  virtsock echo vsock://3                             ask it, on the host\n"
                "  virtsock echo --json --wait 60 vsock://3            once it has booted\n",
    .args = args, .least = 0, .most = 1, .run = run
};
