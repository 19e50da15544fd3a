/* SPDX-License-Identifier: MIT
 *
 * Services of Windows: see daemon.h. What has no counterpart there, is not there.
 */
#define WIN32_LEAN_AND_MEAN

#include "platform/daemon.h"

#include <windows.h>

#include <stdio.h>

void daemon_raise_descriptors(void)
{
}

int daemon_processors(void)
{
    return 1;
}

int64_t daemon_user(void)
{
    return -1;
}

virtsock_fd daemon_passed(int number, char name[DAEMON_NAME])
{
    (void)number;
    name[0] = '\0';
    return -1;
}

virtsock_fd daemon_inetd(void)
{
    return -1;
}

/* The library says what is wrong with it, when it is used. */
enum daemon_socket daemon_socket_of(virtsock_fd fd)
{
    (void)fd;
    return DAEMON_STREAM;
}

bool daemon_listens(virtsock_fd fd)
{
    (void)fd;
    return false;
}

const bool daemon_has_pairs = false;

bool daemon_pair(virtsock_fd pair[2])
{
    (void)pair;
    return false;
}

void daemon_end_output(void)
{
}

int daemon_pass(virtsock_fd fd)
{
    (void)fd;
    return ERROR_NOT_SUPPORTED;
}

void daemon_set_nonblocking(virtsock_fd fd)
{
    (void)fd;
}

void daemon_make_room(virtsock_fd fd, size_t size)
{
    (void)fd, (void)size;
}

bool daemon_has_bytes(virtsock_fd fd)
{
    (void)fd;
    return false;
}

void daemon_refuse_new(virtsock_fd listener)
{
    (void)listener;
}

int daemon_write_pid(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        return (int)GetLastError();
    fprintf(file, "%lu\n", (unsigned long)GetCurrentProcessId());
    return fclose(file) == 0 ? 0 : (int)GetLastError();
}

void daemon_remove_pid(const char *path)
{
    FILE         *file = fopen(path, "r");
    unsigned long number = 0;

    if (file == NULL)
        return;
    if (fscanf(file, "%lu", &number) != 1)
        number = 0;
    fclose(file);
    if (number == (unsigned long)GetCurrentProcessId())
        remove(path);
}

bool daemon_log(const char *line)
{
    (void)line;
    return false;
}

/* Whether it would wait nobody tells here. */
bool daemon_say(const char *line)
{
    return fprintf(stderr, "virtsock: %s\n", line) > 0 && fflush(stderr) == 0;
}

void daemon_detach(void)
{
}

int daemon_tell(const char *socket, const char *text)
{
    (void)socket;
    (void)text;
    return ERROR_NOT_SUPPORTED;
}

void daemon_on_report(void (*report)(void))
{
    (void)report;
}
