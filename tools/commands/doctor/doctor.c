/* SPDX-License-Identifier: MIT
 *
 * virtsock doctor: what is wrong with vsock here, or between here and an address, and what to do about it.
 */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "common/peer.h"
#include "common/report.h"
#include "common/way.h"
#include "platform/doctor.h"
#include "platform/host.h"
#include "platform/tool.h"
#include "finding.h"

#define ANSWER_MS 5000                  /* unless --timeout says, where the system does not end an attempt by itself */
#define STAYS_MS  500                   /* unless --stays says, where a connection proves little */

static struct {
    const char *root;
    bool        listen, json;
} set = { .root = "" };

/* --- An address ----------------------------------------------------------------------------------------------------------- */

static bool uses_path(const virtsock_address *address)
{
    return doctor_kind_of(virtsock_address_scheme(address)) == VIRTSOCK_SCHEME_UNIX;
}

/* True: the path does not lead to a socket, and that was told. */
static bool tell_path(const virtsock_address *address, int code)
{
    static const struct {
        const char *id, *text, *advice;
    } causes[] = {
        [DOCTOR_OTHER] = { "not-a-socket", "what stands there is no socket", "mend the path" },
        [DOCTOR_NO_FILE] = { "missing-socket", "there is no such socket", "mend the path, or start the service or the VM that makes it" },
        [DOCTOR_NO_FOLDER] = { "missing-directory", "there is no such directory", "mend the path, or start the VM that makes it" },
        [DOCTOR_HIDDEN] = { "path-denied", "a directory above it may not be searched", "run it as the user of the hypervisor, or mend permissions" }
    };
    const bool       hyperkit = virtsock_address_scheme(address) == VIRTSOCK_SCHEME_HYPERKIT;
    char             path[1024];
    enum doctor_file file;

    if (peer_is_abstract(address))
        return false;
    snprintf(path, sizeof path, "%s%s", virtsock_address_text(address, VIRTSOCK_PART_PATH), hyperkit ? "/connect" : "");
    if ((file = doctor_file_at(path)) == DOCTOR_SOCKET)
        return false;
    finding_problem(causes[file].id, causes[file].advice, code, "%s: %s", path, causes[file].text);
    return true;
}

/* A CID that nothing leads to, by what this system has. */
static const char *cause_of_cid(const virtsock_address *address, const struct doctor_system *system, const char *id, const char **advice)
{
    const char *vm = virtsock_address_text(address, VIRTSOCK_PART_VM);
    uint32_t    cid = vm != NULL && strcmp(vm, "loopback") == 0 ? VIRTSOCK_CID_LOCAL : VIRTSOCK_CID_HOST;

    virtsock_address_number(address, VIRTSOCK_PART_CID, &cid);
    if (cid == VIRTSOCK_CID_LOCAL && !system->loopback && system->modules
        && (strcmp(id, "no-such-cid") == 0 || strcmp(id, "not-our-cid") == 0)) {
        *advice = ADVICE_LOOPBACK;
        return "no-loopback";
    }
    if (cid == VIRTSOCK_CID_HOST && system->loopback && !system->guest && strcmp(id, "nobody-listens") == 0)
        *advice = "while no guest's transport is loaded, CID 2 is this machine itself: start the service here, or load one";
    if (strcmp(id, "no-such-cid") != 0 || !system->modules || system->guest)
        return id;
    if (cid <= VIRTSOCK_CID_HOST) {
        *advice = system->guest_advice;
        return "no-guest-transport";
    }
    if (system->host)
        return id;
    *advice = ADVICE_HOST;
    return "no-host-transport";
}

static void judge(const virtsock_address *address, const virtsock_error *err, const struct doctor_system *system)
{
    const bool  led_nowhere = err->status == VIRTSOCK_E_REFUSED || err->status == VIRTSOCK_E_TIMEOUT || err->status == VIRTSOCK_E_DENIED;
    const char *advice, *id = doctor_cause(err, system, &advice);

    if (uses_path(address) && !set.listen && led_nowhere && tell_path(address, err->os_code))
        return;
    if (peer_is_abstract(address) && !set.listen && err->status == VIRTSOCK_E_REFUSED) {
        finding_problem("nobody-listens", "start its program: such a name is gone with it, and a path is another thing",
                        err->os_code, "connect unix://%s: nobody listens there",
                        virtsock_address_text(address, VIRTSOCK_PART_PATH));        /* no file was left behind */
        return;
    }
    if (doctor_kind_of(virtsock_address_scheme(address)) == VIRTSOCK_SCHEME_VSOCK)
        id = cause_of_cid(address, system, id, &advice);
    finding_problem(id, advice, err->os_code, "%s", err->message);
}

/* HyperKit, and those that have a UNIX socket a port, take a connection and end it where nobody listens in the guest. */
static bool accepts_early(const virtsock_address *address)
{
    virtsock_scheme scheme = virtsock_address_scheme(address);

    return scheme == VIRTSOCK_SCHEME_HYPERKIT || scheme == VIRTSOCK_SCHEME_UNIX;
}

/* What becomes of an answer when this end has ended its direction. */
static void tell_way(const virtsock_stream *stream, const virtsock_address *address)
{
    const struct way_told nothing = { false, false };
    const struct way      way = way_of(stream, address, &nothing);
    const char           *advice = "let the peer end first: cat and relay do; echo has --no-bye, stress --no-half-close";

    if (way.kind == WAY_HALF_CLOSES)
        advice = "programs that use the library write half-close=native in its address";
    if (way.known != NULL)
        finding_note("half-close", advice, "%s%s%s", way.name != NULL ? way.name : "", way.name != NULL ? " serves it: " : "", way.known);
}

static virtsock_status try_connecting(const virtsock_address *address, virtsock_error *err)
{
    virtsock_stream *stream;
    virtsock_status  cause, status = peer_try(&stream, address, &cause, err);

    if (status == VIRTSOCK_E_TIMEOUT && cause != VIRTSOCK_OK)
        err->status = cause;            /* and not that the time has passed */
    if (status == VIRTSOCK_OK)
        tell_way(stream, address);
    virtsock_stream_free(stream);
    return status;
}

static virtsock_status try_listening(const virtsock_address *address, virtsock_error *err)
{
    virtsock_listener *listener;
    virtsock_status    status = virtsock_listen(&listener, address, NULL, err);

    virtsock_listener_free(listener);
    return status;
}

/* Guests reach a program of a Windows host by its service alone, and only if that is registered there. */
static void look_at_service(const virtsock_address *address)
{
    const char *service = virtsock_address_text(address, VIRTSOCK_PART_SERVICE);
    char        of_port[SERVICE_TEXT], name[SERVICE_NAME];
    uint32_t    port;

    if (host_registers() != 0)
        return;
    if (service == NULL && virtsock_address_number(address, VIRTSOCK_PART_PORT, &port) == VIRTSOCK_OK) {
        virtsock_service_from_port(of_port, port);
        service = of_port;
    }
    if (service != NULL && host_service(service, name, sizeof name) == 0)
        finding_ok("service", "%s is registered as %s", service, name);
    else if (service != NULL)
        finding_note("service", "`virtsock service register`, if a program of this host serves guests with it",
                     "%s is not registered in GuestCommunicationServices", service);
}

static bool try_address(const virtsock_address *address, const char *text, const struct doctor_system *system)
{
    virtsock_error  err;
    virtsock_status status = set.listen ? try_listening(address, &err) : try_connecting(address, &err);

    if (status == VIRTSOCK_OK)
        finding_ok("answer", set.listen ? "%s can be listened on" : "%s answers", text);
    else
        judge(address, &err, system);
    return status == VIRTSOCK_OK;
}

/* --- The command ---------------------------------------------------------------------------------------------------------- */

static int diagnose(const virtsock_address *address)
{
    const bool           vsock = address == NULL || doctor_kind_of(virtsock_address_scheme(address)) == VIRTSOCK_SCHEME_VSOCK;
    struct doctor_system system = { 0 };
    char                *text = address != NULL ? peer_text(address) : NULL;
    bool                 good = false;

    if (address != NULL && text == NULL) {
        report_line("out of memory");
        return EXIT_FAILED;
    }
    finding_begin(set.json, text);
    if (vsock)
        doctor_look(&system, set.root);
    if (vsock && address != NULL)
        look_at_service(address);
    if (address != NULL)
        good = try_address(address, text, &system);
    free(text);
    return finding_end(good) ? EXIT_DONE : EXIT_FAILED;
}

static int run(char **operand, int count)
{
    virtsock_address *address = NULL;
    virtsock_error    err;
    int               code;

    if (count == 0 && (set.listen || peer_settings.timeout_ms != ARG_UNSET || peer_settings.wait_ms != ARG_UNSET
                       || peer_settings.stays_ms != ARG_UNSET))
        return report_usage("--listen, --timeout, --wait and --stays are for an address");
    if (count > 0 && virtsock_address_parse(&address, operand[0], &err) != VIRTSOCK_OK)
        return report_argument(&err);
    if (count > 0 && !set.listen && peer_settings.timeout_ms == ARG_UNSET
        && doctor_kind_of(virtsock_address_scheme(address)) != VIRTSOCK_SCHEME_VSOCK)
        peer_settings.timeout_ms = ANSWER_MS;
    if (count > 0 && !set.listen && peer_settings.stays_ms == ARG_UNSET && accepts_early(address))
        peer_settings.stays_ms = STAYS_MS;
    code = peer_options(set.listen);
    if (code == EXIT_DONE)
        code = diagnose(address);
    virtsock_address_free(address);
    return code;
}

static const struct arg args[] = {
    { 0, "timeout", "SECONDS", ARG_SECONDS, &peer_settings.timeout_ms, "give an attempt to connect up after that" },
    { 0, "wait", "SECONDS", ARG_SECONDS, &peer_settings.wait_ms, "try again until the peer answers, so long at most" },
    { 0, "stays", "SECONDS", ARG_SECONDS, &peer_settings.stays_ms, "who hangs up within that has not answered; 0.5 for unix:// and hyperkit://" },
    { 'l', "listen", NULL, ARG_FLAG, &set.listen, "listen at the address for a moment, instead of connecting" },
    { 'v', "verbose", NULL, ARG_COUNT, &peer_settings.verbose, "tell of each attempt" },
    { 0, "root", "DIRECTORY", ARG_TEXT, &set.root, "look at the file system below it, for tests" },
    { 0, "json", NULL, ARG_FLAG, &set.json, "print it as JSON" },
    ARGS_COMMON
};

const struct command doctor_command = {
    .name = "doctor",
    .summary = "what is wrong, and what to do about it",
    .usage = "[--json]\n[--timeout SECONDS] [--wait SECONDS] [--stays SECONDS] [--json] ADDRESS\n-l [--json] ADDRESS",
    .text = "Looks at this system, then tries the address if there is one, and names the cause where something is wrong. Without\n"
            "an address it connects to nothing. Exits with 0 if nothing is wrong, or if the address answers; with 1 if not.\n",
    .examples = "  virtsock doctor                                     can this system use vsock?\n"
                "  virtsock doctor vsock://3:1024                      why does that not connect?\n"
                "  virtsock doctor --json vsock-mux://:52/run/vm.sock  for a program: findings[].id is stable\n",
    .args = args, .least = 0, .most = 1, .run = run
};
