/* SPDX-License-Identifier: MIT
 *
 * AF_VSOCK: streams and seqpacket between a Linux host and its guests, siblings by way of the host, and CID 1 within
 * one machine; streams between a guest of macOS or FreeBSD and its host.
 */
#include <string.h>

#include "transport/transport.h"

#define DEFAULT_MIN 128                 /* linux: VSOCK_DEFAULT_BUFFER_MIN_SIZE and _MAX_SIZE */
#define DEFAULT_MAX 262144

static virtsock_status supported(virtsock_scheme scheme, struct vs_cause *why)
{
    if (scheme == VIRTSOCK_SCHEME_HYPERV)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          "Hyper-V sockets are for Windows; here hvsock://parent and services that stand for a port "
                                                       "are taken as vsock://");
    return vs_has_family(VS_FAMILY_VSOCK, scheme, why);
}

/* hvsock:// as a guest has it that speaks AF_VSOCK: the host, or anybody, and services that stand for a port. */
static virtsock_status cross(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    end->cid = address->vm_kind == VS_VM_PARENT ? VIRTSOCK_CID_HOST
             : address->vm_kind == VS_VM_LOOPBACK ? VIRTSOCK_CID_LOCAL : VIRTSOCK_CID_ANY;
    if (address->vm_kind != VS_VM_WILDCARD && end->cid == VIRTSOCK_CID_ANY)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          "this system has no Hyper-V sockets and knows VMs by CID: write vsock://CID:PORT, "
                                                       "or hvsock://parent for the host");
    end->port = VIRTSOCK_PORT_ANY;
    if (address->has_service && !vs_guid_to_port(&address->service, &end->port))
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED,
                          "this system has no Hyper-V sockets and that service id stands for no vsock port "
                                                       "(PPPPPPPP-facb-11e6-bd58-64006a7986d3 does)");
    return VIRTSOCK_OK;
}

static virtsock_status end_of(struct vs_end *end, const virtsock_address *address, struct vs_cause *why)
{
    memset(end, 0, sizeof *end);
    end->family = VS_FAMILY_VSOCK;
    if (address->scheme == VIRTSOCK_SCHEME_HYPERV)
        return cross(end, address, why);
    end->cid = address->cid;
    end->port = address->port;
    end->to_host = address->to_host;
    return VIRTSOCK_OK;
}

/* The kernel clamps the size into [min, max]: those are widened to it where they were left alone. */
static int set_buffers(virtsock_fd fd, const virtsock_options *options)
{
    int64_t size = vs_option(options, VIRTSOCK_OPTION_BUFFER_SIZE, 0);
    int64_t min = vs_option(options, VIRTSOCK_OPTION_BUFFER_MIN, size != 0 && size < DEFAULT_MIN ? size : 0);
    int64_t max = vs_option(options, VIRTSOCK_OPTION_BUFFER_MAX, size > DEFAULT_MAX ? size : 0);

    return vs_set_buffers(fd, VS_FAMILY_VSOCK, min, size, max);
}

/* The kernel has a timer of its own, 2 s by default: a second more than ours, so that ours decides; or as good as for
 * ever. */
static int set_timer(const struct vs_attempt *a)
{
    if (a->timeout_ms == 0)
        return 0;
    return vs_set_vsock_connect_timeout(a->fd, a->timeout_ms < 0 ? (int64_t)INT32_MAX * 1000 : a->timeout_ms + 1000);
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    struct vs_end to;
    int           code;

    if (a->fd >= 0)
        return vs_connected(a, vs_connect_result(a->fd, &a->pending), why);
    if (end_of(&to, a->address, why) != VIRTSOCK_OK)
        return why->status;
    if (to.cid == VIRTSOCK_CID_ANY || to.port == VIRTSOCK_PORT_ANY)
        return vs_because(why, VIRTSOCK_E_INVALID, "`any` is for listening: a connection needs one CID and one port");
    code = vs_socket(&a->fd, VS_FAMILY_VSOCK, a->address->type);
    if (code == 0)
        code = set_buffers(a->fd, a->options);
    if (code == 0)
        code = set_timer(a);
    if (code == 0)
        code = vs_connect(a->fd, &to, &a->pending);
    return vs_connected(a, code, why);
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options,
                                 struct vs_cause *why)
{
    struct vs_end at;
    int           code;

    if (end_of(&at, address, why) != VIRTSOCK_OK)
        return why->status;
    if (address->to_host)
        return vs_because(why, VIRTSOCK_E_INVALID, "to-host is for connecting");
    code = vs_socket(&out->fd, VS_FAMILY_VSOCK, address->type);
    if (code == 0)
        code = set_buffers(out->fd, options);
    return vs_listening(out, &at, code, address->scheme, options, why);
}

static virtsock_status address_of(virtsock_address **out, const struct vs_end *end, int type)
{
    virtsock_status status = virtsock_address_vsock(out, end->cid, end->port, NULL);

    if (status == VIRTSOCK_OK)
        (*out)->type = type;
    return status;
}

const struct vs_transport vs_vm = {
    .name = "vsock", .family = VS_FAMILY_VSOCK, .seqpacket = true,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_MIN) | VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE)
             | VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_MAX),
    .rules = VS_RULE_BIT(VS_RULE_CID) | VS_RULE_BIT(VS_RULE_PARENT) | VS_RULE_BIT(VS_RULE_LOCAL) | VS_RULE_PRIVILEGED,
    .supported = supported, .connect = connect_step, .listen = listen_at, .address_of = address_of,
};
