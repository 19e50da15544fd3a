/* SPDX-License-Identifier: MIT
 *
 * Names as a POSIX system looks them up: see names.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "platform/names.h"

#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* What has a zone is this link's alone, and no address of ours. */
static void add(struct names *out, const struct addrinfo *at)
{
    char *text = out->text[out->count];

    if (getnameinfo(at->ai_addr, at->ai_addrlen, text, NAMES_TEXT, NULL, 0, NI_NUMERICHOST) == 0
        && strchr(text, '%') == NULL)
        out->count++;
}

const char *names_look_up(struct names *out, const char *host)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo      *found = NULL;
    int                   code = getaddrinfo(host, NULL, &hints, &found);

    out->count = 0;
    if (code != 0)
        return gai_strerror(code);
    for (const struct addrinfo *at = found; at != NULL && out->count < NAMES_MOST; at = at->ai_next)
        add(out, at);
    freeaddrinfo(found);
    return out->count > 0 ? NULL : "it has no address of IPv4 or IPv6";
}
