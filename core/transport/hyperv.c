/* SPDX-License-Identifier: MIT
 *
 * Hyper-V sockets, Windows's own way between a host and its VMs, for hvsock:// and, where the two worlds meet, for
 * vsock://. A connection to a service that nobody serves may hang for ever, also when somebody does by now: so it is
 * several tries (try_ms, connect.c).
 */
#include <string.h>

#include "transport/transport.h"

#define CONNECT_MS       1000           /* then, who asked for nothing else, takes silence for a refusal */
#define TRY_MS           300            /* ocaml-hvsock's figure: 30 failed under load, 1000 was slow */
#define SYSTEM_MS_MAX    300000         /* hvsocket.h: HVSOCKET_CONNECT_TIMEOUT_MAX */
#define GUEST_PORT_MAX   0x7fffffffu    /* linux, hv_sock 4.14 to 5.5: MAX_LISTEN_PORT */

/* hvsocket.h: numbers of options */
enum { HV_CONNECT_TIMEOUT = 1, HV_PASSTHRU = 2, HV_SUSPEND = 4, HV_HIGH_VTL = 8 };

static virtsock_status supported(virtsock_scheme scheme, struct vs_cause *why)
{
    if (scheme == VIRTSOCK_SCHEME_VSOCK)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          "AF_VSOCK is for Linux; here vsock://host, local and any CID are taken as hvsock://");
    return vs_has_family(VS_FAMILY_HYPERV, scheme, why);
}

/* --- Ends --------------------------------------------------------------------------------------------------------- */

/* vsock:// as Windows has it: the host is the parent, and a port stands for a service. */
static virtsock_status cross(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    const char *vm = address->cid == VIRTSOCK_CID_HOST    ? VIRTSOCK_VM_PARENT
                     : address->cid == VIRTSOCK_CID_LOCAL ? VIRTSOCK_VM_LOOPBACK
                     : address->cid == VIRTSOCK_CID_ANY   ? VIRTSOCK_VM_WILDCARD
                                                          : NULL;

    if (vm == NULL || address->to_host)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          "Windows knows VMs by id, not by CID: write hvsock://VM/SERVICE");
    vs_guid_parse(&end->vm, vm, VS_GUID_TEXT - 1);
    if (address->port != VIRTSOCK_PORT_ANY)
        vs_guid_from_port(&end->service, address->port);
    return VIRTSOCK_OK;
}

static virtsock_status end_of(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    memset(end, 0, sizeof *end);
    end->family = VS_FAMILY_HYPERV;
    if (address->scheme == VIRTSOCK_SCHEME_VSOCK)
        return cross(end, address, why);
    end->vm = address->vm;
    if (address->has_service)
        end->service = address->service;
    return VIRTSOCK_OK;
}

static bool is_any(const struct vs_guid *guid)
{
    const struct vs_guid any = { { 0 } };

    return memcmp(guid, &any, sizeof any) == 0;
}

static virtsock_status address_of(virtsock_address **out, const struct vs_end *end, int type)
{
    char vm[VS_GUID_TEXT], service[VS_GUID_TEXT];

    (void)type;
    vs_guid_format(vm, &end->vm);
    vs_guid_format(service, &end->service);
    return virtsock_address_hyperv(out, vm, service, NULL);
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

static int set_flags(virtsock_fd fd, const virtsock_options *options)
{
    static const struct {
        virtsock_option option;
        int             number;
    } flags[] = {
        { VIRTSOCK_OPTION_HYPERV_PASSTHRU, HV_PASSTHRU }, { VIRTSOCK_OPTION_HYPERV_SUSPEND, HV_SUSPEND },
        { VIRTSOCK_OPTION_HYPERV_HIGH_VTL, HV_HIGH_VTL },
    };
    int code = 0;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && code == 0; i++)
        if ((vs_options_set_mask(options) & VS_OPTION_BIT(flags[i].option)) != 0)
            code = vs_set_hyperv(fd, flags[i].number, (uint32_t)vs_option(options, flags[i].option, 0));
    return code;
}

static int make(virtsock_fd *out, const virtsock_options *options)
{
    int code = vs_socket(out, VS_FAMILY_HYPERV, VIRTSOCK_TYPE_STREAM);

    if (code == 0)
        code = vs_set_buffers(*out, VS_FAMILY_HYPERV, 0, vs_option(options, VIRTSOCK_OPTION_BUFFER_SIZE, 0), 0);
    return code == 0 ? set_flags(*out, options) : code;
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

static const char *silence(const virtsock_address *address)
{
    uint32_t port = address->port;

    if (address->scheme == VIRTSOCK_SCHEME_HYPERV && !vs_guid_to_port(&address->service, &port))
        port = 0;
    return port > GUEST_PORT_MAX
           ? "nobody answered: nobody listens, or the guest is a Linux from 4.14 to 5.5, "
             "which takes no port above 0x7fffffff"
           : "nobody answered: nobody listens there, or the VM does not run";
}

/* The system's own timer: a second more than ours, so that ours decides. */
static int set_timer(const struct vs_attempt *a)
{
    int64_t ms = a->until == VS_FOREVER ? SYSTEM_MS_MAX : a->until - vs_now_ms() + 1000;

    return vs_set_hyperv(a->fd, HV_CONNECT_TIMEOUT, (uint32_t)(ms < SYSTEM_MS_MAX ? ms : SYSTEM_MS_MAX));
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    struct vs_end to;
    int           code;

    if (a->fd >= 0)
        return vs_connected(a, vs_connect_result(a->fd, &a->pending), why);
    if (end_of(&to, a->address, why) != VIRTSOCK_OK)
        return why->status;
    if (is_any(&to.vm) || is_any(&to.service))
        return vs_because(why, VIRTSOCK_E_INVALID, "`any` is for listening: a connection needs one VM and one service");
    code = make(&a->fd, a->options);
    if (code == 0)
        code = set_timer(a);
    if (code == 0)
        code = vs_connect(a->fd, &to, &a->pending);
    return vs_connected(a, code, why);
}

/* --- Listening ---------------------------------------------------------------------------------------------------- */

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options,
                                 struct vs_cause *why)
{
    struct vs_end   at;
    virtsock_status status;
    bool            chosen;
    int             tries = 0;

    if (end_of(&at, address, why) != VIRTSOCK_OK)
        return why->status;
    chosen = is_any(&at.service);
    /* the system chooses no service: one of the ports above those that people choose */
    do {
        if (chosen)
            vs_guid_from_port(&at.service, 0x40000000u | (vs_random() & 0x3fffffffu));
        status = vs_listening(out, &at, make(&out->fd, options), address->scheme, options, why);
    } while (chosen && status == VIRTSOCK_E_IN_USE && ++tries < 16);
    return status;
}

const struct vs_transport vs_vm = {
    .name = "hvsock", .family = VS_FAMILY_HYPERV,
    .connect_ms = CONNECT_MS, .try_ms = TRY_MS, .silence = silence,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE) | VS_OPTION_BIT(VIRTSOCK_OPTION_HYPERV_PASSTHRU)
               | VS_OPTION_BIT(VIRTSOCK_OPTION_HYPERV_SUSPEND) | VS_OPTION_BIT(VIRTSOCK_OPTION_HYPERV_HIGH_VTL),
    .rules = VS_RULE_BIT(VS_RULE_VM) | VS_RULE_BIT(VS_RULE_PARENT) | VS_RULE_BIT(VS_RULE_LOCAL),
    .supported = supported, .connect = connect_step, .listen = listen_at, .address_of = address_of,
};
