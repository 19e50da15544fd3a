/* SPDX-License-Identifier: MIT
 *
 * The other end: addresses with a default port, connections with a trace and progress, listeners. The options for that are the same in
 * every subcommand, and stand here.
 */
#ifndef TOOL_PEER_H
#define TOOL_PEER_H

#include "common/args.h"
#include "virtsock.h"

#define PORT_HVECHO 0x3049197cu         /* of hvecho, hvstress and hvbench: linuxkit/virtsock */
#define PORT_HVCAT  80u                 /* of hvcat: mirage/ocaml-hvsock */
#define PORT_STRESS 0x5653u             /* of sock_stress: linuxkit/virtsock, but for Hyper-V, where it has hvecho's */

struct peer_settings {
    int             verbose;
    int64_t         timeout_ms, wait_ms, stays_ms;      /* connecting; ARG_UNSET, or -1 for ever */
    int64_t         mode;                       /* listening */
    const char     *group;
    struct arg_list allow;
};
extern struct peer_settings peer_settings;

#define PEER_GROUP "listening: the group of a UNIX socket, whose permissions are 660 then unless told"
#define PEER_STAYS "connecting: who hangs up within that, unheard, is not there yet (libkrun, vfkit, HyperKit)"

#define ARGS_REACH                                                                                                              \
    { 0, "timeout", "SECONDS", ARG_SECONDS, &peer_settings.timeout_ms, "connecting: give an attempt up after that" },          \
    { 0, "wait", "SECONDS", ARG_SECONDS, &peer_settings.wait_ms, "connecting: try again until the peer is there, so long at most" }, \
    { 0, "stays", "SECONDS", ARG_SECONDS, &peer_settings.stays_ms, PEER_STAYS },                                                 \
    { 0, "allow", "RULE", ARG_LIST, &peer_settings.allow, "listening: whom to accept: host, local, CID, CID-CID, uid=N, self" },  \
    { 0, "mode", "OCTAL", ARG_OCTAL, &peer_settings.mode, "listening: permissions of a UNIX socket, 600 unless told" }, \
    { 0, "group", "GROUP", ARG_TEXT, &peer_settings.group, PEER_GROUP }

#define ARGS_PEER                                                                                                               \
    ARGS_REACH,                                                                                                                 \
    { 'v', "verbose", NULL, ARG_COUNT, &peer_settings.verbose, "tell of each attempt and each client" }

/* First: takes the user's options for the part that this end plays. EXIT_DONE, or it was said which is wrong. */
int peer_options(bool listening);

/* What it made of them; the tool's whole life. */
virtsock_options *peer_made_options(void);

/* A scheme's name, which may be in any case. */
bool peer_is_scheme(const char *text, size_t size, const char *scheme);

/* An address as the user wrote it, with default_port where it names none, and says so. EXIT_DONE, or it was said why not. */
int peer_address(virtsock_address **out, const char *text, uint32_t default_port);

/* Canonical text, for messages; the caller frees it. NULL: out of memory. */
char *peer_text(const virtsock_address *address);

/* An abstract name: no file, and no mode. */
bool peer_is_abstract(const virtsock_address *address);

/* A group for a UNIX socket that listens (NULL: none): whether there can be one, before; and gives it, after, with
 * the permissions. EXIT_DONE, or it was said why not. */
int peer_check_group(const virtsock_address *address, const char *group);
int peer_give_group(const virtsock_address *address, const char *group, int64_t mode);

/* Connects with the user's options, tells of the attempts, and of a failure. */
virtsock_status peer_connect(virtsock_stream **out, const virtsock_address *address, virtsock_error *err);

/* The same, but a failure is the caller's to tell. cause: how the latest attempt failed, whatever became of all; OK: none has. */
virtsock_status peer_try(virtsock_stream **out, const virtsock_address *address, virtsock_status *cause, virtsock_error *err);
/* How long the last attempt of the latest of these took, without those that had failed before. */
int64_t peer_took_ns(void);
/* The same, and tells of nothing; from any thread. */
virtsock_status peer_connect_quietly(virtsock_stream **out, const virtsock_address *address, virtsock_error *err);

/* Listens with the user's options; says where, if asked or if the system chose, or why not, as the exit code does. From
 * then on a signal that asks the program to end closes the listener, until tool_on_stop(NULL, NULL). */
int peer_listen(virtsock_listener **out, const virtsock_address *address);

/* What became of a peer that has ended its sending, once all that it sent was received, or is not wanted: it takes no more either, and left
 * in order, or it broke what was sent to it. THERE, too, where the system does not tell before the next send. */
enum peer_state { PEER_THERE, PEER_LEFT, PEER_BROKE };
enum peer_state peer_look(virtsock_stream *stream);

/* All of it, on a stream or as one message. */
virtsock_status peer_send(virtsock_stream *stream, const void *data, size_t size, int timeout_ms, virtsock_error *err);

#endif
