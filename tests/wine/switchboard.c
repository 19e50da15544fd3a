/* SPDX-License-Identifier: MIT
 *
 * The switchboard's files, and the log. Each write is one that readers see whole or not at all.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "switchboard.h"

static int put_guid(char *out, const GUID *g)
{
    return sprintf(out, "%08lx-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned long)g->Data1, g->Data2, g->Data3, g->Data4[0],
                   g->Data4[1], g->Data4[2], g->Data4[3], g->Data4[4], g->Data4[5], g->Data4[6], g->Data4[7]);
}

void board_key(char key[KEY_SIZE], const SOCKADDR_HV *address)
{
    int n = put_guid(key, &address->VmId);

    key[n] = '.';
    put_guid(key + n + 1, &address->ServiceId);
}

static HANDLE board_file(const char *name, DWORD access, DWORD how)
{
    char folder[MAX_PATH] = ".", path[MAX_PATH + KEY_SIZE + 2];

    GetEnvironmentVariableA("HVSHIM_DIR", folder, sizeof folder);
    snprintf(path, sizeof path, "%s\\%s", folder, name);
    return CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how, FILE_ATTRIBUTE_NORMAL, NULL);
}

static bool board_write(HANDLE file, const char *text)
{
    DWORD done = 0;
    bool  ok = file != INVALID_HANDLE_VALUE && WriteFile(file, text, (DWORD)strlen(text), &done, NULL) && done == strlen(text);

    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    return ok;
}

bool board_take(const char *key, unsigned port)
{
    char text[16];

    snprintf(text, sizeof text, "-%u\n", port);
    return board_write(board_file(key, GENERIC_WRITE, CREATE_NEW), text);
}

void board_open(const char *key)
{
    board_write(board_file(key, GENERIC_WRITE, OPEN_EXISTING), "+");
}

void board_give_back(const char *key)
{
    char folder[MAX_PATH] = ".", path[MAX_PATH + KEY_SIZE + 2];

    GetEnvironmentVariableA("HVSHIM_DIR", folder, sizeof folder);
    snprintf(path, sizeof path, "%s\\%s", folder, key);
    DeleteFileA(path);
}

static int board_read(const char *name)
{
    HANDLE file = board_file(name, GENERIC_READ, OPEN_EXISTING);
    char   text[16] = "";
    DWORD  n;

    if (file == INVALID_HANDLE_VALUE)
        return 0;
    if (!ReadFile(file, text, sizeof text - 1, &n, NULL))
        text[0] = '\0';
    CloseHandle(file);
    return atoi(text);
}

unsigned board_find(const SOCKADDR_HV *address)
{
    const bool  loopback = memcmp(&address->VmId, &HV_GUID_LOOPBACK, sizeof(GUID)) == 0;
    SOCKADDR_HV anywhere = *address;
    char        key[KEY_SIZE];
    int         port;

    board_key(key, address);
    port = board_read(key);
    if (port <= 0 && loopback) {
        anywhere.VmId = HV_GUID_WILDCARD;
        board_key(key, &anywhere);
        port = board_read(key);
    }
    if (port <= 0 && !loopback)
        port = board_read("nolisten");
    board_log("connect %s to port %d", key, port > 0 ? port : 0);
    return port > 0 ? (unsigned)port : 0;
}

bool board_flag(const char *name)
{
    return GetEnvironmentVariableA(name, NULL, 0) != 0;
}

unsigned long board_number(const char *name, unsigned long otherwise)
{
    char text[16];

    return GetEnvironmentVariableA(name, text, sizeof text) != 0 ? strtoul(text, NULL, 10) : otherwise;
}

bool board_guid(const char *name, GUID *g)
{
    char     text[64];
    unsigned data[11];

    if (GetEnvironmentVariableA(name, text, sizeof text) == 0
        || sscanf(text, "%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x", &data[0], &data[1], &data[2], &data[3], &data[4], &data[5], &data[6],
                  &data[7], &data[8], &data[9], &data[10]) != 11)
        return false;
    g->Data1 = data[0];
    g->Data2 = (unsigned short)data[1];
    g->Data3 = (unsigned short)data[2];
    for (int i = 0; i < 8; i++)
        g->Data4[i] = (unsigned char)data[3 + i];
    return true;
}

void board_log(const char *format, ...)
{
    const DWORD error = GetLastError();
    char        path[MAX_PATH], line[300];
    HANDLE      file;
    va_list     args;
    DWORD       done;
    int         n;

    if (board_flag("HVSHIM_QUIET") && strncmp(format, "judge ", 6) != 0)
        return;
    if (GetEnvironmentVariableA("HVSHIM_LOG", path, sizeof path) != 0) {
        va_start(args, format);
        n = vsnprintf(line, sizeof line - 1, format, args);
        va_end(args);
        line[n++] = '\n';
        file = CreateFileA(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
        if (file != INVALID_HANDLE_VALUE) {
            WriteFile(file, line, (DWORD)n, &done, NULL);
            CloseHandle(file);
        }
    }
    SetLastError(error);
}
