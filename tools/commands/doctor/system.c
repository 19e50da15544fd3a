/* SPDX-License-Identifier: MIT
 *
 * The doctor's look at the system: see doctor.h. Linux tells by files, which may stand below another root; there is no other difference
 * between a system that is looked at and one that a test has made up, but that ROOT/calls may say how calls end.
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/reason.h"
#include "platform/doctor.h"
#include "platform/host.h"
#include "platform/tool.h"
#include "finding.h"

#define VIRTIO "modprobe vmw_vsock_virtio_transport; the VM needs a vsock device (QEMU: -device vhost-vsock-pci,guest-cid=3)"
#define ENFORCED "should a call be forbidden, its log says so (ausearch -m avc, dmesg)"
#define REGISTRY "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices"

static const char *top;                 /* of the file system that is looked at */

/* --- Files ---------------------------------------------------------------------------------------------------------------- */

static const char *below(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof path, "%s%s", top, name);
    return path;
}

/* Its beginning, without the end of the line that it has if it is one. False: it cannot be read. */
static bool read_file(const char *name, char *text, size_t cap)
{
    FILE  *file = fopen(below(name), "r");
    size_t n;

    text[0] = '\0';
    if (file == NULL)
        return false;
    n = fread(text, 1, cap - 1, file);
    fclose(file);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\0'))
        n--;
    text[n] = '\0';
    return true;
}

static bool says(const char *name, const char *word)
{
    char text[4096];

    return read_file(name, text, sizeof text) && strstr(text, word) != NULL;
}

/* A line that begins with the word, or anywhere has it. */
static bool has_line(const char *name, const char *word, bool anywhere)
{
    FILE *file = fopen(below(name), "r");
    char  line[1024];
    bool  has = false;

    while (file != NULL && !has && fgets(line, sizeof line, file) != NULL)
        has = anywhere ? strstr(line, word) != NULL : strncmp(line, word, strlen(word)) == 0;
    if (file != NULL)
        fclose(file);
    return has;
}

static bool exists(const char *name)
{
    enum doctor_file file = doctor_file_at(below(name));

    return file == DOCTOR_SOCKET || file == DOCTOR_OTHER;
}

/* Loaded, or a part of the kernel. */
static bool has_module(const char *name)
{
    char word[64], path[384], release[256];

    snprintf(word, sizeof word, "%s ", name);
    snprintf(path, sizeof path, "/sys/module/%s", name);
    if (has_line("/proc/modules", word, false) || exists(path))
        return true;
    read_file("/proc/sys/kernel/osrelease", release, sizeof release);
    snprintf(path, sizeof path, "/lib/modules/%s/modules.builtin", release);
    snprintf(word, sizeof word, "/%s.ko", name);
    return has_line(path, word, true);
}

/* --- The machine ---------------------------------------------------------------------------------------------------------- */

static void look_at_machine(struct doctor_system *system)
{
    char release[256] = "", vendor[128], product[128] = "";
    bool virtual = says("/proc/cpuinfo", " hypervisor");

    read_file("/proc/sys/kernel/osrelease", release, sizeof release);
    read_file("/sys/class/dmi/id/product_name", product, sizeof product);
    if (!read_file("/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor) && !read_file("/sys/hypervisor/type", vendor, sizeof vendor))
        snprintf(vendor, sizeof vendor, "%s", virtual ? "a hypervisor that does not tell its name" : "no hypervisor is seen");
    virtual |= strstr(vendor, "QEMU") != NULL || strstr(product, "Virtual") != NULL;       /* processors but x86 do not tell */
    if (!virtual)
        system->guest_advice = ADVICE_HOST;
    else if (strstr(vendor, "Microsoft") != NULL)
        system->guest_advice = "modprobe hv_sock, in a guest of Hyper-V";
    else if (strstr(vendor, "VMware") != NULL)
        system->guest_advice = "modprobe vmw_vsock_vmci_transport, in a guest of VMware";
    else
        system->guest_advice = VIRTIO;
    finding_ok("machine", "Linux %s, %s%s%s%s", release, virtual ? "virtual: " : "", vendor, *product ? " " : "", product);
}

static void look_at_confinement(struct doctor_system *system)
{
    const char *container = exists("/run/.containerenv") ? "podman" : exists("/.dockerenv") ? "docker" : NULL;
    char        text[4096];

    if (container == NULL && (says("/proc/self/cgroup", "docker") || says("/proc/self/cgroup", "kubepods") || says("/proc/self/cgroup", "containerd")
                              || says("/proc/self/cgroup", "/lxc")))
        container = "by its control group";
    if (container != NULL)
        finding_note("container", "devices must be mapped into it (--device /dev/vsock), and its seccomp profile must allow AF_VSOCK",
                     "this is a container (%s)", container);
    if (says("/proc/sys/kernel/osrelease", "icrosoft"))
        finding_note("wsl", "`wslinfo --vm-id` prints the id here; on Windows hvsock://wsl/PORT finds it",
                     "this is WSL: Windows knows its VM by an id, which changes with every start");
    if (read_file("/proc/self/status", text, sizeof text)) {
        system->unfiltered = strstr(text, "Seccomp:\t0") != NULL;
        if (strstr(text, "Seccomp:\t2") != NULL)
            finding_note("seccomp-filter", NULL, "a seccomp filter decides which calls this process may make");
    }
    if (says("/sys/fs/selinux/enforce", "1"))
        finding_note("selinux", ENFORCED, "SELinux enforces its policy");
    if (says("/sys/module/apparmor/parameters/enabled", "Y") && read_file("/proc/self/attr/current", text, 256) && strstr(text, "unconfined") == NULL)
        finding_note("apparmor", ENFORCED, "AppArmor confines this process: %s", text);
}

/* --- Calls ---------------------------------------------------------------------------------------------------------------- */

/* ROOT/calls: lines "NAME CODE" or "NAME 0 VALUE". False: it says nothing of that call. */
static bool told_call(const char *name, int *code, uint32_t *value)
{
    FILE *file = *top != '\0' ? fopen(below("/calls"), "r") : NULL;
    char  line[128], call[32];
    bool  told = false;

    while (file != NULL && !told && fgets(line, sizeof line, file) != NULL)
        told = sscanf(line, "%31s %d %" SCNu32, call, code, value) >= 2 && strcmp(call, name) == 0;
    if (file != NULL)
        fclose(file);
    return told;
}

/* What the library would have said, had a call of the system ended with that code. */
static void invent(virtsock_error *err, const char *op, int code)
{
    *err = (virtsock_error){ .status = VIRTSOCK_E_SYSTEM, .os_code = code, .scheme = VIRTSOCK_SCHEME_VSOCK };
    snprintf(err->op, sizeof err->op, "%s", op);
    tool_code_text(code, err->message, sizeof err->message);
}

static void tell_error(const virtsock_error *err, const struct doctor_system *system)
{
    const char *advice, *id = doctor_cause(err, system, &advice);

    finding_problem(id, advice, err->os_code, "%s", reason_text(err));
}

/* True: sockets of the family can be made. */
static bool look_at_family(const struct doctor_system *system)
{
    virtsock_error err;
    uint32_t       unused;
    int            code;

    if (told_call("socket", &code, &unused)) {
        if (code != 0)
            invent(&err, "supported", code);
    } else {
        code = virtsock_supported(VIRTSOCK_SCHEME_VSOCK, &err);
    }
    if (code == 0)
        finding_ok("family", "sockets of AF_VSOCK can be made");
    else
        tell_error(&err, system);
    return code == 0;
}

static void look_at_cid(struct doctor_system *system)
{
    virtsock_error err = { 0 };
    uint32_t       cid = VIRTSOCK_CID_ANY;
    int            code;

    if (told_call("cid", &code, &cid) || (*top != '\0' && (code = doctor_may_open(below("/dev/vsock"), false)) != 0)) {
        if (code != 0)
            invent(&err, "local cid", code);
    } else if ((code = virtsock_local_cid(&cid, &err)) != 0 && err.os_code == 0) {
        code = 0;
    }
    if (code != 0) {
        tell_error(&err, system);
        return;
    }
    system->host |= cid == VIRTSOCK_CID_HOST;
    if (cid != VIRTSOCK_CID_ANY && cid > VIRTSOCK_CID_LOCAL) {
        system->guest |= cid > VIRTSOCK_CID_HOST;
        finding_ok("cid", "this machine is CID %" PRIu32 ", a %s", cid, cid == VIRTSOCK_CID_HOST ? "host" : "guest");
    } else if (has_module("hv_sock")) {
        finding_note("cid", NULL, "this machine has no CID, as every guest of Hyper-V: its host knows it by the VM's id");
    } else {
        system->guest = false;          /* whatever is loaded */
        finding_note("cid", NULL, "this machine has no CID but 1, which is everybody's own: it is no host, and no guest with a vsock device");
    }
}

/* --- Transports ----------------------------------------------------------------------------------------------------------- */

static void look_for_modules(struct doctor_system *system)
{
    system->modules = exists("/proc/modules");
    system->has_vsock = has_module("vsock") || exists("/dev/vsock");
    system->host = has_module("vhost_vsock");
    system->guest = has_module("vmw_vsock_virtio_transport") || has_module("hv_sock") || has_module("vmw_vsock_vmci_transport");
    system->loopback = has_module("vsock_loopback");
}

static void look_at_transports(const struct doctor_system *system)
{
    if (system->host || system->guest)
        finding_ok("transports", "there is a way%s%s%s%s", system->host ? " to guests" : "", system->host && system->guest ? "," : "",
                   system->guest ? " to the host" : "", system->loopback ? ", and to itself (CID 1)" : "");
    else if (system->loopback)
        finding_note("transports", system->guest_advice, "there is a way to itself alone (CID 1)");
    else if (system->modules)
        finding_problem("no-transport", system->guest_advice, 0, "there is a way to nobody: no vsock transport is loaded");
    if (system->host && system->guest)
        finding_note("nested", "?to-host=1 in the address reaches the other guests of its host",
                     "a guest that is a host as well: a CID from 3 on is first of all its own guest's");
}

static void look_at_rules(const struct doctor_system *system)
{
    if (system->host && doctor_may_open(below("/dev/vhost-vsock"), true) != 0)
        finding_note("vhost", "map it into the container, or ask for the group that owns it (kvm)",
                     "/dev/vhost-vsock cannot be opened: no VM with vsock can be started from here");
    if (says("/proc/sys/net/vsock/ns_mode", "local"))
        finding_note("namespace", "run it where the VM was started (nsenter --net), or in a namespace of mode global",
                     "this network namespace has CIDs of its own (ns_mode local): VMs of others do not answer");
    if (says("/proc/sys/net/vsock/g2h_fallback", "0"))
        finding_note("siblings", "sysctl net.vsock.g2h_fallback=1, or ?to-host=1 in the address",
                     "CIDs that no guest of this machine has are not asked of its host (g2h_fallback 0)");
}

static void look_at_linux(struct doctor_system *system)
{
    look_at_machine(system);
    look_at_confinement(system);
    look_for_modules(system);
    if (!look_at_family(system))
        return;
    look_at_cid(system);
    look_at_transports(system);
    look_at_rules(system);
}

/* --- Others --------------------------------------------------------------------------------------------------------------- */

static void look_at_windows(void)
{
    char     service[SERVICE_TEXT];
    unsigned count = 0;

    while (host_service_at(count, service) == 0)
        count++;
    finding_ok("services", "%u Hyper-V services are registered in " REGISTRY, count);
    finding_note("vms", "an administrator's `hcsdiag list` has the ids of VMs that run, `wslinfo --vm-id`, in WSL, that of its VM",
                 "Windows knows VMs by their ids");
}

static void look_at_other(const struct doctor_system *system)
{
    virtsock_scheme scheme = host_registers() == 0 ? VIRTSOCK_SCHEME_HYPERV : VIRTSOCK_SCHEME_VSOCK;
    virtsock_error  err;

    if (virtsock_supported(scheme, &err) != VIRTSOCK_OK)
        tell_error(&err, system);
    else
        finding_ok("family", "sockets of %s can be made", scheme == VIRTSOCK_SCHEME_VSOCK ? "AF_VSOCK" : "Hyper-V");
    if (scheme == VIRTSOCK_SCHEME_HYPERV)
        look_at_windows();
}

void doctor_look(struct doctor_system *system, const char *root)
{
    *system = (struct doctor_system){ .guest_advice = ADVICE_HOST };
    top = root;
    if (*root != '\0' || (host_registers() != 0 && exists("/proc/sys/kernel/osrelease")))
        look_at_linux(system);
    else
        look_at_other(system);
}
