/* SPDX-License-Identifier: MIT
 *
 * What the command asks of Windows: see tool.h. A console speaks UTF-16 and is translated; pipes and files are bytes. A peer is not
 * asked whether it is there: an empty send is the end of a Hyper-V conversation (hv_sock of Linux), and to receive after the end may be
 * ERROR_BROKEN_PIPE whether it is there or not.
 */
#define WIN32_LEAN_AND_MEAN

#include "platform/tool.h"

#include <winsock2.h>
#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>

#define STACK_SIZE (256 * 1024)         /* of a thread: one buffer of 64 KiB, and what the library needs */
#define LOOK_MS    50                   /* how often it is looked where nothing can be waited for */

/* --- Start, clock, texts ----------------------------------------------------------------------------------------------- */

static UINT code_page;                  /* that the console had */

static void give_code_page_back(void)
{
    SetConsoleOutputCP(code_page);
}

void tool_start(void)
{
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    code_page = GetConsoleOutputCP();
    if (code_page != 0 && SetConsoleOutputCP(CP_UTF8))
        atexit(give_code_page_back);
}

int64_t tool_now_us(void)
{
    LARGE_INTEGER ticks, second;

    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&second);
    return ticks.QuadPart / second.QuadPart * 1000000 + ticks.QuadPart % second.QuadPart * 1000000 / second.QuadPart;
}

int64_t tool_now_ns(void)
{
    LARGE_INTEGER ticks, second;

    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&second);
    return ticks.QuadPart / second.QuadPart * 1000000000 + ticks.QuadPart % second.QuadPart * 1000000000 / second.QuadPart;
}

void tool_nap_ms(int ms)
{
    Sleep((DWORD)ms);
}

void tool_code_text(int code, char *text, size_t cap)
{
    wchar_t wide[TOOL_CODE_TEXT / 3];   /* a unit becomes three bytes at most */
    DWORD   n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL,
                               (DWORD)code, 0, wide, sizeof wide / sizeof *wide, NULL);

    while (n > 0 && (wide[n - 1] == L' ' || wide[n - 1] == L'.'))
        wide[--n] = L'\0';
    if (n == 0 || WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, (int)cap, NULL, NULL) == 0)
        snprintf(text, cap, "code %d", code);
}

bool tool_errors_on_terminal(void)
{
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    DWORD  mode;

    return GetConsoleMode(console, &mode) && SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

/* --- Standard input and output ----------------------------------------------------------------------------------------- */

/* A console's line as UTF-8 with `\n` at its end; Ctrl-Z at its beginning is the end. A surrogate is not parted from its other half. */
static int64_t read_console(HANDLE console, char *buf, size_t cap)
{
    wchar_t wide[4096];
    DWORD   n, more, kept = 0, most = (DWORD)(cap / 3 < 4096 ? cap / 3 : 4096);

    while (kept == 0) {
        SetLastError(0);
        if (!ReadConsoleW(console, wide, most - 1, &n, NULL))
            return -(int64_t)GetLastError();
        if (n == 0 && GetLastError() != ERROR_OPERATION_ABORTED)        /* that is Ctrl-C, of which a handler hears */
            return 0;
        if (n > 0 && wide[0] == 0x1a)
            return 0;
        if (n > 0 && IS_HIGH_SURROGATE(wide[n - 1]) && ReadConsoleW(console, wide + n, 1, &more, NULL))
            n += more;
        for (DWORD i = 0; i < n; i++)
            if (wide[i] != L'\r')
                wide[kept++] = wide[i];
    }
    return WideCharToMultiByte(CP_UTF8, 0, wide, (int)kept, buf, (int)cap, NULL, NULL);
}

/* A pipe's reader gets 0 bytes for an empty write as well, and an error at the end; other handles get 0 at the end. */
static bool is_pipe(HANDLE handle)
{
    return GetFileType(handle) == FILE_TYPE_PIPE && GetNamedPipeInfo(handle, NULL, NULL, NULL, NULL);
}

int64_t tool_input(void *buf, size_t cap)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    DWORD  n, code;

    if (GetConsoleMode(input, &n))
        return read_console(input, buf, cap);
    for (;;) {
        code = ReadFile(input, buf, (DWORD)cap, &n, NULL) ? 0 : GetLastError();
        if (code == ERROR_BROKEN_PIPE || code == ERROR_HANDLE_EOF)
            return 0;
        if (code != 0 && code != ERROR_NO_DATA)
            return -(int64_t)code;
        if (code == 0 && (n > 0 || !is_pipe(input)))
            return n;
        if (code == ERROR_NO_DATA)      /* others have made it non-blocking */
            Sleep(LOOK_MS);
    }
}

int tool_output(const void *data, size_t size)
{
    HANDLE      output = GetStdHandle(STD_OUTPUT_HANDLE);
    const char *at = data;

    while (size > 0) {
        DWORD n;

        if (!WriteFile(output, at, (DWORD)size, &n, NULL))
            return (int)GetLastError();
        if (n == 0)                     /* a pipe that others have made non-blocking is full */
            Sleep(LOOK_MS);
        at += n;
        size -= n;
    }
    return 0;
}

int tool_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : (int)_doserrno;
}

/* The access of a directory's maker, of administrators and of the system; nothing is inherited from above, all of it further down. */
#define OWN_ACCESS L"D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)"

const size_t tool_path_most = 107;      /* afunix.h: UNIX_PATH_MAX, and a NUL */

int tool_make_directory(const char *path)
{
    SECURITY_ATTRIBUTES access = { .nLength = sizeof access };
    wchar_t             wide[MAX_PATH];
    DWORD               code = 0;

    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, MAX_PATH) == 0
        || !ConvertStringSecurityDescriptorToSecurityDescriptorW(OWN_ACCESS, SDDL_REVISION_1, &access.lpSecurityDescriptor, NULL))
        return (int)GetLastError();
    if (!CreateDirectoryW(wide, &access))
        code = GetLastError();
    LocalFree(access.lpSecurityDescriptor);
    return (int)code;
}

bool tool_has_family_43(void)
{
    return false;
}

/* --- Streams ----------------------------------------------------------------------------------------------------------- */

void tool_wait(virtsock_fd fd, int events, int timeout_ms)
{
    DWORD ms = timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms;

    (void)events;                       /* the handle is an event's, and means what was asked for */
    if (fd == -1)
        Sleep(ms);
    else
        WaitForSingleObject((HANDLE)(intptr_t)fd, ms);
}

void tool_poll(virtsock_fd fd, int events, int timeout_ms)
{
    WSAPOLLFD p = { .fd = (SOCKET)fd };

    if (fd == -1) {
        Sleep((DWORD)timeout_ms);
        return;
    }
    if (events & VIRTSOCK_WANT_RECV)
        p.events |= POLLRDNORM;
    if (events & VIRTSOCK_WANT_SEND)
        p.events |= POLLWRNORM;
    WSAPoll(&p, 1, timeout_ms);
}

bool tool_may_receive(virtsock_fd fd, int timeout_ms)
{
    WSAPOLLFD p = { .fd = (SOCKET)fd, .events = POLLRDNORM };

    return WSAPoll(&p, 1, timeout_ms) == 1;
}

bool tool_process_name(int64_t pid, char *name, size_t cap)
{
    (void)pid, (void)name, (void)cap;
    return false;
}

bool tool_process_has(int64_t pid, const char *library)
{
    (void)pid, (void)library;
    return false;
}

void tool_take_name(const char *name)
{
    (void)name;
}

/* Windows has one word for a peer that closed and for one that broke off: that it broke is the greater harm. */
bool tool_takes_no_more(const virtsock_error *err)
{
    return err->status == VIRTSOCK_E_RESET && (err->os_code == 0 || err->os_code == WSAESHUTDOWN);
}

void tool_break(virtsock_fd fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt((SOCKET)fd, SOL_SOCKET, SO_LINGER, (const char *)&now, sizeof now);
}

/* --- Threads --------------------------------------------------------------------------------------------------------- */

struct start {
    void (*run)(void *);
    void  *argument;
};

static unsigned __stdcall begin(void *from)
{
    struct start start = *(struct start *)from;

    free(from);
    start.run(start.argument);
    return 0;
}

bool tool_thread(void (*run)(void *), void *argument)
{
    struct start *start = malloc(sizeof *start);
    HANDLE        thread;

    if (start == NULL)
        return false;
    *start = (struct start){ run, argument };
    thread = (HANDLE)_beginthreadex(NULL, STACK_SIZE, begin, start, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread == NULL)
        free(start);
    else
        CloseHandle(thread);
    return thread != NULL;
}

/* An event is one of the system's, and the struct is never looked into. */
struct tool_event *tool_event_new(void)
{
    return (struct tool_event *)CreateEventW(NULL, TRUE, FALSE, NULL);
}

void tool_event_free(struct tool_event *event)
{
    if (event != NULL)
        CloseHandle(event);
}

void tool_event_set(struct tool_event *event)
{
    SetEvent(event);
}

void tool_event_clear(struct tool_event *event)
{
    ResetEvent(event);
}

bool tool_event_wait(struct tool_event *event, int timeout_ms)
{
    return WaitForSingleObject(event, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms) == WAIT_OBJECT_0;
}

/* --- Ctrl-C and its kin ------------------------------------------------------------------------------------------------ */

static SRWLOCK      stop_lock = SRWLOCK_INIT;
static struct start stop_call;
static int64_t      stop_wish_us = INT64_MIN / 2;       /* that was called for */

/* The system calls it in a thread of its own. FALSE: the program ends now. */
static BOOL WINAPI on_wish(DWORD wish)
{
    struct start call;
    bool         heard;

    AcquireSRWLockExclusive(&stop_lock);
    heard = tool_now_us() - stop_wish_us < TOOL_BREATH_MS * 1000;
    if (!heard && (call = stop_call).run != NULL) {
        stop_call.run = NULL;
        call.run(call.argument);
        stop_wish_us = tool_now_us();
        heard = true;
    }
    ReleaseSRWLockExclusive(&stop_lock);
    if (heard && wish != CTRL_C_EVENT && wish != CTRL_BREAK_EVENT)
        Sleep(INFINITE);                /* the program may end by itself until the system's patience does, which a return would spare */
    return heard;
}

void tool_on_stop(void (*stop)(void *), void *argument)
{
    static bool watched;

    AcquireSRWLockExclusive(&stop_lock);
    stop_call = (struct start){ stop, argument };
    if (!watched && stop != NULL)
        watched = SetConsoleCtrlHandler(on_wish, TRUE);
    ReleaseSRWLockExclusive(&stop_lock);
}
