/* SPDX-License-Identifier: MIT
 *
 * The porting contract: all that the core asks of a system. posix*.c have it in this order (posix.h tells what is
 * Linux's, macOS's or FreeBSD's own), windows*.c too. Nothing above knows a system's header; nothing here knows a
 * transport. Codes are the system's own (errno, Windows errors), 0 is success.
 */
#ifndef VS_PLATFORM_H
#define VS_PLATFORM_H

#include <stdatomic.h>

#include "internal.h"

/* --- Time and process --------------------------------------------------------------------------------------------- */

/* Monotonic milliseconds. */
int64_t vs_now_ms(void);
/* Gives the processor away; us 0: to whoever is next. */
void vs_nap_us(unsigned us);
/* For jitter, no secret. */
uint32_t vs_random(void);
/* This process; another number in a child, in a PID namespace of its own as well. */
uint32_t vs_process(void);
/* This process's user. */
uint32_t vs_user(void);

/* --- What a system's code means ----------------------------------------------------------------------------------- */

/* Sets *why from a code: status, code and text, by operation ("connect", "accept", ...) and scheme. Returns the
 * status. */
virtsock_status vs_os_cause(struct vs_cause *why, const char *op, virtsock_scheme scheme, int os_code);
/* The advice for such an error, or NULL. */
const char *vs_os_advice(const char *op, virtsock_scheme scheme, int os_code);

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

enum vs_family { VS_FAMILY_OTHER, VS_FAMILY_UNIX, VS_FAMILY_VSOCK, VS_FAMILY_INET, VS_FAMILY_INET6, VS_FAMILY_HYPERV };

/* One end, as the system has it, in terms that transports understand. */
struct vs_end {
    enum vs_family family;
    uint32_t       cid, port;           /* VSOCK; port: INET as well */
    bool           to_host;
    struct vs_guid vm, service;         /* HYPERV */
    char           path[256];           /* UNIX; "" where it is unnamed, with @ first an abstract name. INET: the
                                         * address as text. Ends in a NUL */
};

/* The longest path of a UNIX socket, without its NUL. */
extern const size_t vs_path_max;

/* A new socket: not inherited by programs that are started, non-blocking, no SIGPIPE. type: VIRTSOCK_TYPE_. */
int vs_socket(virtsock_fd *out, enum vs_family family, int type);

/* What a connection under way has in the system between two steps. Starts as { -1, NULL }. */
struct vs_pending {
    virtsock_fd fd;                     /* to wait for: the socket, on Windows an event; -1: nothing */
    void       *operation;              /* the system's own */
};

/* Never blocks. VS_PENDING: under way, vs_connect_result tells when it is through; VS_FULL: UNIX with a full backlog,
 * call again. */
int vs_connect(virtsock_fd fd, const struct vs_end *to, struct vs_pending *pending);
/* 0: connected; VS_PENDING; or the code it failed with. */
int vs_connect_result(virtsock_fd fd, struct vs_pending *pending);
/* Bytes from the peer are awaited: pending->fd tells of them. */
int vs_await(virtsock_fd fd, struct vs_pending *pending);
/* Ends what is pending, if anything is. Before vs_close, and before a transfer. */
void vs_abandon(virtsock_fd fd, struct vs_pending *pending);
/* The port that was chosen is what vs_local_end tells. INET: one that connections of the past still hold will do. */
int vs_bind(virtsock_fd fd, const struct vs_end *at);
int vs_listen(virtsock_fd fd, int backlog);
/* A new stream: blocking, not inherited. VS_EMPTY: nobody waits; VS_LEFT: a client that left before. from is filled.
 * Waits only if the system's calls do (VS_WAITS_INSIDE), and then until the deadline. */
int vs_accept(virtsock_fd fd, enum vs_family family, virtsock_fd *out, struct vs_end *from, int64_t until);
int vs_local_end(virtsock_fd fd, struct vs_end *end);
int vs_peer_end(virtsock_fd fd, struct vs_end *end);
int vs_set_blocking(virtsock_fd fd, bool blocking);
/* how: VIRTSOCK_SHUT_. A socket that is no longer connected is 0. */
int vs_shutdown(virtsock_fd fd, int how);
void vs_close(virtsock_fd fd);
/* Ends the calls inside, on a connected stream or where VS_WAITS_INSIDE: there not those that come late, so it is
 * repeated. */
void vs_cancel(virtsock_fd fd);

#define VS_PENDING (-1)
#define VS_FULL    (-2)
#define VS_EMPTY   (-3)
#define VS_LEFT    (-4)

/* What a descriptor is; an error for what is no socket. */
struct vs_socket_kind {
    enum vs_family family;
    int            type;                /* VIRTSOCK_TYPE_, 0: another */
    bool           listens, connected;
};
int vs_socket_kind(virtsock_fd fd, struct vs_socket_kind *kind);

/* Settings of a socket. vsock: level AF_VSOCK; others: SO_SNDBUF and SO_RCVBUF. */
int vs_set_buffers(virtsock_fd fd, enum vs_family family, int64_t min, int64_t size, int64_t max);     /* 0: leave */
int vs_get_buffer(virtsock_fd fd, enum vs_family family, int64_t *size);
int vs_set_vsock_connect_timeout(virtsock_fd fd, int64_t ms);             /* where there is AF_VSOCK */
/* Where there is AF_HYPERV: the option's number in hvsocket.h. */
int vs_set_hyperv(virtsock_fd fd, int option, uint32_t value);
/* Without a wait, VIRTSOCK_PEER_ bits, of the peer's ends or of this side's: a system tells them in one; or
 * VS_PEER_BROKE. ask: by an empty send, too; *code: what else that has met, of which no other call will hear. */
int vs_peer_state(virtsock_fd fd, bool ask, int *code);
#define VS_PEER_BROKE 4
/* Whether the peer's end or a break may be there, besides what is still to be received; without a wait. */
bool vs_may_have_ended(virtsock_fd fd);
/* Who made the other end of a UNIX socket. */
int vs_peer_user(virtsock_fd fd, uint32_t *uid, int64_t *pid);

/* --- Data: one system call each ----------------------------------------------------------------------------------- */

/* Windows has no wait for a socket that Hyper-V's would honour: there a call is begun and waits itself, until its
 * deadline, and is taken back then (what had moved by then counts). Elsewhere a call is tried, and vs_wait tells when
 * to try again. */
#ifdef _WIN32
#define VS_WAITS_INSIDE true
#define VS_TELLS_USERS  false           /* vs_peer_user does */
#define VS_TELLS_BOUND  false           /* vs_holder_of does */
#define VS_HYPERV_HOST  true            /* there are vs_run and vs_service_ */
#else
#define VS_WAITS_INSIDE false
#define VS_TELLS_USERS  true
#define VS_TELLS_BOUND  true
#define VS_HYPERV_HOST  false
#endif

#ifdef __linux__
/* AF_VSOCK's: message.c is there, vs_sendv_whole, vs_sleep_on and vs_wake_one */
#define VS_TEARS_MESSAGES true
#define VS_ABSTRACT_NAMES true          /* of UNIX sockets; their path begins with @, and a file's never */
#else
#define VS_TEARS_MESSAGES false
#define VS_ABSTRACT_NAMES false
#endif

/* Bytes, or minus the code. until: 0 never blocks, VS_FOREVER may block; between them it counts where VS_WAITS_INSIDE,
 * and is 0 elsewhere. */
int64_t vs_send(virtsock_fd fd, const void *data, size_t size, int64_t until);
/* the first max bytes */
int64_t vs_sendv(virtsock_fd fd, const virtsock_slice *slices, size_t count, size_t max, int64_t until);
int64_t vs_recv(virtsock_fd fd, void *buf, size_t cap, int64_t until);
/* 1: a byte lies there, and stays; 0: the end; or minus the code. Never blocks. Where VS_WAITS_INSIDE nothing can tell:
 * 1. */
int64_t vs_peek(virtsock_fd fd);
/* One message; *cut: it was longer than cap; with 0: that was no message, but an end. */
int64_t vs_recv_message(virtsock_fd fd, void *buf, size_t cap, bool *cut, int64_t until);
/* One AF_VSOCK message, by one call at a time: waits at most until the deadline for the room that is missing; a signal
 * ends it. A code that vs_would_block knows may have left a part of it queued. timed: vs_set_send_time was called. */
int64_t vs_sendv_whole(virtsock_fd fd, const virtsock_slice *slices, size_t count, int64_t deadline, bool timed);
/* The socket's own time is the longest, as an untimed message needs it, or none. */
bool vs_set_send_time(virtsock_fd fd, bool on);
/* An untimed send of bytes returns once all of them have left, unless a signal or an error ends it. */
bool vs_waits_for_room(virtsock_fd fd);
bool vs_would_block(int os_code);           /* wait, then try again: after a signal, too */
bool vs_was_interrupted(int os_code);

/* --- Waiting and waking ------------------------------------------------------------------------------------------- */

enum vs_waited { VS_READY, VS_WOKEN, VS_TIMED_OUT, VS_SIGNALLED, VS_WAIT_FAILED };

/* Until fd (-1: none) has an event (VIRTSOCK_WANT_), the wake (-1: none) was fired, the deadline has come, or, if
 * interruptible, a signal. Never early. VS_WAIT_FAILED: *os_code says why. Deadline 0 only looks. */
enum vs_waited vs_wait(virtsock_fd fd, int events, virtsock_fd wake, int64_t deadline, bool interruptible,
                       int *os_code);
/* While the word has that value, until vs_wake_one, the deadline or a signal; perhaps shorter. True: a signal came. */
bool vs_sleep_on(_Atomic uint32_t *word, uint32_t value, int64_t deadline);
void vs_wake_one(_Atomic uint32_t *word);
/* A wake: once fired it stays fired. */
int vs_wake_open(virtsock_fd *out);
void vs_wake_fire(virtsock_fd wake);
void vs_wake_close(virtsock_fd wake);

/* --- Names in the file system ------------------------------------------------------------------------------------- */

/* A path's directory, locked against other users of this library. Waits one second at most. -1: not to be had. */
virtsock_fd vs_lock_directory(const char *path);
void vs_unlock_directory(virtsock_fd lock);
/* Who has the UNIX socket of a file: somebody, nobody any more (STALE), or it has gone meanwhile; HIDDEN: this user may
 * not ask. UNKNOWN: *code says why. Where VS_TELLS_BOUND no listener notices, and who has bound it and does not listen
 * yet is somebody. Elsewhere it is a connection that comes and goes. */
enum vs_holder { VS_HELD, VS_STALE, VS_GONE, VS_HIDDEN, VS_UNKNOWN };
enum vs_holder vs_holder_of(const struct vs_end *at, int type, int *code);
enum vs_file { VS_FILE_NONE, VS_FILE_SOCKET, VS_FILE_OTHER };
struct vs_file_id {
    uint64_t device, inode;
};
int vs_file_at(const char *path, enum vs_file *what, struct vs_file_id *id);
int vs_remove(const char *path);
/* Permission bits of a socket: before it is bound, where a system can, and exactly (the umask took some) at its path
 * after, before it listens. */
int vs_set_mode_before(virtsock_fd fd, uint32_t mode);
int vs_set_mode_after(const char *path, const struct vs_file_id *id, uint32_t mode);

/* --- This machine ------------------------------------------------------------------------------------------------- */

int vs_local_cid(uint32_t *cid);

/* --- Where VS_HYPERV_HOST ----------------------------------------------------------------------------------------- */

/* Runs a program of the system's own folder, out of sight. */
vs_runner vs_run;

/* A Hyper-V service in the registry, by its GUID. One that is there keeps its name. */
int vs_service_register(const char *service, const char *name);
/* 0 also where it was not there. */
int vs_service_unregister(const char *service);

#endif
