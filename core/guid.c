/* SPDX-License-Identifier: MIT
 *
 * GUIDs as text and as bytes, and the service ids that stand for vsock ports. The bytes are those that Windows has on
 * the wire, on every machine: no integer is copied as it lies in memory.
 */
#include <string.h>

#include "internal.h"

/* Which byte each pair of digits is: the first three fields are little-endian. */
static const unsigned char order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

/* 00000000-facb-11e6-bd58-64006a7986d3, after the port (hvsocket.h: HV_GUID_VSOCK_TEMPLATE). */
static const unsigned char template_tail[12] = { 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 };

static bool dash_before(size_t pair)
{
    return 0x550 >> pair & 1;           /* 4, 6, 8 and 10 */
}

int vs_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool vs_guid_parse(struct vs_guid *out, const char *s, size_t n)
{
    struct vs_guid guid;

    if (n != VS_GUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < 16; i++) {
        int high, low;

        if (dash_before(i) && *s++ != '-')
            return false;
        high = vs_hex_digit(*s++);
        low = vs_hex_digit(*s++);
        if (high < 0 || low < 0)
            return false;
        guid.b[order[i]] = (unsigned char)(high * 16 + low);
    }
    *out = guid;
    return true;
}

void vs_guid_format(char out[VS_GUID_TEXT], const struct vs_guid *guid)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i))
            *out++ = '-';
        *out++ = digits[guid->b[order[i]] >> 4];
        *out++ = digits[guid->b[order[i]] & 15];
    }
    *out = '\0';
}

void vs_guid_from_port(struct vs_guid *out, uint32_t port)
{
    for (size_t i = 0; i < 4; i++)
        out->b[i] = (unsigned char)(port >> 8 * i);
    memcpy(out->b + 4, template_tail, sizeof template_tail);
}

bool vs_guid_to_port(const struct vs_guid *guid, uint32_t *port)
{
    if (memcmp(guid->b + 4, template_tail, sizeof template_tail) != 0)
        return false;
    *port = (uint32_t)guid->b[0] | (uint32_t)guid->b[1] << 8 | (uint32_t)guid->b[2] << 16 | (uint32_t)guid->b[3] << 24;
    return true;
}

void virtsock_service_from_port(char out[37], uint32_t port)
{
    struct vs_guid guid;

    if (out == NULL)
        return;
    vs_guid_from_port(&guid, port);
    vs_guid_format(out, &guid);
}

virtsock_status virtsock_port_from_service(const char *service, uint32_t *port)
{
    struct vs_guid guid;

    if (service == NULL || port == NULL || !vs_guid_parse(&guid, service, strlen(service)))
        return VIRTSOCK_E_INVALID;
    return vs_guid_to_port(&guid, port) ? VIRTSOCK_OK : VIRTSOCK_E_NOT_FOUND;
}
