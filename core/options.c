/* SPDX-License-Identifier: MIT
 *
 * Options as numbers with ranges, and the rules of whom a listener accepts. No I/O: which transport has a use for an
 * option or a rule is the transport's to say.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const struct {
    const char *name;
    int64_t     low, high;
} ranges[VS_OPTIONS_END] = {
    [VIRTSOCK_OPTION_CONNECT_TIMEOUT]  = { "CONNECT_TIMEOUT", -1, INT32_MAX },
    [VIRTSOCK_OPTION_WAIT]             = { "WAIT", -1, INT32_MAX },
    [VIRTSOCK_OPTION_BACKOFF_FIRST]    = { "BACKOFF_FIRST", 1, INT32_MAX },
    [VIRTSOCK_OPTION_BACKOFF_MAX]      = { "BACKOFF_MAX", 1, INT32_MAX },
    [VIRTSOCK_OPTION_LINGER]           = { "LINGER", 0, INT32_MAX },
    [VIRTSOCK_OPTION_BACKLOG]          = { "BACKLOG", 1, INT32_MAX },
    [VIRTSOCK_OPTION_BUFFER_MIN]       = { "BUFFER_MIN", 1, INT32_MAX },
    [VIRTSOCK_OPTION_BUFFER_SIZE]      = { "BUFFER_SIZE", 1, INT32_MAX },
    [VIRTSOCK_OPTION_BUFFER_MAX]       = { "BUFFER_MAX", 1, INT32_MAX },
    [VIRTSOCK_OPTION_MESSAGE_MAX]      = { "MESSAGE_MAX", 1, INT32_C(1) << 30 },
    [VIRTSOCK_OPTION_SOCKET_MODE]      = { "SOCKET_MODE", 0, 0777 },
    [VIRTSOCK_OPTION_INTERRUPTIBLE]    = { "INTERRUPTIBLE", 0, 2 },
    [VIRTSOCK_OPTION_STAYS]            = { "STAYS", 0, INT32_MAX },
    [VIRTSOCK_OPTION_HYPERV_PASSTHRU]  = { "HYPERV_PASSTHRU", 0, 1 },
    [VIRTSOCK_OPTION_HYPERV_SUSPEND]   = { "HYPERV_SUSPEND", 0, 1 },
    [VIRTSOCK_OPTION_HYPERV_HIGH_VTL]  = { "HYPERV_HIGH_VTL", 0, 1 },
};

virtsock_options *virtsock_options_new(void)
{
    return calloc(1, sizeof(virtsock_options));
}

void virtsock_options_free(virtsock_options *options)
{
    free(options);
}

virtsock_status virtsock_options_set(virtsock_options *options, virtsock_option option, int64_t value, virtsock_error *err)
{
    if (options == NULL)
        return vs_failf(err, "option", NULL, VIRTSOCK_E_INVALID, "no options object");
    if (option < 1 || option >= VS_OPTIONS_END)
        return vs_failf(err, "option", NULL, VIRTSOCK_E_UNSUPPORTED, "this version does not know option %d", option);
    if (value < ranges[option].low || value > ranges[option].high)
        return vs_failf(err, "option", ranges[option].name, VIRTSOCK_E_INVALID, "%lld is not in %lld..%lld", (long long)value,
                        (long long)ranges[option].low, (long long)ranges[option].high);
    options->value[option] = value;
    options->set |= UINT32_C(1) << option;
    return VIRTSOCK_OK;
}

int64_t vs_option(const virtsock_options *options, virtsock_option option, int64_t unset)
{
    return options != NULL && (options->set >> option & 1) != 0 ? options->value[option] : unset;
}

const char *vs_option_name(virtsock_option option)
{
    return ranges[option].name;
}

uint32_t vs_options_set_mask(const virtsock_options *options)
{
    return options != NULL ? options->set : 0;
}

/* A CID, or CID-CID. */
static bool parse_range(struct vs_rule *rule, const char *s, size_t n)
{
    const char *dash = memchr(s, '-', n);
    size_t      first = dash != NULL ? (size_t)(dash - s) : n;

    if (!vs_parse_u32(s, first, &rule->first))
        return false;
    rule->last = rule->first;
    return dash == NULL || (vs_parse_u32(dash + 1, n - first - 1, &rule->last) && rule->first <= rule->last);
}

static bool is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

static bool parse_rule(struct vs_rule *rule, const char *s, size_t n)
{
    static const char privileged[] = ":privileged";
    size_t            tail = sizeof privileged - 1;

    memset(rule, 0, sizeof *rule);
    if (n > tail && memcmp(s + n - tail, privileged, tail) == 0) {
        rule->privileged = true;
        n -= tail;
    }
    if (is_word(s, n, "host") || is_word(s, n, "parent")) {
        rule->kind = VS_RULE_PARENT;
        return true;
    }
    if (is_word(s, n, "local")) {
        rule->kind = VS_RULE_LOCAL;
        return true;
    }
    if (is_word(s, n, "self")) {
        rule->kind = VS_RULE_SELF;
        return true;
    }
    if (n > 4 && memcmp(s, "uid=", 4) == 0) {
        rule->kind = VS_RULE_UID;
        return vs_parse_u32(s + 4, n - 4, &rule->first);
    }
    if (vs_guid_parse(&rule->vm, s, n)) {
        rule->kind = VS_RULE_VM;
        return true;
    }
    return parse_range(rule, s, n);
}

virtsock_status virtsock_options_allow(virtsock_options *options, const char *rule, virtsock_error *err)
{
    struct vs_rule parsed;

    if (options == NULL || rule == NULL)
        return vs_failf(err, "allow", NULL, VIRTSOCK_E_INVALID, "no options object, or no rule");
    if (!parse_rule(&parsed, rule, strlen(rule)))
        return vs_failf(err, "allow", rule, VIRTSOCK_E_INVALID,
                        "not a rule: write host, local, parent, self, uid=N, a CID, CID-CID or a VM's GUID, with :privileged where wanted");
    if (options->rule_count == VS_RULES_MAX)
        return vs_failf(err, "allow", rule, VIRTSOCK_E_NO_RESOURCES, "more than %d rules: join CIDs to ranges", VS_RULES_MAX);
    options->rules[options->rule_count++] = parsed;
    return VIRTSOCK_OK;
}
