/* SPDX-License-Identifier: MIT
 *
 * Peers as linuxkit's C programs name them: see ancestor.h.
 */
#include "common/ancestor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"

#define HVECHO_PORT "810097020"         /* PORT_HVECHO */
#define GUID_SIZE   36

bool ancestor_is_target(const char *word)
{
    if (strcmp(word, "loopback") == 0 || strcmp(word, "parent") == 0)
        return true;
    return strlen(word) == GUID_SIZE && strspn(word, "0123456789abcdefABCDEF-") == GUID_SIZE && word[8] == '-';
}

/* Numbers as strtoul reads them; but what is none was CID 0 there. */
static virtsock_status by_cid(virtsock_address **out, const char *word, bool listening, virtsock_error *err)
{
    char         *end;
    unsigned long cid;

    if (*word == '\0' && listening)
        return virtsock_address_vsock(out, VIRTSOCK_CID_ANY, PORT_HVECHO, err);
    if (*word == '\0' || strcmp(word, "loopback") == 0)
        return virtsock_address_vsock(out, VIRTSOCK_CID_LOCAL, PORT_HVECHO, err);
    if (strcmp(word, "parent") == 0)
        return virtsock_address_vsock(out, VIRTSOCK_CID_HOST, PORT_HVECHO, err);
    cid = strtoul(word, &end, 0);
    if (*word >= '0' && *word <= '9' && *end == '\0' && cid <= UINT32_MAX)
        return virtsock_address_vsock(out, (uint32_t)cid, PORT_HVECHO, err);
    *err = (virtsock_error){ .status = VIRTSOCK_E_INVALID };
    snprintf(err->message, sizeof err->message, "-vsock \"%.60s\": wanted is loopback, parent or a CID", word);
    return err->status;
}

int ancestor_address(virtsock_address **out, const char *word, bool vsock, bool listening)
{
    virtsock_status status;
    virtsock_error  err;

    if (strpbrk(word, ":/") != NULL)
        return report_usage("-vsock is for a CID, loopback or parent: an address says its scheme");
    if (*word != '\0' && listening)
        return report_usage("\"%s\" is no address to listen on: leave it out, or write as vsock://:PORT", word);
    if (vsock || *word == '\0')
        status = by_cid(out, word, listening, &err);
    else
        status = virtsock_address_hyperv(out, word, HVECHO_PORT, &err);
    return status == VIRTSOCK_OK ? EXIT_DONE : report_argument(&err);
}
