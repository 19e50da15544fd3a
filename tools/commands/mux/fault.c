/* SPDX-License-Identifier: MIT
 *
 * What a multiplexer may do wrong: see fault.h. A wrong answer is not followed by a hang-up, which would help the client: it must see
 * by itself that this is no answer.
 */
#include "fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/peer.h"
#include "platform/tool.h"

#define DIGITS  4096
#define ENDLESS 65536

static const char *const names[] = {
    [FAULT_PIECES] = "pieces", [FAULT_GLUED] = "glued", [FAULT_RESET] = "reset", [FAULT_UNREAD] = "unread", [FAULT_REFUSED] = "refused",
    [FAULT_SILENT] = "silent", [FAULT_GARBAGE] = "garbage", [FAULT_NUL] = "nul", [FAULT_ENDLESS] = "endless",
    [FAULT_DIGITS] = "digits", [FAULT_CUT] = "cut"
};

bool mux_fault_parse(const char *text, enum mux_fault *fault, int *late_ms)
{
    size_t digits;

    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (names[i] != NULL && strcmp(text, names[i]) == 0) {
            *fault = (enum mux_fault)i;
            return true;
        }
    }
    if (strncmp(text, "late=", 5) != 0)
        return false;
    digits = strspn(text + 5, "0123456789");
    *fault = FAULT_LATE;
    *late_ms = atoi(text + 5);
    return digits > 0 && digits < 8 && text[5 + digits] == '\0';
}

static void say(virtsock_stream *client, const char *answer, size_t size)
{
    peer_send(client, answer, size, -1, NULL);
}

static void say_many(virtsock_stream *client, char c, size_t count)
{
    char some[256];

    memset(some, c, sizeof some);
    for (say(client, "OK ", 3); count > 0; count -= sizeof some)
        say(client, some, sizeof some);
}

static void outlast(virtsock_stream *client)
{
    char   scrap[256];
    size_t n;

    while (virtsock_stream_recv(client, scrap, sizeof scrap, &n, -1, NULL) == VIRTSOCK_OK)
        continue;
}

bool mux_fault_play(virtsock_stream *client, enum mux_fault fault, int late_ms)
{
    static const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n", nul[] = "OK 5\0002\n", cut[] = "OK 10737";

    switch (fault) {
    case FAULT_GARBAGE: say(client, garbage, sizeof garbage - 1); break;
    case FAULT_NUL:     say(client, nul, sizeof nul - 1); break;
    case FAULT_CUT:     say(client, cut, sizeof cut - 1); return true;
    case FAULT_ENDLESS: say_many(client, ' ', ENDLESS); break;
    case FAULT_DIGITS:  say_many(client, '9', DIGITS); say(client, "\n", 1); break;
    case FAULT_SILENT:  break;
    case FAULT_REFUSED: return true;
    case FAULT_LATE:    tool_nap_ms(late_ms); return false;
    default:            return false;
    }
    outlast(client);
    return true;
}
