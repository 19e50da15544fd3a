/* SPDX-License-Identifier: MIT
 *
 * Stands in for powershell.exe and wsl.exe: writes down how it was called, and then does what FAKESHELL_MODE says. Planted where the
 * library looks for the real ones, and where it must not look.
 */
#define _WIN32_WINNT 0x0A00
#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define ID_1 "11111111-2222-3333-4444-555555555555"
#define ID_2 "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

static FILE *log_file;

/* As UTF-8 in hexadecimal digits: nothing in between can change a byte. */
static void note(const char *what, const wchar_t *text)
{
    char bytes[32768];
    int  n = text == NULL ? 0 : WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, -1, bytes, sizeof bytes, NULL, NULL) - 1;

    fprintf(log_file, "%s ", what);
    for (int i = 0; i < n; i++)
        fprintf(log_file, "%02x", (unsigned char)bytes[i]);
    fputs(text == NULL ? "none\n" : "\n", log_file);
}

static void note_call(void)
{
    wchar_t     text[MAX_PATH + 1] = L"";
    const char *handle = getenv("FAKESHELL_HANDLE");
    DWORD       flags;
    char        input[16];

    note("command", GetCommandLineW());
    GetModuleFileNameW(NULL, text, MAX_PATH);
    note("program", text);
    GetCurrentDirectoryW(MAX_PATH, text);
    note("folder", text);
    note("name", _wgetenv(L"VIRTSOCK_NAME"));
    fprintf(log_file, "input %d\n", (int)fread(input, 1, sizeof input, stdin));
    if (handle != NULL)
        fprintf(log_file, "handle %s\n", GetHandleInformation((HANDLE)(UINT_PTR)strtoull(handle, NULL, 10), &flags) ? "inherited" : "none");
    fprintf(log_file, "pid %lu\n", (unsigned long)GetCurrentProcessId());
    fflush(log_file);
}

static void say(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* Another of its kind, which would outlive it. */
static void start_grandchild(void)
{
    STARTUPINFOW        with = { .cb = sizeof with };
    PROCESS_INFORMATION child;
    wchar_t             command[] = L"fakeshell", program[MAX_PATH + 1];

    GetModuleFileNameW(NULL, program, MAX_PATH);
    SetEnvironmentVariableW(L"FAKESHELL_MODE", L"sleep");
    if (CreateProcessW(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &with, &child))
        fprintf(log_file, "grandchild %lu\n", (unsigned long)child.dwProcessId);
    fflush(log_file);
}

static int act(const char *mode)
{
    if (strcmp(mode, "answer") == 0)
        say(ID_1 "\r\n");
    else if (strcmp(mode, "bare") == 0)
        say(ID_1);
    else if (strcmp(mode, "slow") == 0)
        Sleep(500), say(ID_1 "\r\n");
    else if (strcmp(mode, "two") == 0)
        say(ID_1 "\r\n" ID_2 "\r\n");
    else if (strcmp(mode, "many") == 0)
        for (int i = 0; i < 150; i++)
            say(ID_1 "\r\n");
    else if (strcmp(mode, "junk") == 0)
        fwrite("W\0i\0n\0d\0o\0w\0s\0\r\n\xff\xfe{\r\n", 1, 22, stdout);
    else if (strcmp(mode, "half") == 0)
        say("11111111-2222-3333-4444-5555");
    else if (strcmp(mode, "hang") == 0)
        say(ID_1 "\r\n"), start_grandchild(), Sleep(60000);
    else if (strcmp(mode, "leave") == 0)
        start_grandchild(), say(ID_1 "\r\n");
    else if (strcmp(mode, "sleep") == 0)
        Sleep(60000);
    else if (strcmp(mode, "flood") == 0)
        for (;;)
            say("flood flood flood flood flood flood flood flood\r\n");
    else if (strncmp(mode, "exit", 4) == 0)
        return atoi(mode + 4);
    return 0;
}

int main(void)
{
    const char *mode = getenv("FAKESHELL_MODE"), *log_name = getenv("FAKESHELL_LOG");

    if (mode == NULL || log_name == NULL || (log_file = fopen(log_name, "ab")) == NULL)
        return 99;
    _setmode(_fileno(stdout), _O_BINARY);
    if (strcmp(mode, "sleep") != 0)
        note_call();
    return act(mode);
}
