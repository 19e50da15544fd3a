/* SPDX-License-Identifier: MIT
 *
 * Questions about this system and this library, and the advice about errors that no system's code stands behind.
 */
#include <string.h>

#include "transport/transport.h"

const char *virtsock_version(void)
{
    return VIRTSOCK_VERSION;
}

virtsock_status virtsock_supported(virtsock_scheme scheme, virtsock_error *err)
{
    struct vs_cause            why;
    const struct vs_transport *t = vs_transport_of(scheme, &why);
    virtsock_status            status = VIRTSOCK_OK;

    if (t != NULL && (t->supported == NULL || t->supported(scheme, &why) == VIRTSOCK_OK))
        return VIRTSOCK_OK;
    status = vs_fail(err, "supported", NULL, &why);
    if (err != NULL)
        err->scheme = scheme;
    return status;
}

virtsock_status virtsock_local_cid(uint32_t *cid, virtsock_error *err)
{
    struct vs_cause why;
    int             code;

    if (cid == NULL)
        return vs_refuse(err, "local cid", NULL, VIRTSOCK_E_INVALID, "no place for the CID");
    *cid = VIRTSOCK_CID_ANY;
    if ((code = vs_local_cid(cid)) != 0) {
        vs_os_cause(&why, "local cid", VIRTSOCK_SCHEME_VSOCK, code);
        return vs_fail(err, "local cid", NULL, &why);
    }
    if (*cid == VIRTSOCK_CID_ANY)
        return vs_refuse(err, "local cid", NULL, VIRTSOCK_E_NOT_FOUND, "this machine has no CID: a Hyper-V guest, or a host without guests");
    return VIRTSOCK_OK;
}

static const struct {
    virtsock_status status;
    const char     *op;                 /* NULL: every one */
    const char     *advice;
} general[] = {
    { VIRTSOCK_E_REFUSED, "connect", "start the service; while the peer boots, wait for it (option WAIT, --wait)" },
    { VIRTSOCK_E_PROTOCOL, "connect", "see whether that is the socket of a CONNECT/OK multiplexer, and report it to the hypervisor if it is" },
    { VIRTSOCK_E_TIMEOUT, "connect", "see whether the peer runs and listens, or give it more time (WAIT, CONNECT_TIMEOUT)" },
    { VIRTSOCK_E_IN_USE, "listen", "choose another port or path, or end the other listener" },
    { VIRTSOCK_E_IN_USE, NULL, "wait until the other call has returned" },
    { VIRTSOCK_E_NAME_TOO_LONG, NULL, "use a shorter path, or a relative one (unix:///./NAME) from its directory; a "
                                      "listener of a multiplexer adds _PORT to it" },
    { VIRTSOCK_E_RESET, NULL, "connect again; what was on its way may be lost" },
    { VIRTSOCK_E_INTERRUPTED, "connect", "look at your signals, and call again: virtsock_stream_connect goes on, virtsock_connect begins anew" },
    { VIRTSOCK_E_INTERRUPTED, "send", "look at your signals, and send what is left; of a message a part may have gone, and then no other can" },
    { VIRTSOCK_E_INTERRUPTED, "close", "look at your signals, and close again: it goes on until its time has passed, with linger 0 it ends at once" },
    { VIRTSOCK_E_INTERRUPTED, NULL, "look at your signals, and call again: nothing is lost" },
    { VIRTSOCK_E_NO_RESOURCES, NULL, "free something, pause, and try again" },
    { VIRTSOCK_E_MESSAGE_TOO_LONG, "recv", "give a larger buffer: a message comes whole or is cut" },
    { VIRTSOCK_E_MESSAGE_TOO_LONG, NULL, "send less at once" },
    { VIRTSOCK_E_DENIED, "resolve", "run it as an administrator or as one of the group Hyper-V Administrators, or write the VM's GUID" },
    { VIRTSOCK_E_TIMEOUT, "resolve", "give it more time (CONNECT_TIMEOUT, --timeout), or write the VM's GUID" },
    { VIRTSOCK_E_NOT_FOUND, "resolve", "capitals and blanks count: see `Get-VM` in an administrator's PowerShell, or write the VM's GUID" },
    { VIRTSOCK_E_UNSUPPORTED, "shutdown",
      "let the peer end first, then close; or write half-close=framed where both ends are virtsock's, "
      "half-close=native where the way carries half-closes (Cloud Hypervisor from 53 on)" },
    { VIRTSOCK_E_UNSUPPORTED, "connect", "`virtsock info` lists the transports that work here" },
};

const char *virtsock_advice(const virtsock_error *err)
{
    const char *advice;

    if (err == NULL || err->status == VIRTSOCK_OK)
        return NULL;
    if (err->os_code != 0 && (advice = vs_os_advice(err->op, err->scheme, err->os_code)) != NULL)
        return advice;
    for (size_t i = 0; i < sizeof general / sizeof general[0]; i++)
        if (general[i].status == err->status && (general[i].op == NULL || strcmp(general[i].op, err->op) == 0))
            return general[i].advice;
    return NULL;
}
