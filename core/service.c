/* SPDX-License-Identifier: MIT
 *
 * Hyper-V services of a Windows host: what can be registered, and under which name. The registry is the platform's.
 */
#include <string.h>

#include "handle.h"

/* Frees at, the service as an address. */
static virtsock_status told(const char *op, virtsock_address *at, int code, virtsock_error *err)
{
    struct vs_cause why;
    virtsock_status status = VIRTSOCK_OK;

    if (code == VS_ABSENT)
        vs_because(&why, VIRTSOCK_E_UNSUPPORTED, "only a Windows host registers services; others need no registration");
    else if (code != 0)
        vs_os_cause(&why, op, VIRTSOCK_SCHEME_HYPERV, code);
    if (code != 0)
        status = vs_fail(err, op, at, &why);
    virtsock_address_free(at);
    return status;
}

static virtsock_status read_service(virtsock_address **at, const char *op, const char *service, virtsock_error *err)
{
    if (service == NULL || *service == '\0' || virtsock_address_hyperv(at, "", service, NULL) == VIRTSOCK_E_INVALID)
        return vs_failf(err, op, service, VIRTSOCK_E_INVALID, "a service is a GUID, or a port from 0 to 2147483647");
    return *at != NULL ? VIRTSOCK_OK : vs_refuse(err, op, NULL, VIRTSOCK_E_NO_RESOURCES, NULL);
}

virtsock_status virtsock_service_register(const char *service, const char *name, virtsock_error *err)
{
    virtsock_address *at = NULL;
    virtsock_status   status = read_service(&at, "register", service, err);
    const char       *s = name != NULL ? name : "";

    if (status != VIRTSOCK_OK)
        return status;
    while ((unsigned char)*s >= 0x20 && *s != 0x7f && vs_utf8_length(s) > 0)
        s += vs_utf8_length(s);
    if (name != NULL && *name != '\0' && *s == '\0' && s - name <= 255)
        return told("register", at, VS_HYPERV_HOST ? vs_service_register(virtsock_address_text(at, VIRTSOCK_PART_SERVICE), name) : VS_ABSENT, err);
    virtsock_address_free(at);
    return vs_refuse(err, "register", NULL, VIRTSOCK_E_INVALID, "a service's name is UTF-8 text of 1 to 255 bytes, no control characters");
}

virtsock_status virtsock_service_unregister(const char *service, virtsock_error *err)
{
    virtsock_address *at = NULL;
    virtsock_status   status = read_service(&at, "unregister", service, err);

    if (status != VIRTSOCK_OK)
        return status;
    return told("unregister", at, VS_HYPERV_HOST ? vs_service_unregister(virtsock_address_text(at, VIRTSOCK_PART_SERVICE)) : VS_ABSENT, err);
}
