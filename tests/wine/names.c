/* SPDX-License-Identifier: MIT
 *
 * Asks the library for names and services, a line an answer, for test_names.py: the programs and the registry behind them are Wine's, or
 * planted. `names MS ADDRESS...` resolves with that time limit (-: none is set); `names register SERVICE NAME`, `names unregister SERVICE`.
 * `names lock GUID` lets nobody but read what is registered, `names unlock GUID` everybody do everything.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "virtsock.h"

#define SERVICES "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices\\"

static void tell(virtsock_status status, const virtsock_error *err, ULONGLONG begun)
{
    const char *advice = status != VIRTSOCK_OK ? virtsock_advice(err) : NULL;

    printf("%s|%" PRIu64 "|%s|%s\n", virtsock_status_name(status), (uint64_t)(GetTickCount64() - begun), status != VIRTSOCK_OK ? err->message : "",
           advice != NULL ? advice : "");
}

static void resolve(const char *text, const virtsock_options *options)
{
    virtsock_error    err = { 0 };
    virtsock_address *asked, *found = NULL;
    virtsock_status   status = virtsock_address_parse(&asked, text, &err);
    ULONGLONG         begun = GetTickCount64();
    char              canonical[4200];

    if (status == VIRTSOCK_OK)
        status = virtsock_resolve(&found, asked, options, &err);
    if (status == VIRTSOCK_OK) {
        virtsock_address_format(found, canonical, sizeof canonical);
        printf("ok|%" PRIu64 "|%s|\n", (uint64_t)(GetTickCount64() - begun), canonical);
    } else {
        tell(status, &err, begun);
    }
    virtsock_address_free(found);
    virtsock_address_free(asked);
}

/* A handle that programs inherit, unless they are started with a list. */
static void plant_handle(void)
{
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, NULL, TRUE };
    char                number[32];

    snprintf(number, sizeof number, "%" PRIu64, (uint64_t)(UINT_PTR)CreateEventW(&inherited, TRUE, FALSE, NULL));
    SetEnvironmentVariableA("FAKESHELL_HANDLE", number);
}

/* Whether what was started has ended, and what that started: the stand-in wrote their numbers down. */
static void tell_survivors(void)
{
    const char   *name = getenv("FAKESHELL_LOG");
    FILE         *log = name != NULL ? fopen(name, "rb") : NULL;
    char          line[4096];
    unsigned long number;
    int           survivors = 0;

    while (log != NULL && fgets(line, sizeof line, log) != NULL) {
        HANDLE process;

        if (sscanf(line, "pid %lu", &number) != 1 && sscanf(line, "grandchild %lu", &number) != 1)
            continue;
        process = OpenProcess(SYNCHRONIZE, FALSE, number);
        survivors += process != NULL && WaitForSingleObject(process, 500) != WAIT_OBJECT_0;
        if (process != NULL)
            CloseHandle(process);
    }
    if (log != NULL)
        fclose(log);
    printf("survivors %d\n", survivors);
}

/* The key is made if it is not there. */
static void set_access(const char *service, DWORD access)
{
    union {
        ACL  list;
        char room[256];
    } acl;
    char                sid[SECURITY_MAX_SID_SIZE], path[512];
    DWORD               size = sizeof sid;
    SECURITY_DESCRIPTOR descriptor;
    HKEY                key;

    snprintf(path, sizeof path, "%s%s", SERVICES, service);
    if (RegCreateKeyExA(HKEY_LOCAL_MACHINE, path, 0, NULL, 0, WRITE_DAC | KEY_WOW64_64KEY, NULL, &key, NULL) != ERROR_SUCCESS
        || !CreateWellKnownSid(WinWorldSid, NULL, sid, &size) || !InitializeAcl(&acl.list, sizeof acl, ACL_REVISION)
        || !AddAccessAllowedAce(&acl.list, ACL_REVISION, access, sid) || !InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION)
        || !SetSecurityDescriptorDacl(&descriptor, TRUE, &acl.list, FALSE)
        || RegSetKeySecurity(key, DACL_SECURITY_INFORMATION, &descriptor) != ERROR_SUCCESS)
        exit(1);
    RegCloseKey(key);
}

int main(int argc, char **argv)
{
    virtsock_error    err = { 0 };
    virtsock_options *options = virtsock_options_new();

    plant_handle();
    if (argc == 4 && strcmp(argv[1], "register") == 0)
        tell(virtsock_service_register(argv[2], argv[3], &err), &err, GetTickCount64());
    else if (argc == 3 && strcmp(argv[1], "unregister") == 0)
        tell(virtsock_service_unregister(argv[2], &err), &err, GetTickCount64());
    else if (argc == 3 && strcmp(argv[1], "lock") == 0)
        set_access(argv[2], KEY_READ | WRITE_DAC);
    else if (argc == 3 && strcmp(argv[1], "unlock") == 0)
        set_access(argv[2], KEY_ALL_ACCESS);
    else if (argc > 2) {
        if (strcmp(argv[1], "-") != 0 && virtsock_options_set(options, VIRTSOCK_OPTION_CONNECT_TIMEOUT, atoi(argv[1]), NULL) != VIRTSOCK_OK)
            return 1;
        for (int i = 2; i < argc; i++)
            resolve(argv[i], options);
    }
    virtsock_options_free(options);
    tell_survivors();
    puts("END");
    return 0;
}
