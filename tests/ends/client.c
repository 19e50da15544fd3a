/* SPDX-License-Identifier: MIT
 *
 * client upload|answer ADDRESS FILE: sends the file, ends as its address lets it, and writes what comes back to standard
 * output. The same in client.py and client.lua. What is framed has longer than the default second for its end, on a
 * machine that is busy.
 */
#include <stdio.h>
#include <string.h>

#include "virtsock.h"

#define PATIENCE_MS 60000

static char piece[1 << 18];

static virtsock_status send_file(virtsock_stream *s, FILE *file, virtsock_error *e)
{
    virtsock_status status = VIRTSOCK_OK;
    size_t          n, done;

    while (status == VIRTSOCK_OK && (n = fread(piece, 1, sizeof piece, file)) > 0)
        status = virtsock_stream_send_all(s, piece, n, &done, PATIENCE_MS, e);
    return status;
}

static virtsock_status receive_answer(virtsock_stream *s, uint32_t half_close, virtsock_error *e)
{
    virtsock_status status = VIRTSOCK_OK;
    size_t          n;

    if (half_close != VIRTSOCK_HALF_CLOSE_NONE)
        status = virtsock_stream_shutdown(s, VIRTSOCK_SHUT_SEND, e);
    while (status == VIRTSOCK_OK)
        if ((status = virtsock_stream_recv(s, piece, sizeof piece, &n, PATIENCE_MS, e)) == VIRTSOCK_OK)
            fwrite(piece, 1, n, stdout);
    return status == VIRTSOCK_E_EOF ? VIRTSOCK_OK : status;
}

int main(int argc, char **argv)
{
    virtsock_address *a = NULL;
    virtsock_stream  *s = NULL;
    virtsock_error    e = { 0 };
    uint32_t          half_close = VIRTSOCK_HALF_CLOSE_NATIVE;
    FILE             *file = argc == 4 ? fopen(argv[3], "rb") : NULL;
    virtsock_status   status = file == NULL ? VIRTSOCK_E_INVALID : virtsock_address_parse(&a, argv[2], &e);

    if (status == VIRTSOCK_OK) {
        virtsock_address_number(a, VIRTSOCK_PART_HALF_CLOSE, &half_close);
        status = virtsock_connect(&s, a, NULL, &e);
    }
    if (status == VIRTSOCK_OK)
        status = send_file(s, file, &e);
    if (status == VIRTSOCK_OK && strcmp(argv[1], "answer") == 0)
        status = receive_answer(s, half_close, &e);
    if (status == VIRTSOCK_OK)
        status = virtsock_stream_close(s, half_close == VIRTSOCK_HALF_CLOSE_FRAMED ? PATIENCE_MS : -1, &e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    if (status != VIRTSOCK_OK)
        fprintf(stderr, "%s\n", e.message);
    return status != VIRTSOCK_OK;
}
