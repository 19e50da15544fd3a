/* SPDX-License-Identifier: MIT
 *
 * What the files of the core share: the values behind the opaque types, and how an error is told. Nothing here does I/O
 * or knows a system; handles that threads share are in handle.h.
 */
#ifndef VS_INTERNAL_H
#define VS_INTERNAL_H

#include <stdbool.h>

#include "virtsock.h"

#define VS_FOREVER  INT64_MAX           /* a deadline that never comes */
#define VS_TEXT_MAX 4096                /* bytes of an address text */

/* --- GUIDs: bytes as Windows has them on the wire, the first three fields little-endian --------------------------- */

struct vs_guid {
    unsigned char b[16];
};

#define VS_GUID_TEXT 37                 /* with its NUL */

/* 36 characters, n of them given; either case. *out is written on success only. */
bool vs_guid_parse(struct vs_guid *out, const char *s, size_t n);
/* Lower case. */
void vs_guid_format(char out[VS_GUID_TEXT], const struct vs_guid *guid);

/* The service id of a vsock port, and back: false if it is not of that template. */
void vs_guid_from_port(struct vs_guid *out, uint32_t port);
bool vs_guid_to_port(const struct vs_guid *guid, uint32_t *port);

/* 0 to 15, or -1. */
int vs_hex_digit(char c);

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

enum vs_vm {                            /* what the VM part of hvsock:// is */
    VS_VM_GUID, VS_VM_NAME, VS_VM_WSL, VS_VM_WILDCARD, VS_VM_BROADCAST, VS_VM_CHILDREN, VS_VM_LOOPBACK, VS_VM_PARENT,
    VS_VM_SILOHOST
};

struct virtsock_address {
    virtsock_scheme scheme;
    int             type;               /* VIRTSOCK_TYPE_ */
    int             half_close;         /* VIRTSOCK_HALF_CLOSE_ */
    uint32_t        cid;                /* hyperkit: ANY is 3 connecting, 2 listening */
    uint32_t        port;
    int32_t         fd;
    bool            to_host;
    bool            docker;             /* hyperkit+docker://: the directory is found when it is used */
    bool            has_service;        /* hvsock: refused when connecting without. vsock-mux: in place of a port */
    enum vs_vm      vm_kind;
    struct vs_guid  vm;                 /* also of the well-known words; not of a name or wsl */
    struct vs_guid  service;
    size_t          size;               /* of all of it, for copies */
    /* path, host, or VM as it is written in canonical form; NUL; then service, if any; NUL */
    char            text[];
};

virtsock_status vs_address_copy(virtsock_address **out, const virtsock_address *from);

/* Whole decimal number, 0..UINT32_MAX, nothing before or after. The strict parser that all others are built from. */
bool vs_parse_u32(const char *s, size_t n, uint32_t *out);

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* A name that virtsock_resolve must look up before it can be connected to. */
bool vs_needs_lookup(const virtsock_address *address);

/* A program that is asked, and what it is told: no shell, PATH or working directory has a part in it. */
struct vs_program {
    const char *path;                   /* below the system's own folder */
    const char *arguments;              /* fixed text, nothing of a user's */
    const char *variable, *value;       /* one more in its environment: how data is handed over. NULL: none */
};
/* Runs it: what it says on standard output, and its exit code. However that ends, nothing that it started is left. The
 * answer is 0, one of these, or a system's code. */
typedef int vs_runner(const struct vs_program *program, char *out, size_t cap, size_t *size, uint32_t *exit_code,
                      int64_t deadline);
#define VS_HUNG    (-5)                 /* the deadline came */
#define VS_FLOODED (-6)                 /* it says more than cap */
#define VS_ABSENT  (-7)                 /* there is no such thing on this system */

/* Looks the VM's name in a Hyper-V address up with that runner: virtsock_resolve with the platform's own. */
virtsock_status vs_resolve_vm(virtsock_address **out, const virtsock_address *address, const virtsock_options *options,
                              vs_runner *run, virtsock_error *err);

/* --- Options ------------------------------------------------------------------------------------------------------ */

#define VS_OPTIONS_END 17               /* one past the last number */
#define VS_RULES_MAX   16

struct vs_rule {
    enum vs_rule_kind { VS_RULE_CID, VS_RULE_PARENT, VS_RULE_VM, VS_RULE_UID, VS_RULE_SELF, VS_RULE_LOCAL } kind;
    bool privileged;                    /* source port below 1024 */
    union {
        struct {
            uint32_t first, last;       /* CIDs, or the uid */
        };
        struct vs_guid vm;
    };
};

struct virtsock_options {
    int64_t        value[VS_OPTIONS_END];
    uint32_t       set;                 /* bit n: option n was set */
    int            rule_count;
    struct vs_rule rules[VS_RULES_MAX];
};

/* The value that was set, or the default. options may be NULL. */
int64_t vs_option(const virtsock_options *options, virtsock_option option, int64_t unset);
/* "WAIT" and so on. */
const char *vs_option_name(virtsock_option option);
/* Bit n: option n was set. */
uint32_t vs_options_set_mask(const virtsock_options *options);

/* --- Errors ------------------------------------------------------------------------------------------------------- */

/* Why something failed, before the edge says what it was about. text is static, and may be NULL (the status says it
 * all). */
struct vs_cause {
    virtsock_status status;
    int32_t         os_code;
    const char     *text;
};

/* Bytes of the character at text, which ends with a NUL; 0: it is not well-formed UTF-8 (the ranges are those of
 * Unicode's table 3-7). */
size_t vs_utf8_length(const char *text);

/* Sets *why and returns the status. */
virtsock_status vs_because(struct vs_cause *why, virtsock_status status, const char *text);

/* Fills err: "op about: cause". about may be NULL. */
void vs_tell(virtsock_error *err, const char *op, const char *about, const struct vs_cause *why);
/* What is no failure, and told often (AGAIN, EOF): "op: cause", by a few stores. Returns the status. */
virtsock_status vs_note(virtsock_error *err, const char *op, virtsock_status status);
/* As vs_tell where err may be NULL, with a printf format for the cause. Returns the status. */
#if defined __GNUC__
__attribute__((format(printf, 5, 6)))
#endif
virtsock_status vs_failf(virtsock_error *err, const char *op, const char *about, virtsock_status status,
                         const char *format, ...);

/* The same about an address, which may be NULL: failure.c, the one place that knows both. AGAIN and EOF are told
 * without it. */
virtsock_status vs_fail(virtsock_error *err, const char *op, const virtsock_address *address,
                        const struct vs_cause *why);
/* With a plain status and text. */
virtsock_status vs_refuse(virtsock_error *err, const char *op, const virtsock_address *address, virtsock_status status,
                          const char *text);

#endif
