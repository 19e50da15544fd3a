/* SPDX-License-Identifier: MIT
 *
 * Hyper-V services in the registry of a Windows host, where the hypervisor looks whether guests may reach one.
 */
#include "platform/windows.h"

#include <stdio.h>

#define SERVICES     L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices\\"
#define FRIENDLY     L"ElementName"
#define NAME_MAX_LEN 256                /* UTF-16, with its NUL: no more than the bytes of UTF-8 */

struct place {
    wchar_t path[sizeof SERVICES / sizeof(wchar_t) + VS_GUID_TEXT];
};

static struct place place_of(const char *service)
{
    struct place p;

    _snwprintf(p.path, sizeof p.path / sizeof *p.path, L"%ls%hs", SERVICES, service);
    return p;
}

/* Needs no permission, unlike making it again. */
static bool is_registered(const struct place *p)
{
    return RegGetValueW(HKEY_LOCAL_MACHINE, p->path, FRIENDLY, RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY, NULL, NULL,
                        NULL) == ERROR_SUCCESS;
}

int vs_service_register(const char *service, const char *name)
{
    struct place p = place_of(service);
    wchar_t      text[NAME_MAX_LEN];
    const int    length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, text, NAME_MAX_LEN);
    HKEY         key;
    LSTATUS      code;

    if (length == 0)
        return (int)GetLastError();
    if (is_registered(&p))
        return 0;
    code = RegCreateKeyExW(HKEY_LOCAL_MACHINE, p.path, 0, NULL, 0, KEY_SET_VALUE | KEY_WOW64_64KEY, NULL, &key, NULL);
    if (code != ERROR_SUCCESS)
        return (int)code;
    code = RegSetValueExW(key, FRIENDLY, 0, REG_SZ, (const BYTE *)text, (DWORD)length * sizeof *text);
    RegCloseKey(key);
    return (int)code;
}

int vs_service_unregister(const char *service)
{
    struct place  p = place_of(service);
    const LSTATUS code = RegDeleteKeyExW(HKEY_LOCAL_MACHINE, p.path, KEY_WOW64_64KEY, 0);

    return code == ERROR_FILE_NOT_FOUND ? 0 : (int)code;
}
