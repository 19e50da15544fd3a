/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <virtsock.h>

int main(int argc, char **argv)
{
    virtsock_address *address = NULL;
    virtsock_stream *stream = NULL;
    virtsock_error error;
    char reply[100];
    size_t n;

    if (virtsock_address_parse(&address, argc == 2 ? argv[1] : "", &error) == VIRTSOCK_OK
        && virtsock_connect(&stream, address, NULL, &error) == VIRTSOCK_OK
        && virtsock_stream_send_all(stream, "hello", 5, &n, 5000, &error) == VIRTSOCK_OK
        && virtsock_stream_shutdown(stream, VIRTSOCK_SHUT_SEND, &error) == VIRTSOCK_OK)
        while (virtsock_stream_recv(stream, reply, sizeof reply, &n, 5000, &error) == VIRTSOCK_OK)
            fwrite(reply, 1, n, stdout);
    virtsock_stream_free(stream);
    virtsock_address_free(address);
    fprintf(stderr, "%s\n", error.message);
    return error.status == VIRTSOCK_E_EOF ? 0 : 1;
}
