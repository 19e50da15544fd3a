/* SPDX-License-Identifier: MIT
 *
 * virtsock stress: what was asked for (plan.c), and its parts. stress.c reads the words, address.c the addresses of the programs that it
 * stands in for, client.c makes connections, server.c answers them, and datagrams.c is both for UDP; content.c knows the bytes, result.c
 * counts.
 */
#ifndef TOOL_STRESS_H
#define TOOL_STRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/udp.h"
#include "virtsock.h"

struct stress {                         /* ARG_UNSET until stress.c has filled in what was not told */
    virtsock_address *address;          /* or NULL: */
    struct udp_end    udp;
    const char       *where;            /* canonical text of either */
    int64_t           least, most;      /* bytes of a connection */
    int64_t           chunk_least, chunk_most;
    int64_t           connections;      /* of a server: INT64_MAX unless told */
    int64_t           parallel;
    int64_t           pause_ms, stall_ms;       /* -1: for ever */
    int64_t           seed;
    bool              ends;             /* at the first error */
    bool              alternates, single, keeps_open, json;
    bool              vsock;            /* hvstress's -vsock */
};
extern struct stress stress;

#define STRESS_PIECE   65536            /* a system call moves so much at most */
#define STRESS_LOOK_MS 200              /* how often it is looked whether there is something to tell or to end */

/* Sets stress.address or stress.udp: a text of this project's grammar, or as sock_stress takes it ("": none was given), in its mode (NULL:
 * none). EXIT_DONE, or it was said why not. */
int stress_read_address(const char *text, const char *mode, bool listening);

/* The exit codes. */
int stress_client(void);
int stress_server(void);

/* Of connection number, the same whenever the seed is: the key of its bytes, how many they are, and how many of them its turns send or
 * receive. */
uint64_t stress_key(int64_t number);
uint64_t stress_length(int64_t number);
size_t   stress_chunk(uint64_t key, uint64_t turn);

/* Connection number over UDP. */
void stress_datagrams(int64_t number, uint64_t key, uint64_t length);
int  stress_datagram_server(void);

#endif
