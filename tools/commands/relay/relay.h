/* SPDX-License-Identifier: MIT
 *
 * The parts of `virtsock relay`: what the command line says (settings.c), rules (rules.c) and such as can never work
 * (fit.c), what is told (report.c) and where to (log.c), TO by a name (named.c), standard input and output
 * (standard.c), datagrams (syslog_posix.c), what rules open (open.c), and what becomes of clients (loop_posix.c with
 * what pair.h names, serve_windows.c).
 */
#ifndef TOOL_RELAY_H
#define TOOL_RELAY_H

#include <stdatomic.h>

#include "common/args.h"
#include "common/join.h"
#include "common/way.h"
#include "virtsock.h"

#define COMMAND "exec:"                 /* how TO begins, if it is one */

/* --- Rules ------------------------------------------------------------------------------------------------------------- */

enum relay_kind {
    RELAY_ADDRESS,
    RELAY_STANDARD,                     /* `-`: standard input and output */
    RELAY_ACTIVATED,                    /* FROM: sockets that a service manager has passed on */
    RELAY_SYSLOG,                       /* FROM: datagrams at a path, each a frame of a stream */
    RELAY_COMMAND,                      /* TO: a program for each client, which has the client's socket */
    RELAY_NAMED                         /* TO: tcp://NAME:PORT, which is looked up for each client */
};

struct relay_end {
    enum relay_kind   kind;
    char             *text;             /* as it was written */
    const char       *name;             /* of ACTIVATED: "" any; of SYSLOG: the path */
    virtsock_address *address;
    struct relay_name *host;            /* of NAMED */
    char            **argv;             /* of COMMAND */
};

/* What a rule may say for itself, or the command line for all. ARG_UNSET: nothing; -1: for ever. */
struct relay_limits {
    int64_t         timeout_ms, wait_ms, stays_ms, idle_ms, mode, max;
    struct arg_list allow;
    const char     *group;
    bool            privileged;         /* TO sees a source port below 1024 */
};

struct relay_counts {
    atomic_uint_least64_t accepted, active, unreached, broken, idle;   /* unreached: TO could not be connected; the last two: how some ended */
    atomic_uint_least64_t refused;      /* as no --allow admits them; they are not accepted */
    atomic_uint_least64_t bytes[2];     /* that came from FROM, and from TO */
    atomic_uint_least64_t lost;         /* of SYSLOG: messages */
};

struct relay_rule {
    struct relay_end    from, to;
    struct relay_limits limits;
    virtsock_options   *listening, *connecting;
    struct relay_counts counts;
    struct relay_rule  *next;
};

struct relay_try;

struct relay_settings {
    struct arg_list     rules, inport, syslog;
    struct relay_limits limits;         /* max: of each rule */
    int64_t             drain_ms, threads;
    const char         *pidfile;
    bool                detach, stats, json, pass_fd;
    struct way_told     way;            /* to TO */
    int                 verbose;
};
extern struct relay_settings relay_settings;

/* The command line's rules, in its order, and those of files. EXIT_DONE, or it was said which is wrong. */
int relay_read_rules(struct relay_rule **out, char **operand, int count);

/* Why it can never work, and which end that is about; NULL: it may. */
const char *relay_never(const struct relay_rule *rule, const struct relay_end **end);

/* A single client, and then no more: TO can be had once. */
bool relay_is_single(const struct relay_rule *rule);

/* --- TO by a name: named.c ---------------------------------------------------------------------------------------- */

/* Makes an end of a text that has a name: NAMED, EXIT_DONE. EXIT_USAGE, with *why: it is a name's, and not well
 * written. Other texts are left. */
int relay_read_name(struct relay_end *end, const char *text, const char **why);

/* A step towards it, never waiting, as virtsock_stream_connect for one of its addresses after the other. AGAIN
 * without a stream: it is to be tried again at *due_us. *try, NULL at first, is the caller's to free at the end. */
virtsock_status relay_try_named(struct relay_try **try, virtsock_stream **out, const struct relay_rule *rule,
                                int64_t *due_us, virtsock_error *err);
/* The whole way. */
virtsock_status relay_connect_named(virtsock_stream **out, const struct relay_rule *rule, virtsock_error *err);

/* --- Standard input and output, and TO --------------------------------------------------------------------------------- */

/* One end of both, for a conversation. EXIT_DONE, or it was said why not. */
int relay_open_standard(virtsock_stream **out);
/* Says that this system has no such end; EXIT_FAILED. */
int relay_refuse_standard(void);
/* Whether that end of a rule is standard input, and could not be read: its end is none. */
bool relay_input_broke(const struct relay_rule *rule, int end);
/* After all conversations: until standard output has what it is to have. EXIT_DONE, or it was said why not. */
int relay_finish_standard(void);

/* Connects to TO, for a client. Blocks. */
virtsock_status relay_connect(virtsock_stream **out, const struct relay_rule *rule, virtsock_error *err);

/* --- Sources ----------------------------------------------------------------------------------------------------------- */

/* Where clients come from: a listener, or one that is there already. */
struct relay_source {
    struct relay_rule   *rule;
    virtsock_listener   *listener;
    virtsock_stream     *client;
    bool                 shared;        /* others have the socket: it is left as it is */
    struct relay_source *next;
};

/* Whether clients are asked here whether --allow admits them: one that is passed on nobody else asks, and whom the
 * library passes over it tells nobody. Else its listeners do. */
extern const bool relay_asks;
/* Whether the sockets of that scheme can tell what a rule's --allow asks. EXIT_DONE, or it was said what they cannot. */
int relay_check_allow(const struct relay_rule *rule, virtsock_scheme scheme);
/* Who is not is counted, and told of: in any case, or where that is wanted. */
bool relay_admits(struct relay_rule *rule, const virtsock_stream *client, bool tell);

/* Opens what all rules take clients from. EXIT_DONE, or it was said why not. */
int relay_open(struct relay_source **out, struct relay_rule *rules);
void relay_close(struct relay_source *sources);

/* --- Conversations ----------------------------------------------------------------------------------------------------- */

#define RELAY_KEPT_MS 5000              /* of silence, after which an end that was kept back is tried, where nobody knows what becomes of it */

enum relay_ending { RELAY_ENDED, RELAY_BROKEN, RELAY_IDLE, RELAY_CUT, RELAY_UNREACHED, RELAY_LEFT };

/* One that has two threads. */
struct relay_talk {
    struct join              join;
    const struct relay_rule *rule;
    unsigned                 number;
    struct way               way;       /* to TO */
    enum relay_ending        ending;
};

struct relay_talk relay_talk_of(virtsock_stream *client, virtsock_stream *to, struct relay_rule *rule, unsigned number);
/* Has it, and leaves both streams open. */
void relay_talk(struct relay_talk *talk);

/* --- Serving ----------------------------------------------------------------------------------------------------------- */

/* Until no more clients can come and the last conversation has ended. The exit code. */
int relay_serve(struct relay_source *sources, const struct relay_rule *rules);
/* From any thread: no client is taken any more; what has not ended in drain_ms is cut. */
void relay_stop(void *unused);

/* Forwards datagrams until it is stopped. EXIT_DONE, or it was said why it could not begin. */
int relay_syslog_start(struct relay_rule *rule);
void relay_syslog_stop(void);

/* --- Telling ----------------------------------------------------------------------------------------------------------- */

/* From now on lines are told to take, which does not wait. One that it says nobody took is lost, and counted. */
void relay_log(bool (*take)(const char *line));
uint64_t relay_unlogged(void);

void relay_tell_client(const struct relay_rule *rule, unsigned number, const virtsock_stream *client);
/* Its command has ended: the exit code, or minus a signal. */
void relay_tell_command(const struct relay_rule *rule, unsigned number, int code);
/* Its end of sending is kept from TO, since the way there would take it for the end of both. */
void relay_tell_kept(const struct relay_rule *rule, unsigned number, const struct way *way);
/* A message that ends the conversation. */
void relay_tell_message(const struct relay_rule *rule, unsigned number, const char *why);
/* Counts it, too. err: why TO could not be reached. */
void relay_tell_end(struct relay_rule *rule, unsigned number, enum relay_ending ending, const uint64_t bytes[2], const virtsock_error *err);
/* The counters, if they are wanted. */
void relay_tell_stats(struct relay_rule *rules);
/* READY=1 or STOPPING=1, to the service manager if there is one that wants to know. */
void relay_notify(const char *state);

#endif
