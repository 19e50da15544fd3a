/* SPDX-License-Identifier: MIT
 *
 * UNIX sockets by path: connecting, also past a full backlog, and listening so that in no moment others than its owner can connect (0600)
 * and nobody's live socket or file is ever taken away.
 */
#include <string.h>

#include "transport/transport.h"

#define FULL_BACKLOG_MS 50              /* nothing tells when there is room: look again after 1, 2, 4 ... ms, and this at most */

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
    virtsock_fd fd;
    int         code = vs_socket(&fd, VS_FAMILY_UNIX, VIRTSOCK_TYPE_STREAM);

    if (code != 0)
        return vs_os_cause(why, "supported", scheme, code);
    vs_close(fd);
    return VIRTSOCK_OK;
}

/* --- Connecting -------------------------------------------------------------------------------------------------------------- */

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

    if (vs_unix_end(&to, a->address, "", why) != VIRTSOCK_OK)
        return why->status;
    return vs_unix_connect(a, &to, why);
}

/* --- Listening --------------------------------------------------------------------------------------------------------------- */

/* Makes way at the path, under the directory's lock: a socket to which a connection is refused has no listener any more. */
static virtsock_status make_way(const struct vs_end *at, int type, struct vs_cause *why)
{
    enum vs_file      what;
    struct vs_file_id id;
    virtsock_fd       probe;
    struct vs_pending pending = { -1, NULL };
    int               code = vs_file_at(at->path, &what, &id);

    if (code != 0)
        return os_cause(why, code);
    if (what == VS_FILE_NONE)
        return VIRTSOCK_OK;
    if (what != VS_FILE_SOCKET)
        return vs_because(why, VIRTSOCK_E_IN_USE, "what stands at that path is no socket, and is left alone");
    if ((code = vs_socket(&probe, VS_FAMILY_UNIX, type)) != 0)
        return os_cause(why, code);
    code = vs_connect(probe, at, &pending);
    vs_abandon(probe, &pending);
    vs_close(probe);
    if (!vs_nobody_listens(code))
        return vs_because(why, VIRTSOCK_E_IN_USE, "somebody listens on that socket");
    code = vs_remove(at->path);
    return code == 0 ? VIRTSOCK_OK : os_cause(why, code);
}

static int bind_at(struct vs_bound *out, const struct vs_end *at, int type, const virtsock_options *options)
{
    uint32_t     mode = (uint32_t)vs_option(options, VIRTSOCK_OPTION_SOCKET_MODE, 0600);
    enum vs_file what;
    int          code;

    if ((code = vs_socket(&out->fd, VS_FAMILY_UNIX, type)) != 0 || (code = set_buffer(out->fd, options)) != 0
        || (code = vs_set_mode_before(out->fd, mode)) != 0 || (code = vs_bind(out->fd, at)) != 0)
        return code;
    if ((code = vs_file_at(at->path, &what, &out->file)) == 0 && (code = vs_set_mode_after(at->path, &out->file, mode)) == 0)
        code = vs_listen(out->fd, (int)vs_option(options, VIRTSOCK_OPTION_BACKLOG, VS_BACKLOG));
    if (code != 0)
        vs_remove(at->path);
    return code;
}

virtsock_status vs_unix_listen(struct vs_bound *out, const struct vs_end *at, int type, const virtsock_options *options, struct vs_cause *why)
{
    virtsock_fd     lock;
    virtsock_status status;
    int             code;

    if ((code = vs_lock_directory(&lock, at->path)) != 0)
        return os_cause(why, code);
    out->at = *at;
    status = make_way(at, type, why);
    if (status == VIRTSOCK_OK && (code = bind_at(out, at, type, options)) != 0) {
        status = os_cause(why, code);
        if (out->fd >= 0)
            vs_close(out->fd);
    }
    vs_unlock_directory(lock);
    return status;
}

/* If the lock cannot be had the file stays: the next listener finds it stale. */
void vs_unix_unlisten(const struct vs_bound *bound)
{
    const char       *path = bound->at.path;
    enum vs_file      what;
    struct vs_file_id id;
    virtsock_fd       lock;

    if (vs_lock_directory(&lock, path) != 0)
        return;
    if (vs_file_at(path, &what, &id) == 0 && what == VS_FILE_SOCKET && id.device == bound->file.device && id.inode == bound->file.inode)
        vs_remove(path);
    vs_unlock_directory(lock);
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
    .name = "unix",
    .family = VS_FAMILY_UNIX,
    .seqpacket = true,
    .options = VS_OPTION_BIT(VIRTSOCK_OPTION_BUFFER_SIZE) | VS_OPTION_BIT(VIRTSOCK_OPTION_SOCKET_MODE),
    .rules = VS_RULES_OF_USERS | VS_RULE_BIT(VS_RULE_LOCAL),
    .supported = vs_unix_supported,
    .connect = connect_step,
    .listen = listen_at,
    .unlisten = vs_unix_unlisten,
    .address_of = address_of,
};
