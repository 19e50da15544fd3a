/* SPDX-License-Identifier: MIT
 *
 * Listeners: whom they accept, and that a client who is refused or has left costs the caller nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define PASSES_MAX 64                   /* clients passed over in one call that must not block */

struct virtsock_listener {
    struct vs_handle           handle;
    const struct vs_transport *transport;       /* of an adopted socket its family's */
    const struct vs_transport *maker;           /* that made it: unlisten is its */
    virtsock_scheme            scheme;          /* of transport */
    struct vs_bound            bound;
    virtsock_address          *address;         /* as it was asked for; NULL: adopted by descriptor */
    virtsock_options           options;
    struct vs_socket_kind      kind;
};

/* --- Making ------------------------------------------------------------------------------------------------------- */

static const char *unchecked_rule(const virtsock_options *options, uint32_t can)
{
    static const char *const names[] = {
        [VS_RULE_CID] = "this transport cannot tell a peer's CID",
        [VS_RULE_PARENT] = "this transport cannot tell whether a peer is the host", [VS_RULE_VM] = "this transport cannot tell a peer's VM",
        [VS_RULE_UID] = "this transport cannot tell a peer's user", [VS_RULE_SELF] = "this transport cannot tell a peer's user",
        [VS_RULE_LOCAL] = "this transport cannot tell whether a peer is local",
    };

    for (int i = 0; options != NULL && i < options->rule_count; i++) {
        if ((can & VS_RULE_BIT(options->rules[i].kind)) == 0)
            return names[options->rules[i].kind];
        if (options->rules[i].privileged && (can & VS_RULE_PRIVILEGED) == 0)
            return "this transport has no ports, so none that are privileged";
    }
    return NULL;
}

/* A listener around what was bound: the handle owns the descriptor from here on. NULL, with *why: nothing was taken,
 * and what others share is as it was. */
static virtsock_listener *listener_new(const struct vs_bound *bound, const virtsock_address *address, const virtsock_options *options,
                                       struct vs_cause *why)
{
    const bool         adopts = address == NULL || address->scheme == VIRTSOCK_SCHEME_FD;
    virtsock_listener *l = calloc(1, sizeof *l);
    const char        *unchecked;
    int                code;

    if (l == NULL || (address != NULL && vs_address_copy(&l->address, address) != VIRTSOCK_OK)) {
        free(l);
        vs_because(why, VIRTSOCK_E_NO_RESOURCES, "out of memory");
        return NULL;
    }
    if (options != NULL)
        l->options = *options;
    l->bound = *bound;
    code = vs_socket_kind(bound->fd, &l->kind);
    l->scheme = adopts ? vs_scheme_of(l->kind.family) : address->scheme;
    if (code != 0) {
        vs_os_cause(why, "listen", VIRTSOCK_SCHEME_NONE, code);
    } else if ((l->transport = vs_transport_of(l->scheme, why)) == NULL) {
        /* *why says it */
    } else if ((unchecked = unchecked_rule(options, l->transport->rules)) != NULL) {
        vs_because(why, VIRTSOCK_E_UNSUPPORTED, unchecked);
    } else if (adopts && (code = vs_set_blocking(bound->fd, false)) != 0) {
        vs_os_cause(why, "adopt", VIRTSOCK_SCHEME_FD, code);
    } else {
        vs_handle_init(&l->handle, vs_option(options, VIRTSOCK_OPTION_INTERRUPTIBLE, 0) != 0);
        vs_handle_publish(&l->handle, bound->fd, VS_OPEN);
        return l;
    }
    virtsock_address_free(l->address);
    free(l);
    return NULL;
}

static virtsock_status listen_resolved(virtsock_listener **out, const virtsock_address *address, const virtsock_options *options,
                                       virtsock_error *err)
{
    virtsock_address *found;
    virtsock_status   status = virtsock_resolve(&found, address, options, err);

    if (status == VIRTSOCK_OK)
        status = virtsock_listen(out, found, options, err);
    virtsock_address_free(found);
    return status;
}

virtsock_status virtsock_listen(virtsock_listener **out, const virtsock_address *address, const virtsock_options *options, virtsock_error *err)
{
    struct vs_bound            bound = { .fd = -1 };
    const struct vs_transport *t;
    virtsock_error             unfit = { 0 };
    const char                *unchecked;
    struct vs_cause            why;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || address == NULL)
        return vs_refuse(err, "listen", NULL, VIRTSOCK_E_INVALID, "no address, or no place for the listener");
    if (vs_needs_lookup(address))
        return listen_resolved(out, address, options, err);
    if ((t = vs_transport_for(address, options, "listen", &unfit)) == NULL) {
        if (err != NULL)
            *err = unfit;
        return unfit.status;
    }
    if ((unchecked = unchecked_rule(options, t->rules)) != NULL)
        return vs_refuse(err, "listen", address, VIRTSOCK_E_UNSUPPORTED, unchecked);
    if (t->listen(&bound, address, options, &why) != VIRTSOCK_OK)
        return vs_fail(err, "listen", address, &why);
    if ((*out = listener_new(&bound, address, options, &why)) == NULL) {
        if (t->unlisten != NULL)
            t->unlisten(&bound);
        if (address->scheme != VIRTSOCK_SCHEME_FD)
            vs_close(bound.fd);
        return vs_fail(err, "listen", address, &why);
    }
    (*out)->maker = t;
    return VIRTSOCK_OK;
}

virtsock_status virtsock_listener_from_fd(virtsock_listener **out, virtsock_fd fd, const virtsock_options *options, virtsock_error *err)
{
    struct vs_bound       bound = { .fd = fd };
    struct vs_socket_kind kind;
    struct vs_cause       why;

    if (out == NULL)
        return vs_refuse(err, "adopt", NULL, VIRTSOCK_E_INVALID, "no place for the listener");
    *out = NULL;
    if (vs_adoptable(fd, true, &kind, &why) == VIRTSOCK_OK
        && (*out = listener_new(&bound, NULL, options, &why)) != NULL)
        return VIRTSOCK_OK;
    return vs_fail(err, "adopt", NULL, &why);
}

/* --- Accepting ---------------------------------------------------------------------------------------------------- */

static bool is_vm(const struct vs_end *peer, const char *guid)
{
    char text[VS_GUID_TEXT];

    vs_guid_format(text, &peer->vm);
    return strcmp(text, guid) == 0;
}

static bool fits(const struct vs_rule *rule, const struct vs_end *peer, virtsock_fd fd)
{
    uint32_t uid;
    int64_t  pid;

    if (rule->privileged && peer->port >= 1024)
        return false;
    switch (rule->kind) {
    case VS_RULE_CID:   return peer->family == VS_FAMILY_VSOCK && rule->first <= peer->cid && peer->cid <= rule->last;
    case VS_RULE_PARENT: return peer->family == VS_FAMILY_VSOCK ? peer->cid == VIRTSOCK_CID_HOST : is_vm(peer, VIRTSOCK_VM_PARENT);
    case VS_RULE_LOCAL:
        return peer->family == VS_FAMILY_HYPERV ? is_vm(peer, VIRTSOCK_VM_LOOPBACK)
                                                : peer->family == VS_FAMILY_UNIX || peer->cid == VIRTSOCK_CID_LOCAL;
    case VS_RULE_VM:    return peer->family == VS_FAMILY_HYPERV && memcmp(&rule->vm, &peer->vm, sizeof rule->vm) == 0;
    case VS_RULE_UID:   return vs_peer_user(fd, &uid, &pid) == 0 && uid == rule->first;
    case VS_RULE_SELF:  return vs_peer_user(fd, &uid, &pid) == 0 && uid == vs_user();
    default:            return false;
    }
}

static bool admits(const virtsock_listener *l, const struct vs_end *peer, virtsock_fd fd)
{
    for (int i = 0; i < l->options.rule_count; i++)
        if (fits(&l->options.rules[i], peer, fd))
            return true;
    return l->options.rule_count == 0;
}

static virtsock_stream *welcome(const virtsock_listener *l, virtsock_fd fd, const struct vs_end *peer)
{
    virtsock_address *address = NULL;
    virtsock_stream  *s;

    if (l->transport->address_of != NULL && l->transport->address_of(&address, peer, l->kind.type) == VIRTSOCK_E_NO_RESOURCES)
        return NULL;
    if (address != NULL && l->address != NULL)
        address->half_close = l->address->half_close;
    s = vs_stream_new(address != NULL ? address : l->address, &l->options);
    virtsock_address_free(address);
    if (s == NULL)
        return NULL;
    s->scheme = l->scheme;
    vs_stream_open(s, fd, l->kind.family, l->kind.type);
    return s;
}

/* One client, if there is one that a rule admits: OK; AGAIN: nobody waits; DENIED: one was passed over; else *why. */
static virtsock_status accept_one(virtsock_listener *l, virtsock_stream **out, int64_t until, struct vs_cause *why)
{
    struct vs_end peer;
    virtsock_fd   fd = -1;
    int           code = vs_accept(vs_handle_fd(&l->handle), l->kind.family, &fd, &peer, until);

    if (code == VS_EMPTY)
        return VIRTSOCK_E_AGAIN;
    if (code == VS_LEFT)
        return VIRTSOCK_E_DENIED;
    if (code != 0)
        return vs_os_cause(why, "accept", l->scheme, code);
    if (!admits(l, &peer, fd)) {
        vs_close(fd);
        return VIRTSOCK_E_DENIED;
    }
    if ((*out = welcome(l, fd, &peer)) != NULL)
        return VIRTSOCK_OK;
    vs_close(fd);
    return vs_because(why, VIRTSOCK_E_NO_RESOURCES, "out of memory");
}

static virtsock_status accept_until(virtsock_listener *l, virtsock_stream **out, int timeout_ms, struct vs_cause *why)
{
    const int64_t   deadline = vs_deadline(timeout_ms);
    virtsock_status status;

    for (int passed = 0;;) {
        if ((status = accept_one(l, out, deadline, why)) == VIRTSOCK_E_DENIED) {
            if (vs_is_closing(&l->handle))
                return vs_because(why, VIRTSOCK_E_CANCELLED, NULL);
            if (timeout_ms > 0 && vs_now_ms() >= deadline)
                return vs_because(why, VIRTSOCK_E_TIMEOUT, NULL);
            if (timeout_ms != 0 || ++passed < PASSES_MAX)
                continue;
            status = VIRTSOCK_E_AGAIN;
        }
        if (status != VIRTSOCK_E_AGAIN)
            return status;
        if (timeout_ms == 0)
            return vs_because(why, VIRTSOCK_E_AGAIN, NULL);
        status = vs_handle_wait(&l->handle, vs_handle_fd(&l->handle), VIRTSOCK_WANT_RECV, deadline, why);
        if (status != VIRTSOCK_OK)
            return status;
    }
}

virtsock_status virtsock_accept(virtsock_stream **out, virtsock_listener *l, int timeout_ms, virtsock_error *err)
{
    virtsock_status status;
    struct vs_cause why;
    uint64_t        word;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || l == NULL)
        return vs_refuse(err, "accept", NULL, VIRTSOCK_E_INVALID, "no listener, or no place for the stream");
    if (timeout_ms < -1)
        return vs_refuse(err, "accept", l->address, VIRTSOCK_E_INVALID, VS_BAD_TIMEOUT);
    if (!vs_enter(&l->handle, &word))
        return vs_refuse(err, "accept", NULL, VIRTSOCK_E_CANCELLED, "the listener is closed");
    if (vs_is_open(word))
        status = accept_until(l, out, timeout_ms, &why);
    else
        status = vs_because(&why, VIRTSOCK_E_CANCELLED, "the listener is closed");
    if (status != VIRTSOCK_OK)
        vs_fail(err, "accept", l->address, &why);
    vs_leave(&l->handle);               /* a free may be waiting for that */
    return status;
}

/* --- Asking and ending -------------------------------------------------------------------------------------------- */

virtsock_status virtsock_listener_address(const virtsock_listener *listener, virtsock_address **out, virtsock_error *err)
{
    virtsock_listener *l = (virtsock_listener *)(uintptr_t)listener;
    struct vs_cause    why;
    struct vs_end      end;
    virtsock_status    status;
    uint64_t           word;
    int                code;

    if (out != NULL)
        *out = NULL;
    if (l == NULL || out == NULL)
        return vs_refuse(err, "address", NULL, VIRTSOCK_E_INVALID, "no listener, or no place for the address");
    if (!vs_enter(&l->handle, &word))
        return vs_refuse(err, "address", NULL, VIRTSOCK_E_CANCELLED, "the listener is closed");
    if (!vs_is_open(word))
        status = vs_because(&why, VIRTSOCK_E_CANCELLED, "the listener is closed");
    else if (l->transport->address_of == NULL)          /* the port is in the path: as it was asked for */
        status = vs_because(&why, vs_address_copy(out, l->address), NULL);
    else if ((code = vs_local_end(vs_handle_fd(&l->handle), &end)) != 0)
        status = vs_os_cause(&why, "address", l->scheme, code);
    else
        status = vs_because(&why, l->transport->address_of(out, &end, l->kind.type), NULL);
    if (status != VIRTSOCK_OK)
        vs_fail(err, "address", l->address, &why);
    else if (l->address != NULL)
        (*out)->half_close = l->address->half_close;
    vs_leave(&l->handle);
    return status;
}

virtsock_fd virtsock_listener_fd(const virtsock_listener *l)
{
    return l != NULL ? vs_handle_fd(&l->handle) : -1;
}

/* The path goes before the descriptor does: a client never finds a file without a listener behind it. */
virtsock_status virtsock_listener_close(virtsock_listener *l, virtsock_error *err)
{
    int64_t until = 0;
    bool    alone;

    if (l == NULL)
        return vs_refuse(err, "close", NULL, VIRTSOCK_E_INVALID, "no listener");
    if (vs_handle_close(&l->handle, &until, &alone)) {
        if (l->maker != NULL && l->maker->unlisten != NULL && !vs_handle_is_foreign(&l->handle))
            l->maker->unlisten(&l->bound);
        vs_handle_closed(&l->handle);
    }
    vs_handle_leave_close(&l->handle);
    return VIRTSOCK_OK;
}

void virtsock_listener_free(virtsock_listener *l)
{
    if (l == NULL)
        return;
    virtsock_listener_close(l, NULL);
    vs_handle_settle(&l->handle);
    virtsock_address_free(l->address);
    free(l);
}
