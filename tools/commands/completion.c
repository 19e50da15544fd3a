/* SPDX-License-Identifier: MIT
 *
 * Completion for shells: scripts that know the commands, their options and what those mean, of the tables that --help prints. A value is
 * completed as a file's name, an operand as an address' beginning or a file's name.
 */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "common/report.h"

#define SCHEMES "vsock:// hvsock:// vsock-mux:// hyperkit:// unix:// tcp:// fd://"

static bool needs_value(const struct arg *arg)
{
    return arg->value != NULL && !args_value_is_optional(arg);
}

static bool names_file(const struct arg *arg)
{
    return strcmp(arg->value, "FILE") == 0 || strcmp(arg->value, "DIRECTORY") == 0;
}

/* Inside of single quotes; what is in `special` gets a backslash before it. */
static void print_quoted(const char *text, const char *special)
{
    for (; *text != '\0'; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(special, *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
}

/* --- bash -------------------------------------------------------------------------------------------------------------- */

static void print_bash_words(const struct command *command, bool values)
{
    for (const struct arg *arg = command->args; arg->name != NULL; arg++)
        if (!values || (needs_value(arg) && !names_file(arg))) {
            printf(" --%s", arg->name);
            if (values && arg->letter != 0)
                printf(" -%c", arg->letter);
        }
}

static void print_bash(void)
{
    puts("_virtsock() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options= values=\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then");
    fputs("        COMPREPLY=($(compgen -W '--help --version", stdout);
    for (const struct command *const *one = args_commands; *one != NULL; one++)
        printf(" %s", (*one)->name);
    puts("' -- \"$word\"))\n"
         "        return\n"
         "    fi\n"
         "    case ${COMP_WORDS[1]} in");
    for (const struct command *const *one = args_commands; *one != NULL; one++) {
        printf("    %s) options='", (*one)->name);
        print_bash_words(*one, false);
        fputs("' values='", stdout);
        print_bash_words(*one, true);
        puts(" ' ;;");
    }
    puts("    esac\n"
         "    case \"$values\" in *\" $before \"*) compopt +o default; return ;; esac\n"
         "    case $word in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
         "    [a-z]*) COMPREPLY=($(compgen -W '" SCHEMES "' -- \"$word\"))\n"
         "        [ ${#COMPREPLY[@]} = 0 ] || compopt -o nospace ;;\n"
         "    esac\n"
         "}\n"
         "complete -o default -F _virtsock virtsock");
}

/* --- zsh --------------------------------------------------------------------------------------------------------------- */

static void print_zsh_option(const struct arg *arg)
{
    const char *repeats = arg->kind == ARG_COUNT || arg->kind == ARG_LIST ? "*" : "";

    for (int i = arg->letter != 0 ? 0 : 1; i < 2; i++) {
        printf(" \\\n            '%s", repeats);
        if (i == 0)
            printf("-%c%s[", arg->letter, needs_value(arg) ? "+" : "");
        else
            printf("--%s%s[", arg->name, needs_value(arg) ? "=" : "");
        print_quoted(arg->help, "[]:\\");
        printf("]");
        if (needs_value(arg)) {
            putchar(':');
            print_quoted(arg->value, ":\\");
            printf(":%s", names_file(arg) ? "_files" : " ");
        }
        putchar('\'');
    }
}

static void print_zsh(void)
{
    puts("#compdef virtsock\n"
         "_virtsock_operand() {\n"
         "    compadd -S '' -- " SCHEMES "\n"
         "    _files\n"
         "}\n"
         "_virtsock() {\n"
         "    local -a commands=(");
    for (const struct command *const *one = args_commands; *one != NULL; one++) {
        printf("        '%s:", (*one)->name);
        print_quoted((*one)->summary, ":\\");
        puts("'");
    }
    puts("    )\n"
         "    if (( CURRENT == 2 )); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    shift words\n"
         "    (( CURRENT-- ))\n"
         "    case $words[1] in");
    for (const struct command *const *one = args_commands; *one != NULL; one++) {
        printf("    %s)\n        _arguments -s", (*one)->name);
        for (const struct arg *arg = (*one)->args; arg->name != NULL; arg++)
            print_zsh_option(arg);
        puts(" \\\n            '*:address:_virtsock_operand' ;;");
    }
    puts("    esac\n"
         "}\n"
         "if [ \"$funcstack[1]\" = _virtsock ]; then _virtsock \"$@\"; else compdef _virtsock virtsock; fi");
}

/* --- fish -------------------------------------------------------------------------------------------------------------- */

static void print_fish(void)
{
    for (const struct command *const *one = args_commands; *one != NULL; one++) {
        printf("complete -c virtsock -n __fish_use_subcommand -f -a %s -d '", (*one)->name);
        print_quoted((*one)->summary, "");
        puts("'");
    }
    for (const struct command *const *one = args_commands; *one != NULL; one++)
        for (const struct arg *arg = (*one)->args; arg->name != NULL; arg++) {
            printf("complete -c virtsock -n '__fish_seen_subcommand_from %s' -l %s", (*one)->name, arg->name);
            if (arg->letter != 0)
                printf(" -s %c", arg->letter);
            printf("%s -d '", !needs_value(arg) ? "" : names_file(arg) ? " -r -F" : " -x");
            print_quoted(arg->help, "");
            puts("'");
        }
    puts("complete -c virtsock -n 'not __fish_use_subcommand' -a '" SCHEMES "'");
}

/* --- The command ------------------------------------------------------------------------------------------------------- */

static const struct { const char *shell; void (*print)(void); } shells[] = {
    { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish }
};

static int run(char **operand, int count)
{
    (void)count;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(operand[0], shells[i].shell) == 0) {
            shells[i].print();
            return EXIT_DONE;
        }
    return report_usage("there is no completion for \"%s\": bash, zsh or fish", operand[0]);
}

static const struct arg args[] = {
    ARGS_COMMON
};

const struct command completion_command = {
    .name = "completion",
    .summary = "print completion for a shell",
    .usage = "bash|zsh|fish",
    .text = "Prints a script that completes commands, options and the beginnings of addresses.\n",
    .examples = "  . <(virtsock completion bash)                       for this shell; for all, in ~/.bashrc\n"
                "  virtsock completion zsh > ~/.zsh/_virtsock          in a folder of fpath\n"
                "  virtsock completion fish > ~/.config/fish/completions/virtsock.fish\n",
    .args = args, .operand = "a shell: bash, zsh or fish", .least = 1, .most = 1, .run = run
};
