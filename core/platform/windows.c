/* SPDX-License-Identifier: MIT
 *
 * The porting contract on Windows: time, data, waiting. A transfer is an overlapped call that waits itself
 * (VS_WAITS_INSIDE): neither select nor WSAPoll is asked about a Hyper-V socket, which early builds did not support.
 * Sockets are in windows_socket.c, names in windows_file.c.
 */
#include "platform/windows.h"

#define PIECE 65536u                    /* bytes of one send: a cancelled one may not tell how much of it went */
#define SLICES 256

/* --- Time and process --------------------------------------------------------------------------------------------- */

int64_t vs_now_ms(void)
{
    LARGE_INTEGER now, rate;

    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return now.QuadPart / rate.QuadPart * 1000 + now.QuadPart % rate.QuadPart * 1000 / rate.QuadPart;
}

void vs_nap_us(unsigned us)
{
    Sleep((us + 999) / 1000);
}

uint32_t vs_random(void)
{
    LARGE_INTEGER now;
    uint32_t      n;

    QueryPerformanceCounter(&now);
    n = (now.LowPart ^ GetCurrentThreadId() << 16) * UINT32_C(2654435761);
    return n ^ n >> 15;
}

uint32_t vs_process(void)
{
    return GetCurrentProcessId();
}

/* Nobody asks: VS_TELLS_USERS. */
uint32_t vs_user(void)
{
    return UINT32_MAX;
}

/* --- Overlapped calls --------------------------------------------------------------------------------------------- */

DWORD vs_left_ms(int64_t deadline)
{
    int64_t left;

    if (deadline == VS_FOREVER)
        return INFINITE;
    left = deadline == 0 ? 0 : deadline - vs_now_ms();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (DWORD)left;
}

int vs_call_new(OVERLAPPED *call)
{
    ZeroMemory(call, sizeof *call);
    call->hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    return call->hEvent == NULL ? (int)GetLastError() : 0;
}

int64_t vs_call_end(SOCKET s, OVERLAPPED *call, int code, int64_t until)
{
    DWORD n = 0, flags;

    if (code == WSA_IO_PENDING) {
        DWORD left, waited;

        do
            waited = WaitForSingleObject(call->hEvent, left = vs_left_ms(until));
        while (waited == WAIT_TIMEOUT && left != 0);
        if (waited != WAIT_OBJECT_0)
            CancelIoEx((HANDLE)s, call);
        code = 0;
    }
    if (code == 0 && !WSAGetOverlappedResult(s, call, &n, TRUE, &flags))
        code = WSAGetLastError();
    CloseHandle(call->hEvent);
    if (code == WSA_OPERATION_ABORTED)          /* what had moved is said nevertheless */
        return call->InternalHigh > 0 ? (int64_t)call->InternalHigh : -WSAEWOULDBLOCK;
    return code == 0 ? (int64_t)n : -(int64_t)code;
}

/* --- Data --------------------------------------------------------------------------------------------------------- */

static int64_t send_pieces(virtsock_fd fd, WSABUF *pieces, DWORD count, int64_t until)
{
    OVERLAPPED call;
    int        code = vs_call_new(&call);

    if (code != 0)
        return -(int64_t)code;
    code = WSASend((SOCKET)fd, pieces, count, NULL, 0, &call, NULL) == 0 ? 0 : WSAGetLastError();
    return vs_call_end((SOCKET)fd, &call, code, until);
}

int64_t vs_send(virtsock_fd fd, const void *data, size_t size, int64_t until)
{
    WSABUF piece = { size < PIECE ? (ULONG)size : PIECE, (char *)(uintptr_t)data };

    return send_pieces(fd, &piece, 1, until);
}

int64_t vs_sendv(virtsock_fd fd, const virtsock_slice *slices, size_t count, size_t max, int64_t until)
{
    WSABUF pieces[SLICES];
    size_t left = max < PIECE ? max : PIECE;
    DWORD  used = 0;

    for (size_t i = 0; i < count && used < SLICES && left > 0; i++) {
        if (slices[i].size == 0)
            continue;
        pieces[used].buf = (char *)(uintptr_t)slices[i].data;
        pieces[used].len = (ULONG)(slices[i].size < left ? slices[i].size : left);
        left -= pieces[used++].len;
    }
    return send_pieces(fd, pieces, used, until);
}

/* Hyper-V says ERROR_BROKEN_PIPE for the end, and WSAESHUTDOWN is what this side has ended itself. */
int64_t vs_recv(virtsock_fd fd, void *buf, size_t cap, int64_t until)
{
    WSABUF     piece = { cap < INT32_MAX ? (ULONG)cap : INT32_MAX, buf };
    DWORD      flags = 0;
    OVERLAPPED call;
    int64_t    n;
    int        code = vs_call_new(&call);

    if (code != 0)
        return -(int64_t)code;
    code = WSARecv((SOCKET)fd, &piece, 1, NULL, &flags, &call, NULL) == 0 ? 0 : WSAGetLastError();
    n = vs_call_end((SOCKET)fd, &call, code, until);
    return n == -ERROR_BROKEN_PIPE || n == -ERROR_HANDLE_EOF || n == -WSAEDISCON || n == -WSAESHUTDOWN ? 0 : n;
}

int64_t vs_peek(virtsock_fd fd)
{
    (void)fd;
    return 1;
}

/* Windows has no sockets that keep messages apart and connections together. */
int64_t vs_recv_message(virtsock_fd fd, void *buf, size_t cap, bool *cut, int64_t until)
{
    *cut = false;
    return vs_recv(fd, buf, cap, until);
}

bool vs_waits_for_room(virtsock_fd fd)
{
    (void)fd;
    return true;
}

bool vs_would_block(int os_code)
{
    return os_code == WSAEWOULDBLOCK;
}

bool vs_was_interrupted(int os_code)
{
    (void)os_code;
    return false;
}

/* --- Waiting and waking ------------------------------------------------------------------------------------------- */

/* fd is what struct vs_pending has: an event. */
enum vs_waited vs_wait(virtsock_fd fd, int events, virtsock_fd wake, int64_t deadline, bool interruptible, int *os_code)
{
    HANDLE handles[2];
    DWORD  count = 0, left, first;

    (void)events;
    (void)interruptible;
    if (wake >= 0)
        handles[count++] = (HANDLE)(intptr_t)wake;
    if (fd >= 0)
        handles[count++] = (HANDLE)(intptr_t)fd;
    do {
        left = vs_left_ms(deadline);
        if (count == 0)
            Sleep(left);
        first = count == 0 ? WAIT_TIMEOUT : WaitForMultipleObjects(count, handles, FALSE, left);
    } while (first == WAIT_TIMEOUT && left != 0);
    if (first == WAIT_TIMEOUT)
        return VS_TIMED_OUT;
    if (first < count)
        return first == 0 && wake >= 0 ? VS_WOKEN : VS_READY;
    *os_code = (int)GetLastError();
    return VS_WAIT_FAILED;
}

int vs_wake_open(virtsock_fd *out)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);

    *out = event == NULL ? -1 : (virtsock_fd)(intptr_t)event;
    return event == NULL ? (int)GetLastError() : 0;
}

void vs_wake_fire(virtsock_fd wake)
{
    SetEvent((HANDLE)(intptr_t)wake);
}

void vs_wake_close(virtsock_fd wake)
{
    CloseHandle((HANDLE)(intptr_t)wake);
}
