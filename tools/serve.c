/* SPDX-License-Identifier: MIT
 *
 * An echo server: see serve.h. No client can end it: whatever goes wrong with one ends that one's thread, and where the system has no
 * descriptor or thread to give, it pauses.
 */
#include "serve.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "platform.h"
#include "report.h"

#define PAUSE_MS 100

struct client {
    virtsock_stream *stream;
    const char      *bye;
    unsigned         number;
};

static void tell_connected(const struct client *client)
{
    virtsock_address *address = NULL;
    char             *text = NULL;

    if (!peer_settings.verbose)
        return;
    if (virtsock_stream_peer(client->stream, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    report_line("client %u%s%s: connected", client->number, text ? " from " : "", text ? text : "");
    free(text);
    virtsock_address_free(address);
}

/* Until the client's end. *echoed: bytes. */
static virtsock_status echo(virtsock_stream *stream, uint64_t *echoed, virtsock_error *err)
{
    char            buf[65536];
    virtsock_status status;
    size_t          n;

    while ((status = virtsock_stream_recv(stream, buf, sizeof buf, &n, -1, err)) == VIRTSOCK_OK) {
        if ((status = peer_send(stream, buf, n, -1, err)) != VIRTSOCK_OK)
            return status;
        *echoed += n;
    }
    return status;
}

static void attend(void *argument)
{
    struct client  *client = argument;
    uint64_t        echoed = 0;
    virtsock_error  err = { 0 };
    virtsock_status status = echo(client->stream, &echoed, &err);

    if (status == VIRTSOCK_E_EOF)
        status = client->bye == NULL ? VIRTSOCK_OK : peer_send(client->stream, client->bye, strlen(client->bye), -1, &err);
    if (status == VIRTSOCK_OK)
        status = virtsock_stream_close(client->stream, -1, &err);
    if (peer_settings.verbose && status == VIRTSOCK_OK)
        report_line("client %u: %" PRIu64 " bytes echoed", client->number, echoed);
    else if (peer_settings.verbose)
        report_line("client %u: %" PRIu64 " bytes echoed, then %s", client->number, echoed, err.message);
    virtsock_stream_free(client->stream);
    free(client);
}

/* Waits for a thread, if need be; not once the listener was closed. */
static void begin(const virtsock_listener *listener, virtsock_stream *stream, const char *bye, unsigned number)
{
    struct client *client = malloc(sizeof *client);

    if (client == NULL) {
        report_line("client %u: out of memory", number);
        virtsock_stream_free(stream);
        return;
    }
    *client = (struct client){ stream, bye, number };
    tell_connected(client);
    while (!tool_thread(attend, client)) {
        if (virtsock_listener_fd(listener) == -1) {
            virtsock_stream_free(stream);
            free(client);
            return;
        }
        tool_nap_ms(PAUSE_MS);
    }
}

static void stop(void *listener)
{
    virtsock_listener_close(listener, NULL);
}

int serve(const virtsock_address *address, const char *bye)
{
    virtsock_status    status, before = VIRTSOCK_OK;
    virtsock_listener *listener;
    virtsock_stream   *stream;
    virtsock_error     err;
    unsigned           number = 0;

    if (peer_listen(&listener, address, &err) != VIRTSOCK_OK)
        return EXIT_FAILED;
    tool_on_stop(stop, listener);
    while ((status = virtsock_accept(&stream, listener, -1, &err)) != VIRTSOCK_E_CANCELLED) {
        if (status == VIRTSOCK_OK) {
            begin(listener, stream, bye, ++number);
        } else {
            if (status != before)               /* once, however long it lasts */
                report_error(&err);
            tool_nap_ms(PAUSE_MS);
        }
        before = status;
    }
    tool_on_stop(NULL, NULL);
    virtsock_listener_free(listener);
    return EXIT_DONE;
}
