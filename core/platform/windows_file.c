/* SPDX-License-Identifier: MIT
 *
 * The porting contract on Windows, the rest: names of AF_UNIX sockets in the file system, and that this system has no
 * CID. Who may connect to such a socket is what its directory's permissions say; there is no mode to set.
 */
#include <stdio.h>

#include "platform/windows.h"

#define TAG_AF_UNIX 0x80000023u         /* ntifs.h: IO_REPARSE_TAG_AF_UNIX */
#define PATH_CAP    320                 /* more than a path of vs_end, and its directory */

const char *vs_local_path(const char *path)
{
    return path[0] == '/' && path[1] != '\0' && path[2] == ':' ? path + 1 : path;
}

int vs_wide_path(wchar_t *out, size_t cap, const char *path)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, vs_local_path(path), -1, out, (int)cap) == 0
           ? (int)GetLastError() : 0;
}

static int open_at(HANDLE *out, const wchar_t *path)
{
    *out = CreateFileW(path, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                       OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    return *out == INVALID_HANDLE_VALUE ? (int)GetLastError() : 0;
}

static int identify(HANDLE file, struct vs_file_id *id, DWORD *attributes)
{
    BY_HANDLE_FILE_INFORMATION about;

    if (!GetFileInformationByHandle(file, &about))
        return (int)GetLastError();
    id->device = about.dwVolumeSerialNumber;
    id->inode = (uint64_t)about.nFileIndexHigh << 32 | about.nFileIndexLow;
    *attributes = about.dwFileAttributes;
    return 0;
}

/* A mutex with the directory's identity in its name: no file is left, and it goes with its holder. */
virtsock_fd vs_lock_directory(const char *path)
{
    struct vs_file_id id = { 0, 0 };
    wchar_t           wide[PATH_CAP], name[64];
    HANDLE            directory, mutex;
    DWORD             attributes;
    size_t            end = 0;
    int               code;

    if (vs_wide_path(wide, PATH_CAP, path) != 0)
        return -1;
    for (size_t i = 0; wide[i] != 0; i++)
        if (wide[i] == L'/' || wide[i] == L'\\')
            end = i + 1;
    wide[end] = 0;
    if (open_at(&directory, end == 0 ? L"." : wide) != 0)
        return -1;
    code = identify(directory, &id, &attributes);
    CloseHandle(directory);
    if (code != 0)
        return -1;
    swprintf(name, sizeof name / sizeof name[0], L"Local\\virtsock-%08lx-%016llx", (unsigned long)id.device,
             (unsigned long long)id.inode);
    if ((mutex = CreateMutexW(NULL, FALSE, name)) == NULL)
        return -1;
    if (WaitForSingleObject(mutex, 1000) == WAIT_TIMEOUT) {
        CloseHandle(mutex);
        return -1;
    }
    return (virtsock_fd)(intptr_t)mutex;
}

void vs_unlock_directory(virtsock_fd lock)
{
    if (lock < 0)
        return;
    ReleaseMutex((HANDLE)(intptr_t)lock);
    CloseHandle((HANDLE)(intptr_t)lock);
}

int vs_file_at(const char *path, enum vs_file *what, struct vs_file_id *id)
{
    wchar_t          wide[PATH_CAP];
    WIN32_FIND_DATAW found;
    HANDLE           file;
    DWORD            attributes = 0;
    int              code = vs_wide_path(wide, PATH_CAP, path);

    *what = VS_FILE_NONE;
    if (code != 0)
        return code;
    if ((code = open_at(&file, wide)) != 0)
        return code == ERROR_FILE_NOT_FOUND ? 0 : code;
    code = identify(file, id, &attributes);
    CloseHandle(file);
    *what = VS_FILE_OTHER;
    if (code == 0 && (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0
        && (file = FindFirstFileW(wide, &found)) != INVALID_HANDLE_VALUE) {
        *what = found.dwReserved0 == TAG_AF_UNIX ? VS_FILE_SOCKET : VS_FILE_OTHER;
        FindClose(file);
    }
    return code;
}

int vs_remove(const char *path)
{
    wchar_t wide[PATH_CAP];
    int     code = vs_wide_path(wide, PATH_CAP, path);

    return code != 0 ? code : DeleteFileW(wide) ? 0 : (int)GetLastError();
}

/* 0600 is what everybody gets who asks for nothing: the directory decides. */
int vs_set_mode_before(virtsock_fd fd, uint32_t mode)
{
    (void)fd;
    return mode == 0600 ? 0 : WSAEOPNOTSUPP;
}

int vs_set_mode_after(const char *path, const struct vs_file_id *id, uint32_t mode)
{
    (void)path;
    (void)id;
    (void)mode;
    return 0;
}

int vs_local_cid(uint32_t *cid)
{
    *cid = VIRTSOCK_CID_ANY;
    return 0;
}
