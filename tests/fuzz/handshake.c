/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: any bytes, as what either side of a handshake hears, whole and byte by byte. Both ways give the same, a line that is taken
 * is within what was given, and what it names is written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum vs_shake reader(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT]);
typedef size_t writer(char out[VS_LINE_MAX], const char *port);

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_line(reader *read, writer *write, const char *data, size_t size)
{
    char          line[VS_LINE_MAX], port[VS_PORT_TEXT], again[VS_PORT_TEXT];
    size_t        used = 0, n = 0;
    enum vs_shake whole = read(data, size, &used, port), shake = VS_SHAKE_MORE;

    while (shake == VS_SHAKE_MORE && n < size)
        shake = read(data, ++n, &used, port);
    must(shake == whole && (shake != VS_SHAKE_MORE || size < VS_LINE_MAX));
    if (shake != VS_SHAKE_DONE)
        return;
    must(used == n && used <= VS_LINE_MAX && data[used - 1] == '\n');
    n = write(line, port);
    must(read(line, n, &used, again) == VS_SHAKE_DONE && used == n && strcmp(port, again) == 0);
}

static void check_hyperkit(const char *data, size_t size)
{
    char          line[VS_HYPERKIT_LINE];
    uint32_t      cid = 0, port = 0, cid_again = 1, port_again = 1;
    enum vs_shake shake = vs_hyperkit_read_request(data, size, &cid, &port);

    must(shake != VS_SHAKE_MORE || size < VS_HYPERKIT_LINE);
    if (shake != VS_SHAKE_DONE)
        return;
    vs_hyperkit_request(line, cid, port);
    must(vs_hyperkit_read_request(line, sizeof line, &cid_again, &port_again) == VS_SHAKE_DONE && cid == cid_again && port == port_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = calloc(1, size > 0 ? size : 1);        /* of just this size, so that a read past its end is seen */

    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    check_line(vs_mux_read_request, vs_mux_request, copy, size);
    check_line(vs_mux_read_reply, vs_mux_reply, copy, size);
    check_hyperkit(copy, size);
    free(copy);
    return 0;
}
