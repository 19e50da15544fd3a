/* SPDX-License-Identifier: MIT
 *
 * Names as Windows looks them up: see names.h.
 */
#define WIN32_LEAN_AND_MEAN

#include "platform/names.h"

#include <winsock2.h>
#include <ws2tcpip.h>

#include <string.h>

/* What has a zone is this link's alone, and no address of ours. */
static void add(struct names *out, const struct addrinfo *at)
{
    char *text = out->text[out->count];

    if (getnameinfo(at->ai_addr, (socklen_t)at->ai_addrlen, text, NAMES_TEXT, NULL, 0, NI_NUMERICHOST) == 0
        && strchr(text, '%') == NULL)
        out->count++;
}

const char *names_look_up(struct names *out, const char *host)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo      *found = NULL;
    WSADATA               data;
    int                   code = WSAStartup(MAKEWORD(2, 2), &data);

    out->count = 0;
    if (code != 0 || getaddrinfo(host, NULL, &hints, &found) != 0)
        return "no such name is known";
    for (const struct addrinfo *at = found; at != NULL && out->count < NAMES_MOST; at = at->ai_next)
        add(out, at);
    freeaddrinfo(found);
    return out->count > 0 ? NULL : "it has no address of IPv4 or IPv6";
}
