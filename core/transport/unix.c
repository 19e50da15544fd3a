/* SPDX-License-Identifier: MIT
 *
 * UNIX sockets by path, or by an abstract name: connecting, also past a full backlog, and listening so that in no
 * moment others than its owner can connect (0600) and nobody's live socket or file is ever taken away. An abstract
 * name is no file and has no owner.
 */
#include <string.h>

#include "transport/transport.h"

/* nothing tells when there is room: look again after 1, 2, 4 ... ms, and this at most */
#define FULL_BACKLOG_MS 50

static virtsock_status os_cause(struct vs_cause *why, int code)
{
    return vs_os_cause(why, "listen", VIRTSOCK_SCHEME_UNIX, code);
}

virtsock_status vs_unix_end(struct vs_end *end, const virtsock_address *address, const char *tail, struct vs_cause *why)
{
    size_t n = strlen(address->text), more = strlen(tail) + 1;

    memset(end, 0, sizeof *end);
    if (n + more > vs_path_max + 1)
        return vs_because(why, VIRTSOCK_E_NAME_TOO_LONG, "the path does not fit a socket address, which takes 107 bytes (103 on macOS and FreeBSD)");
    if (address->text[0] == '@' && !VS_ABSTRACT_NAMES)
        return vs_because(why, VIRTSOCK_E_UNSUPPORTED, "abstract names are Linux's alone");
    end->family = VS_FAMILY_UNIX;
    memcpy(end->path, address->text, n);
    memcpy(end->path + n, tail, more);
    return VIRTSOCK_OK;
}

static int set_buffer(virtsock_fd fd, const virtsock_options *options)
{
    return vs_set_buffers(fd, VS_FAMILY_UNIX, 0, vs_option(options, VIRTSOCK_OPTION_BUFFER_SIZE, 0), 0);
}

virtsock_status vs_unix_supported(virtsock_scheme scheme, struct vs_cause *why)
{
    return vs_has_family(VS_FAMILY_UNIX, scheme, why);
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

virtsock_status vs_unix_connect(struct vs_attempt *a, const struct vs_end *to, struct vs_cause *why)
{
    int code = 0;

    if (a->fd < 0) {
        a->full_ms = 0;
        if ((code = vs_socket(&a->fd, VS_FAMILY_UNIX, a->address->type)) == 0)
            code = set_buffer(a->fd, a->options);
    }
    if (code == 0)
        code = vs_connect(a->fd, to, &a->pending);
    if (code != VS_FULL)
        return vs_connected(a, code, why);
    a->events = 0;
    a->full_ms = a->full_ms == 0 ? 1 : a->full_ms < FULL_BACKLOG_MS / 2 ? 2 * a->full_ms : FULL_BACKLOG_MS;
    a->again_at = vs_now_ms() + a->full_ms;
    return VIRTSOCK_E_AGAIN;
}

static virtsock_status connect_step(struct vs_attempt *a, struct vs_cause *why)
{
    struct vs_end to;

    return vs_unix_end(&to, a->address, "", why) == VIRTSOCK_OK ? vs_unix_connect(a, &to, why) : why->status;
}

/* --- Listening ---------------------------------------------------------------------------------------------------- */

static bool is_abstract(const struct vs_end *at)
{
    return VS_ABSTRACT_NAMES && at->path[0] == '@';
}

/* Removes a socket if it is still that one. */
static int remove_socket(const char *path, const struct vs_file_id *id)
{
    enum vs_file      what;
    struct vs_file_id now;
    int               code = vs_file_at(path, &what, &now);

    if (code != 0 || what != VS_FILE_SOCKET || now.device != id->device || now.inode != id->inode)
        return code;
    return vs_remove(path);
}

/* OK: nothing is in the way. AGAIN: a stale socket is, the file *id. */
static virtsock_status look(const struct vs_end *at, int type, struct vs_file_id *id, struct vs_cause *why)
{
    enum vs_file what;
    int          code = vs_file_at(at->path, &what, id);

    if (code != 0)
        return os_cause(why, code);
    if (what == VS_FILE_NONE)
        return VIRTSOCK_OK;
    if (what != VS_FILE_SOCKET)
        return vs_because(why, VIRTSOCK_E_IN_USE, "what stands at that path is no socket, and is left alone");
    switch (vs_holder_of(at, type, &code)) {
    case VS_STALE:   return VIRTSOCK_E_AGAIN;
    case VS_GONE:    return VIRTSOCK_OK;
    case VS_HELD:    return vs_because(why, VIRTSOCK_E_IN_USE, "somebody listens on that socket, or is about to");
    case VS_HIDDEN:  return vs_because(why, VIRTSOCK_E_IN_USE, "a socket of another user stands there, and whether "
                                                               "somebody listens on it is not this user's to see");
    default:         return os_cause(why, code);
    }
}

/* Makes way for a listener, under the directory's lock. */
static virtsock_status make_way(const struct vs_end *at, int type, struct vs_cause *why)
{
    struct vs_file_id stale;
    virtsock_status   status = look(at, type, &stale, why);
    int               code;

    if (status != VIRTSOCK_E_AGAIN)
        return status;
    code = remove_socket(at->path, &stale);
    return code == 0 ? VIRTSOCK_OK : os_cause(why, code);
}

static int bind_at(struct vs_bound *out, const struct vs_end *at, int type, const virtsock_options *options)
{
    uint32_t     mode = (uint32_t)vs_option(options, VIRTSOCK_OPTION_SOCKET_MODE, 0600);
    enum vs_file what = VS_FILE_OTHER;
    int          code;

    if ((code = vs_socket(&out->fd, VS_FAMILY_UNIX, type)) != 0 || (code = set_buffer(out->fd, options)) != 0
        || (code = vs_set_mode_before(out->fd, mode)) != 0 || (code = vs_bind(out->fd, at)) != 0)
        return code;
    if (is_abstract(at) || ((code = vs_file_at(at->path, &what, &out->file)) == 0
                            && (code = vs_set_mode_after(at->path, &out->file, mode)) == 0))
        code = vs_listen(out->fd, (int)vs_option(options, VIRTSOCK_OPTION_BACKLOG, VS_BACKLOG));
    if (code != 0 && what == VS_FILE_NONE)              /* it cannot be seen */
        vs_remove(at->path);
    else if (code != 0)
        remove_socket(at->path, &out->file);
    return code;
}

/* The lock is for those who find the same stale socket at once: the second finds the first's in its place. Where
 * nothing is in the way, bind decides between them. */
virtsock_status vs_unix_listen(struct vs_bound *out, const struct vs_end *at, int type, const virtsock_options *options, struct vs_cause *why)
{
    struct vs_file_id stale;
    virtsock_fd       lock = -1;
    virtsock_status   status = VIRTSOCK_E_AGAIN;
    int               code;

    out->at = *at;
    if (is_abstract(at) || VS_TELLS_BOUND)
        status = is_abstract(at) ? VIRTSOCK_OK : look(at, type, &stale, why);
    if (status == VIRTSOCK_E_AGAIN) {
        lock = vs_lock_directory(at->path);
        status = make_way(at, type, why);
    }
    if (status == VIRTSOCK_OK && (code = bind_at(out, at, type, options)) != 0) {
        status = os_cause(why, code);
        if (out->fd >= 0)
            vs_close(out->fd);
    }
    vs_unlock_directory(lock);
    return status;
}

/* Its descriptor is open: nobody takes the file for a stale one meanwhile. Of an abstract name there is none. */
void vs_unix_unlisten(const struct vs_bound *bound)
{
    remove_socket(bound->at.path, &bound->file);
}

static virtsock_status listen_at(struct vs_bound *out, const virtsock_address *address, const virtsock_options *options, struct vs_cause *why)
{
    struct vs_end at;

    if (vs_unix_end(&at, address, "", why) != VIRTSOCK_OK)
        return why->status;
    return vs_unix_listen(out, &at, address->type, options, why);
}

static virtsock_status address_of(virtsock_address **out, const struct vs_end *end, int type)
{
    virtsock_status status;

    *out = NULL;
    if (end->path[0] == '\0')
        return VIRTSOCK_E_NOT_FOUND;
    status = virtsock_address_path(out, VIRTSOCK_SCHEME_UNIX, end->path, 0, NULL);
    if (status == VIRTSOCK_OK)
        (*out)->type = type;
    return status;
}

const struct vs_transport vs_unix = {
    .name = "unix", .family = VS_FAMILY_UNIX, .seqpacket = true,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE) | VS_OPTION_BIT(VIRTSOCK_OPTION_SOCKET_MODE),
    .rules = VS_RULES_OF_USERS | VS_RULE_BIT(VS_RULE_LOCAL),
    .supported = vs_unix_supported, .connect = connect_step, .listen = listen_at, .unlisten = vs_unix_unlisten,
    .address_of = address_of,
};
