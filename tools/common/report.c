/* SPDX-License-Identifier: MIT
 *
 * What the command says on standard error: see report.h.
 */
#include "common/report.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "platform/tool.h"

static void (*_Atomic through)(const char *text);

void report_through(void (*say)(const char *text))
{
    through = say;
}

#define HEAD "virtsock: "
#define LINE 4608                       /* longer than any canonical address with a sentence; what is longer is cut */

/* What a terminal would obey, and a line's end, are written out, whoever chose them. */
static void say(const char *format, va_list values)
{
    char   text[LINE], line[ESCAPED(LINE)] = HEAD;
    size_t head = strlen(line);
    void (*take)(const char *text);

    vsnprintf(text, sizeof text, format, values);
    escape_text(line + head, sizeof line - head - 1, text);
    if ((take = through) != NULL) {
        take(line + head);
        return;
    }
    strcat(line, "\n");
    fputs(line, stderr);                /* one write, which printf without a buffer is not; Windows may have a buffer */
    fflush(stderr);
}

void report_line(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    say(format, values);
    va_end(values);
}

int report_usage(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    say(format, values);
    va_end(values);
    return EXIT_USAGE;
}

int report_error(const virtsock_error *err)
{
    const char *advice = virtsock_advice(err);

    report_line("%s", err->message);
    if (advice != NULL)
        report_line("%s", advice);
    return EXIT_FAILED;
}

int report_argument(const virtsock_error *err)
{
    report_error(err);
    return err->status == VIRTSOCK_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

int report_system(const char *what, int code)
{
    char text[TOOL_CODE_TEXT];

    tool_code_text(code, text, sizeof text);
    report_line("%s: %s", what, text);
    return EXIT_FAILED;
}

int report_no_memory(void)
{
    report_line("out of memory");
    return EXIT_FAILED;
}
