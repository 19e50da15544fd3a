/* SPDX-License-Identifier: MIT
 *
 * The server of Microsoft's walk-through for Hyper-V ("Make your own integration services"): in a virtual machine it waits for one client
 * from the host, sends back what comes until the client ends its direction, and then ends its own. Without an address that is the
 * walk-through's service; with one the same program serves on a Linux guest (vsock://:1024) or one machine (unix:///tmp/s). A
 * goodbye is said before the end: with `Bye!` this is the server of hvecho.
 *
 *     server [ADDRESS [GOODBYE]]
 */
#include <stdio.h>
#include <string.h>
#include <virtsock.h>

#define SERVICE    "8ba03980-174a-43e7-852a-e5ec79a671c7"
#define SEND_MS    10000

/* Nothing is lost at the end: closing waits until the client has read all of it and ended too. */
static virtsock_status converse(virtsock_stream *stream, const char *goodbye, virtsock_error *err)
{
    char            buf[512];
    size_t          n;
    virtsock_status status;

    while ((status = virtsock_stream_recv(stream, buf, sizeof buf, &n, -1, err)) == VIRTSOCK_OK) {
        printf("%d bytes received\n", (int)n);
        if ((status = virtsock_stream_send_all(stream, buf, n, &n, SEND_MS, err)) != VIRTSOCK_OK)
            return status;
        printf("%d bytes sent back\n", (int)n);
    }
    if (status != VIRTSOCK_E_EOF)
        return status;
    puts("the client has ended its direction");
    status = virtsock_stream_send_all(stream, goodbye, strlen(goodbye), &n, SEND_MS, err);
    if (status == VIRTSOCK_OK)
        status = virtsock_stream_shutdown(stream, VIRTSOCK_SHUT_SEND, err);
    return status == VIRTSOCK_OK ? virtsock_stream_close(stream, -1, err) : status;
}

/* One client, then nobody listens any more. */
static virtsock_status accept_one(virtsock_stream **stream, const virtsock_address *at, virtsock_error *err)
{
    virtsock_listener *listener;
    virtsock_status    status = virtsock_listen(&listener, at, NULL, err);

    if (status == VIRTSOCK_OK) {
        puts("waiting for a client");
        fflush(stdout);
        status = virtsock_accept(stream, listener, -1, err);
    }
    virtsock_listener_free(listener);
    return status;
}

int main(int argc, char **argv)
{
    virtsock_address *address;
    virtsock_stream  *stream = NULL;
    virtsock_error    err = { 0 };
    virtsock_status   status = argc > 1 ? virtsock_address_parse(&address, argv[1], &err)
                                        : virtsock_address_hyperv(&address, "parent", SERVICE, &err);

    if (status == VIRTSOCK_OK)
        status = accept_one(&stream, address, &err);
    if (status == VIRTSOCK_OK)
        status = converse(stream, argc > 2 ? argv[2] : "", &err);
    virtsock_stream_free(stream);
    virtsock_address_free(address);
    if (status == VIRTSOCK_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    if (virtsock_advice(&err) != NULL)
        fprintf(stderr, "%s\n", virtsock_advice(&err));
    return 1;
}
