/* SPDX-License-Identifier: MIT
 *
 * Hyper-V services that a Windows host has registered: see host.h. No program is started there: the library asks PowerShell.
 */
#define _WIN32_WINNT 0x0A00
#define WIN32_LEAN_AND_MEAN
#include "platform/host.h"

#include <windows.h>

#include <stdio.h>

#define SERVICES L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices"

bool host_find(char *path, size_t cap, const char *name)
{
    (void)path, (void)cap, (void)name;
    return false;
}

int host_run(const char *const argv[], char *out, size_t cap, int timeout_ms, int *exit_code)
{
    (void)argv, (void)out, (void)cap, (void)timeout_ms, (void)exit_code;
    return HOST_ABSENT;
}

int host_registers(void)
{
    return 0;
}

static int code_of(LSTATUS code)
{
    return code == ERROR_FILE_NOT_FOUND || code == ERROR_NO_MORE_ITEMS ? HOST_ABSENT : (int)code;
}

static LSTATUS open_key(HKEY *key, const wchar_t *path)
{
    return RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ | KEY_WOW64_64KEY, key);
}

int host_service(const char *service, char *name, size_t cap)
{
    wchar_t path[sizeof SERVICES / sizeof(wchar_t) + SERVICE_TEXT], text[SERVICE_NAME / 4];
    DWORD   size = sizeof text;
    HKEY    key;
    LSTATUS code;

    _snwprintf(path, sizeof path / sizeof *path, L"%ls\\%hs", SERVICES, service);
    if ((code = open_key(&key, path)) != ERROR_SUCCESS)
        return code_of(code);
    name[0] = '\0';
    if (RegGetValueW(key, NULL, L"ElementName", RRF_RT_REG_SZ, NULL, text, &size) == ERROR_SUCCESS)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, name, (int)cap, NULL, NULL);
    RegCloseKey(key);
    return 0;
}

int host_service_at(unsigned number, char service[SERVICE_TEXT])
{
    wchar_t name[SERVICE_TEXT];
    DWORD   length;
    HKEY    key;
    LSTATUS code = open_key(&key, SERVICES);

    if (code != ERROR_SUCCESS)
        return code_of(code);
    do {                                /* what is longer is no GUID */
        length = SERVICE_TEXT;
        code = RegEnumKeyExW(key, number++, name, &length, NULL, NULL, NULL, NULL);
    } while (code == ERROR_MORE_DATA);
    if (code == ERROR_SUCCESS)
        WideCharToMultiByte(CP_UTF8, 0, name, -1, service, SERVICE_TEXT, NULL, NULL);
    RegCloseKey(key);
    return code_of(code);
}
