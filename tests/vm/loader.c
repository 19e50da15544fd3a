/* SPDX-License-Identifier: MIT
 *
 * First process of a guest that has the command and nothing else: puts the modules of /modules into the kernel, in the order of their names; runs
 * the words that the kernel line has after "--" on the serial line, where Ctrl-C is SIGINT to them; says on the console how they ended; and powers
 * the guest off. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void load_modules(const char *folder)
{
    struct dirent **names;
    int count = chdir(folder) ? -1 : scandir(".", &names, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        int file = open(names[i]->d_name, O_RDONLY | O_CLOEXEC);

        if (names[i]->d_name[0] != '.' && syscall(SYS_finit_module, file, "", 0) != 0)
            printf("init: %s: %s\n", names[i]->d_name, strerror(errno));
        close(file);
    }
}

/* A terminal that a session's leader opens becomes the session's. */
static void become(char **words)
{
    setsid();
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
        if (open("/dev/ttyS0", O_RDWR) != fd)
            _exit(126);
    }
    execv(words[0], words);
    _exit(127);
}

int main(int count, char **words)
{
    int status = 0;
    pid_t child;

    load_modules("/modules");
    child = count < 2 ? -1 : fork();
    if (child == 0)
        become(words + 1);
    if (child < 0 || waitpid(child, &status, 0) != child)
        printf("init: nothing to run\n");
    else
        printf("init: exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    fflush(stdout);
    return reboot(RB_POWER_OFF);
}
