/* SPDX-License-Identifier: MIT
 *
 * The client of Microsoft's walk-through for Hyper-V ("Make your own integration services"): it says 14 bytes to a service of a virtual
 * machine, ends its own direction, and prints what comes until the service ends too. Without an address that is the walk-through's VM
 * and service; with one the same program runs on a Linux guest (vsock://host:1024), its host (vsock://3:1024) or one machine
 * (unix:///tmp/s).
 *
 *     client [ADDRESS]
 */
#include <stdio.h>
#include <virtsock.h>

#define VM         "cdee5c88-c5a5-4cc8-9d2d-c15816a01349"
#define SERVICE    "8ba03980-174a-43e7-852a-e5ec79a671c7"
#define ANSWER_MS  10000

static virtsock_status converse(virtsock_stream *stream, virtsock_error *err)
{
    static const char text[] = "this is a test";
    char              reply[512];
    size_t            n;
    virtsock_status   status = virtsock_stream_send_all(stream, text, sizeof text - 1, &n, ANSWER_MS, err);

    if (status != VIRTSOCK_OK)
        return status;
    printf("%d bytes sent\n", (int)n);
    if ((status = virtsock_stream_shutdown(stream, VIRTSOCK_SHUT_SEND, err)) != VIRTSOCK_OK)
        return status;
    while ((status = virtsock_stream_recv(stream, reply, sizeof reply, &n, ANSWER_MS, err)) == VIRTSOCK_OK)
        printf("%d bytes received: %.*s\n", (int)n, (int)n, reply);
    if (status != VIRTSOCK_E_EOF)
        return status;
    puts("the service has ended the conversation");
    return virtsock_stream_close(stream, -1, err);
}

int main(int argc, char **argv)
{
    virtsock_address *address;
    virtsock_stream  *stream = NULL;
    virtsock_error    err = { 0 };
    virtsock_status   status = argc > 1 ? virtsock_address_parse(&address, argv[1], &err)
                                        : virtsock_address_hyperv(&address, VM, SERVICE, &err);

    if (status == VIRTSOCK_OK)
        status = virtsock_connect(&stream, address, NULL, &err);
    if (status == VIRTSOCK_OK)
        status = converse(stream, &err);
    virtsock_stream_free(stream);
    virtsock_address_free(address);
    if (status == VIRTSOCK_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    if (virtsock_advice(&err) != NULL)
        fprintf(stderr, "%s\n", virtsock_advice(&err));
    return 1;
}
