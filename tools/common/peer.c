/* SPDX-License-Identifier: MIT
 *
 * The other end: see peer.h. A connection is driven step by step, so that each attempt can be told of while the next is under way.
 */
#include "common/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "platform/group.h"
#include "platform/tool.h"

struct peer_settings peer_settings = { .timeout_ms = ARG_UNSET, .wait_ms = ARG_UNSET, .stays_ms = ARG_UNSET, .mode = ARG_UNSET };

static virtsock_options *options;       /* made from them, for every connection and listener */
static int64_t           took_ns;

static virtsock_status no_memory(virtsock_error *err)
{
    *err = (virtsock_error){ .status = VIRTSOCK_E_NO_RESOURCES, .message = "out of memory" };
    return err->status;
}

/* --- Options ----------------------------------------------------------------------------------------------------------- */

static int check_part(bool listening)
{
    const char *misfit = NULL;

    if (listening && peer_settings.timeout_ms != ARG_UNSET)
        misfit = "--timeout";
    else if (listening && peer_settings.wait_ms != ARG_UNSET)
        misfit = "--wait";
    else if (listening && peer_settings.stays_ms != ARG_UNSET)
        misfit = "--stays";
    else if (!listening && peer_settings.mode != ARG_UNSET)
        misfit = "--mode";
    else if (!listening && peer_settings.group != NULL)
        misfit = "--group";
    else if (!listening && peer_settings.allow.count > 0)
        misfit = "--allow";
    if (misfit == NULL)
        return EXIT_DONE;
    return report_usage("%s is for %s", misfit, listening ? "connecting, and this end listens" : "listening, and this end connects");
}

static virtsock_status set(virtsock_option option, int64_t value, virtsock_error *err)
{
    return value == ARG_UNSET ? VIRTSOCK_OK : virtsock_options_set(options, option, value, err);
}

static virtsock_status make_options(virtsock_error *err)
{
    const struct peer_settings *p = &peer_settings;
    virtsock_status             status = VIRTSOCK_OK;

    if ((options = virtsock_options_new()) == NULL)
        return no_memory(err);
    for (int i = 0; i < p->allow.count && status == VIRTSOCK_OK; i++)
        status = virtsock_options_allow(options, p->allow.item[i], err);
    if (status == VIRTSOCK_OK)
        status = set(VIRTSOCK_OPTION_SOCKET_MODE, p->group != NULL ? ARG_UNSET : p->mode, err);         /* wider once it is the group's */
    if (status == VIRTSOCK_OK)
        status = set(VIRTSOCK_OPTION_CONNECT_TIMEOUT, p->timeout_ms, err);
    if (status == VIRTSOCK_OK)
        status = set(VIRTSOCK_OPTION_WAIT, p->wait_ms, err);
    if (status == VIRTSOCK_OK)
        status = set(VIRTSOCK_OPTION_STAYS, p->stays_ms, err);
    return status;
}

int peer_options(bool listening)
{
    virtsock_error err;
    int            code = check_part(listening);

    if (code != EXIT_DONE || make_options(&err) == VIRTSOCK_OK)
        return code;
    return report_argument(&err);
}

virtsock_options *peer_made_options(void)
{
    return options;
}

/* --- Addresses --------------------------------------------------------------------------------------------------------- */

bool peer_is_scheme(const char *text, size_t size, const char *scheme)
{
    size_t i = 0;

    while (i < size && (text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]) == scheme[i])
        i++;
    return i == size && scheme[i] == '\0';
}

/* Where a port belongs in a text that has none, just after an empty `:` too; NULL: it has one, or is of another kind. */
static const char *port_place(const char *text)
{
    static const char *const schemes[] = { "vsock", "hvsock", "vsock-mux", "firecracker", "hyperkit", "hyperkit+docker" };
    const char *rest = strstr(text, "://"), *end, *colon;

    for (size_t i = 0; rest != NULL && i < sizeof schemes / sizeof *schemes; i++) {
        if (!peer_is_scheme(text, (size_t)(rest - text), schemes[i]))
            continue;
        rest += 3;
        end = rest + strcspn(rest, "/?");
        colon = memchr(rest, ':', (size_t)(end - rest));
        if (colon != NULL && colon + 1 != end)
            return NULL;
        return strcmp(schemes[i], "hvsock") == 0 && *end == '/' ? NULL : end;          /* the service stands behind the slash */
    }
    return NULL;
}

int peer_address(virtsock_address **out, const char *text, uint32_t default_port)
{
    const char    *place = port_place(text);
    char           longer[4096 + 16];
    virtsock_error err;

    if (place != NULL && strlen(text) <= 4096) {
        int head = (int)(place - text);

        snprintf(longer, sizeof longer, "%.*s%s%" PRIu32 "%s", head, text, place[-1] == ':' ? "" : ":", default_port, place);
        report_line("%s names no port: %" PRIu32 " is taken", text, default_port);
        text = longer;
    }
    return virtsock_address_parse(out, text, &err) == VIRTSOCK_OK ? EXIT_DONE : report_argument(&err);
}

char *peer_text(const virtsock_address *address)
{
    size_t size = virtsock_address_format(address, NULL, 0) + 1;
    char  *text = malloc(size);

    if (text != NULL)
        virtsock_address_format(address, text, size);
    return text;
}

bool peer_is_abstract(const virtsock_address *address)
{
    const char *path = virtsock_address_text(address, VIRTSOCK_PART_PATH);

    return path != NULL && *path == '@';
}

int peer_check_group(const virtsock_address *address, const char *group)
{
    if (group == NULL)
        return EXIT_DONE;
    if (address == NULL || virtsock_address_scheme(address) != VIRTSOCK_SCHEME_UNIX || peer_is_abstract(address))
        return report_usage("--group is for unix:///PATH, whose file has one");
    return group_is_known(group) ? EXIT_DONE : report_usage("--group \"%s\": this system knows no such group", group);
}

int peer_give_group(const virtsock_address *address, const char *group, int64_t mode)
{
    const char *path = virtsock_address_text(address, VIRTSOCK_PART_PATH);
    int         code = group != NULL ? group_give(path, group, mode == ARG_UNSET ? 0660 : (int)mode) : 0;

    return code == 0 ? EXIT_DONE : report_system(path, code);
}

/* --- Connecting -------------------------------------------------------------------------------------------------------- */

struct trace {
    char   *where;
    int64_t begun_us;
    int64_t attempt_ns;                 /* when the latest began */
    int64_t told;                       /* attempts that were told of */
    int64_t cause;                      /* status of the latest that failed by itself, and not as our time had passed */
    bool    progress, drawn;            /* a line on the terminal that is written again and again */
};

static int64_t item(const virtsock_stream *stream, virtsock_item which)
{
    int64_t value;

    return virtsock_stream_get(stream, which, &value, NULL) == VIRTSOCK_OK ? value : 0;
}

/* That the latest attempt has failed, once. */
static void tell_failure(struct trace *t, const virtsock_stream *stream)
{
    int64_t     attempt = item(stream, VIRTSOCK_ITEM_ATTEMPTS), status = item(stream, VIRTSOCK_ITEM_LAST_STATUS);
    int         code = (int)item(stream, VIRTSOCK_ITEM_LAST_CODE);
    const char *name = virtsock_status_name((virtsock_status)status);
    char        text[TOOL_CODE_TEXT], cause[TOOL_CODE_TEXT + 40] = "";

    if (attempt == t->told)
        return;
    t->told = attempt;
    if (t->cause == VIRTSOCK_OK || status != VIRTSOCK_E_TIMEOUT || code != 0)
        t->cause = status;
    if (!peer_settings.verbose)
        return;
    if (code != 0) {
        tool_code_text(code, text, sizeof text);
        snprintf(cause, sizeof cause, ", system code %d (%s)", code, text);
    }
    report_line("attempt %" PRId64 " of %s: %s%s, after %.1f ms", attempt, t->where, name, cause,
                (double)(tool_now_us() - t->begun_us) / 1000);
}

static void draw(struct trace *t, const virtsock_stream *stream)
{
    int64_t ms = (tool_now_us() - t->begun_us) / 1000;

    if (!t->progress || ms < 500)
        return;
    fprintf(stderr, "\r\033[Kvirtsock: waiting for %.60s: %" PRId64 " s, attempt %" PRId64, t->where, ms / 1000,
            item(stream, VIRTSOCK_ITEM_ATTEMPTS));
    t->drawn = true;
}

/* After a step that said AGAIN. No descriptor to wait for: the pause after an attempt that failed (or, before any has, a full backlog). */
static void await_step(struct trace *t, const virtsock_stream *stream)
{
    virtsock_fd fd;
    int         events, timeout_ms;

    virtsock_stream_wants(stream, &fd, &events, &timeout_ms);
    if (fd == -1 && item(stream, VIRTSOCK_ITEM_LAST_STATUS) != VIRTSOCK_OK)
        tell_failure(t, stream);
    draw(t, stream);
    if (t->progress && (timeout_ms < 0 || timeout_ms > 200))
        timeout_ms = 200;
    tool_wait(fd, events, timeout_ms);
    if (fd == -1)
        t->attempt_ns = tool_now_ns();
}

static void tell_end(struct trace *t, const virtsock_stream *stream, virtsock_status status)
{
    if (t->drawn)
        fputs("\r\033[K", stderr);
    if (status != VIRTSOCK_OK)
        tell_failure(t, stream);
    else if (peer_settings.verbose)
        report_line("attempt %" PRId64 " of %s: connected, after %.1f ms", item(stream, VIRTSOCK_ITEM_ATTEMPTS), t->where,
                    (double)(tool_now_us() - t->begun_us) / 1000);
}

static virtsock_status drive(virtsock_stream *stream, struct trace *t, virtsock_error *err)
{
    virtsock_status status;

    while ((status = virtsock_stream_connect(stream, 0, err)) == VIRTSOCK_E_AGAIN)
        await_step(t, stream);
    took_ns = tool_now_ns() - t->attempt_ns;
    tell_end(t, stream, status);
    return status;
}

static virtsock_status start(virtsock_stream **out, const virtsock_address *address, virtsock_error *err)
{
    virtsock_address *found;
    virtsock_status   status = virtsock_resolve(&found, address, options, err);

    if (status == VIRTSOCK_OK)
        status = virtsock_connect_start(out, found, options, err);
    virtsock_address_free(found);
    return status;
}

virtsock_status peer_try(virtsock_stream **out, const virtsock_address *address, virtsock_status *cause, virtsock_error *err)
{
    struct trace    t = { .where = peer_text(address), .begun_us = tool_now_us(), .attempt_ns = tool_now_ns() };
    virtsock_status status;

    *out = NULL;
    status = t.where == NULL ? no_memory(err) : start(out, address, err);
    t.progress = !peer_settings.verbose && tool_errors_on_terminal();
    if (status == VIRTSOCK_OK && (status = drive(*out, &t, err)) != VIRTSOCK_OK) {
        virtsock_stream_free(*out);
        *out = NULL;
    }
    *cause = (virtsock_status)t.cause;
    free(t.where);
    return status;
}

virtsock_status peer_connect(virtsock_stream **out, const virtsock_address *address, virtsock_error *err)
{
    virtsock_status cause, status = peer_try(out, address, &cause, err);

    if (status != VIRTSOCK_OK)
        report_error(err);
    return status;
}

int64_t peer_took_ns(void)
{
    return took_ns;
}

virtsock_status peer_connect_quietly(virtsock_stream **out, const virtsock_address *address, virtsock_error *err)
{
    return virtsock_connect(out, address, options, err);
}

/* --- Listening --------------------------------------------------------------------------------------------------------- */

static void tell_where(const virtsock_listener *listener, const virtsock_address *asked)
{
    virtsock_address *address;
    uint32_t          port = 0;
    char             *text;

    virtsock_address_number(asked, VIRTSOCK_PART_PORT, &port);
    if (!peer_settings.verbose && port != VIRTSOCK_PORT_ANY)
        return;
    if (virtsock_listener_address(listener, &address, NULL) != VIRTSOCK_OK)
        return;
    if ((text = peer_text(address)) != NULL)
        report_line("listening on %s", text);
    free(text);
    virtsock_address_free(address);
}

static void stop(void *listener)
{
    virtsock_listener_close(listener, NULL);
}

int peer_listen(virtsock_listener **out, const virtsock_address *address)
{
    virtsock_error err;
    int            code;

    if (peer_settings.mode != ARG_UNSET && peer_is_abstract(address))
        return report_usage("--mode is for a file: of an abstract name --allow says who may connect");
    if ((code = peer_check_group(address, peer_settings.group)) != EXIT_DONE)
        return code;
    if (virtsock_listen(out, address, options, &err) != VIRTSOCK_OK)
        return report_error(&err);
    if ((code = peer_give_group(address, peer_settings.group, peer_settings.mode)) != EXIT_DONE) {
        virtsock_listener_free(*out);
        return code;
    }
    tool_on_stop(stop, *out);           /* before anybody hears of it: who reads where it listens may end it at once */
    tell_where(*out, address);
    return EXIT_DONE;
}

/* --- Talking ----------------------------------------------------------------------------------------------------------- */

enum peer_state peer_look(virtsock_stream *stream)
{
    char   byte;
    size_t n;

    if ((item(stream, VIRTSOCK_ITEM_PEER_STATE) & VIRTSOCK_PEER_DEAF) == 0)
        return PEER_THERE;
    return virtsock_stream_recv(stream, &byte, 1, &n, 0, NULL) == VIRTSOCK_E_RESET ? PEER_BROKE : PEER_LEFT;
}

virtsock_status peer_send(virtsock_stream *stream, const void *data, size_t size, int timeout_ms, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_OK;
    const char     *at = data;

    while (size > 0 && status == VIRTSOCK_OK) {
        size_t done = 0;

        status = virtsock_stream_send(stream, at, size, &done, timeout_ms, err);
        at += done;
        size -= done;
    }
    return status;
}
