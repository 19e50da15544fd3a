/* SPDX-License-Identifier: MIT
 *
 * Names to ids on Windows: a VM's is asked of PowerShell, that of WSL's machine of wsl.exe, both by a program that a
 * runner runs. The question is a fixed text, and the name reaches it as data, in a variable; the answer is ids, a line
 * each, and an exit code.
 */
#include <stdio.h>
#include <string.h>

#include "handle.h"

#define LOOKUP_MS     10000             /* unless CONNECT_TIMEOUT says */
#define NO_PERMISSION 5                 /* how the script ends, in Windows' own numbers */
#define NO_MODULE     126

/* Windows' own modules alone: others have a Get-VM too, and PowerShell 7 leads this one to modules that it cannot load.
 * Equals is by code units; -eq and -ceq pass over characters that nobody sees, and -Name takes wildcards. */
static const struct vs_program powershell = {
    "WindowsPowerShell\\v1.0\\powershell.exe",
    "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy RemoteSigned -Command \"$ErrorActionPreference = 'Stop'; "
    "$env:PSModulePath = $PSHOME + '\\Modules'; try { Import-Module Hyper-V } catch { exit 126 }; "
    "try { Hyper-V\\Get-VM | Where-Object { [string]::Equals($_.Name, $env:VIRTSOCK_NAME) } "
    "| ForEach-Object { [string]$_.Id } } "
    "catch { if ($_.CategoryInfo.Category -eq 'PermissionDenied') { exit 5 }; exit 1 }; exit 0\"",
    "VIRTSOCK_NAME", NULL
};
static const struct vs_program wsl = { "wsl.exe", "-- wslinfo --vm-id", NULL, NULL };

struct answer {
    char           text[8192];          /* two hundred ids; then a message */
    size_t         size;
    uint32_t       exit_code;
    int            ids;
    bool           junk;                /* a line that is no id */
    struct vs_guid id[2];               /* the first */
};

static void read_answer(struct answer *a)
{
    for (size_t at = 0, n; at < a->size; at += n + 1) {
        const char    *line = a->text + at, *end = memchr(line, '\n', a->size - at);
        struct vs_guid id;
        bool           cr;

        n = end != NULL ? (size_t)(end - line) : a->size - at;
        cr = n > 0 && line[n - 1] == '\r';
        if (!vs_guid_parse(&id, line, n - cr))
            a->junk = a->junk || n > cr;
        else if (a->ids++ < 2)
            a->id[a->ids - 1] = id;
    }
}

static virtsock_status name_several(struct answer *a, struct vs_cause *why)
{
    char first[VS_GUID_TEXT], second[VS_GUID_TEXT];

    vs_guid_format(first, &a->id[0]);
    vs_guid_format(second, &a->id[1]);
    snprintf(a->text, sizeof a->text, "%d VMs have that name: %s, %s%s", a->ids, first, second,
             a->ids > 2 ? ", ..." : "");
    return vs_because(why, VIRTSOCK_E_AMBIGUOUS, a->text);
}

/* What a program that ran to its end has said. */
static virtsock_status judge(struct answer *a, bool is_wsl, struct vs_cause *why)
{
    read_answer(a);
    if (a->exit_code == 0 && a->ids > 0)
        return a->ids == 1 ? VIRTSOCK_OK : name_several(a, why);
    if (a->exit_code == 0 && a->junk)
        return vs_because(why, VIRTSOCK_E_PROTOCOL, "there is no id in the answer");
    if (is_wsl)
        return vs_because(why, VIRTSOCK_E_NOT_FOUND,
                          "wsl.exe tells no id: no distribution in WSL 2, or a wslinfo without --vm-id");
    if (a->exit_code == 0)
        return vs_because(why, VIRTSOCK_E_NOT_FOUND, "no VM has exactly that name, or this user may see none");
    if (a->exit_code == NO_PERMISSION)
        return vs_because(why, VIRTSOCK_E_DENIED, "this user may not use Get-VM");
    if (a->exit_code == NO_MODULE)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "this Windows has no Hyper-V module for PowerShell");
    snprintf(a->text, sizeof a->text, "PowerShell's exit code is %lu", (unsigned long)a->exit_code);
    return vs_because(why, VIRTSOCK_E_SYSTEM, a->text);
}

static virtsock_status ask(struct answer *a, const virtsock_address *address, const virtsock_options *options,
                           vs_runner *run, struct vs_cause *why)
{
    const bool        is_wsl = address->vm_kind == VS_VM_WSL;
    struct vs_program program = is_wsl ? wsl : powershell;
    int               code;

    program.value = address->text;
    code = run(&program, a->text, sizeof a->text, &a->size, &a->exit_code,
               vs_deadline(vs_option(options, VIRTSOCK_OPTION_CONNECT_TIMEOUT, LOOKUP_MS)));
    if (code == 0)
        return judge(a, is_wsl, why);
    if (code == VS_HUNG)
        return vs_because(why, VIRTSOCK_E_TIMEOUT,
                          is_wsl ? "wsl.exe did not answer in time" : "PowerShell did not answer in time");
    if (code == VS_FLOODED)
        return vs_because(why, VIRTSOCK_E_PROTOCOL, "the answer does not end");
    if (code == VS_ABSENT)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          is_wsl ? "this Windows has no wsl.exe" : "this Windows has no PowerShell");
    return vs_os_cause(why, "resolve", VIRTSOCK_SCHEME_HYPERV, code);
}

virtsock_status vs_resolve_vm(virtsock_address **out, const virtsock_address *address, const virtsock_options *options,
                              vs_runner *run, virtsock_error *err)
{
    struct answer   answer = { .size = 0 };
    char            id[VS_GUID_TEXT];
    struct vs_cause why;
    virtsock_status status;

    if (ask(&answer, address, options, run, &why) != VIRTSOCK_OK)
        return vs_fail(err, "resolve", address, &why);
    vs_guid_format(id, &answer.id[0]);
    status = virtsock_address_hyperv(out, id, address->has_service ? address->text + strlen(address->text) + 1 : "",
                                     err);
    if (status == VIRTSOCK_OK) {
        (*out)->type = address->type;
        (*out)->half_close = address->half_close;
    }
    return status;
}
