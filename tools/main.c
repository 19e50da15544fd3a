/* SPDX-License-Identifier: MIT
 *
 * The virtsock command: finds the subcommand, and tells how it ended. Exit codes: 0 done, 1 failed, 2 usage.
 */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "common/report.h"
#include "platform/tool.h"

static const struct command *const commands[] = {
    &cat_command, &echo_command, &relay_command, &stress_command, &bench_command, &wait_command, &mux_command, &resolve_command,
    &service_command, &info_command, &list_command, &doctor_command, &manual_command, &completion_command, NULL
};

static void print_help(FILE *out)
{
    fputs("Usage: virtsock COMMAND [OPTION]... [ADDRESS]\n\n"
          "Programs on a host and in its virtual machines talk to each other.\n\n"
          "Commands:\n", out);
    for (const struct command *const *one = commands; *one != NULL; one++)
        fprintf(out, "  %-10s %s\n", (*one)->name, (*one)->summary);
    fputs("\nvirtsock COMMAND --help tells more; virtsock --version the version.\n"
          "Addresses: vsock://CID:PORT, hvsock://VM/SERVICE, vsock-mux://:PORT/PATH, hyperkit://:PORT/DIR, unix:///PATH,\n"
          "tcp://HOST:PORT, fd://N. Exit codes: 0 done, 1 failed, 2 usage.\n", out);
}

static int run_command(const struct command *command, int argc, char **argv)
{
    char *operand[OPERANDS_MAX];
    int   count = args_read(command, argc, argv, operand);

    if (count < 0)
        return count == ARGS_DONE ? EXIT_DONE : EXIT_USAGE;
    return command->run(operand, count);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        args_print_version();
        return EXIT_DONE;
    }
    for (const struct command *const *one = commands; *one != NULL; one++)
        if (strcmp(argv[1], (*one)->name) == 0)
            return run_command(*one, argc - 2, argv + 2);
    report_line("there is no command %s", argv[1]);
    return report_usage("see virtsock --help");
}

int main(int argc, char **argv)
{
    int code, failed;

    tool_start();
    args_commands = commands;
    code = run(argc, argv);
    if ((failed = tool_flush()) != 0)
        return report_system("standard output", failed);
    return code;
}
