/* SPDX-License-Identifier: MIT
 *
 * virtsock: programs on a host and in its virtual machines talk to each other, whatever the hypervisor.
 *
 * What holds for every function:
 *
 * Order      Makers take: out, arguments, options, error; *out is NULL unless the status is OK. Methods take: object,
 *            arguments, outs, timeout, error. Options may be NULL (defaults), an error may be NULL (not wanted).
 * Status     0 is OK, negatives are the VIRTSOCK_E_ values. Treat one that you do not know as SYSTEM. A NULL where an
 *            object is wanted is INVALID, never a crash; freeing NULL does nothing.
 * Error      The record is the caller's, and need not be initialised. A failure writes it whole, AGAIN and EOF too; OK
 *            leaves it alone. Characters that control a terminal or turn the direction of text are `?` in messages.
 * Time       timeout_ms is a total for the call on the monotonic clock: -1 for ever, 0 never blocks (the status is
 *            then AGAIN instead of TIMEOUT). Less than -1 is INVALID. No wait ends early. *done is exact on every
 *            status, and done may be NULL.
 * Ownership  Addresses and options are copied by the call that takes them. What a maker gives is the caller's to free.
 *            A text that is returned lives as long as its object, static ones for ever.
 * Threads    Streams and listeners may be used from several threads at once: any number of sends, receives and
 *            accepts, and a close, which ends them. `free` must be the last use. Addresses and options are values:
 *            reading them together is fine, changing one while another thread reads it is not. Do not cancel
 *            (pthread_cancel) a thread that is inside a call, and call nothing here from a signal handler.
 *            A handle counts the calls inside it: there is room for more than any system has threads.
 * Signals    No call raises SIGPIPE; a write of your own to a descriptor that is given out here does. No handler is
 *            installed, and no signal is held back. One ends a wait only if INTERRUPTIBLE was set and it comes during
 *            the wait: a loop that looks at its handler's flag waits with a time limit, or another thread closes the
 *            handle. One may cut an AF_VSOCK message short (see virtsock_stream_send).
 * Fork       A handle knows its process. In a child `free` closes the child's descriptors and touches nothing that the
 *            parent has; an explicit call does what it says.
 */
#ifndef VIRTSOCK_H
#define VIRTSOCK_H

#include <stddef.h>
#include <stdint.h>

#if defined VIRTSOCK_STATIC
#define VIRTSOCK_API
#elif defined _WIN32 && defined VIRTSOCK_BUILD
#define VIRTSOCK_API __declspec(dllexport)
#elif defined _WIN32
#define VIRTSOCK_API __declspec(dllimport)
#elif defined __GNUC__
#define VIRTSOCK_API __attribute__((visibility("default")))
#else
#define VIRTSOCK_API
#endif

/* Of a call whose status must be looked at: what it gives, or how much it has moved, is worth nothing without. */
#if defined __GNUC__ && !defined VIRTSOCK_MAY_DROP
#define VIRTSOCK_MUST __attribute__((warn_unused_result))
#else
#define VIRTSOCK_MUST
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- Constants ---------------------------------------------------------------------------------------------------- */

#define VIRTSOCK_VERSION "0.1.0"
#define VIRTSOCK_VERSION_NUMBER 0x000100u       /* to compare with: major, minor and patch, a byte each */

/* What is added after 1.0, a function or a value, has a macro beside it: VIRTSOCK_HAVE_STREAM_X is 1 where there is
 * virtsock_stream_x. */

typedef int virtsock_status;                    /* what the caller can do about it: */
enum {
    VIRTSOCK_OK                 = 0,
    VIRTSOCK_E_INVALID          = -1,           /* mend the argument */
    VIRTSOCK_E_UNSUPPORTED      = -2,           /* choose another transport: this system or version has it not */
    VIRTSOCK_E_REFUSED          = -3,           /* retry later: nobody listens */
    VIRTSOCK_E_TIMEOUT          = -4,           /* retry with more time: the caller's own time passed */
    VIRTSOCK_E_UNREACHABLE      = -5,           /* check that the VM runs */
    VIRTSOCK_E_DENIED           = -6,           /* mend permissions */
    VIRTSOCK_E_IN_USE           = -7,           /* choose another port or path; or: another call is inside */
    VIRTSOCK_E_EOF              = -8,           /* stop reading: the peer ended in order; that is no receipt */
    VIRTSOCK_E_RESET            = -9,           /* stop: the conversation broke, data may be lost */
    VIRTSOCK_E_CANCELLED        = -10,          /* stop: the handle was closed here, before or during the call */
    VIRTSOCK_E_AGAIN            = -11,          /* wait for readiness */
    VIRTSOCK_E_INTERRUPTED      = -12,          /* look at your signals, call again */
    VIRTSOCK_E_PROTOCOL         = -13,          /* report: the peer broke a handshake or a frame */
    VIRTSOCK_E_NAME_TOO_LONG    = -14,          /* shorten the path */
    VIRTSOCK_E_MESSAGE_TOO_LONG = -15,          /* send less, or give a larger buffer */
    VIRTSOCK_E_NOT_FOUND        = -16,          /* check the name; or: there is no such part, peer or item */
    VIRTSOCK_E_AMBIGUOUS        = -17,          /* use the id: several VMs have that name */
    VIRTSOCK_E_NO_RESOURCES     = -18,          /* back off, then try again */
    VIRTSOCK_E_SYSTEM           = -19           /* report: everything else, the system's code is in the record */
};

typedef int virtsock_scheme;
enum {
    VIRTSOCK_SCHEME_NONE     = 0,
    VIRTSOCK_SCHEME_VSOCK    = 1,               /* vsock://CID:PORT            AF_VSOCK */
    VIRTSOCK_SCHEME_HYPERV   = 2,               /* hvsock://VM/SERVICE         AF_HYPERV */
    VIRTSOCK_SCHEME_HYPERKIT = 3,               /* hyperkit://CID:PORT/DIR     HyperKit's directory of UNIX sockets */
    VIRTSOCK_SCHEME_MUX      = 4,               /* vsock-mux://:PORT/PATH      Firecracker and its kin */
    VIRTSOCK_SCHEME_UNIX     = 5,               /* unix:///PATH */
    VIRTSOCK_SCHEME_TCP      = 6,               /* tcp://HOST:PORT             relays and baselines only */
    VIRTSOCK_SCHEME_FD       = 7                /* fd://N                      an inherited socket */
};

/* Parts of an address: numbers for virtsock_address_number, texts for virtsock_address_text. */
typedef int virtsock_part;
enum {
    VIRTSOCK_PART_CID        = 1,               /* number */
    VIRTSOCK_PART_PORT       = 2,               /* number; VIRTSOCK_PORT_ANY asks the system to choose (listening) */
    VIRTSOCK_PART_VM         = 3,               /* text: a well-known word, a GUID or a VM's name; "" is the wildcard */
    VIRTSOCK_PART_SERVICE    = 4,               /* text: a GUID */
    VIRTSOCK_PART_PATH       = 5,               /* text: decoded, "./x" where it is relative; an abstract name: "@x" */
    VIRTSOCK_PART_HOST       = 6,               /* text: of tcp */
    VIRTSOCK_PART_FD         = 7,               /* number: of fd */
    VIRTSOCK_PART_TYPE       = 8,               /* number: VIRTSOCK_TYPE_ */
    VIRTSOCK_PART_TO_HOST    = 9,               /* number: 0 or 1 */
    VIRTSOCK_PART_HALF_CLOSE = 10               /* number: VIRTSOCK_HALF_CLOSE_ */
};
enum { VIRTSOCK_TYPE_STREAM = 1, VIRTSOCK_TYPE_SEQPACKET = 2, VIRTSOCK_TYPE_DGRAM = 3 };
enum { VIRTSOCK_HALF_CLOSE_NATIVE = 1, VIRTSOCK_HALF_CLOSE_FRAMED = 2, VIRTSOCK_HALF_CLOSE_NONE = 3,
       VIRTSOCK_HALF_CLOSE_UNKNOWN = 4 };       /* where an address says nothing: UNKNOWN of MUX, NATIVE of others */

#define VIRTSOCK_CID_HYPERVISOR 0u              /* linux/vm_sockets.h: VMADDR_CID_ */
#define VIRTSOCK_CID_LOCAL      1u
#define VIRTSOCK_CID_HOST       2u
#define VIRTSOCK_CID_ANY        0xffffffffu
#define VIRTSOCK_PORT_ANY       0xffffffffu

/* hvsocket.h: HV_GUID_ */
#define VIRTSOCK_VM_WILDCARD  "00000000-0000-0000-0000-000000000000"    /* listening: any VM, and this machine */
#define VIRTSOCK_VM_BROADCAST "ffffffff-ffff-ffff-ffff-ffffffffffff"    /* undocumented */
#define VIRTSOCK_VM_CHILDREN  "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd"    /* listening: VMs of this host */
#define VIRTSOCK_VM_LOOPBACK  "e0e16197-dd56-4a10-9195-5ee7a155a838"    /* this machine */
#define VIRTSOCK_VM_PARENT    "a42e7cda-d03f-480c-9cc2-a4de20abb878"    /* of a VM its host; of a silo the VM's host */
#define VIRTSOCK_VM_SILOHOST  "36bd0c5c-7276-4223-88ba-7d03b654c568"    /* of a silo: the machine that it is on */

/* Options: numbers, set by virtsock_options_set. A scheme that has no use for one that was set answers UNSUPPORTED. */
typedef int virtsock_option;
enum {
    VIRTSOCK_OPTION_CONNECT_TIMEOUT = 1,        /* ms, one connection with its handshake; -1 for ever. Unset: 1000 on
                                                   Hyper-V and then REFUSED, 5000 for a handshake, else the system's.
                                                   On Hyper-V that is several attempts, of 300, 600, 1200 ... ms, on
                                                   fresh sockets: the peer may see some that were given up */
    VIRTSOCK_OPTION_WAIT          = 2,          /* ms, a total: REFUSED, UNREACHABLE and TIMEOUT are retried on fresh
                                                   sockets until then; -1 for ever; 0 (default) one attempt */
    VIRTSOCK_OPTION_BACKOFF_FIRST = 3,          /* ms between the first attempts, doubled each time; default 10 */
    VIRTSOCK_OPTION_BACKOFF_MAX   = 4,          /* ms; default 1000. Each pause is shortened at random by up to half */
    VIRTSOCK_OPTION_LINGER        = 5,          /* ms that close waits for the peer's end; default 1000 framed and on
                                                   Hyper-V, else 0 */
    VIRTSOCK_OPTION_BACKLOG       = 6,          /* connections that wait to be accepted, at least 1; default: as many as
                                                 * the system allows (Linux: net.core.somaxconn) */
    VIRTSOCK_OPTION_BUFFER_MIN    = 7,          /* bytes; vsock only */
    VIRTSOCK_OPTION_BUFFER_SIZE   = 8,          /* bytes; vsock: MIN and MAX are widened to it where they are unset */
    VIRTSOCK_OPTION_BUFFER_MAX    = 9,          /* bytes; vsock only */
    VIRTSOCK_OPTION_MESSAGE_MAX   = 10,         /* bytes that one system call may send; default 1 GiB */
    VIRTSOCK_OPTION_SOCKET_MODE   = 11,         /* permission bits of a UNIX socket that listens; default 0600 */
    VIRTSOCK_OPTION_INTERRUPTIBLE = 12,         /* 1: a signal ends a wait with INTERRUPTED (not on Windows);
                                                   default 0. 2: only one whose handler has no SA_RESTART;
                                                   untimed, a call is one system call */
    VIRTSOCK_OPTION_HYPERV_PASSTHRU  = 13,      /* 0 or 1; Windows 1607 to before 22H2 */
    VIRTSOCK_OPTION_HYPERV_SUSPEND   = 14,      /* 0 or 1: stay connected while the VM is paused; Windows 1709 */
    VIRTSOCK_OPTION_HYPERV_HIGH_VTL  = 15,      /* 0 or 1; Windows 11 22H2 */
    VIRTSOCK_OPTION_STAYS            = 16       /* ms that a connection lasts, or hears a byte, before it is
                                                   one; default 0. One that ends earlier is REFUSED: libkrun,
                                                   vfkit and HyperKit accept before a guest's program listens.
                                                   Not on Windows */
};

/* Items that virtsock_stream_get tells. */
typedef int virtsock_item;
enum {
    VIRTSOCK_ITEM_SCHEME      = 1,              /* of its address; of an adopted socket its family's */
    VIRTSOCK_ITEM_TYPE        = 2,              /* VIRTSOCK_TYPE_ */
    VIRTSOCK_ITEM_ATTEMPTS    = 3,              /* sockets tried so far; 0 for an accepted or adopted stream */
    VIRTSOCK_ITEM_LAST_STATUS = 4,              /* of the latest attempt, once it has failed; else 0 */
    VIRTSOCK_ITEM_LAST_CODE   = 5,              /* its system code */
    VIRTSOCK_ITEM_BUFFER_SIZE = 6,              /* bytes */
    VIRTSOCK_ITEM_PEER_UID    = 7,              /* UNIX sockets: who made the other end. AF_VSOCK has no such thing */
    VIRTSOCK_ITEM_PEER_PID    = 8,
    VIRTSOCK_ITEM_PEER_STATE  = 9               /* VIRTSOCK_PEER_; does not wait */
};

/* What is seen of the peer's ends, on a framed stream, too; what it sent before can still be received. A bit stays 0
 * where nothing tells: of what was shut down here; on TCP and Windows, that it takes no more, before a send has
 * failed. */
enum {
    VIRTSOCK_PEER_ENDED = 1,                    /* it sends no more */
    VIRTSOCK_PEER_DEAF  = 2,                    /* it takes no more */
    VIRTSOCK_PEER_GONE  = 3                     /* both, or the conversation broke */
};

enum { VIRTSOCK_SHUT_RECV = 0, VIRTSOCK_SHUT_SEND = 1, VIRTSOCK_SHUT_BOTH = 2, VIRTSOCK_SHUT_SEND_UNCHECKED = 3 };
enum { VIRTSOCK_WANT_RECV = 1, VIRTSOCK_WANT_SEND = 2 };        /* events of virtsock_stream_wants */

/* --- Types -------------------------------------------------------------------------------------------------------- */

typedef int64_t virtsock_fd;                    /* a descriptor, or a SOCKET or HANDLE on Windows; -1: none */

typedef struct virtsock_address  virtsock_address;
typedef struct virtsock_options  virtsock_options;
typedef struct virtsock_stream   virtsock_stream;
typedef struct virtsock_listener virtsock_listener;

typedef struct virtsock_error {                 /* 256 bytes for ever */
    int32_t status;                             /* as returned */
    int32_t os_code;                            /* errno or the Windows error; 0 if none */
    int32_t scheme;                             /* that failed; 0 before one was chosen */
    int32_t attempts;                           /* of a connection that was retried */
    char    op[16];                             /* "connect", "recv", ... */
    char    message[224];                       /* UTF-8, NUL-terminated: operation, address, cause */
} virtsock_error;

typedef struct virtsock_slice {                 /* a piece of what virtsock_stream_sendv sends */
    const void *data;
    size_t      size;
} virtsock_slice;

/* --- Addresses: no I/O, no lookup --------------------------------------------------------------------------------- */

/* From text; docs/address.md has the grammar. INVALID: the message says what to write instead. NO_RESOURCES. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_address_parse(virtsock_address **out, const char *text,
    virtsock_error *err);

/* From parts: vsock://CID:PORT, any values. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_address_vsock(virtsock_address **out, uint32_t cid, uint32_t port,
    virtsock_error *err);

/* vm is a GUID, a well-known word, a name, or "" for the wildcard; service is a GUID or a port number. INVALID,
 * NO_RESOURCES. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_address_hyperv(virtsock_address **out, const char *vm,
    const char *service, virtsock_error *err);

/* UNIX (port is not used), MUX or HYPERKIT (default CID) with a path as the system has it, nothing encoded. INVALID. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_address_path(virtsock_address **out, virtsock_scheme scheme,
    const char *path, uint32_t port, virtsock_error *err);

/* As from, with one part changed. A part that is a number takes number, with text NULL; one that is a text takes text.
 * They are as virtsock_address_number and virtsock_address_text have them, and SERVICE may be a port in digits. With
 * from NULL the address has that part alone: HOST makes tcp://, FD fd://, PATH unix://, CID and PORT vsock://, VM and
 * SERVICE hvsock://; a port or CID that was not given is any. INVALID: the value does not fit, or the scheme has no
 * such part. NO_RESOURCES. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_address_with(virtsock_address **out, const virtsock_address *from,
    virtsock_part part, uint32_t number, const char *text, virtsock_error *err);

VIRTSOCK_API void virtsock_address_free(virtsock_address *address);

/* Canonical text, as snprintf: what fits in cap bytes with a NUL. Returns the length of all of it. Parsing gives an
 * equal address. */
VIRTSOCK_API size_t virtsock_address_format(const virtsock_address *address, char *buf, size_t cap);

/* 1 if both have the same canonical text. */
VIRTSOCK_API int virtsock_address_equal(const virtsock_address *a, const virtsock_address *b);
VIRTSOCK_API virtsock_scheme virtsock_address_scheme(const virtsock_address *address);

/* NOT_FOUND, or NULL, where an address has no such part. */
VIRTSOCK_API virtsock_status virtsock_address_number(const virtsock_address *address, virtsock_part part,
    uint32_t *value);
VIRTSOCK_API const char *virtsock_address_text(const virtsock_address *address, virtsock_part part);

/* A vsock port as a Hyper-V service id: PPPPPPPP-facb-11e6-bd58-64006a7986d3. Linux guests from 4.14 to 5.5 take ports
 * to 0x7fffffff. */
VIRTSOCK_API void virtsock_service_from_port(char out[37], uint32_t port);
/* INVALID: no GUID; NOT_FOUND: a GUID that stands for no port. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_port_from_service(const char *service, uint32_t *port);

/* --- Options ------------------------------------------------------------------------------------------------------ */

VIRTSOCK_API virtsock_options *virtsock_options_new(void);      /* NULL: out of memory */
VIRTSOCK_API void virtsock_options_free(virtsock_options *options);

/* UNSUPPORTED: an option that this version does not know; INVALID: out of range. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_options_set(virtsock_options *options, virtsock_option option,
    int64_t value, virtsock_error *err);

/* Whom a listener accepts. One rule that fits is enough; without a rule everybody is admitted. A rule is `host`,
 * `local`, `parent`, a CID, `CID-CID`, a VM's GUID, `uid=N` or `self` (this user); `:privileged` behind it asks for a
 * source port below 1024. INVALID; NO_RESOURCES after 16. A CID is an address and no identity: see SECURITY.md. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_options_allow(virtsock_options *options, const char *rule,
    virtsock_error *err);

/* --- Connecting --------------------------------------------------------------------------------------------------- */

/* Looks a VM's name up, and gives an address without one; other addresses are copied. May block, for CONNECT_TIMEOUT at
 * most, 10 s unless set (TIMEOUT): on Windows PowerShell's Get-VM is asked, and for `wsl` wsl.exe, which may start it.
 * Names are compared exactly, capitals and all (NOT_FOUND). AMBIGUOUS: the message has the ids. DENIED. PROTOCOL: no
 * answer to be read. UNSUPPORTED: no Hyper-V, or another system. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_resolve(virtsock_address **out, const virtsock_address *address,
    const virtsock_options *options, virtsock_error *err);

/* Blocks until connected, or a final failure; CONNECT_TIMEOUT and WAIT say how long. No other thread can end it before:
 * what is to be cancelled begins with virtsock_connect_start, goes on with virtsock_stream_connect, and is ended by a
 * close. OK: the peer accepted, as far as the transport can know. On AF_VSOCK, UNIX and TCP the peer's system did,
 * perhaps not yet the program. A multiplexer says OK for its guest's system. HyperKit says nothing; a refusal is EOF or
 * RESET at the first receive. After WAIT the error is TIMEOUT with the last attempt's cause, code and number. fd://
 * adopts the descriptor, on OK only. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_connect(virtsock_stream **out, const virtsock_address *address,
    const virtsock_options *options, virtsock_error *err);

/* Never blocks: a stream that is not connected yet. INVALID for an address with a name: resolve it first. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_connect_start(virtsock_stream **out,
    const virtsock_address *address, const virtsock_options *options, virtsock_error *err);

/* Drives connection, handshake and the next attempt. OK: connected. AGAIN (timeout_ms has passed, too) and INTERRUPTED:
 * it goes on. Everything else is final, and free is what is left to do. IN_USE: another thread is driving. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_connect(virtsock_stream *stream, int timeout_ms,
    virtsock_error *err);

/* After AGAIN: call virtsock_stream_connect again when fd has one of `events`, or timeout_ms have passed (-1: no
 * limit). fd -1 is time alone. The descriptor may be another after every step, under the same number too: remove a
 * watch before the step, ask again after. On Windows fd is a HANDLE to wait for, and events do not matter. For the
 * thread that drives. */
VIRTSOCK_API void virtsock_stream_wants(const virtsock_stream *stream, virtsock_fd *fd, int *events, int *timeout_ms);

/* --- Streams ------------------------------------------------------------------------------------------------------ */

/* A stream whose address says half-close=framed tells ends by frames between the data (docs/address.md), to a peer that
 * has them, too. It has no descriptor to give. A send moves 4096 bytes at most. A peer that has no frames is PROTOCOL
 * at a receive. A send that ends in the middle of its frame leaves the rest to the next; until then no end can be told
 * (shutdown TIMEOUT, finish RESET). A close lingers by default: it says so to the peer and waits for its answer. A peer
 * that goes without a word is RESET, here and there. */

/* Some bytes, at least one. *done: how many. Size 0 does nothing. Statuses of all five: EOF (receiving), RESET,
 * TIMEOUT, AGAIN, CANCELLED, INTERRUPTED, MESSAGE_TOO_LONG, NO_RESOURCES, PROTOCOL (framed), SYSTEM; INVALID: not
 * connected. Once some bytes have moved, these two and sendv are OK, or CANCELLED.
 * On a seqpacket stream one call is one message. A longer one than cap is MESSAGE_TOO_LONG, its rest is dropped. An
 * empty one is OK with *done 0 on a UNIX socket; as the last before the peer's end it may be EOF. Linux sends none over
 * AF_VSOCK.
 * AF_VSOCK messages are sent one at a time. A call waits for the others within its own time, and leaves nothing behind
 * if that ends meanwhile. One that waits in the middle of its message leaves a part behind (Linux 6.1) if its time ends
 * (TIMEOUT, AGAIN), or if the thread is stopped or runs a signal's handler (RESET; INTERRUPTED if INTERRUPTIBLE). After
 * that all sends are RESET. A thread that blocks its signals runs no handler. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_send(virtsock_stream *stream, const void *data, size_t size,
    size_t *done, int timeout_ms, virtsock_error *err);
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_recv(virtsock_stream *stream, void *buf, size_t cap,
    size_t *done, int timeout_ms, virtsock_error *err);

/* All of it. On failure *done says how much went. EOF: the peer ended before size bytes. INVALID on a seqpacket
 * stream. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_send_all(virtsock_stream *stream, const void *data,
    size_t size, size_t *done, int timeout_ms, virtsock_error *err);
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_recv_exact(virtsock_stream *stream, void *buf, size_t size,
    size_t *done, int timeout_ms, virtsock_error *err);

/* As send, from several pieces; at most the first 256 of a stream, MESSAGE_TOO_LONG for more on seqpacket. NULL is
 * INVALID, but for no pieces at all. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_sendv(virtsock_stream *stream, const virtsock_slice *slices,
    size_t count, size_t *done, int timeout_ms, virtsock_error *err);

/* Ends one direction or both: VIRTSOCK_SHUT_. After SEND the peer reads what is under way and then EOF. Doing it again
 * is OK. Does not wait; on a framed stream it does for room, five seconds at most: TIMEOUT. UNSUPPORTED: SEND where the
 * address says half-close=none, for a way on which the end of one direction is the end of both, or unknown: it may be.
 * SEND_UNCHECKED, where you know better, is SEND where it is unknown, too: elsewhere than thought it loses answers. */
VIRTSOCK_API virtsock_status virtsock_stream_shutdown(virtsock_stream *stream, int how, virtsock_error *err);

/* Ends the conversation; from any thread, any number of times. Every call inside returns CANCELLED within 50 ms; no
 * descriptor number is reused under one. linger_ms 0 is abort: at once; the system still delivers what it has accepted,
 * where it can. > 0 is finish: half-closes (not with none or unknown), then discards what comes until the peer's end
 * (OK) or the time has passed (TIMEOUT). A call inside (not on a framed stream), or a second close with a shorter
 * linger, cuts that short (CANCELLED). -1 is the LINGER option; less is INVALID, and closes as 0 does. With a call
 * inside, the socket is shut down for every process that has it; with nobody inside it is only closed. The handle is
 * closed on return whatever the status, but one: INTERRUPTED, by a signal if INTERRUPTIBLE. Then no call enters any
 * more. The next close goes on, until the time of the first has passed; with linger 0, or by free, it ends at once. A
 * close of what is closed is OK. */
VIRTSOCK_API virtsock_status virtsock_stream_close(virtsock_stream *stream, int linger_ms, virtsock_error *err);

/* Closes with linger 0 what is still open, and releases the handle. Calls may be inside, none may come after. */
VIRTSOCK_API void virtsock_stream_free(virtsock_stream *stream);

/* The descriptor, blocking and close-on-exec (Windows: a SOCKET, overlapped, not inherited, with no call pending). The
 * stream keeps owning it. One that was adopted is as its owner made it. -1: not connected, closed, or framed. */
VIRTSOCK_API virtsock_fd virtsock_stream_fd(const virtsock_stream *stream);

/* Gives the descriptor up to the caller, as it is; the stream is then closed. IN_USE: a call is inside. CANCELLED:
 * closed before. UNSUPPORTED: framed. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_detach(virtsock_stream *stream, virtsock_fd *fd,
    virtsock_error *err);

/* Adopts a connected stream or seqpacket socket, on OK only. Its flags are left alone, close-on-exec among them.
 * INVALID: no such socket. UNSUPPORTED: datagrams. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_from_fd(virtsock_stream **out, virtsock_fd fd,
    const virtsock_options *options, virtsock_error *err);

/* Addresses of both ends, for the caller to free. NOT_FOUND: none (an unnamed UNIX socket, a multiplexer's guest). */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_peer(const virtsock_stream *stream, virtsock_address **out,
    virtsock_error *err);
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_stream_local(const virtsock_stream *stream, virtsock_address **out,
    virtsock_error *err);

/* One VIRTSOCK_ITEM_. NOT_FOUND: this stream has none; UNSUPPORTED: this version does not know it. */
VIRTSOCK_API virtsock_status virtsock_stream_get(const virtsock_stream *stream, virtsock_item item, int64_t *value,
    virtsock_error *err);

/* --- Listeners ---------------------------------------------------------------------------------------------------- */

/* Listens; for the guest of a multiplexer at PATH_PORT, for HyperKit's at DIRECTORY/CID.PORT. A UNIX socket is 0600
 * from birth (SOCKET_MODE). A stale one at the path is replaced, anything else is IN_USE; who has a socket there does
 * not notice that it is looked at (on Windows alone he sees a client come and go). UNSUPPORTED: a rule that the
 * transport cannot check; of a listening socket that fd:// adopts, its family. Does not block; for the lock of a
 * directory in which a stale one is replaced it does, one second at most, and then does without. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_listen(virtsock_listener **out, const virtsock_address *address,
    const virtsock_options *options, virtsock_error *err);

/* The next client that a rule admits. Refused ones and such as have left are passed over; with timeout 0 at most 64 a
 * call, then AGAIN. Never DENIED. NO_RESOURCES (out of descriptors): the client stays queued, pause before the next
 * call. Streams take the LINGER, MESSAGE_MAX and INTERRUPTIBLE options of the listener. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_accept(virtsock_stream **out, virtsock_listener *listener,
    int timeout_ms, virtsock_error *err);

/* Where it listens, with the port that the system chose; for the caller to free. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_listener_address(const virtsock_listener *listener,
    virtsock_address **out, virtsock_error *err);

/* The descriptor, non-blocking and close-on-exec; an adopted one is that only if it was. For a poll loop, then accept
 * with timeout 0. On Windows a SOCKET that a poll may not be asked about: accept in a thread. -1: closed. */
VIRTSOCK_API virtsock_fd virtsock_listener_fd(const virtsock_listener *listener);

/* Adopts a listening socket (socket activation), on OK only. It becomes non-blocking, for every process that has it. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_listener_from_fd(virtsock_listener **out, virtsock_fd fd,
    const virtsock_options *options, virtsock_error *err);

/* Every accept inside returns CANCELLED within 50 ms. A UNIX socket is removed by the handle and process that made it,
 * if it is still the same. A second close is OK. */
VIRTSOCK_API virtsock_status virtsock_listener_close(virtsock_listener *listener, virtsock_error *err);
VIRTSOCK_API void virtsock_listener_free(virtsock_listener *listener);

/* --- System ------------------------------------------------------------------------------------------------------- */

/* OK, or why not. Opens a socket of that family to find out, and connects to nothing. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_supported(virtsock_scheme scheme, virtsock_error *err);

/* This machine's CID, read from /dev/vsock and never cached: it changes when a snapshot is restored. UNSUPPORTED,
 * DENIED. NOT_FOUND: a Hyper-V guest has none. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_local_cid(uint32_t *cid, virtsock_error *err);

VIRTSOCK_API const char *virtsock_version(void);                        /* of the library that runs */
VIRTSOCK_API const char *virtsock_status_name(virtsock_status status);  /* "ok", "refused", "in use", ... */

/* What to do about an error, one sentence, or NULL. Static text, by scheme, operation, status and system code. */
VIRTSOCK_API const char *virtsock_advice(const virtsock_error *err);

/* Registers a Hyper-V service (a GUID or a port) with a Windows host, so that guests reach it. Done before is OK, and
 * needs no permission; the name that is there stays. DENIED: needs an administrator. UNSUPPORTED: other systems need no
 * registration. */
VIRTSOCK_API VIRTSOCK_MUST virtsock_status virtsock_service_register(const char *service, const char *name,
    virtsock_error *err);
VIRTSOCK_API virtsock_status virtsock_service_unregister(const char *service, virtsock_error *err);

#ifdef __cplusplus
}
#endif

#endif
