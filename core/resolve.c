/* SPDX-License-Identifier: MIT
 *
 * Names to ids. Those of VMs are looked up on Windows alone (lookup.c); elsewhere the core starts no program and says
 * what to write instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/transport.h"

bool vs_needs_lookup(const virtsock_address *address)
{
    if (address->scheme == VIRTSOCK_SCHEME_HYPERV)
        return address->vm_kind == VS_VM_NAME || address->vm_kind == VS_VM_WSL;
    return address->docker;
}

/* Where Docker Desktop keeps HyperKit's directory, since March 2018 (linuxkit/virtsock: pkg/vsock). */
static virtsock_status find_docker(virtsock_address **out, const virtsock_address *address, virtsock_error *err)
{
    static const char place[] = "/Library/Containers/com.docker.docker/Data/vms/0";
    const char       *home = getenv("HOME");
    char              path[VS_TEXT_MAX];
    virtsock_status   status;

    if (home == NULL || home[0] != '/' || strlen(home) + sizeof place > sizeof path)
        return vs_refuse(err, "resolve", address, VIRTSOCK_E_NOT_FOUND, "HOME does not lead to Docker's directory");
    snprintf(path, sizeof path, "%s%s", home, place);
    status = virtsock_address_path(out, VIRTSOCK_SCHEME_HYPERKIT, path, address->port, err);
    if (status == VIRTSOCK_OK) {
        (*out)->cid = address->cid;
        (*out)->half_close = address->half_close;
    }
    return status;
}

virtsock_status virtsock_resolve(virtsock_address **out, const virtsock_address *address, const virtsock_options *options, virtsock_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || address == NULL)
        return vs_refuse(err, "resolve", NULL, VIRTSOCK_E_INVALID, "no address, or no place for one");
    if (address->scheme == VIRTSOCK_SCHEME_HYPERV && vs_needs_lookup(address))
        return VS_HYPERV_HOST ? vs_resolve_vm(out, address, options, vs_run, err)
                           : vs_refuse(err, "resolve", address, VIRTSOCK_E_UNSUPPORTED,
                                       "names are looked up on Windows hosts alone; for a libvirt domain there is `virtsock resolve`");
    if (address->docker)
        return find_docker(out, address, err);
    if (vs_address_copy(out, address) != VIRTSOCK_OK)
        return vs_refuse(err, "resolve", address, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    return VIRTSOCK_OK;
}
