/* SPDX-License-Identifier: MIT
 *
 * Names to ids. On POSIX systems the core looks nothing up and starts no program: it says which address to write instead.
 */
#include "transport/transport.h"

bool vs_needs_lookup(const virtsock_address *address)
{
    if (address->scheme == VIRTSOCK_SCHEME_HYPERV)
        return address->vm_kind == VS_VM_NAME || address->vm_kind == VS_VM_WSL;
    return address->docker;
}

virtsock_status virtsock_resolve(virtsock_address **out, const virtsock_address *address, const virtsock_options *options, virtsock_error *err)
{
    (void)options;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || address == NULL)
        return vs_refuse(err, "resolve", NULL, VIRTSOCK_E_INVALID, "no address, or no place for one");
    if (address->scheme == VIRTSOCK_SCHEME_HYPERV && vs_needs_lookup(address))
        return vs_refuse(err, "resolve", address, VIRTSOCK_E_UNSUPPORTED, "names of VMs are looked up on Windows hosts alone");
    if (vs_needs_lookup(address))
        return vs_refuse(err, "resolve", address, VIRTSOCK_E_UNSUPPORTED, "this version has no hyperkit transport");
    if (vs_address_copy(out, address) != VIRTSOCK_OK)
        return vs_refuse(err, "resolve", address, VIRTSOCK_E_NO_RESOURCES, "out of memory");
    return VIRTSOCK_OK;
}
