/* SPDX-License-Identifier: MIT
 *
 * What the rules of `virtsock relay` take clients from: listeners, sockets that were passed on, standard input and output.
 * See relay.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/daemon.h"
#include "relay.h"

/* --- Sources ----------------------------------------------------------------------------------------------------------- */

struct sources {
    struct relay_source **end;
    struct relay_rule    *rule;
};

static struct relay_source *add(struct sources *s)
{
    struct relay_source *source = calloc(1, sizeof *source);

    if (source == NULL)
        return NULL;
    source->rule = s->rule;
    *s->end = source;
    s->end = &source->next;
    return source;
}

/* What --allow says is asked here, so its listener admits everybody. EXIT_DONE, or it was said why not. */
static int ask_here(struct relay_rule *rule)
{
    const int64_t     mode = rule->limits.group != NULL ? ARG_UNSET : rule->limits.mode;     /* it comes with the group */
    virtsock_options *all;
    virtsock_error    err;

    if (!relay_asks || rule->limits.allow.count == 0)
        return EXIT_DONE;
    if ((all = virtsock_options_new()) == NULL)
        return report_no_memory();
    virtsock_options_free(rule->listening);
    rule->listening = all;
    if (mode == ARG_UNSET || virtsock_options_set(all, VIRTSOCK_OPTION_SOCKET_MODE, mode, &err) == VIRTSOCK_OK)
        return EXIT_DONE;
    return report_error(&err);
}

/* A socket that is there already. */
static bool is_passed(const struct relay_rule *rule)
{
    const struct relay_end *from = &rule->from;

    return from->kind == RELAY_STANDARD || from->kind == RELAY_ACTIVATED
        || (from->kind == RELAY_ADDRESS && virtsock_address_scheme(from->address) == VIRTSOCK_SCHEME_FD);
}

/* Before anything is opened: sources of which nobody can say who it is. Of sockets that are passed on it is seen when
 * they are looked at, and that is before anybody listens. */
static int check_source(const struct relay_rule *rule)
{
    if (rule->limits.allow.count == 0)
        return EXIT_DONE;
    if (rule->from.kind == RELAY_SYSLOG)
        return report_usage("%s: --allow cannot be kept: datagrams do not tell who sent them; --mode says who may "
                            "(or give each rule its own allow=)", rule->from.text);
    if (rule->from.kind == RELAY_STANDARD && daemon_inetd() == -1)
        return report_usage("-: --allow cannot be kept: standard input is no socket, which could tell who it is");
    if (relay_asks && !is_passed(rule))
        return relay_check_allow(rule, virtsock_address_scheme(rule->from.address));
    return EXIT_DONE;
}

static virtsock_scheme scheme_of(const struct relay_source *source)
{
    virtsock_address *address;
    virtsock_status   status;
    virtsock_scheme   scheme;
    int64_t           value = VIRTSOCK_SCHEME_NONE;

    if (source->client != NULL) {
        virtsock_stream_get(source->client, VIRTSOCK_ITEM_SCHEME, &value, NULL);
        return (virtsock_scheme)value;
    }
    status = virtsock_listener_address(source->listener, &address, NULL);
    if (status != VIRTSOCK_OK)          /* only sockets of UNIX may have no name, or one that is no path */
        return status == VIRTSOCK_E_NOT_FOUND ? VIRTSOCK_SCHEME_UNIX : VIRTSOCK_SCHEME_NONE;
    scheme = virtsock_address_scheme(address);
    virtsock_address_free(address);
    return scheme;
}

/* One that was passed on: whether its client may have what it came for, and whether that can be told. */
static int ask(struct relay_source *source)
{
    int code = relay_asks || source->client != NULL ? relay_check_allow(source->rule, scheme_of(source)) : EXIT_DONE;

    if (code != EXIT_DONE || source->client == NULL || relay_admits(source->rule, source->client, true))
        return code;
    virtsock_stream_shutdown(source->client, VIRTSOCK_SHUT_BOTH, NULL);        /* others may have the socket still */
    virtsock_stream_free(source->client);
    source->client = NULL;
    return EXIT_DONE;
}

static void tell_where(const struct relay_source *source)
{
    virtsock_address *address;
    uint32_t          port = 0;
    char             *text;

    if (source->rule->from.address != NULL)
        virtsock_address_number(source->rule->from.address, VIRTSOCK_PART_PORT, &port);
    if (!relay_settings.verbose && port != VIRTSOCK_PORT_ANY)
        return;
    if (virtsock_listener_address(source->listener, &address, NULL) != VIRTSOCK_OK)
        return;
    if ((text = peer_text(address)) != NULL)
        report_line("listening on %s for %s", text, source->rule->to.text);
    free(text);
    virtsock_address_free(address);
}

/* A socket that somebody has passed on: one that listens, or a client. */
static int adopt(struct sources *s, virtsock_fd fd)
{
    struct relay_source *source = add(s);
    virtsock_error       err;

    if (source == NULL)
        return report_no_memory();
    source->shared = true;
    if (virtsock_listener_from_fd(&source->listener, fd, s->rule->listening, &err) == VIRTSOCK_OK) {
        tell_where(source);
        return ask(source);
    }
    if (virtsock_stream_from_fd(&source->client, fd, s->rule->connecting, &err) == VIRTSOCK_OK)
        return ask(source);
    report_line("%s: descriptor %" PRId64 ", which was passed on:", s->rule->from.text, (int64_t)fd);
    return report_error(&err);
}

static int adopt_activated(struct sources *s)
{
    const char *wanted = s->rule->from.name;
    char        name[DAEMON_NAME];
    virtsock_fd fd;
    int         found = 0, code = EXIT_DONE;

    for (int i = 0; code == EXIT_DONE && (fd = daemon_passed(i, name)) != -1; i++)
        if (*wanted == '\0' || strcmp(wanted, name) == 0) {
            code = adopt(s, fd);
            found++;
        }
    if (found > 0)
        return code;
    report_line("%s: no such socket was passed on: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say which are", s->rule->from.text);
    return EXIT_FAILED;
}

/* Whether the socket listens is seen when it is tried. */
static int open_address(struct sources *s)
{
    struct relay_source *source = add(s);
    bool                 fd = virtsock_address_scheme(s->rule->from.address) == VIRTSOCK_SCHEME_FD;
    virtsock_error       err;

    if (source == NULL)
        return report_no_memory();
    source->shared = fd;
    if (virtsock_listen(&source->listener, s->rule->from.address, s->rule->listening, &err) == VIRTSOCK_OK) {
        if (peer_give_group(s->rule->from.address, s->rule->limits.group, s->rule->limits.mode) != EXIT_DONE)
            return EXIT_FAILED;
        tell_where(source);
        return fd ? ask(source) : EXIT_DONE;
    }
    if (fd && err.status == VIRTSOCK_E_INVALID && virtsock_connect(&source->client, s->rule->from.address, NULL, &err) == VIRTSOCK_OK)
        return ask(source);
    return report_error(&err);
}

/* inetd may pass a listening socket as well. */
static int open_input(struct sources *s)
{
    struct relay_source *source;
    virtsock_fd          inetd = daemon_inetd();

    if (inetd != -1)
        return adopt(s, inetd);
    if ((source = add(s)) == NULL)
        return report_no_memory();
    return relay_open_standard(&source->client);
}

static int open_rule(struct sources *s, struct relay_rule *rule)
{
    if (rule->to.kind == RELAY_STANDARD && !daemon_has_pairs)
        return relay_refuse_standard();
    s->rule = rule;
    switch (rule->from.kind) {
    case RELAY_ADDRESS:   return open_address(s);
    case RELAY_STANDARD:  return open_input(s);
    case RELAY_ACTIVATED: return adopt_activated(s);
    case RELAY_SYSLOG:    return relay_syslog_start(rule);
    default:              return EXIT_DONE;             /* TO's alone */
    }
}

int relay_open(struct relay_source **out, struct relay_rule *rules)
{
    struct sources s = { .end = out };
    int            code = EXIT_DONE;

    *out = NULL;
    for (struct relay_rule *rule = rules; rule != NULL && code == EXIT_DONE; rule = rule->next)
        if ((code = check_source(rule)) == EXIT_DONE)
            code = ask_here(rule);
    for (int passed = 1; passed >= 0; passed--)
        for (struct relay_rule *rule = rules; rule != NULL && code == EXIT_DONE; rule = rule->next)
            if (is_passed(rule) == (passed != 0))
                code = open_rule(&s, rule);
    return code;
}

void relay_close(struct relay_source *sources)
{
    while (sources != NULL) {
        struct relay_source *next = sources->next;

        virtsock_listener_free(sources->listener);
        virtsock_stream_free(sources->client);
        free(sources);
        sources = next;
    }
}
