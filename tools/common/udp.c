/* SPDX-License-Identifier: MIT
 *
 * Addresses of datagrams: see udp.h. The library reads them as those of tcp://.
 */
#include "common/udp.h"

#include <stdio.h>
#include <string.h>

#include "common/peer.h"
#include "common/report.h"
#include "virtsock.h"

bool udp_is(const char *text)
{
    return strstr(text, "://") == text + 3 && peer_is_scheme(text, 3, "udp");
}

static bool names_no_port(const char *text)
{
    const char *rest = text + 6;

    rest += strcspn(rest, *rest == '[' ? "]" : ":/?");
    rest += *rest == ']';
    return *rest == '\0' || strcmp(rest, ":") == 0;
}

int udp_read(struct udp_end *out, const char *text)
{
    char              tcp[128];
    virtsock_address *address;
    virtsock_error    err;
    uint32_t          port = 0;
    const char       *host;

    snprintf(tcp, sizeof tcp, "tcp%s", text + 3);
    if (names_no_port(text)) {
        snprintf(tcp, sizeof tcp, "tcp%s%s%d", text + 3, text[strlen(text) - 1] == ':' ? "" : ":", UDP_PORT);
        report_line("%s names no port: %d is taken", text, UDP_PORT);
    }
    if (virtsock_address_parse(&address, tcp, &err) != VIRTSOCK_OK) {
        for (char *at = err.message; (at = strstr(at, "tcp://")) != NULL;)
            memcpy(at, "udp", 3);
        return report_argument(&err);
    }
    host = virtsock_address_text(address, VIRTSOCK_PART_HOST);
    virtsock_address_number(address, VIRTSOCK_PART_PORT, &port);
    snprintf(out->host, sizeof out->host, "%s", strcmp(host, "localhost") == 0 ? "127.0.0.1" : host);
    out->port = (uint16_t)(port == VIRTSOCK_PORT_ANY ? 0 : port);
    virtsock_address_free(address);
    return EXIT_DONE;
}

void udp_write(char out[UDP_TEXT], const struct udp_end *end)
{
    const bool six = strchr(end->host, ':') != NULL;

    snprintf(out, UDP_TEXT, "udp://%s%s%s:%d", six ? "[" : "", end->host, six ? "]" : "", end->port);
}
