/* SPDX-License-Identifier: MIT
 *
 * Reads a subcommand's words by its table: --name, --name=VALUE, --name VALUE, -x, -xVALUE, -x=VALUE, -xyz; options
 * and operands in any order; `--` ends the options. Numbers are read strictly. A value that may be left out is a word
 * of its own that could be nothing else.
 */
#include "common/args.h"

#include <stdio.h>
#include <string.h>

#include "common/report.h"
#include "virtsock.h"

enum { GO_ON = 0 };                     /* or ARGS_DONE, ARGS_WRONG */

const struct command *const *args_commands;
char                       **args_rest;

struct reader {
    const struct command *command;
    char                **argv;
    int                   argc, at;     /* the word that is next */
};

/* --- Values ------------------------------------------------------------------------------------------------------------ */

/* "12", "0.25" or "forever". */
static bool parse_seconds(const char *s, int64_t *ms)
{
    int64_t v = 0;
    int     unit = 1000;

    if (strcmp(s, "forever") == 0) {
        *ms = -1;
        return true;
    }
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9' && v < 10000000; s++)
        v = v * 10 + (*s - '0');
    v *= 1000;
    if (*s == '.' && s[1] != '\0')
        for (s++; *s >= '0' && *s <= '9' && unit > 1; s++)
            v += (*s - '0') * (unit /= 10);
    *ms = v;
    return *s == '\0' && v <= INT32_MAX;
}

static bool parse_octal(const char *s, int64_t *out)
{
    int64_t v = 0;
    size_t  n = strspn(s, "01234567");

    if (n == 0 || n > 4 || s[n] != '\0')
        return false;
    while (*s != '\0')
        v = v * 8 + (*s++ - '0');
    *out = v;
    return v <= 0777;
}

static bool parse_number(const char *s, int64_t *out)
{
    int64_t v = 0;
    size_t  n = strspn(s, "0123456789");

    if (n == 0 || n > 10 || s[n] != '\0')
        return false;
    while (*s != '\0')
        v = v * 10 + (*s++ - '0');
    *out = v;
    return v <= INT32_MAX;
}

static bool parse_level(const char *s, int *out)
{
    if (*s < '0' || *s > '9' || s[1] != '\0')
        return false;
    *out = *s - '0';
    return true;
}

/* As Go's flag reads it, for vsudd and sock_stress: -detach=false. */
static bool parse_bool(const char *s, bool *out)
{
    static const char *const words[] = { "0", "f", "F", "false", "FALSE", "False", "1", "t", "T", "true", "TRUE", "True" };
    const size_t count = sizeof words / sizeof *words;

    for (size_t i = 0; i < count; i++)
        if (strcmp(s, words[i]) == 0) {
            *out = i >= count / 2;
            return true;
        }
    return false;
}

static bool add_item(struct arg_list *list, const char *item)
{
    if (list->count == (int)(sizeof list->item / sizeof *list->item))
        return false;
    list->item[list->count++] = item;
    return true;
}

bool args_value_is_optional(const struct arg *arg)
{
    return arg->kind == ARG_LEVEL || arg->kind == ARG_TEXT_MAYBE;
}

/* --- Help -------------------------------------------------------------------------------------------------------------- */

static void print_arg(const struct arg *arg)
{
    bool maybe = args_value_is_optional(arg);
    char left[40];

    snprintf(left, sizeof left, "--%s%s%s%s", arg->name, !arg->value ? "" : maybe ? " [" : " ", arg->value ? arg->value : "", maybe ? "]" : "");
    if (arg->letter)
        printf("  -%c, %-20s %s\n", arg->letter, left, arg->help);
    else
        printf("      %-20s %s\n", left, arg->help);
}

/* "virtsock NAME" before each line. */
static void print_usage(const struct command *command)
{
    const char *line = command->usage, *lead = "Usage:";

    while (*line != '\0') {
        size_t n = strcspn(line, "\n");

        printf("%s virtsock %s %.*s\n", lead, command->name, (int)n, line);
        line += n + (line[n] == '\n');
        lead = "      ";
    }
}

static void print_help(const struct command *command)
{
    print_usage(command);
    printf("\n%s\nOptions:\n", command->text);
    for (const struct arg *arg = command->args; arg->name != NULL; arg++)
        print_arg(arg);
    printf("\nExamples:\n%s", command->examples);
}

void args_print_version(void)
{
    printf("virtsock %s\n", virtsock_version());
}

/* --- Words ------------------------------------------------------------------------------------------------------------- */

static int wrong(const struct command *command)
{
    report_line("see virtsock %s --help", command->name);
    return ARGS_WRONG;
}

const char *args_store(const struct arg *arg, const char *value)
{
    switch (arg->kind) {
    case ARG_FLAG:
        return parse_bool(value, arg->to) ? NULL : "true or false";
    case ARG_SECONDS:
        return parse_seconds(value, arg->to) ? NULL : "seconds, as 10, 0.5 or forever";
    case ARG_OCTAL:
        return parse_octal(value, arg->to) ? NULL : "permission bits, as 660";
    case ARG_NUMBER:
        return parse_number(value, arg->to) ? NULL : "a number of digits";
    case ARG_LEVEL:
        *(int *)arg->to += value == NULL;
        return value == NULL || parse_level(value, arg->to) ? NULL : "a number from 0 to 9";
    case ARG_LIST:
        return add_item(arg->to, value) ? NULL : "at most 16 times";
    default:
        *(const char **)arg->to = value != NULL ? value : "";
        return NULL;
    }
}

static int store(const struct reader *r, const struct arg *arg, const char *value)
{
    const char *want = NULL;

    switch (arg->kind) {
    case ARG_FLAG:
        *(bool *)arg->to = true;
        break;
    case ARG_COUNT:
        ++*(int *)arg->to;
        break;
    case ARG_HELP:
        print_help(r->command);
        return ARGS_DONE;
    case ARG_VERSION:
        args_print_version();
        return ARGS_DONE;
    default:
        want = args_store(arg, value);
        break;
    }
    if (want == NULL)
        return GO_ON;
    report_line("--%s \"%s\": wanted are %s", arg->name, value, want);
    return wrong(r->command);
}

/* Whether the next word is the value of an option that may have one. */
static bool is_value(const struct reader *r, const struct arg *arg)
{
    const char *word = r->at < r->argc ? r->argv[r->at] : "-";

    if (arg->kind == ARG_LEVEL)
        return *word != '\0' && word[strspn(word, "0123456789")] == '\0';
    return *word != '-';
}

/* The word after an option, as its value. */
static int store_next(struct reader *r, const struct arg *arg)
{
    if (args_value_is_optional(arg) && !is_value(r, arg))
        return store(r, arg, NULL);
    if (r->at < r->argc)
        return store(r, arg, r->argv[r->at++]);
    report_line("--%s needs a value: %s", arg->name, arg->value);
    return wrong(r->command);
}

/* What follows an =. */
static int store_told(const struct reader *r, const struct arg *arg, const char *value)
{
    if (arg->value != NULL)
        return store(r, arg, value);
    if (arg->kind == ARG_FLAG && parse_bool(value, arg->to))
        return GO_ON;
    report_line("--%s takes no value%s", arg->name, arg->kind == ARG_FLAG ? " but true and false" : "");
    return wrong(r->command);
}

static int read_long(struct reader *r, const char *word)
{
    size_t n = strcspn(word, "=");

    for (const struct arg *arg = r->command->args; arg->name != NULL; arg++) {
        if (strlen(arg->name) != n || memcmp(arg->name, word, n) != 0)
            continue;
        if (word[n] == '=')
            return store_told(r, arg, word + n + 1);
        return arg->value != NULL ? store_next(r, arg) : store(r, arg, NULL);
    }
    report_line("virtsock %s has no option --%.*s", r->command->name, (int)n, word);
    return wrong(r->command);
}

static const struct arg *find_letter(const struct command *command, char letter)
{
    for (const struct arg *arg = command->args; arg->name != NULL; arg++)
        if (arg->letter == letter)
            return arg;
    return NULL;
}

/* Whether what follows a letter is its value, in that word or as the next; else they are letters. */
static bool takes_rest(const struct arg *arg, const char *rest)
{
    if (arg->kind == ARG_LEVEL)
        return *rest == '\0' || (*rest >= '0' && *rest <= '9');
    return arg->value != NULL && (arg->kind != ARG_TEXT_MAYBE || *rest == '\0');
}

static int read_letters(struct reader *r, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        const struct arg *arg = find_letter(r->command, *letters);
        int               next;

        if (arg == NULL) {
            report_line("virtsock %s has no option -%c", r->command->name, *letters);
            return wrong(r->command);
        }
        if (letters[1] == '=')
            return store_told(r, arg, letters + 2);
        if (takes_rest(arg, letters + 1))
            return letters[1] != '\0' ? store(r, arg, letters + 1) : store_next(r, arg);
        if ((next = store(r, arg, NULL)) != GO_ON)
            return next;
    }
    return GO_ON;
}

/* "-vsock" or "-pidfile=FILE", as the seeds' programs write it: a whole name after one dash. No name consists of letters of its own table. */
static bool is_old_word(const struct command *command, const char *word)
{
    size_t n = strcspn(word, "=");

    if (word[0] == '-' && n > 2)
        for (const struct arg *arg = command->args; arg->name != NULL; arg++)
            if (strlen(arg->name) == n - 1 && memcmp(arg->name, word + 1, n - 1) == 0)
                return true;
    return false;
}

int args_read(const struct command *command, int argc, char **argv, char **operand)
{
    struct reader r = { command, argv, argc, 0 };
    bool          options = true;
    int           count = 0, next = GO_ON;

    while (r.at < argc && next == GO_ON) {
        char *word = argv[r.at++];

        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && (strncmp(word, "--", 2) == 0 || is_old_word(command, word))) {
            next = read_long(&r, word + 1 + (word[1] == '-'));
        } else if (options && word[0] == '-' && word[1] != '\0') {
            next = read_letters(&r, word + 1);
        } else if (count < command->most) {
            operand[count++] = word;
            if (command->last != NULL && strncmp(word, command->last, strlen(command->last)) == 0) {
                args_rest = argv + r.at;
                break;
            }
        } else {
            report_line("one word too many: %s", word);
            return wrong(command);
        }
    }
    if (next != GO_ON)
        return next;
    if (count < command->least) {
        report_line("virtsock %s needs %s", command->name, command->operand ? command->operand : "an address");
        return wrong(command);
    }
    return count;
}
