/* SPDX-License-Identifier: MIT
 *
 * The subcommands: a file or a folder each.
 */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

#include "common/args.h"

extern const struct command bench_command, cat_command, completion_command, doctor_command, echo_command, info_command, list_command,
                            manual_command, mux_command, relay_command, resolve_command, service_command, stress_command, wait_command;

#endif
