/* SPDX-License-Identifier: MIT
 *
 * virtsock service: the Hyper-V services that a Windows host offers its guests. What needs an administrator can be printed as lines of
 * PowerShell instead, on any system.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "common/escape.h"
#include "common/json.h"
#include "common/report.h"
#include "common/service.h"
#include "platform/host.h"

#define NAME "virtsock"                 /* unless one is given */

static struct {
    bool dry_run, script, json;
} set;

/* --- What is registered ---------------------------------------------------------------------------------------------------- */

static void tell(struct json *j, const char *service, bool registered, const char *name)
{
    uint32_t port;
    bool     has_port = virtsock_port_from_service(service, &port) == VIRTSOCK_OK;

    if (!set.json) {
        char digits[16] = "-", shown[ESCAPED(SERVICE_NAME)];

        if (has_port)
            snprintf(digits, sizeof digits, "%" PRIu32, port);
        printf("%s  %-10s  %s\n", service, digits,
               registered ? escape_text(shown, sizeof shown, name) : "not registered");
        return;
    }
    json_open(j, NULL, '{');
    json_text(j, "service", service);
    if (has_port)
        json_number(j, "port", port);
    else
        json_text(j, "port", NULL);
    json_bool(j, "registered", registered);
    json_text(j, "name", registered ? name : NULL);
    json_close(j, '}');
}

static int tell_one(const char *service)
{
    struct json j = { stdout, false };
    char        name[SERVICE_NAME] = "";
    int         code = host_service(service, name, sizeof name);

    if (code != 0 && code != HOST_ABSENT)
        return report_system("the registry", code);
    tell(&j, service, code == 0, name);
    if (set.json)
        putchar('\n');
    return code == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int list(void)
{
    struct json j = { stdout, false };
    char        service[SERVICE_TEXT], name[SERVICE_NAME];
    int         code;

    if (set.json)
        json_open(&j, NULL, '[');
    for (unsigned i = 0; (code = host_service_at(i, service)) == 0; i++) {
        uint32_t port;

        name[0] = '\0';
        if (virtsock_port_from_service(service, &port) != VIRTSOCK_E_INVALID && host_service(service, name, sizeof name) == 0)
            tell(&j, service, true, name);
    }
    if (set.json) {
        json_close(&j, ']');
        putchar('\n');
    }
    return code == HOST_ABSENT ? EXIT_DONE : report_system("the registry", code);
}

/* --- Changes --------------------------------------------------------------------------------------------------------------- */

static void tell_plan(const char *service, const char *name)
{
    char have[SERVICE_NAME] = "", shown[ESCAPED(SERVICE_NAME)];
    bool there = host_service(service, have, sizeof have) == 0;

    escape_text(shown, sizeof shown, have);
    if (there == (name != NULL))
        printf("nothing to do: %s is %s%s\n", service, there ? "registered as " : "not registered", shown);
    else if (name != NULL)
        printf("would make HKLM\\%s\\%s\nwould set ElementName to %s\n", SERVICE_PLACE, service, name);
    else
        printf("would remove HKLM\\%s\\%s, ElementName %s\n", SERVICE_PLACE, service, shown);
}

static int carry_out(const char *service, const char *name)
{
    int code;

    if (set.script || set.dry_run) {
        if (set.script)
            service_print_script(stdout, service, name);
        else
            tell_plan(service, name);
        return EXIT_DONE;
    }
    if ((code = service_change(service, name)) != EXIT_DONE)
        return code;
    code = tell_one(service);
    return name != NULL ? code : EXIT_DONE;
}

/* --- The command ----------------------------------------------------------------------------------------------------------- */

static bool is_text(const char *name)
{
    size_t n;

    for (; *name != '\0'; name += n)
        if ((n = escape_length(name)) == 0 || escape_wanted(name, n))
            return false;
    return true;
}

/* One service, as a GUID. */
static int read_service(char service[SERVICE_TEXT], const char *text)
{
    virtsock_address *address;
    virtsock_error    err;

    if (*text == '\0')
        return report_usage("a service is a GUID, or a port from 0 to 2147483647");
    if (virtsock_address_hyperv(&address, "", text, &err) != VIRTSOCK_OK)
        return report_argument(&err);
    snprintf(service, SERVICE_TEXT, "%s", virtsock_address_text(address, VIRTSOCK_PART_SERVICE));
    virtsock_address_free(address);
    return EXIT_DONE;
}

static int check_options(bool changes)
{
    if (!changes && (set.dry_run || set.script))
        return report_usage("--dry-run and --script are for register and unregister");
    if ((set.script && set.dry_run) || (set.json && (set.script || set.dry_run)))
        return report_usage("--dry-run, --script and --json: one of them");
    if (!changes && host_registers() != 0) {
        report_line("only a Windows host registers services; others need no registration");
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static int run(char **operand, int count)
{
    static const struct {
        const char *verb;
        int         least, most;
    } verbs[] = { { "register", 2, 3 }, { "unregister", 2, 2 }, { "status", 2, 2 }, { "list", 1, 1 } };
    enum { REGISTER, UNREGISTER, STATUS, LIST, VERBS_END };
    char        service[SERVICE_TEXT];
    const char *name = count > 2 ? operand[2] : NAME;
    int         verb = 0, code;

    while (verb < VERBS_END && strcmp(operand[0], verbs[verb].verb) != 0)
        verb++;
    if (verb == VERBS_END)
        return report_usage("virtsock service %s: it is register, unregister, status or list", operand[0]);
    if (count < verbs[verb].least || count > verbs[verb].most)
        return report_usage("see virtsock service --help: %s takes %s", operand[0],
                            verb == LIST ? "nothing more" : verb == REGISTER ? "SERVICE, and perhaps NAME" : "SERVICE");
    if ((code = check_options(verb <= UNREGISTER)) != EXIT_DONE)
        return code;
    if (verb == LIST)
        return list();
    if ((code = read_service(service, operand[1])) != EXIT_DONE)
        return code;
    if (verb == STATUS)
        return tell_one(service);
    if (*name == '\0' || !is_text(name))
        return report_usage("a service's name is UTF-8 text, with no control characters");
    return carry_out(service, verb == REGISTER ? name : NULL);
}

static const struct arg args[] = {
    { 0, "dry-run", NULL, ARG_FLAG, &set.dry_run, "print what would be changed, and change nothing" },
    { 0, "script", NULL, ARG_FLAG, &set.script, "print lines for an administrator's PowerShell instead, on any system" },
    { 0, "json", NULL, ARG_FLAG, &set.json, "print it as JSON" },
    ARGS_COMMON
};

const struct command service_command = {
    .name = "service",
    .summary = "register Hyper-V services with a Windows host",
    .usage = "register [--dry-run|--script|--json] SERVICE [NAME]\nunregister [--dry-run|--script|--json] SERVICE\n"
             "status [--json] SERVICE\nlist [--json]",
    .text = "Guests reach a program of a Windows host only if its service is registered there, once, by an administrator. SERVICE\n"
            "is a GUID, or a port, which stands for one. What is registered stays, with the name that it has; what is not\n"
            "registered can be unregistered. `status` exits with 0 if it is registered, and with 1 if not.\n",
    .examples = "  virtsock service register 5000 \"My service\"          on a Windows host, as an administrator\n"
                "  virtsock service register --script 5000 > lines.ps1  for somebody who is one\n"
                "  virtsock service status 5000                         is it there?\n",
    .args = args, .operand = "register, unregister, status or list", .least = 1, .most = 3, .run = run
};
