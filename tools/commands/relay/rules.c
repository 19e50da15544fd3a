/* SPDX-License-Identifier: MIT
 *
 * Rules of `virtsock relay`: FROM and TO of the command line, lines of files, and what linuxkit's vsudd was told. See relay.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "platform/child.h"
#include "platform/tool.h"
#include "relay.h"

#define LINE_SIZE 16384
#define NAMED_MS  10000                 /* of one address of a name, unless told: there may be others */
#define BLANKS    " \t\r\n"

/* A file's line, for messages; NULL: the command line. */
struct place {
    const char *file;
    int         line;
};

static int wrong(const struct place *place, const char *text, const char *why)
{
    if (place->file != NULL)
        return report_usage("%s:%d: %s: %s", place->file, place->line, text, why);
    return report_usage("%s: %s", text, why);
}

/* --- Ends -------------------------------------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with, const char **rest)
{
    size_t n = strlen(with);

    *rest = text + n;
    return strncmp(text, with, n) == 0;
}

/* Kept as it is: nothing is freed before the program ends. */
static int add_argument(struct relay_end *end, const char *word)
{
    size_t count = 0;
    char **more, *own = malloc(strlen(word) + 1);

    while (end->argv != NULL && end->argv[count] != NULL)
        count++;
    if (own == NULL || (more = realloc(end->argv, (count + 2) * sizeof *more)) == NULL)
        return report_no_memory();
    end->argv = more;
    more[count] = strcpy(own, word);
    more[count + 1] = NULL;
    return EXIT_DONE;
}

/* What can never be run is no rule. */
static int read_command(struct relay_end *end, const char *path, const struct place *place)
{
    char text[TOOL_CODE_TEXT];
    int  code;

    end->kind = RELAY_COMMAND;
    if (!child_runs)
        return wrong(place, end->text, "this system gives no program a socket");
    if (strchr(path, '/') == NULL)
        return wrong(place, end->text, "wanted is a program's path, as in exec:/usr/sbin/sshd -i");
    if ((code = child_look(path)) == 0)
        return add_argument(end, path);
    tool_code_text(code, text, sizeof text);
    return wrong(place, end->text, text);
}

static int read_end(struct relay_end *end, const char *text, bool from, const struct place *place)
{
    virtsock_error err;
    const char    *why;
    int            code;

    if ((end->text = malloc(strlen(text) + 1)) == NULL)
        return report_no_memory();
    text = strcpy(end->text, text);
    if (strcmp(text, "-") == 0) {
        end->kind = RELAY_STANDARD;
    } else if (from && strcmp(text, "activated") == 0) {
        end->kind = RELAY_ACTIVATED;
        end->name = "";
    } else if (from && begins(text, "activated:", &end->name)) {
        end->kind = RELAY_ACTIVATED;
        return *end->name != '\0' ? EXIT_DONE : wrong(place, text, "a name is missing, as in activated:NAME");
    } else if (from && begins(text, "syslog:", &end->name)) {
        end->kind = RELAY_SYSLOG;
        return *end->name != '\0' ? EXIT_DONE : wrong(place, text, "a path is missing, as in syslog:/dev/log");
    } else if (!from && begins(text, COMMAND, &end->name)) {
        return read_command(end, end->name, place);
    } else if (!from && (code = relay_read_name(end, text, &why)) != EXIT_DONE) {
        return why != NULL ? wrong(place, text, why) : code;
    } else if (end->kind != RELAY_NAMED && virtsock_address_parse(&end->address, text, &err) != VIRTSOCK_OK) {
        return place->file != NULL ? wrong(place, text, err.message) : report_argument(&err);
    }
    return EXIT_DONE;
}

static uint32_t part(const struct relay_end *end, virtsock_part which)
{
    uint32_t value = 0;

    if (end->address != NULL)
        virtsock_address_number(end->address, which, &value);
    return value;
}

static bool is_fd(const struct relay_end *end)
{
    return end->address != NULL && virtsock_address_scheme(end->address) == VIRTSOCK_SCHEME_FD;
}

static bool has_messages(const struct relay_end *end)
{
    return part(end, VIRTSOCK_PART_TYPE) == VIRTSOCK_TYPE_SEQPACKET;
}

bool relay_is_single(const struct relay_rule *rule)
{
    return rule->to.kind == RELAY_STANDARD || is_fd(&rule->to);
}

static const char *misfit(const struct relay_rule *rule)
{
    const struct relay_end *from = &rule->from, *to = &rule->to;

    if (from->kind == RELAY_STANDARD && to->kind == RELAY_STANDARD)
        return "standard input and output are one end";
    if (part(to, VIRTSOCK_PART_PORT) == VIRTSOCK_PORT_ANY)
        return "TO needs a port: the system chooses one for listening only";
    if (from->address != NULL && to->address != NULL && !is_fd(from) && !is_fd(to) && has_messages(from) != has_messages(to))
        return "type=seqpacket on one end alone: messages would lose their ends";
    if (to->kind == RELAY_NAMED && from->address != NULL && !is_fd(from) && has_messages(from))
        return "tcp:// has streams alone: messages would lose their ends";
    if (rule->limits.mode != ARG_UNSET && from->address != NULL && peer_is_abstract(from->address))
        return "an abstract name has no mode: --allow says who may connect";
    if (to->kind == RELAY_COMMAND && part(from, VIRTSOCK_PART_HALF_CLOSE) == VIRTSOCK_HALF_CLOSE_FRAMED)
        return "a command has its client's own socket, and half-close=framed has none to give";
    if (from->kind == RELAY_SYSLOG && (to->kind == RELAY_STANDARD || to->kind == RELAY_COMMAND))
        return "datagrams go to an address";
    return NULL;
}

/* --- Options ----------------------------------------------------------------------------------------------------------- */

static virtsock_status set(virtsock_options *options, virtsock_option option, int64_t value, virtsock_error *err)
{
    return value == ARG_UNSET ? VIRTSOCK_OK : virtsock_options_set(options, option, value, err);
}

static int make_options(struct relay_rule *rule, const struct place *place)
{
    const struct relay_limits *limits = &rule->limits;
    const bool                 named = rule->to.kind == RELAY_NAMED;
    const int64_t              mode = limits->group != NULL ? ARG_UNSET : limits->mode;       /* it comes with the group */
    const int64_t              timeout_ms = named && limits->timeout_ms == ARG_UNSET ? NAMED_MS : limits->timeout_ms;
    virtsock_status            status = VIRTSOCK_OK;
    virtsock_error             err;

    rule->listening = virtsock_options_new();
    rule->connecting = virtsock_options_new();
    if (rule->listening == NULL || rule->connecting == NULL)
        return report_no_memory();
    for (int i = 0; i < limits->allow.count && status == VIRTSOCK_OK; i++)
        status = virtsock_options_allow(rule->listening, limits->allow.item[i], &err);
    if (status == VIRTSOCK_OK)
        status = set(rule->listening, VIRTSOCK_OPTION_SOCKET_MODE, mode, &err);
    if (status == VIRTSOCK_OK)
        status = set(rule->connecting, VIRTSOCK_OPTION_CONNECT_TIMEOUT, timeout_ms, &err);
    if (status == VIRTSOCK_OK && !named)
        status = set(rule->connecting, VIRTSOCK_OPTION_WAIT, limits->wait_ms, &err);
    if (status == VIRTSOCK_OK)
        status = set(rule->connecting, VIRTSOCK_OPTION_STAYS, limits->stays_ms, &err);
    if (status == VIRTSOCK_OK)
        return EXIT_DONE;
    return place->file != NULL ? wrong(place, rule->from.text, err.message) : report_argument(&err);
}

static char *copy(const char *text)
{
    char *own = malloc(strlen(text) + 1);

    return own != NULL ? strcpy(own, text) : NULL;
}

/* "key=value" of a file's line, as the option of that name. */
static int read_limit(struct relay_limits *limits, const char *word, const struct place *place)
{
    const struct arg keys[] = {
        { 0, "allow", NULL, ARG_LIST, &limits->allow, NULL },
        { 0, "group", NULL, ARG_TEXT, &limits->group, NULL },
        { 0, "idle", NULL, ARG_SECONDS, &limits->idle_ms, NULL },
        { 0, "max", NULL, ARG_NUMBER, &limits->max, NULL },
        { 0, "mode", NULL, ARG_OCTAL, &limits->mode, NULL },
        { 0, "privileged-port", NULL, ARG_FLAG, &limits->privileged, NULL },
        { 0, "timeout", NULL, ARG_SECONDS, &limits->timeout_ms, NULL },
        { 0, "wait", NULL, ARG_SECONDS, &limits->wait_ms, NULL },
        { 0, "stays", NULL, ARG_SECONDS, &limits->stays_ms, NULL }
    };
    size_t n = strcspn(word, "=");

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *want, *value = word + n + 1;

        if (word[n] != '=' || strlen(keys[i].name) != n || memcmp(keys[i].name, word, n) != 0)
            continue;
        if ((keys[i].kind == ARG_LIST || keys[i].kind == ARG_TEXT) && (value = copy(value)) == NULL)          /* it is kept */
            return report_no_memory();
        want = args_store(&keys[i], value);
        return want == NULL ? EXIT_DONE : wrong(place, word, want);
    }
    return wrong(place, word,
                 "after FROM and TO there may be allow=, group=, idle=, max=, mode=, privileged-port=, stays=, timeout= "
                 "and wait=");
}

/* --- Rules ------------------------------------------------------------------------------------------------------------- */

struct reader {
    struct relay_rule **end;
    bool                standard;       /* is taken */
};

/* Its limits are the command line's, unless more were read into them already. */
static int finish_rule(struct reader *r, struct relay_rule *rule, const struct place *place)
{
    const struct relay_end *end;
    const char             *why = misfit(rule);
    bool                    standard = rule->from.kind == RELAY_STANDARD || rule->to.kind == RELAY_STANDARD;

    if (why != NULL)
        return wrong(place, rule->to.text, why);
    if ((why = relay_never(rule, &end)) != NULL)
        return wrong(place, end->text, why);
    if (standard && r->standard)
        return wrong(place, "-", "standard input and output are taken by another rule");
    r->standard |= standard;
    if (peer_check_group(rule->from.address, rule->limits.group) != EXIT_DONE)
        return EXIT_USAGE;
    return make_options(rule, place);
}

/* Linked at once: nothing is freed before the program ends. */
static struct relay_rule *new_rule(struct reader *r)
{
    struct relay_rule *rule = calloc(1, sizeof *rule);

    if (rule == NULL)
        return NULL;
    rule->limits = relay_settings.limits;
    *r->end = rule;
    r->end = &rule->next;
    return rule;
}

static int add_rule(struct reader *r, const char *from, const char *to, const struct place *place)
{
    struct relay_rule *rule = new_rule(r);
    int                code;

    if (rule == NULL)
        return report_no_memory();
    if ((code = read_end(&rule->from, from, true, place)) == EXIT_DONE)
        code = read_end(&rule->to, to, false, place);
    for (char **word = rule->to.kind == RELAY_COMMAND ? args_rest : NULL; code == EXIT_DONE && word != NULL && *word != NULL;
         word++)
        code = add_argument(&rule->to, *word);
    return code == EXIT_DONE ? finish_rule(r, rule, place) : code;
}

/* FROM TO [KEY=VALUE]... [# COMMENT], FROM exec:PROGRAM [ARGUMENT]... [# COMMENT], or nothing. allow= takes the
 * command line's place, as every other key does. */
static int read_line(struct reader *r, char *line, const struct place *place)
{
    struct relay_rule *rule = NULL;
    int                code = EXIT_DONE, count = 0;

    for (char *word = line + strspn(line, BLANKS); code == EXIT_DONE && *word != '\0' && *word != '#'; count++) {
        char *end = word + strcspn(word, BLANKS), *next = end + strspn(end, BLANKS);

        *end = '\0';
        if (count == 0 && (rule = new_rule(r)) == NULL)
            return report_no_memory();
        if (count > 1 && strncmp(word, "allow=", 6) == 0 && rule->limits.allow.item[0] == relay_settings.limits.allow.item[0])
            rule->limits.allow = (struct arg_list){ .count = 0 };
        if (count > 1 && rule->to.kind == RELAY_COMMAND)
            code = add_argument(&rule->to, word);
        else if (count < 2)
            code = read_end(count == 0 ? &rule->from : &rule->to, word, count == 0, place);
        else
            code = read_limit(&rule->limits, word, place);
        word = next;
    }
    if (code != EXIT_DONE || count == 0)
        return code;
    return count == 1 ? wrong(place, rule->from.text, "a rule is FROM TO [KEY=VALUE]...") : finish_rule(r, rule, place);
}

/* The next line, without its end. NULL: there is none. *why: what is wrong with it, or NULL. */
static const char *next_line(FILE *file, char line[LINE_SIZE], const char **why)
{
    size_t n = 0;
    int    c;

    *why = NULL;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (c == '\0')
            *why = "has a NUL in it, which nothing could be read behind";
        else if (n == LINE_SIZE - 1)
            *why = "is too long";
        else
            line[n++] = (char)c;
    }
    line[n] = '\0';
    return c == EOF && n == 0 && *why == NULL ? NULL : line;
}

static int read_file(struct reader *r, const char *path)
{
    struct place place = { path, 0 };
    char         line[LINE_SIZE];
    const char  *why;
    FILE        *file = fopen(path, "r");
    int          code = EXIT_DONE;

    if (file == NULL) {
        report_line("--rules %s: cannot be read: see whether it is there, and readable", path);
        return EXIT_FAILED;
    }
    while (code == EXIT_DONE && next_line(file, line, &why) != NULL) {
        place.line++;
        code = why != NULL ? wrong(&place, "the line", why) : read_line(r, line, &place);
    }
    fclose(file);
    return code;
}

/* A decimal port or a service's GUID before the first colon of vsudd's, as an address of this library. */
static bool vsudd_address(char *out, size_t cap, const char *text, const char *listen_or_host)
{
    size_t   n = strcspn(text, ":");
    bool     guid = memchr(text, '-', n) != NULL, listens = *listen_or_host == '\0';
    char     service[64];
    uint32_t port;

    if (text[n] != ':' || n == 0 || n >= sizeof service || (!guid && strspn(text, "0123456789") != n))
        return false;
    memcpy(service, text, n);
    service[n] = '\0';
    if (guid && virtsock_port_from_service(service, &port) == VIRTSOCK_OK)
        snprintf(out, cap, "vsock://%s:%" PRIu32, listen_or_host, port);
    else if (guid)
        snprintf(out, cap, "hvsock://%s/%s", listens ? "" : "parent", service);
    else
        snprintf(out, cap, "vsock://%s:%s", listen_or_host, service);
    return true;
}

/* -inport PORT|GUID:unix:PATH, -syslog PORT|GUID:PATH */
static int read_vsudd(struct reader *r, const char *option, const char *text, bool syslog)
{
    const struct place place = { NULL, 0 };
    const char        *path = strchr(text, ':');
    char               address[128], other[4096];

    if (!vsudd_address(address, sizeof address, text, syslog ? "host" : "") || strlen(path) > 4000
        || (!syslog && !begins(path, ":unix:", &path)) || (syslog && !begins(path, ":", &path)) || *path == '\0')
        return report_usage("-%s \"%s\": wanted is %s", option, text, syslog ? "PORT:PATH or GUID:PATH" : "PORT:unix:PATH or GUID:unix:PATH");
    if (syslog) {
        snprintf(other, sizeof other, "syslog:%s", path);
        return add_rule(r, other, address, &place);
    }
    {
        virtsock_address *to;
        virtsock_error    err;

        if (virtsock_address_path(&to, VIRTSOCK_SCHEME_UNIX, path, 0, &err) != VIRTSOCK_OK)
            return report_argument(&err);
        virtsock_address_format(to, other, sizeof other);
        virtsock_address_free(to);
        return add_rule(r, address, other, &place);
    }
}

int relay_read_rules(struct relay_rule **out, char **operand, int count)
{
    const struct place place = { NULL, 0 };
    struct reader      r = { .end = out };
    int                code = EXIT_DONE;

    *out = NULL;
    if (count == 1)
        return report_usage("virtsock relay needs FROM and TO: see virtsock relay --help");
    if (count == 2)
        code = add_rule(&r, operand[0], operand[1], &place);
    for (int i = 0; i < relay_settings.inport.count && code == EXIT_DONE; i++)
        code = read_vsudd(&r, "inport", relay_settings.inport.item[i], false);
    for (int i = 0; i < relay_settings.syslog.count && code == EXIT_DONE; i++)
        code = read_vsudd(&r, "syslog", relay_settings.syslog.item[i], true);
    for (int i = 0; i < relay_settings.rules.count && code == EXIT_DONE; i++)
        code = read_file(&r, relay_settings.rules.item[i]);
    if (code == EXIT_DONE && *out == NULL)
        return report_usage("virtsock relay needs a rule: FROM and TO, or --rules FILE");
    return code;
}
