/* SPDX-License-Identifier: MIT
 *
 * The multiplexers that virtsock mux stands in for: see dialect.h. The strictest comes first: what works over Firecracker works over
 * the others.
 */
#include "dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/tool.h"

#define MOST 1023                       /* of Firecracker and of Cloud Hypervisor, a VM: seen with 1.16.1 and 53.0, November 2026 */

static const struct mux_dialect dialects[] = {
    /* Ends, limit and loose requests: seen with Firecracker 1.16.1, November 2026. */
    { .name = "firecracker", .longest = 32, .patience_ms = 0, .own_port = true, .loose = true, .ends_both = true, .keeps_end = true, .most = MOST },
    /* Half-closes both ways: seen with Cloud Hypervisor 53.0, November 2026, the first that has them. */
    { .name = "cloud-hypervisor", .longest = 32, .patience_ms = -1, .own_port = true, .most = MOST },
    /* Seen with vhost-device-vsock 0.3.0, November 2026; between siblings it has half-closes. */
    { .name = "vhost-device-vsock", .longest = VS_LINE_MAX, .patience_ms = 0, .forgets = true, .ends_both = true, .keeps_end = true },
    /* How it ends was never seen: as UNIX sockets do. */
    { .name = "openvmm", .longest = 45, .patience_ms = 2000, .services = true },
    /* Seen with libkrun 1.19.7, November 2026. Its guest is sent a reset there, for which UNIX sockets have no word. */
    { .name = "libkrun", .plain = true, .ends_both = true, .host_ms = 5000 },
};

const struct mux_dialect *mux_dialect_find(const char *name)
{
    if (name == NULL)
        return &dialects[0];
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strcmp(name, dialects[i].name) == 0)
            return &dialects[i];
    return NULL;
}

bool mux_is_service(const char *port)
{
    return strchr(port, '-') != NULL;
}

bool mux_is_port(const char *word)
{
    size_t n = strspn(word, "0123456789");

    return n > 0 && n <= 10 && word[n] == '\0' && strtoull(word, NULL, 10) <= UINT32_MAX;
}

/* --- Requests ---------------------------------------------------------------------------------------------------------- */

/* For the next byte of a request of which n have come, the first at begun_us. */
static int patience_left(const struct mux_dialect *dialect, size_t n, int64_t begun_us)
{
    int64_t left = dialect->patience_ms - (tool_now_us() - begun_us) / 1000;

    if (n == 0 || dialect->patience_ms < 0)
        return -1;
    return left > 0 ? (int)left : 0;
}

/* As programs print it: decimal without zeros before, GUIDs in lower case. */
static void normalize(char port[VS_PORT_TEXT])
{
    if (!mux_is_service(port))
        snprintf(port, VS_PORT_TEXT, "%lu", strtoul(port, NULL, 10));
    for (; *port != '\0'; port++)
        if (*port >= 'A' && *port <= 'F')
            *port = (char)(*port - 'A' + 'a');
}

/* A whole line of n bytes becomes what the strict read as the same: `CONNECT +52 x` is `CONNECT 52`. */
static size_t tighten(char *line, size_t n)
{
    char *port;

    line[n] = '\0';
    port = line + strcspn(line, " \t");
    port += strspn(port, " \t");
    if (*port == '+')
        memmove(port, port + 1, strlen(port));
    port += strcspn(port, " \t\r\n");
    *port = '\n';
    return (size_t)(port + 1 - line);
}

/* Byte by byte, so that what follows stays where it is; but for a dialect that forgets it. */
bool mux_read_request(const struct mux_dialect *dialect, virtsock_stream *client, char port[VS_PORT_TEXT])
{
    char          line[VS_LINE_MAX + 1], scrap[8192];
    int64_t       begun_us = 0;
    size_t        n = 0, used, done;
    enum vs_shake shake = VS_SHAKE_MORE;

    while (shake == VS_SHAKE_MORE && n < dialect->longest
           && virtsock_stream_recv(client, line + n, 1, &done, patience_left(dialect, n, begun_us), NULL) == VIRTSOCK_OK) {
        if (n++ == 0)
            begun_us = tool_now_us();
        if (dialect->loose && line[n - 1] == '\n')
            n = tighten(line, n);
        shake = vs_mux_read_request(line, n, &used, port);
    }
    if (shake != VS_SHAKE_DONE || (mux_is_service(port) && !dialect->services))
        return false;
    normalize(port);
    /* One that forgets what came with the request takes it, if anything is there. */
    return !dialect->forgets || virtsock_stream_recv(client, scrap, sizeof scrap, &done, 0, NULL) != VIRTSOCK_E_INVALID;
}
