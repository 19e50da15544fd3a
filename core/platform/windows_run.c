/* SPDX-License-Identifier: MIT
 *
 * A program of the system's own folder, run out of sight: by its whole path, in a job that ends with us, with nothing
 * inherited but the ends that it is given. Its input is empty; what it says on standard error is thrown away.
 */
#include "platform/windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define LOOK_MS   10
#define TEXT_SIZE 2048                  /* of a command line, and of a path */

struct run {
    wchar_t             folder[MAX_PATH + 16], path[TEXT_SIZE], command[TEXT_SIZE];
    wchar_t            *environment;    /* NULL: ours */
    HANDLE              nothing, from, to, job;
    PROCESS_INFORMATION child;
};

static int last_error(void)
{
    const DWORD code = GetLastError();

    return code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? VS_ABSENT
         : code != 0 ? (int)code : ERROR_GEN_FAILURE;
}

/* A 32-bit program on a 64-bit Windows is shown another folder, in which PowerShell has no Get-VM and there is no
 * wsl.exe. */
static void find_program(struct run *r, const struct vs_program *program)
{
    BOOL redirected = FALSE;

    if (IsWow64Process(GetCurrentProcess(), &redirected) && redirected
        && GetSystemWindowsDirectoryW(r->folder, MAX_PATH) < MAX_PATH)
        wcscat(r->folder, L"\\Sysnative");
    else if (GetSystemDirectoryW(r->folder, MAX_PATH) >= MAX_PATH)
        r->folder[0] = L'\0';
    _snwprintf(r->path, TEXT_SIZE - 1, L"%ls\\%hs", r->folder, program->path);
    _snwprintf(r->command, TEXT_SIZE - 1, L"\"%ls\" %hs", r->path, program->arguments);
}

/* Ours with one variable more, or another value of it. */
static wchar_t *environment_with(const char *name, const char *value)
{
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, value, -1, NULL, 0);
    wchar_t  *ours = GetEnvironmentStringsW(), *made = NULL, *to, head[64];
    size_t    size = 1, head_size = (size_t)_snwprintf(head, 64, L"%hs=", name);

    for (const wchar_t *s = ours; s != NULL && *s != L'\0'; s += wcslen(s) + 1)
        size += wcslen(s) + 1;
    if (ours != NULL && length > 0)
        made = malloc((head_size + (size_t)length + size) * sizeof *made);
    if ((to = made) != NULL) {
        for (const wchar_t *s = ours; *s != L'\0'; s += wcslen(s) + 1)
            if (_wcsnicmp(s, head, head_size) != 0) {
                wcscpy(to, s);
                to += wcslen(s) + 1;
            }
        wcscpy(to, head);
        to += head_size;
        to[MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, value, -1, to, length)] = L'\0';
    }
    if (ours != NULL)
        FreeEnvironmentStringsW(ours);
    return made;
}

/* Its ends of input and output may be inherited, ours may not. */
static bool open_ends(struct run *r)
{
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, NULL, TRUE };

    r->nothing = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited,
                             OPEN_EXISTING, 0, NULL);
    return r->nothing != INVALID_HANDLE_VALUE && CreatePipe(&r->from, &r->to, NULL, 0)
           && SetHandleInformation(r->to, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
}

static bool open_job(struct run *r)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits =
        { .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE };

    r->job = CreateJobObjectW(NULL, NULL);
    return r->job != NULL && SetInformationJobObject(r->job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
}

/* Suspended until it is in the job, so that it has started nothing before. */
static bool start(struct run *r)
{
    const DWORD    how = CREATE_NO_WINDOW | CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT
        | EXTENDED_STARTUPINFO_PRESENT;
    HANDLE         ends[] = { r->nothing, r->to };
    STARTUPINFOEXW with = { .StartupInfo = { .cb = sizeof with, .dwFlags = STARTF_USESTDHANDLES } };
    void          *list[32];
    SIZE_T         size = sizeof list;
    bool           started;

    with.StartupInfo.hStdInput = with.StartupInfo.hStdError = r->nothing;
    with.StartupInfo.hStdOutput = r->to;
    with.lpAttributeList = (LPPROC_THREAD_ATTRIBUTE_LIST)list;
    if (!InitializeProcThreadAttributeList(with.lpAttributeList, 1, 0, &size))
        return false;
    started = UpdateProcThreadAttribute(with.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, ends, sizeof ends,
                                        NULL, NULL)
              && CreateProcessW(r->path, r->command, NULL, NULL, TRUE, how, r->environment, r->folder,
                                &with.StartupInfo, &r->child);
    DeleteProcThreadAttributeList(with.lpAttributeList);
    return started && AssignProcessToJobObject(r->job, r->child.hProcess)
           && ResumeThread(r->child.hThread) != (DWORD)-1;
}

/* What is there, without a wait. */
static int drain(HANDLE from, char *out, size_t cap, size_t *size)
{
    DWORD there, n;

    while (PeekNamedPipe(from, NULL, 0, NULL, &there, NULL) && there > 0) {
        if (*size == cap)
            return VS_FLOODED;
        if (!ReadFile(from, out + *size, there < cap - *size ? there : (DWORD)(cap - *size), &n, NULL))
            break;
        *size += n;
    }
    return 0;
}

/* Looks again and again: a wait for a pipe would take a thread of our own, or a pipe with a name, which others can
 * open. */
static int follow(const struct run *r, char *out, size_t cap, size_t *size, uint32_t *exit_code, int64_t deadline)
{
    for (;;) {
        const DWORD left = vs_left_ms(deadline);
        const bool  ended = WaitForSingleObject(r->child.hProcess, left < LOOK_MS ? left : LOOK_MS) == WAIT_OBJECT_0;
        const int   code = drain(r->from, out, cap, size);
        DWORD       number = 0;

        if (code != 0)
            return code;
        if (ended) {
            GetExitCodeProcess(r->child.hProcess, &number);
            *exit_code = number;
            return 0;
        }
        if (left == 0)
            return VS_HUNG;
    }
}

static void close_all(struct run *r)
{
    HANDLE handles[] = { r->job, r->child.hThread, r->child.hProcess, r->from, r->to, r->nothing };

    if (r->child.hProcess != NULL)
        TerminateProcess(r->child.hProcess, 1);         /* if it never came into the job */
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        if (handles[i] != NULL && handles[i] != INVALID_HANDLE_VALUE)
            CloseHandle(handles[i]);
    free(r->environment);
}

int vs_run(const struct vs_program *program, char *out, size_t cap, size_t *size, uint32_t *exit_code, int64_t deadline)
{
    struct run r = { .environment = NULL };
    int        code;

    *size = 0;
    find_program(&r, program);
    if (program->variable != NULL && (r.environment = environment_with(program->variable, program->value)) == NULL)
        return ERROR_NOT_ENOUGH_MEMORY;
    if (open_ends(&r) && open_job(&r) && start(&r))
        code = follow(&r, out, cap, size, exit_code, deadline);
    else
        code = last_error();
    close_all(&r);
    return code;
}
