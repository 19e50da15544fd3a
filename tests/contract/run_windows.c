/* SPDX-License-Identifier: MIT
 *
 * virtsock-selftest on Windows: a behaviour is this program once more, with the same command line and a variable of the environment that names
 * the behaviour, the pipe to say things, and the memory that both share. A job ends what is left of it.
 */
#include <winsock2.h>
#include <windows.h>

#include <stdlib.h>

#include "rows.h"
#include "run.h"
#include "suite.h"

#define INSIDE    "VIRTSOCK_SELFTEST_INSIDE"    /* "BEHAVIOUR PIPE MEMORY ADDRESS" */
#define PEER      "VIRTSOCK_SELFTEST_PEER"      /* "send|receive ADDRESS": a process that peer_killed kills */
#define THREADS   16
#define TRIES     2                     /* a lock's first contention makes an event that stays; what leaks does so each time */
#define STATUS_0  0xc0000000u           /* exit codes from here on are exceptions */

static HANDLE memory, report_end;
static char   chosen[80];

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "virtsock-selftest: %s: Windows error %lu\n", what, GetLastError());
    exit(EXIT_FAILED);
}

/* --- In the behaviour's process ------------------------------------------------------------------------------------------------ */

bool run_say(const char *text, size_t size)
{
    DWORD n;

    if (report_end == NULL)
        return false;
    if (!WriteFile(report_end, text, (DWORD)size, &n, NULL))
        run_leave(EXIT_USAGE);
    return true;
}

_Noreturn void run_leave(int code)
{
    fflush(stdout);
    TerminateProcess(GetCurrentProcess(), (UINT)code);
    abort();
}

static void *receive_a_moment(void *s)
{
    char b;

    return virtsock_stream_recv(s, &b, 1, NULL, 20, NULL) == VIRTSOCK_OK ? s : NULL;
}

int run_warm_up(void)
{
    virtsock_stream *s[2];
    pthread_t        t[THREADS];

    make_pair(s, NULL);
    for (int i = 0; i < THREADS; i++)
        start(&t[i], receive_a_moment, s[0]);
    for (int i = 0; i < THREADS; i++)
        end(t[i]);
    free_pair(s);
    return TRIES;
}

static void map_memory(void)
{
    run_seen = MapViewOfFile(memory, FILE_MAP_WRITE, 0, 0, sizeof *run_seen);
    if (run_seen == NULL)
        give_up("memory");
}

static _Noreturn void be_inside(char *text, void (*here)(const struct behaviour *))
{
    const char *name = strtok(text, " "), *end_number = strtok(NULL, " "), *memory_number = strtok(NULL, " "), *address = strtok(NULL, "");

    if (address == NULL)
        give_up(INSIDE);
    report_end = (HANDLE)(uintptr_t)strtoull(end_number, NULL, 10);
    memory = (HANDLE)(uintptr_t)strtoull(memory_number, NULL, 10);
    map_memory();
    if (!transport_open(address))
        exit(EXIT_USAGE);
    for (int i = 0; i < behaviour_count; i++)
        if (strcmp(behaviours[i].name, name) == 0) {
            here(&behaviours[i]);
            exit(EXIT_PASSED);
        }
    exit(EXIT_USAGE);
}

/* Sends, or receives a little, and stays until it is killed. */
static _Noreturn void be_peer(char *text)
{
    const char       *what = strtok(text, " "), *address = strtok(NULL, "");
    static const char data[8192];
    virtsock_address *a;
    virtsock_stream  *s;
    char              b[8192];
    size_t            n;

    if (address == NULL || virtsock_address_parse(&a, address, NULL) != VIRTSOCK_OK || virtsock_connect(&s, a, NULL, NULL) != VIRTSOCK_OK)
        exit(EXIT_USAGE);
    if (strcmp(what, "send") == 0) {            /* and no more: Wine 8 can keep a socket open whose send was under way when its process was killed */
        for (int i = 0; i < 16 && virtsock_stream_send(s, data, sizeof data, &n, -1, NULL) == VIRTSOCK_OK; i++) {
        }
    } else if (virtsock_stream_recv(s, b, sizeof b, &n, -1, NULL) != VIRTSOCK_OK) {
        n = 0;
    }
    Sleep(INFINITE);
    exit(EXIT_PASSED);
}

/* --- In the parent --------------------------------------------------------------------------------------------------------------- */

/* This program once more, with one variable more. */
static HANDLE spawn(const char *variable, const char *value, DWORD flags, HANDLE *thread)
{
    STARTUPINFOW        how = { .cb = sizeof how };
    PROCESS_INFORMATION made;
    wchar_t             path[MAX_PATH];
    bool                ok;

    SetEnvironmentVariableA(variable, value);
    ok = GetModuleFileNameW(NULL, path, MAX_PATH) < MAX_PATH
         && CreateProcessW(path, GetCommandLineW(), NULL, NULL, TRUE, flags, NULL, NULL, &how, &made);
    SetEnvironmentVariableA(variable, NULL);
    if (!ok)
        give_up("a process");
    *thread = made.hThread;
    return made.hProcess;
}

/* A service of the loopback that nobody has. */
static const char *choose(void)
{
    for (uint32_t n = GetTickCount() * 2654435761u ^ GetCurrentProcessId();; n += 0x10001u) {
        virtsock_listener *l;
        virtsock_address  *a;
        virtsock_error     e = { 0 };
        virtsock_status    status;

        snprintf(chosen, sizeof chosen, "hvsock://loopback/%lu", 0x40000000ul | (n & 0x3fff0000u));
        if ((status = virtsock_address_parse(&a, chosen, &e)) == VIRTSOCK_OK)
            status = virtsock_listen(&l, a, NULL, &e);
        virtsock_address_free(a);
        if (status == VIRTSOCK_E_IN_USE)
            continue;
        if (status != VIRTSOCK_OK) {
            fprintf(stderr, "virtsock-selftest: %s\n", e.message);
            exit(EXIT_FAILED);
        }
        virtsock_listener_free(l);
        printf("# %s\n", chosen);
        return chosen;
    }
}

void run_begin(const char **address, void (*here)(const struct behaviour *))
{
    SECURITY_ATTRIBUTES inherited = { .nLength = sizeof inherited, .bInheritHandle = TRUE };
    static char         text[600];

    if (GetEnvironmentVariableA(PEER, text, sizeof text) != 0)
        be_peer(text);
    if (GetEnvironmentVariableA(INSIDE, text, sizeof text) != 0)
        be_inside(text, here);
    if (*address == NULL)
        *address = choose();
    memory = CreateFileMappingW(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0, sizeof *run_seen, NULL);
    if (memory == NULL)
        give_up("memory");
    map_memory();
}

/* Ends it, and what it may have started. */
static HANDLE job_for(HANDLE process)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = { .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE };
    HANDLE                               job = CreateJobObjectW(NULL, NULL);

    if (job == NULL || !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)
        || !AssignProcessToJobObject(job, process))
        give_up("a job");
    return job;
}

/* What it said fits the pipe, so nobody has to listen while it runs. */
static void take_words(HANDLE end, struct outcome *o)
{
    DWORD there = 0, n = 0;

    if (PeekNamedPipe(end, NULL, 0, NULL, &there, NULL) && there > 0
        && !ReadFile(end, o->text, there < sizeof o->text ? there : (DWORD)sizeof o->text - 1, &n, NULL))
        n = 0;
    o->text[n] = '\0';
}

void run_apart(const struct behaviour *b, void (*here)(const struct behaviour *), int limit_s, struct outcome *o)
{
    HANDLE listens, says, process, thread, job;
    char   text[600];
    DWORD  code = 0;

    (void)here;
    atomic_store(run_seen, 0);
    if (!CreatePipe(&listens, &says, NULL, sizeof o->text) || !SetHandleInformation(says, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT))
        give_up("a pipe");
    snprintf(text, sizeof text, "%s %llu %llu %s", b->name, (unsigned long long)(uintptr_t)says, (unsigned long long)(uintptr_t)memory,
             under_test.text);
    process = spawn(INSIDE, text, CREATE_SUSPENDED, &thread);
    job = job_for(process);
    ResumeThread(thread);
    CloseHandle(thread);
    CloseHandle(says);
    o->ended = WaitForSingleObject(process, (DWORD)limit_s * 1000) == WAIT_OBJECT_0;
    GetExitCodeProcess(process, &code);
    take_words(listens, o);
    CloseHandle(job);
    CloseHandle(process);
    CloseHandle(listens);
    o->seen = run_last_seen();
    o->code = (int)code;
    if (o->ended && code >= STATUS_0)
        snprintf(o->crash, sizeof o->crash, "exception %#lx", code);
}

/* --- A peer that is killed -------------------------------------------------------------------------------------------------------- */

static virtsock_stream *accept_from(const char *what, HANDLE *process)
{
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    HANDLE             thread;
    char               address[400], text[450];

    listen_fresh(&l, &a, NULL);
    virtsock_address_format(a, address, sizeof address);
    snprintf(text, sizeof text, "%s %s", what, address);
    *process = spawn(PEER, text, 0, &thread);
    CloseHandle(thread);
    CHECK_OK(virtsock_accept(&s, l, patient_ms(), &e), e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    return s;
}

static int64_t kill_it(HANDLE process)
{
    int64_t began = test_us();

    CHECK(TerminateProcess(process, 1) && WaitForSingleObject(process, 10000) == WAIT_OBJECT_0);
    CloseHandle(process);
    return began;
}

void peer_killed(void)
{
    virtsock_error   e = { 0 };
    virtsock_status  status;
    HANDLE           process;
    virtsock_stream *s = accept_from("send", &process);
    int64_t          began;
    char             b[8192] = "";
    size_t           n;

    drain(s, 10 * sizeof b);
    nap_us(100000);                     /* so that its last send has ended */
    began = kill_it(process);
    while ((status = virtsock_stream_recv(s, b, sizeof b, &n, patient_ms(), &e)) == VIRTSOCK_OK) {
    }
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    CHECK(test_us() - began < 10 * late_ms() * 1000);
    virtsock_stream_free(s);

    s = accept_from("receive", &process);
    put(s, b, sizeof b);
    nap_us(50000);
    began = kill_it(process);
    do
        status = virtsock_stream_send(s, b, sizeof b, &n, patient_ms(), &e);
    while (status == VIRTSOCK_OK);
    CHECK_STATUS(status, VIRTSOCK_E_RESET, e);
    CHECK(test_us() - began < 10 * late_ms() * 1000);
    virtsock_stream_free(s);
}

/* --- What Windows has not ----------------------------------------------------------------------------------------------------------- */

void signal_storm(void)
{
    skip("Windows has no signals");
}

void interruptible(void)
{
    skip("Windows has no signals");
}

void fork_with_handles(void)
{
    skip("Windows has no fork");
}

void out_of_descriptors(void)
{
    skip("Windows has no limit of handles that a test could reach");
}

/* --- What the system gives ---------------------------------------------------------------------------------------------------------- */

bool small_sockets(virtsock_fd out[2], int size)
{
    (void)out;
    (void)size;
    return false;
}

char *zeros(uint64_t size)
{
    return size > SIZE_MAX / 2 ? NULL : VirtualAlloc(NULL, (size_t)size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

bool free_zeros(char *data, uint64_t size)
{
    (void)size;
    return VirtualFree(data, 0, MEM_RELEASE);
}
