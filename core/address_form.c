/* SPDX-License-Identifier: MIT
 *
 * The forms in which addresses are written, a row each. No I/O.
 */
#include "address.h"

#define SCHEME(name) VIRTSOCK_SCHEME_##name
#define PART(name)   VIRTSOCK_PART_##name
#define TYPE(name)   VIRTSOCK_TYPE_##name

/* The first of a scheme is the canonical one; the last stands for all that has none. */
const struct vs_form vs_forms[] = {
    { "vsock://",           "CID:PORT",        SCHEME(VSOCK),    PART(CID),  PART(PORT),    VS_SLASH,   0 },
    { "hvsock://",          "VM/SERVICE",      SCHEME(HYPERV),   PART(VM),   PART(SERVICE), VS_NO_PATH, 0 },
    { "vsock-mux://",       ":PORT/PATH",      SCHEME(MUX),      0,          PART(PORT),    VS_PATH,    0 },
    { "firecracker://",     ":PORT/PATH",      SCHEME(MUX),      0,          PART(PORT),    VS_PATH,    0 },
    { "unix://",            "/PATH",           SCHEME(UNIX),     0,          0,             VS_PATH,    0 },
    { "tcp://",             "HOST:PORT",       SCHEME(TCP),      PART(HOST), PART(PORT),    VS_NO_PATH, 0 },
    { "fd://",              "N",               SCHEME(FD),       PART(FD),   0,             VS_NO_PATH, 0 },
    { "hyperkit://",        ":PORT/DIRECTORY", SCHEME(HYPERKIT), PART(CID),  PART(PORT),    VS_PATH,    0 },
    { "hyperkit+docker://", ":PORT",           SCHEME(HYPERKIT), PART(CID),  PART(PORT),    VS_NO_PATH, 0 },
    { "vsock:",             "CID:PORT",        SCHEME(VSOCK),    PART(CID),  PART(PORT),    VS_NO_PATH, 0 },
    { "vsock-stream:",      "CID:PORT",        SCHEME(VSOCK),    PART(CID),  PART(PORT),    VS_NO_PATH, TYPE(STREAM) },
    { "vsock-seqpacket:",   "CID:PORT",        SCHEME(VSOCK),    PART(CID),  PART(PORT),    VS_NO_PATH, TYPE(SEQPACKET) },
    { "vsock-dgram:",       "CID:PORT",        SCHEME(VSOCK),    PART(CID),  PART(PORT),    VS_NO_PATH, TYPE(DGRAM) },
    { "", "vsock://CID:PORT, hvsock://VM/SERVICE, vsock-mux://:PORT/PATH, hyperkit://:PORT/DIRECTORY, unix:///PATH, tcp://HOST:PORT or fd://N",
      SCHEME(NONE), 0, 0, VS_NO_PATH, 0 },
};

const struct vs_form *vs_form(const virtsock_address *a)
{
    const struct vs_form *form = vs_forms;

    while (form->scheme != VIRTSOCK_SCHEME_NONE && (form->scheme != a->scheme || (a->docker && form->path == VS_PATH)))
        form++;
    return form;
}
