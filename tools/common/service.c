/* SPDX-License-Identifier: MIT
 *
 * Registering Hyper-V services: see service.h.
 */
#include "common/service.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/escape.h"
#include "common/report.h"
#include "platform/host.h"

/* --- PowerShell ------------------------------------------------------------------------------------------------------------ */

/* A character beyond ASCII, as PowerShell's own have it. */
static void print_units(FILE *out, const char *s, size_t n)
{
    uint32_t c = (unsigned char)*s & (0x7fu >> n);

    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    if (c >= 0x10000)
        fprintf(out, "' + [char]0x%" PRIx32 " + [char]0x%" PRIx32 " + '", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
    else
        fprintf(out, "' + [char]0x%" PRIx32 " + '", c);
}

/* In single quotes nothing is looked at but they themselves, doubled. Typographic quotes count as such, and a file of lines may be read in
 * another encoding than it was written in: so all of it is ASCII. */
static void print_quoted(FILE *out, const char *text)
{
    fputs("('", out);
    for (size_t n; *text != '\0'; text += n) {
        n = escape_length(text);
        if (n > 1)
            print_units(out, text, n);
        else
            fprintf(out, *text == '\'' ? "''" : "%c", *text);
    }
    fputs("')", out);
}

void service_print_script(FILE *out, const char *service, const char *name)
{
    fprintf(out, "$key = 'HKLM:\\%s\\%s'\n", SERVICE_PLACE, service);
    if (name == NULL) {
        fputs("if (Test-Path -LiteralPath $key) { Remove-Item -LiteralPath $key }\n", out);
        return;
    }
    fputs("if (-not (Test-Path -LiteralPath $key)) { New-Item -Path $key -Force | Out-Null }\n"
          "if ($null -eq (Get-Item -LiteralPath $key).GetValue('ElementName')) {\n"
          "    New-ItemProperty -LiteralPath $key -Name ElementName -PropertyType String -Value ", out);
    print_quoted(out, name);
    fputs(" | Out-Null\n}\n", out);
}

/* --- Changes --------------------------------------------------------------------------------------------------------------- */

int service_change(const char *service, const char *name)
{
    virtsock_error  err;
    virtsock_status status = name != NULL ? virtsock_service_register(service, name, &err) : virtsock_service_unregister(service, &err);

    if (status == VIRTSOCK_OK)
        return EXIT_DONE;
    report_argument(&err);
    if (status == VIRTSOCK_E_DENIED) {
        report_line("or run these lines in an administrator's PowerShell:");
        service_print_script(stderr, service, name);
    }
    return status == VIRTSOCK_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

int service_register(const virtsock_address *address, const char *name)
{
    const char *service = virtsock_address_text(address, VIRTSOCK_PART_SERVICE);
    char        of_port[SERVICE_TEXT];
    uint32_t    port;

    if (virtsock_address_scheme(address) == VIRTSOCK_SCHEME_VSOCK && virtsock_address_number(address, VIRTSOCK_PART_PORT, &port) == VIRTSOCK_OK
        && port <= INT32_MAX) {
        virtsock_service_from_port(of_port, port);
        service = of_port;
    } else if (virtsock_address_scheme(address) != VIRTSOCK_SCHEME_HYPERV || service == NULL) {
        return report_usage("--register is for hvsock://VM/SERVICE, and for vsock://CID:PORT on a Windows host");
    }
    return service_change(service, name);
}
