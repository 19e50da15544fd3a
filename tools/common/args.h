/* SPDX-License-Identifier: MIT
 *
 * The subcommands and their options, as tables: parsing, --help and whatever else is made of them (manual, completion) read the same
 * rows.
 */
#ifndef TOOL_ARGS_H
#define TOOL_ARGS_H

#include <stdbool.h>
#include <stdint.h>

enum arg_kind {
    ARG_FLAG,                           /* bool */
    ARG_COUNT,                          /* int, one more each time */
    ARG_LEVEL,                          /* int, one more each time; or the number that follows: -v, -vv, -v 2, -v2 */
    ARG_SECONDS,                        /* int64_t, milliseconds; -1: `forever` */
    ARG_OCTAL,                          /* int64_t, to 0777 */
    ARG_NUMBER,                         /* int64_t, from 0 to INT32_MAX */
    ARG_TEXT,                           /* const char * */
    ARG_TEXT_MAYBE,                     /* const char *: the word that follows unless it is an option, or what follows a =; else "" */
    ARG_LIST,                           /* struct arg_list, one more each time */
    ARG_HELP,
    ARG_VERSION
};

#define ARG_UNSET INT64_MIN             /* what a number is before */

struct arg_list {
    const char *item[16];
    int         count;
};

struct arg {
    char          letter;               /* 0: none */
    const char   *name;                 /* NULL ends a table */
    const char   *value;                /* what --help calls it; NULL: takes none */
    enum arg_kind kind;
    void         *to;
    const char   *help;
};

struct command {
    const char       *name;
    const char       *summary;          /* a line of virtsock --help */
    const char       *usage;            /* lines that follow "virtsock NAME" */
    const char       *text;             /* what it does, and its exit codes where they need words */
    const char       *examples;
    const struct arg *args;
    const char       *operand;          /* what it needs; NULL: an address */
    const char       *last;             /* an operand that begins so is the last: all words behind it are its own, args_rest; NULL: none does */
    int               least, most;      /* operands; no more than OPERANDS_MAX */
    int             (*run)(char **operand, int count);          /* the exit code */
};

#define OPERANDS_MAX 3

#define ARGS_COMMON                                                                     \
    { 'h', "help", NULL, ARG_HELP, NULL, "print this" },                                \
    { 0, "version", NULL, ARG_VERSION, NULL, "print the version" },                     \
    { 0, NULL, NULL, ARG_FLAG, NULL, NULL }

/* All of them, in the order of virtsock --help; NULL ends. The program has set it before any runs. */
extern const struct command *const *args_commands;

/* Words that belong to the last operand; NULL ends them. */
extern char **args_rest;

enum { ARGS_DONE = -1, ARGS_WRONG = -2 };

/* Fills the options' places and operand[]: how many operands; or ARGS_DONE: help or version was printed; or ARGS_WRONG: it was said why. */
int args_read(const struct command *command, int argc, char **argv, char **operand);

/* An option whose value may be left out. */
bool args_value_is_optional(const struct arg *arg);

/* One value into its place: NULL, or what is wanted there instead. For ARG_FLAG, ARG_SECONDS, ARG_OCTAL, ARG_NUMBER,
 * ARG_TEXT and ARG_LIST. */
const char *args_store(const struct arg *arg, const char *value);

void args_print_version(void);

#endif
