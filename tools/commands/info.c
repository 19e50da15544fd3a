/* SPDX-License-Identifier: MIT
 *
 * virtsock info: what this system can do, or what an address says.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/escape.h"
#include "common/json.h"
#include "common/peer.h"
#include "common/reason.h"
#include "common/report.h"
#include "platform/tool.h"

static struct {
    bool json;
} set;

static const char *const schemes[] = {
    [VIRTSOCK_SCHEME_VSOCK] = "vsock", [VIRTSOCK_SCHEME_HYPERV] = "hvsock", [VIRTSOCK_SCHEME_HYPERKIT] = "hyperkit",
    [VIRTSOCK_SCHEME_MUX] = "vsock-mux", [VIRTSOCK_SCHEME_UNIX] = "unix", [VIRTSOCK_SCHEME_TCP] = "tcp", [VIRTSOCK_SCHEME_FD] = "fd"
};
#define SCHEMES_END ((int)(sizeof schemes / sizeof *schemes))

static const char *const types[] = { NULL, "stream", "seqpacket", "dgram" };
static const char *const half_closes[] = { NULL, "native", "framed", "none", "unknown" };

/* In the order in which they are told. */
static const struct part {
    virtsock_part      part;
    const char        *name;
    const char *const *words;           /* for a number that stands for one */
    bool               text;
} parts[] = {
    { VIRTSOCK_PART_CID, "cid", NULL, false },
    { VIRTSOCK_PART_PORT, "port", NULL, false },
    { VIRTSOCK_PART_VM, "vm", NULL, true },
    { VIRTSOCK_PART_SERVICE, "service", NULL, true },
    { VIRTSOCK_PART_PATH, "path", NULL, true },
    { VIRTSOCK_PART_HOST, "host", NULL, true },
    { VIRTSOCK_PART_FD, "fd", NULL, false },
    { VIRTSOCK_PART_TYPE, "type", types, false },
    { VIRTSOCK_PART_TO_HOST, "to_host", NULL, false },
    { VIRTSOCK_PART_HALF_CLOSE, "half_close", half_closes, false }
};
#define PARTS_END (sizeof parts / sizeof *parts)

/* --- An address -------------------------------------------------------------------------------------------------------- */

static void print_part(const struct part *p, const char *text, uint32_t number)
{
    char shown[ESCAPED(1024)];

    if (text != NULL)
        printf("%-12s%s\n", p->name, *text ? escape_text(shown, sizeof shown, text) : "any");
    else if (number == UINT32_MAX && (p->part == VIRTSOCK_PART_CID || p->part == VIRTSOCK_PART_PORT))
        printf("%-12sany\n", p->name);
    else if (p->part == VIRTSOCK_PART_PORT)
        printf("%-12s%" PRIu32 " (0x%" PRIx32 ")\n", p->name, number, number);
    else
        printf("%-12s%" PRIu32 "\n", p->name, number);
}

static void tell_part(struct json *j, const struct part *p, const virtsock_address *address)
{
    const char *text = NULL;
    uint32_t    number = 0;

    if (p->text && (text = virtsock_address_text(address, p->part)) == NULL)
        return;
    if (!p->text && virtsock_address_number(address, p->part, &number) != VIRTSOCK_OK)
        return;
    if (p->words != NULL)
        text = p->words[number];
    if (!set.json)
        print_part(p, text, number);
    else if (text != NULL)
        json_text(j, p->name, text);
    else
        json_number(j, p->name, number);
}

static void tell_address(const virtsock_address *address, char *canonical)
{
    struct json j = { stdout, false };
    const char *scheme = schemes[virtsock_address_scheme(address)];

    if (set.json) {
        json_open(&j, NULL, '{');
        json_text(&j, "address", canonical);
        json_text(&j, "scheme", scheme);
    } else {
        printf("%-12s%s\n%-12s%s\n", "address", canonical, "scheme", scheme);
    }
    for (size_t i = 0; i < PARTS_END; i++)
        tell_part(&j, &parts[i], address);
    if (set.json) {
        json_close(&j, '}');
        putchar('\n');
    }
}

static int show_address(const char *text)
{
    virtsock_address *address;
    virtsock_error    err;
    char             *canonical;

    if (virtsock_address_parse(&address, text, &err) != VIRTSOCK_OK)
        return report_argument(&err);
    if ((canonical = peer_text(address)) != NULL)
        tell_address(address, canonical);
    virtsock_address_free(address);
    free(canonical);
    return canonical != NULL ? EXIT_DONE : EXIT_FAILED;
}

/* --- This system ------------------------------------------------------------------------------------------------------- */

static void print_reason(const virtsock_error *err)
{
    const char *advice = virtsock_advice(err);

    printf("no: %s\n", reason_text(err));
    if (advice != NULL)
        printf("%-12s    %s\n", "", advice);
}

static void tell_cid(struct json *j)
{
    virtsock_error err;
    uint32_t       cid;
    bool           known = virtsock_local_cid(&cid, &err) == VIRTSOCK_OK;

    if (!set.json) {
        printf("%-12s", "local CID");
        if (known)
            printf("%" PRIu32 "\n", cid);
        else
            print_reason(&err);
        return;
    }
    json_open(j, "local_cid", '{');
    json_bool(j, "known", known);
    if (known)
        json_number(j, "cid", cid);
    else
        reason_json(j, &err);
    json_close(j, '}');
}

static void tell_scheme(struct json *j, int scheme)
{
    virtsock_error err;
    bool           supported = virtsock_supported(scheme, &err) == VIRTSOCK_OK;

    if (!set.json) {
        printf("%-12s", schemes[scheme]);
        if (supported)
            puts("yes");
        else
            print_reason(&err);
        return;
    }
    json_open(j, NULL, '{');
    json_text(j, "scheme", schemes[scheme]);
    json_bool(j, "supported", supported);
    if (!supported)
        reason_json(j, &err);
    json_close(j, '}');
}

static void tell_family_43(struct json *j)
{
    if (!tool_has_family_43())
        return;
    if (set.json)
        json_bool(j, "family_43", true);
    else
        puts("family 43   Hyper-V sockets as LinuxKit's kernels had them: known, and not used");
}

static int show_system(void)
{
    struct json j = { stdout, false };

    if (set.json) {
        json_open(&j, NULL, '{');
        json_text(&j, "version", virtsock_version());
    } else {
        printf("%-12s%s\n", "version", virtsock_version());
    }
    tell_cid(&j);
    if (set.json)
        json_open(&j, "transports", '[');
    for (int scheme = 1; scheme < SCHEMES_END; scheme++)
        tell_scheme(&j, scheme);
    if (set.json) {
        json_close(&j, ']');
        tell_family_43(&j);
        json_close(&j, '}');
        putchar('\n');
    } else {
        tell_family_43(&j);
    }
    return EXIT_DONE;
}

static int run(char **operand, int count)
{
    return count == 0 ? show_system() : show_address(operand[0]);
}

static const struct arg args[] = {
    { 0, "json", NULL, ARG_FLAG, &set.json, "print it as JSON" },
    ARGS_COMMON
};

const struct command info_command = {
    .name = "info",
    .summary = "what this system can do, or what an address says",
    .usage = "[--json]\n[--json] ADDRESS",
    .text = "Prints the version, this machine's CID, and which transports this system has, or why not. With an address: its\n"
            "canonical form and its parts. Connects to nothing.\n",
    .examples = "  virtsock info\n"
                "  virtsock info vsock:host:0x400\n",
    .args = args, .least = 0, .most = 1, .run = run
};
