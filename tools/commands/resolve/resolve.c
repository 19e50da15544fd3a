/* SPDX-License-Identifier: MIT
 *
 * virtsock resolve: the address behind a name. The library asks Windows for its VMs; libvirt's domains are asked of virsh here, word by word
 * and through no shell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/peer.h"
#include "common/report.h"
#include "platform/host.h"
#include "libvirt.h"

#define LIBVIRT "libvirt:"
#define TIME_MS 10000                   /* unless --timeout says */

static struct {
    const char *connect, *virsh;
    int64_t     timeout_ms;
} set = { .timeout_ms = TIME_MS };

static int print_address(const virtsock_address *address)
{
    char *text = peer_text(address);

    if (text == NULL) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    puts(text);
    free(text);
    return EXIT_DONE;
}

static int resolve_address(const char *text)
{
    virtsock_options *options = virtsock_options_new();
    virtsock_address *address, *found = NULL;
    virtsock_error    err;
    int               code;

    if (virtsock_address_parse(&address, text, &err) != VIRTSOCK_OK)
        code = report_argument(&err);
    else if (virtsock_options_set(options, VIRTSOCK_OPTION_CONNECT_TIMEOUT, set.timeout_ms, &err) != VIRTSOCK_OK
             || virtsock_resolve(&found, address, options, &err) != VIRTSOCK_OK)
        code = report_error(&err);
    else
        code = print_address(found);
    virtsock_address_free(found);
    virtsock_address_free(address);
    virtsock_options_free(options);
    return code;
}

/* --- libvirt ------------------------------------------------------------------------------------------------------------- */

/* Before virsh is asked: vsock://0:PORT. */
static int read_port(virtsock_address **out, uint32_t *port, const char *text)
{
    char           address[64];
    virtsock_error err;

    *out = NULL;
    if (text[strspn(text, "0123456789abcdefABCDEFxX")] != '\0' || strlen(text) > 16)
        return report_usage("\"%s\" is no port", text);
    snprintf(address, sizeof address, "vsock://0:%s", text);
    if (virtsock_address_parse(out, address, &err) != VIRTSOCK_OK)
        return report_argument(&err);
    virtsock_address_number(*out, VIRTSOCK_PART_PORT, port);
    return EXIT_DONE;
}

/* Never whatever stands first in PATH. */
static const char *find_virsh(char *path, size_t cap)
{
    if (set.virsh != NULL)
        return set.virsh;
    return host_find(path, cap, "virsh") ? path : NULL;
}

static int ask_virsh(const char *domain, char *out, size_t cap)
{
    char        path[64];
    const char *virsh = find_virsh(path, sizeof path);
    const char *with[] = { virsh, "--connect", set.connect, "dumpxml", "--", domain, NULL };
    const char *without[] = { virsh, "dumpxml", "--", domain, NULL };
    int         exit_code = 0, code = HOST_ABSENT;

    if (virsh != NULL)
        code = host_run(set.connect != NULL ? with : without, out, cap, (int)set.timeout_ms, &exit_code);
    if (code == HOST_ABSENT && set.virsh != NULL)
        report_line("there is no program %s", set.virsh);
    else if (code == HOST_ABSENT)
        report_line("there is no virsh in /usr/bin or /usr/local/bin, which knows libvirt's domains: install it "
                    "(Debian, Ubuntu: libvirt-clients; Fedora: libvirt-client), or say where it is with --virsh");
    else if (code == HOST_HUNG)
        report_line("virsh did not answer within %g s; see whether it asks for a password", (double)set.timeout_ms / 1000);
    else if (code == HOST_FLOODED)
        report_line("virsh says more than %d bytes about %s", (int)cap - 1, domain);
    else if (code != 0)
        return report_system("virsh", code);
    else if (exit_code != 0)
        report_line("virsh knows no domain %s, or does not tell: its exit code is %d", domain, exit_code);
    return code == 0 && exit_code == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int tell_cid(const char *domain, uint32_t port)
{
    static char       xml[1 << 20];
    virtsock_address *address;
    virtsock_error    err;
    uint32_t          cid = 0;
    int               code;

    if (ask_virsh(domain, xml, sizeof xml) != EXIT_DONE)
        return EXIT_FAILED;
    switch (libvirt_read(xml, domain, &cid)) {
    case LIBVIRT_CID:
        if (virtsock_address_vsock(&address, cid, port, &err) != VIRTSOCK_OK)
            return report_error(&err);
        code = print_address(address);
        virtsock_address_free(address);
        return code;
    case LIBVIRT_OFF:
        report_line("%s has no CID before it runs: virsh start, or give it one (auto='no' address='N')", domain);
        break;
    case LIBVIRT_NO_VSOCK:
        report_line("%s has no vsock device: virsh edit, and add <vsock model='virtio'><cid auto='yes'/></vsock> to its devices", domain);
        break;
    case LIBVIRT_OTHER:
        report_line("virsh takes %s for the id of another domain: give the name or the UUID of the one that is meant", domain);
        break;
    case LIBVIRT_UNREADABLE:
        report_line("what virsh says about %s is no domain in XML", domain);
    }
    return EXIT_FAILED;
}

static int resolve_domain(const char *domain, const char *text)
{
    virtsock_address *address;
    uint32_t          port = 0;
    int               code;

    if (*domain == '\0' || text == NULL)
        return report_usage("virtsock resolve " LIBVIRT "NAME PORT");
    if (set.virsh != NULL && *set.virsh != '/')
        return report_usage("--virsh \"%s\": it is an absolute path", set.virsh);
    code = read_port(&address, &port, text);
    virtsock_address_free(address);
    return code == EXIT_DONE ? tell_cid(domain, port) : code;
}

static int run(char **operand, int count)
{
    if (strncmp(operand[0], LIBVIRT, sizeof LIBVIRT - 1) == 0)
        return resolve_domain(operand[0] + sizeof LIBVIRT - 1, count > 1 ? operand[1] : NULL);
    if (count > 1)
        return report_usage("one word too many: %s; a port of its own is for " LIBVIRT "NAME", operand[1]);
    if (set.connect != NULL || set.virsh != NULL)
        return report_usage("%s is for " LIBVIRT "NAME", set.connect != NULL ? "--connect" : "--virsh");
    return resolve_address(operand[0]);
}

static const struct arg args[] = {
    { 'c', "connect", "URI", ARG_TEXT, &set.connect, "libvirt: where its domains are, as virsh --connect" },
    { 0, "virsh", "PATH", ARG_TEXT, &set.virsh, "libvirt: the program, if not /usr/bin/virsh; an absolute path" },
    { 0, "timeout", "SECONDS", ARG_SECONDS, &set.timeout_ms, "give up after that, or `forever`; 10 unless told" },
    ARGS_COMMON
};

const struct command resolve_command = {
    .name = "resolve",
    .summary = "print the address behind a VM's name",
    .usage = "[--timeout SECONDS] ADDRESS\n[-c URI] [--virsh PATH] [--timeout SECONDS] libvirt:NAME PORT",
    .text = "Prints an address that names no VM: one that can be connected to at once. On Windows the names of Hyper-V's VMs\n"
            "are looked up, and `wsl`; other addresses are printed as they are. libvirt:NAME is a domain of libvirt's, which\n"
            "virsh is asked for. Names are compared exactly. Connects to nothing.\n",
    .examples = "  virtsock resolve libvirt:web 1024                   vsock://5:1024\n"
                "  virtsock cat $(virtsock resolve libvirt:web 1024)   connect to a domain by its name\n"
                "  virtsock resolve -c qemu:///session libvirt:web 80  of this user's libvirt\n"
                "  virtsock resolve hvsock://My%20VM/1024              a VM of Hyper-V, on Windows\n",
    .args = args, .least = 1, .most = 2, .run = run
};
