/* SPDX-License-Identifier: MIT
 *
 * What a transport is to the edge (connect.c, listen.c, stream.c): one const table. A transport turns addresses into
 * sockets and ends into addresses; it keeps no state, starts nothing and waits for nothing. Deadlines, retries, rules
 * and errors are the edge's.
 */
#ifndef VS_TRANSPORT_H
#define VS_TRANSPORT_H

#include "platform/platform.h"
#include "transport/handshake.h"

/* One attempt to connect. The edge owns all of it and closes fd; a transport fills it in, step by step. */
struct vs_attempt {
    const virtsock_address *address;
    const virtsock_options *options;
    /* of the attempt, for systems that have a limit of their own; -1 for ever, 0 the system's */
    int64_t     timeout_ms;
    /* the edge gives it up then; a transport with a default of its own brings it forward, once */
    int64_t     until;
    virtsock_fd fd;                     /* -1 before the first step */
    struct vs_pending pending;          /* of fd */
    /* after AGAIN: what to wait for on pending.fd (VIRTSOCK_WANT_); 0: time alone */
    int         events;
    int64_t     again_at;               /* after AGAIN: step then, whatever happened; VS_FOREVER: no need */
    int64_t     full_ms;                /* UNIX: the last pause before a backlog that is full */
    bool        asked;                  /* a handshake's request has left */
    /* the edge's: connected, and not taken for it before, unless a byte comes; 0: not connected */
    int64_t     stays_until;
    size_t      heard;                  /* bytes of the answer, in line */
    char        line[VS_LINE_MAX];
};

/* A listening socket. */
struct vs_bound {
    virtsock_fd       fd;
    struct vs_end     at;               /* UNIX: the path that was made, */
    struct vs_file_id file;             /* and which file it is */
};

struct vs_transport {
    const char    *name;
    enum vs_family family;              /* of its sockets; OTHER: any */
    bool           seqpacket;           /* it has sockets of that type */

    /* A connection takes so long at most, unless CONNECT_TIMEOUT says otherwise, and is then REFUSED; 0: as long as the
     * system's. */
    int64_t connect_ms;

    /* Not 0: an attempt may hang although somebody listens by now. So a connection is several, on fresh sockets: the
     * first so long, each twice the one before, the last what is left. */
    int64_t try_ms;

    /* What to say when all of them met with silence. */
    const char *(*silence)(const virtsock_address *address);

    /* Bit n: this transport has a use for option n. */
    uint32_t options;

    /* Bit n: this transport can check rules of kind n (enum vs_rule_kind); bit 31: `:privileged`. */
    uint32_t rules;

    /* OK, or why this system has no sockets of that scheme. NULL: always OK. Does not block. */
    virtsock_status (*supported)(virtsock_scheme scheme, struct vs_cause *why);

    /* Takes an attempt one step further, never blocks. OK: fd is a connected, blocking socket; AGAIN: events and
     * again_at are set; else *why, and fd is whatever it was (the edge closes it). */
    virtsock_status (*connect)(struct vs_attempt *attempt, struct vs_cause *why);

    /* Binds and listens; fd is non-blocking, but an adopted one as it was. On failure nothing is left behind. */
    virtsock_status (*listen)(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options,
                              struct vs_cause *why);

    /* Takes away what listen made besides the socket. NULL: nothing. */
    void (*unlisten)(const struct vs_bound *bound);

    /* The address of an end; type as in VIRTSOCK_TYPE_. NOT_FOUND: it has none. NULL: ends have none. */
    virtsock_status (*address_of)(virtsock_address **out, const struct vs_end *end, int type);
};

#define VS_RULE_BIT(kind)  (UINT32_C(1) << (kind))
#define VS_RULE_PRIVILEGED (UINT32_C(1) << 31)
#define VS_OPTION_BIT(option) (UINT32_C(1) << (option))

/* vs_vm is the system's own way between hosts and VMs, for both vsock:// and hvsock://: vsock.c, or hyperv.c on
 * Windows. */
extern const struct vs_transport vs_vm, vs_hyperkit, vs_mux, vs_unix, vs_tcp, vs_fd;

/* Options that the edge takes care of, for every transport. */
#define VS_OPTIONS_COMMON                                                                                       \
    (VS_OPTION_BIT(VIRTSOCK_OPTION_CONNECT_TIMEOUT) | VS_OPTION_BIT(VIRTSOCK_OPTION_WAIT)                       \
     | VS_OPTION_BIT(VIRTSOCK_OPTION_BACKOFF_FIRST) | VS_OPTION_BIT(VIRTSOCK_OPTION_BACKOFF_MAX)                \
     | VS_OPTION_BIT(VIRTSOCK_OPTION_LINGER) | VS_OPTION_BIT(VIRTSOCK_OPTION_BACKLOG)                           \
     | VS_OPTION_BIT(VIRTSOCK_OPTION_MESSAGE_MAX) | VS_OPTION_BIT(VIRTSOCK_OPTION_INTERRUPTIBLE)                \
     | (VS_WAITS_INSIDE ? 0 : VS_OPTION_BIT(VIRTSOCK_OPTION_STAYS)))
#define VS_BACKLOG INT32_MAX            /* unless the option says otherwise: every system cuts it to what it allows */

/* NULL, with *why, for a scheme that this version or this system does not have. */
const struct vs_transport *vs_transport_of(virtsock_scheme scheme, struct vs_cause *why);

/* The same for an address about to be used with these options; NULL, with err filled, where the transport lacks
 * something. */
const struct vs_transport *vs_transport_for(const virtsock_address *address, const virtsock_options *options,
                                            const char *op, virtsock_error *err);

/* Whether the system makes such sockets. */
virtsock_status vs_has_family(enum vs_family family, virtsock_scheme scheme, struct vs_cause *why);

/* Sends the request that is in line, in one send: multiplexers read it once. REFUSED where it would leave in pieces. */
virtsock_status vs_ask(struct vs_attempt *attempt, size_t size, struct vs_cause *why);

/* What a system's code (0, VS_PENDING, or a failure) makes of an attempt. */
virtsock_status vs_connected(struct vs_attempt *attempt, int code, struct vs_cause *why);

/* Binds and listens with a socket that was made, or not, with that code: as a member of vs_transport. */
virtsock_status vs_listening(struct vs_bound *out, const struct vs_end *at, int code, virtsock_scheme scheme,
                             const virtsock_options *options, struct vs_cause *why);

/* UNIX sockets by path, for the transports that stand on them. The path is that of an address with a tail.
 * NAME_TOO_LONG. */
virtsock_status vs_unix_end(struct vs_end *end, const virtsock_address *address, const char *tail,
                            struct vs_cause *why);
/* As members of vs_transport. */
virtsock_status vs_unix_supported(virtsock_scheme scheme, struct vs_cause *why);
virtsock_status vs_unix_connect(struct vs_attempt *attempt, const struct vs_end *to, struct vs_cause *why);
virtsock_status vs_unix_listen(struct vs_bound *out, const struct vs_end *at, int type, const virtsock_options *options,
                               struct vs_cause *why);
void vs_unix_unlisten(const struct vs_bound *bound);

/* Sees whether a descriptor is a socket that can be adopted, as a stream or as a listener. Changes nothing. */
virtsock_status vs_adoptable(virtsock_fd fd, bool listener, struct vs_socket_kind *kind, struct vs_cause *why);

#define VS_RULES_OF_USERS (VS_TELLS_USERS ? VS_RULE_BIT(VS_RULE_UID) | VS_RULE_BIT(VS_RULE_SELF) : 0)

/* The scheme of sockets of a family; 0: none of ours. */
virtsock_scheme vs_scheme_of(enum vs_family family);

#endif
