/* SPDX-License-Identifier: MIT
 *
 * The manual page virtsock(1), in man(7)'s macros, of the tables that --help prints.
 */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "common/report.h"
#include "virtsock.h"

/* What roff would take for its own is escaped; a hyphen is one that can be copied. */
static void print_text(const char *text, size_t size)
{
    if (size > 0 && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[i]);
}

static void print_line(const char *text, size_t size)
{
    print_text(text, size);
    putchar('\n');
}

/* Lines that begin with a space are printed as they are, the others are filled; an empty one begins a paragraph. */
static void print_lines(const char *text)
{
    bool as_is = false;

    while (*text != '\0') {
        size_t size = strcspn(text, "\n");

        if (as_is != (size > 0 && *text == ' ')) {
            as_is = !as_is;
            puts(as_is ? ".nf" : ".fi");
        }
        if (size == 0)
            puts(".PP");
        else
            print_line(text, size);
        text += size + (text[size] == '\n');
    }
    if (as_is)
        puts(".fi");
}

static void print_usage(const struct command *command)
{
    const char *line = command->usage;

    puts(".nf");
    while (*line != '\0') {
        size_t size = strcspn(line, "\n");

        printf("\\fBvirtsock %s\\fR ", command->name);
        print_line(line, size);
        line += size + (line[size] == '\n');
    }
    puts(".fi");
}

static void print_option(const struct arg *arg)
{
    printf(".TP\n");
    if (arg->letter != 0)
        printf("\\fB\\-%c\\fR, ", arg->letter);
    printf("\\fB\\-\\-");
    print_text(arg->name, strlen(arg->name));
    if (arg->value == NULL)
        puts("\\fR");
    else
        printf(args_value_is_optional(arg) ? "\\fR [\\fI%s\\fR]\n" : "\\fR \\fI%s\\fR\n", arg->value);
    print_line(arg->help, strlen(arg->help));
}

static void print_command(const struct command *command)
{
    printf(".SS virtsock %s\n", command->name);
    print_usage(command);
    puts(".PP");
    print_lines(command->text);
    for (const struct arg *arg = command->args; arg->name != NULL; arg++)
        print_option(arg);
    puts(".PP\nExamples:\n.PP");
    print_lines(command->examples);
}

static const char addresses[] =
    "  vsock://CID:PORT           AF_VSOCK; host and local name CIDs, none listens for all\n"
    "  hvsock://VM/SERVICE        Hyper-V sockets; parent, or a VM's GUID or name; a port stands for a service\n"
    "  vsock-mux://:PORT/PATH     the UNIX socket of Firecracker, Cloud Hypervisor, vhost-device-vsock, OpenVMM\n"
    "  hyperkit://:PORT/DIR       the directory of HyperKit's sockets\n"
    "  unix:///PATH               a UNIX socket\n"
    "  tcp://HOST:PORT            TCP\n"
    "  fd://N                     a descriptor that was inherited\n";

static int run(char **operand, int count)
{
    (void)operand;
    (void)count;
    printf(".TH VIRTSOCK 1 \"\" \"virtsock %s\" \"User Commands\"\n", virtsock_version());
    puts(".SH NAME\nvirtsock \\- talk between hosts and virtual machines\n"
         ".SH SYNOPSIS\n\\fBvirtsock\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIADDRESS\\fR]\n"
         ".SH DESCRIPTION\n"
         "Programs on a host and in its virtual machines talk to each other, whatever the hypervisor.");
    for (const struct command *const *one = args_commands; *one != NULL; one++) {
        printf(".TP\n\\fB%s\\fR\n", (*one)->name);
        print_line((*one)->summary, strlen((*one)->summary));
    }
    puts(".SH ADDRESSES");
    print_lines(addresses);
    puts(".SH COMMANDS");
    for (const struct command *const *one = args_commands; *one != NULL; one++)
        print_command(*one);
    puts(".SH EXIT STATUS\n0: done. 1: failed. 2: usage, a wrong option or a wrong address.\n"
         ".SH SEE ALSO\n.BR vsock (7),\n.BR unix (7)");
    return EXIT_DONE;
}

static const struct arg args[] = {
    ARGS_COMMON
};

const struct command manual_command = {
    .name = "manual",
    .summary = "print the manual page",
    .usage = "| man -l -",
    .text = "Prints virtsock(1), for man to show.\n",
    .examples = "  virtsock manual | man -l -                          read it\n"
                "  virtsock manual > /usr/local/share/man/man1/virtsock.1\n",
    .args = args, .least = 0, .most = 0, .run = run
};
