/* SPDX-License-Identifier: MIT
 *
 * What a kernel says about vsock sockets, or somebody in its place: reading ends, moves on with each step, and stays within the bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "../../tools/commands/list/diag.c"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char     *exact = malloc(size + (size == 0));     /* so that a sanitizer sees the first byte beyond */
    struct diag_socket found;
    size_t             at = 0, before;
    enum diag_step     step;
    int                code = 0;

    if (exact == NULL)
        return 0;
    memcpy(exact, data, size);
    do {
        before = at;
        step = diag_next(exact, size, &at, &found, &code);
        if (at > size || (step == DIAG_SOCKET && at <= before) || (step == DIAG_MORE && at != size) || (step == DIAG_FAILED && code <= 0))
            abort();
    } while (step == DIAG_SOCKET);
    free(exact);
    return 0;
}
