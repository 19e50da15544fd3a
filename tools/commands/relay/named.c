/* SPDX-License-Identifier: MIT
 *
 * TO by a name: tcp://NAME:PORT, which the library's addresses do not have, since it looks nothing up. The system is
 * asked in a thread of the rule's own, whatever many clients wait for it, and its addresses are tried in their order.
 * See relay.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "platform/names.h"
#include "platform/tool.h"
#include "relay.h"

#define HOST_MOST  253                  /* RFC 1035, 2.3.4, as text */
#define FRESH_US   1000000              /* an answer is good for clients that come so soon after it */
#define PAUSE_US   100000               /* after all addresses have failed, where --wait says to go on */
#define LOOK_US    10000                /* how often it is seen whether the answer is there */

static const char scheme[] = "tcp://";

/* Of a rule. */
struct relay_name {
    char        host[HOST_MOST + 1], rest[64];          /* rest: ":PORT", and options */
    atomic_flag locked;                 /* for what follows; held for a copy's time */
    bool        asking;
    int64_t     answered_us;            /* 0: never */
    const char *why;                    /* there is no address */
    struct names answer;
};

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* With a letter or an underscore: what has none is a number, well written or not, and so are hexadecimal ones. */
static bool is_name(const char *s, size_t size)
{
    bool digit = *s >= '0' && *s <= '9';
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._";

    return size > 0 && size <= HOST_MOST && strspn(s, letters) == size
        && strspn(s, "0123456789.") < size && !(digit && strspn(s, "0123456789abcdefABCDEFxX.") >= size);
}

int relay_read_name(struct relay_end *end, const char *text, const char **why)
{
    static char       reason[sizeof(((virtsock_error *)0)->message)];
    struct relay_name *name;
    virtsock_address  *like = NULL;
    virtsock_error     err;
    const char        *host = text + strlen(scheme), *rest;
    char               number[128];
    uint32_t           port = 0, type = 0;

    *why = NULL;
    if (strncmp(text, scheme, strlen(scheme)) != 0 || !is_name(host, strcspn(host, ":/?")))
        return EXIT_DONE;
    rest = host + strcspn(host, ":/?");
    snprintf(number, sizeof number, "tcp://127.0.0.1%.60s", rest);
    if (strlen(rest) > 60 || virtsock_address_parse(&like, number, &err) != VIRTSOCK_OK) {
        const char *after = strlen(rest) <= 60 ? strstr(err.message, ": ") : NULL;

        snprintf(reason, sizeof reason, "%s", after != NULL ? after + 2 : "no port");
        *why = reason;
        return EXIT_USAGE;
    }
    virtsock_address_number(like, VIRTSOCK_PART_PORT, &port);
    virtsock_address_number(like, VIRTSOCK_PART_TYPE, &type);
    virtsock_address_free(like);
    if (port == VIRTSOCK_PORT_ANY || type != VIRTSOCK_TYPE_STREAM) {
        *why = type != VIRTSOCK_TYPE_STREAM ? "tcp:// has streams alone"
                                            : "TO needs a port: the system chooses one for listening only";
        return EXIT_USAGE;
    }
    if ((name = calloc(1, sizeof *name)) == NULL)
        return report_no_memory();
    for (size_t i = 0; host + i < rest; i++)
        name->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
    memcpy(name->rest, rest, strlen(rest) + 1);
    atomic_flag_clear(&name->locked);
    end->kind = RELAY_NAMED;
    end->host = name;
    return EXIT_DONE;
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

static void lock(struct relay_name *name)
{
    while (atomic_flag_test_and_set(&name->locked))
        tool_nap_ms(0);
}

static void unlock(struct relay_name *name)
{
    atomic_flag_clear(&name->locked);
}

/* localhost is both, whatever a machine's table of hosts says. */
static void complete(struct names *names)
{
    static const char *const both[] = { "::1", "127.0.0.1" };

    for (size_t i = 0; i < 2; i++) {
        int at = 0;

        while (at < names->count && strcmp(names->text[at], both[i]) != 0)
            at++;
        if (at == names->count && at < NAMES_MOST)
            strcpy(names->text[names->count++], both[i]);
    }
}

static void ask(void *from)
{
    struct relay_name *name = from;
    struct names       answer;
    const char        *why = names_look_up(&answer, name->host);

    if (strcmp(name->host, "localhost") == 0) {
        complete(&answer);
        why = NULL;
    }
    lock(name);
    name->answer = answer;
    name->why = why;
    name->answered_us = tool_now_us();
    name->asking = false;
    unlock(name);
}

/* False: the answer is not there yet. */
static bool has_answer(struct relay_name *name, struct names *out, const char **why)
{
    bool fresh, begin;

    lock(name);
    fresh = name->answered_us != 0 && tool_now_us() - name->answered_us < FRESH_US;
    begin = !fresh && !name->asking;
    name->asking |= begin;
    *out = name->answer;
    *why = name->why;
    unlock(name);
    if (begin && !tool_thread(ask, name)) {
        lock(name);
        name->asking = false;           /* the next look tries again */
        unlock(name);
    }
    return fresh;
}

/* --- Trying ------------------------------------------------------------------------------------------------------- */

/* Of a client. */
struct relay_try {
    struct names   names;
    int            at;                  /* the address that is tried; -1: the answer is not there */
    int64_t        until_us;
    virtsock_error last;
};

static virtsock_status no_address(const struct relay_rule *rule, const char *why, virtsock_error *err)
{
    *err = (virtsock_error){ .status = VIRTSOCK_E_NOT_FOUND, .op = "connect" };
    snprintf(err->message, sizeof err->message, "connect %.120s: %.80s", rule->to.text, why);
    return err->status;
}

static virtsock_status begin_one(virtsock_stream **out, const struct relay_rule *rule, const char *host,
                                 virtsock_error *err)
{
    const bool        six = strchr(host, ':') != NULL;
    virtsock_address *address;
    virtsock_status   status;
    char              text[160];

    snprintf(text, sizeof text, "tcp://%s%s%s%s", six ? "[" : "", host, six ? "]" : "", rule->to.host->rest);
    status = virtsock_address_parse(&address, text, err);
    if (status == VIRTSOCK_OK)
        status = virtsock_connect_start(out, address, rule->connecting, err);
    virtsock_address_free(address);
    return status;
}

/* The next address; after the last it is said what became of that one, or, with --wait, the system is asked again. */
static virtsock_status go_on(struct relay_try *t, const struct relay_rule *rule, int64_t *due_us, virtsock_error *err)
{
    const char *why;

    if (t->at < 0) {
        if (!has_answer(rule->to.host, &t->names, &why)) {
            *due_us = tool_now_us() + LOOK_US;
            return VIRTSOCK_E_AGAIN;
        }
        t->at = 0;
        if (why != NULL)
            no_address(rule, why, &t->last);
        return VIRTSOCK_OK;
    }
    if (t->at < t->names.count)
        return VIRTSOCK_OK;
    if (tool_now_us() >= t->until_us) {
        *err = t->last;
        return err->status;
    }
    t->at = -1;
    *due_us = tool_now_us() + PAUSE_US;
    return VIRTSOCK_E_AGAIN;
}

static struct relay_try *new_try(const struct relay_rule *rule)
{
    const int64_t     wait_ms = rule->limits.wait_ms;
    struct relay_try *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->at = -1;
    t->until_us = wait_ms == ARG_UNSET ? 0 : wait_ms < 0 ? INT64_MAX : tool_now_us() + wait_ms * 1000;
    return t;
}

virtsock_status relay_try_named(struct relay_try **try, virtsock_stream **out, const struct relay_rule *rule,
                                int64_t *due_us, virtsock_error *err)
{
    virtsock_status status = VIRTSOCK_OK;

    if (*try == NULL && (*try = new_try(rule)) == NULL) {
        *err = (virtsock_error){ .status = VIRTSOCK_E_NO_RESOURCES, .message = "out of memory" };
        return err->status;
    }
    while (status == VIRTSOCK_OK) {
        struct relay_try *t = *try;

        if (*out == NULL && ((status = go_on(t, rule, due_us, err)) != VIRTSOCK_OK || t->at >= t->names.count))
            continue;
        if (*out == NULL)
            status = begin_one(out, rule, t->names.text[t->at], err);
        if (status == VIRTSOCK_OK && (status = virtsock_stream_connect(*out, 0, err)) == VIRTSOCK_OK)
            break;
        if (status == VIRTSOCK_E_AGAIN || status == VIRTSOCK_E_NO_RESOURCES)
            return status;
        virtsock_stream_free(*out);
        *out = NULL;
        t->last = *err;
        t->at++;
        status = VIRTSOCK_OK;
    }
    if (status != VIRTSOCK_E_AGAIN) {
        free(*try);
        *try = NULL;
    }
    return status;
}

virtsock_status relay_connect_named(virtsock_stream **out, const struct relay_rule *rule, virtsock_error *err)
{
    struct relay_try *try = NULL;
    virtsock_status   status;
    int64_t           due_us;

    *out = NULL;
    while ((status = relay_try_named(&try, out, rule, &due_us, err)) == VIRTSOCK_E_AGAIN)
        if (*out == NULL) {
            int64_t left_us = due_us - tool_now_us();

            tool_nap_ms(left_us > 0 ? (int)(left_us / 1000) : 0);
        } else {
            virtsock_fd fd;
            int         events, timeout_ms;

            virtsock_stream_wants(*out, &fd, &events, &timeout_ms);
            tool_wait(fd, events, timeout_ms);
        }
    if (status != VIRTSOCK_OK) {
        virtsock_stream_free(*out);
        *out = NULL;
    }
    free(try);
    return status;
}
