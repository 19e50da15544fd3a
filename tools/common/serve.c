/* SPDX-License-Identifier: MIT
 *
 * Servers, and the echo server: see serve.h. No client can end one: whatever goes wrong with one ends that one's thread, and where the
 * system has no descriptor or thread to give, it pauses.
 */
#include "common/serve.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/crew.h"
#include "common/peer.h"
#include "common/report.h"
#include "platform/tool.h"

#define PAUSE_MS 100

/* --- Clients ---------------------------------------------------------------------------------------------------------- */

struct service {
    virtsock_listener *listener;
    serve_attend      *attend;
    const void        *argument;
};

/* Until the listener is closed. */
static bool next(void *from, struct crew_client *client)
{
    static atomic_uint    clients;
    const struct service *service = from;
    virtsock_status       status, before = VIRTSOCK_OK;
    virtsock_error        err;

    while ((status = virtsock_accept(&client->stream, service->listener, -1, &err)) != VIRTSOCK_OK
           && status != VIRTSOCK_E_CANCELLED) {
        if (status != before)               /* once, however long it lasts */
            report_error(&err);
        tool_nap_ms(PAUSE_MS);
        before = status;
    }
    client->number = status == VIRTSOCK_OK ? ++clients : 0;
    return status == VIRTSOCK_OK;
}

static void attend(void *from, const struct crew_client *client)
{
    const struct service *service = from;

    service->attend(client->stream, (unsigned)client->number, service->argument);
}

static bool wait_for_thread(void *from, const struct crew_client *client, bool told)
{
    const struct service *service = from;

    if (virtsock_listener_fd(service->listener) == -1) {
        virtsock_stream_free(client->stream);
        return false;
    }
    if (!told)
        report_line("client %u waits: the system has no thread to give", (unsigned)client->number);
    return true;
}

/* Threads that wait for a client that does not come any more keep their crew. */
void serve_clients(virtsock_listener *listener, serve_attend *attend_one, const void *argument)
{
    struct kept {
        struct crew    crew;
        struct service service;
    } *kept = calloc(1, sizeof *kept);

    if (kept != NULL) {
        kept->service = (struct service){ listener, attend_one, argument };
        kept->crew.next = next;
        kept->crew.attend = attend;
        kept->crew.wait = wait_for_thread;
        kept->crew.owner = &kept->service;
    }
    if (kept == NULL || !crew_serve(&kept->crew))
        report_line("the system has no memory or no thread to give");
}

/* --- Echo ------------------------------------------------------------------------------------------------------------- */

static void tell_connected(const virtsock_stream *stream, unsigned number)
{
    virtsock_address *address = NULL;
    char             *text = NULL;

    if (!peer_settings.verbose)
        return;
    if (virtsock_stream_peer(stream, &address, NULL) == VIRTSOCK_OK)
        text = peer_text(address);
    report_line("client %u%s%s: connected", number, text ? " from " : "", text ? text : "");
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

static void attend_echo(virtsock_stream *stream, unsigned number, const void *bye)
{
    uint64_t        echoed = 0;
    virtsock_error  err = { 0 };
    virtsock_status status;

    tell_connected(stream, number);
    status = echo(stream, &echoed, &err);
    if (status == VIRTSOCK_E_EOF)
        status = bye == NULL ? VIRTSOCK_OK : peer_send(stream, bye, strlen(bye), -1, &err);
    if (status == VIRTSOCK_OK)
        status = virtsock_stream_close(stream, -1, &err);
    if (peer_settings.verbose && status == VIRTSOCK_OK)
        report_line("client %u: %" PRIu64 " bytes echoed", number, echoed);
    else if (peer_settings.verbose)
        report_line("client %u: %" PRIu64 " bytes echoed, then %s", number, echoed, err.message);
    virtsock_stream_free(stream);
}

int serve(const virtsock_address *address, const char *bye)
{
    virtsock_listener *listener;
    int                code = peer_listen(&listener, address);

    if (code != EXIT_DONE)
        return code;
    serve_clients(listener, attend_echo, bye);
    tool_on_stop(NULL, NULL);
    virtsock_listener_free(listener);
    return EXIT_DONE;
}
