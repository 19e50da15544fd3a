/* SPDX-License-Identifier: MIT
 *
 * Writes one JSON document. key is NULL inside an array and for the outermost value.
 */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    bool  comma;                        /* before the next member; false at first */
};

void json_open(struct json *j, const char *key, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket);                  /* '}' or ']' */
/* text: what is not UTF-8 in it becomes U+FFFD, and what a terminal would obey is escaped; NULL is null. */
void json_text(struct json *j, const char *key, const char *text);
void json_number(struct json *j, const char *key, int64_t number);
void json_bool(struct json *j, const char *key, bool value);
/* Microseconds as milliseconds with their fraction. */
void json_ms(struct json *j, const char *key, int64_t us);

#endif
