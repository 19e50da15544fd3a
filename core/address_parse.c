/* SPDX-License-Identifier: MIT
 *
 * The address grammar (docs/address.md): text in, an address out, or a message that says what to write instead. No I/O, and no name is
 * looked up.
 */
#include <string.h>

#include "address.h"

struct reader {
    const char        *text;            /* all of it, for messages */
    struct vs_span     rest;            /* what follows the scheme and its slashes, without options */
    bool               slashes;         /* `//` stood after the scheme */
    virtsock_address  *head;
    virtsock_address **out;
    virtsock_error    *err;
};

static const struct vs_span nothing = { "", 0 };

/* --- Tools ----------------------------------------------------------------------------------------------------------------- */

#define REFUSE(r, ...) vs_failf((r)->err, "parse", (r)->text, VIRTSOCK_E_INVALID, __VA_ARGS__)
#define SPAN(span) (int)(span).n, (span).s      /* for %.*s */

static virtsock_status finish(const struct reader *r, const char *why, struct vs_span text)
{
    return why != NULL ? REFUSE(r, "%s", why) : vs_address_new(r->out, r->head, text, r->text, r->err);
}

/* Whether there is one c; *before is what stands before the first, *span what follows it. */
static bool cut(struct vs_span *span, char c, struct vs_span *before)
{
    const char *at = memchr(span->s, c, span->n);

    if (at == NULL)
        return false;
    *before = (struct vs_span){ span->s, (size_t)(at - span->s) };
    *span = (struct vs_span){ at + 1, span->n - before->n - 1 };
    return true;
}

/* What a message repeats of a path in what it suggests: all of it, or a word where it is missing, long or would need encoding. */
static struct vs_span repeated(struct vs_span path)
{
    bool slash = path.n == 0 || path.s[0] == '/';

    if (path.n > slash && path.n <= 64 && memchr(path.s, '?', path.n) == NULL && memchr(path.s, '%', path.n) == NULL)
        return path;
    return slash ? (struct vs_span){ "/PATH", 5 } : (struct vs_span){ "PATH", 4 };
}

/* --- One function a form ----------------------------------------------------------------------------------------------------- */

static virtsock_status read_vsock(struct reader *r)
{
    struct vs_span port = r->rest, cid = r->rest, path;
    bool           has_port = cut(&port, ':', &cid);
    const char    *why = vs_read_cid(cid, &r->head->cid);

    if (why == NULL && !has_port)
        return REFUSE(r, "the port is missing: write vsock://%.*s:PORT", SPAN(cid));
    path = port;
    if (why == NULL && cut(&path, '/', &port) && (path.n > 0 || !r->slashes) && vs_read_port(port, &r->head->port) == NULL)
        return REFUSE(r, "a CID and a port have no path: write vsock://%.*s:%.*s", SPAN(cid), SPAN(port));
    if (why == NULL)
        why = vs_read_port(port, &r->head->port);
    return finish(r, why, nothing);
}

/* hvsock:///SOCKET-PATH:PORT is what Kata Containers and containerd write for a multiplexer. */
static virtsock_status refuse_hybrid(const struct reader *r)
{
    struct vs_span path = r->rest, port = r->rest, before;
    uint32_t       number;

    while (cut(&port, ':', &before))
        continue;
    if (port.n < path.n && vs_parse_u32(port.s, port.n, &number))
        path.n -= port.n + 1;
    else
        port = (struct vs_span){ "PORT", 4 };
    path = repeated(path);
    return REFUSE(r, "hvsock:// is Hyper-V; the socket of a multiplexer is vsock-mux://:%.*s%.*s", SPAN(port), SPAN(path));
}

static virtsock_status read_hyperv(struct reader *r)
{
    char           decoded[VS_TEXT_MAX], guid[VS_GUID_TEXT];
    struct vs_span vm = r->rest, service = nothing;
    const char    *why;
    bool           colon, both;

    for (vm.n = 0; vm.n < r->rest.n && vm.s[vm.n] != '/' && vm.s[vm.n] != ':'; vm.n++)
        continue;
    colon = vm.n < r->rest.n && vm.s[vm.n] == ':';
    if (vm.n < r->rest.n)
        service = (struct vs_span){ vm.s + vm.n + 1, r->rest.n - vm.n - 1 };
    both = memchr(service.s, '/', service.n) != NULL || memchr(service.s, ':', service.n) != NULL;
    if (both && !colon && vm.n == 0)
        return refuse_hybrid(r);

    why = vs_decode(&vm, decoded);
    if (why == NULL)
        why = vs_read_vm(&vm, r->head, guid);
    if (why == NULL && both)
        why = "write hvsock://VM/SERVICE or hvsock://VM:PORT, not both; a colon in a VM's name is %3A";
    if (why == NULL && colon && service.n == 0)
        why = "the port is missing after the colon";
    if (why == NULL)
        why = vs_read_service(service, r->head);
    return finish(r, why, vm);
}

/* From its slash on, with something behind it. */
static virtsock_status read_path(struct reader *r, struct vs_span path)
{
    char        buf[VS_TEXT_MAX];
    const char *why = vs_decode(&path, buf);

    if ((path.n >= 3 && memcmp(path.s, "/./", 3) == 0) || (path.n >= 4 && memcmp(path.s, "/../", 4) == 0))
        path = (struct vs_span){ path.s + 1, path.n - 1 };
    return finish(r, why, path);
}

/* What stands before the first slash, and the rest with it. */
static struct vs_span cut_path(struct vs_span rest, struct vs_span *path)
{
    const char *slash = memchr(rest.s, '/', rest.n);
    size_t      n = slash != NULL ? (size_t)(slash - rest.s) : rest.n;

    *path = (struct vs_span){ rest.s + n, rest.n - n };
    return (struct vs_span){ rest.s, n };
}

static virtsock_status read_hyperkit(struct reader *r)
{
    struct vs_span path, cid, port = cut_path(r->rest, &path);
    const char    *why;

    if (!cut(&port, ':', &cid))
        return REFUSE(r, "the port is missing: write %s", r->head->docker ? "hyperkit+docker://:PORT" : "hyperkit://:PORT/DIRECTORY");
    why = vs_read_cid(cid, &r->head->cid);
    if (why == NULL)
        why = vs_read_port(port, &r->head->port);
    if (why != NULL || r->head->docker)
        return finish(r, why != NULL || path.n == 0 ? why : "Docker's directory is found by itself: write hyperkit+docker://:PORT", nothing);
    if (path.n <= 1)
        return REFUSE(r, "the directory is missing: write hyperkit://:PORT/DIRECTORY, or hyperkit+docker://:PORT");
    return read_path(r, path);
}

static virtsock_status read_docker(struct reader *r)
{
    r->head->docker = true;
    return read_hyperkit(r);
}

static virtsock_status read_mux(struct reader *r)
{
    struct vs_span path, cid, port = cut_path(r->rest, &path), shown = repeated(port.n > 0 ? nothing : path);
    const char    *why = NULL;

    if (!cut(&port, ':', &cid))
        return REFUSE(r, "the port is missing: write vsock-mux://:PORT%.*s", SPAN(shown));
    r->head->has_service = vs_guid_parse(&r->head->service, port.s, port.n);
    if (!r->head->has_service)
        why = vs_read_port(port, &r->head->port);
    if (why == NULL && path.n <= 1)
        why = "the path of the socket is missing: write vsock-mux://:PORT/PATH";
    if (why != NULL)
        return finish(r, why, nothing);
    shown = repeated(path);
    if (cid.n > 0)
        return REFUSE(r, "one multiplexer serves one VM and takes no CID: write vsock-mux://:%.*s%.*s", SPAN(port), SPAN(shown));
    return read_path(r, path);
}

static virtsock_status read_unix(struct reader *r)
{
    struct vs_span shown = repeated(r->rest);

    if (r->rest.n > 0 && r->rest.s[0] != '/')
        return REFUSE(r, "a UNIX socket has no host: write unix:///%.*s, or unix:///./%.*s", SPAN(shown), SPAN(shown));
    if (r->rest.n <= 1)
        return REFUSE(r, "the path is missing: write unix:///PATH");
    return read_path(r, r->rest);
}

static virtsock_status read_tcp(struct reader *r)
{
    char           buf[VS_HOST_TEXT];
    struct vs_span host, port = r->rest, between = nothing;
    const char    *why;
    bool           bracket = port.n > 0 && port.s[0] == '[';

    if (bracket)
        port = (struct vs_span){ port.s + 1, port.n - 1 };
    if (!cut(&port, bracket ? ']' : ':', &host) || (bracket && !cut(&port, ':', &between)))
        return REFUSE(r, "the port is missing: write tcp://HOST:PORT");
    why = vs_read_host(host, buf);
    if (why == NULL && (between.n > 0 || bracket != (strchr(buf, ':') != NULL)))
        why = "brackets are for IPv6 addresses: write tcp://[::1]:PORT, tcp://127.0.0.1:PORT";
    if (why == NULL)
        why = vs_read_port(port, &r->head->port);
    if (why == NULL && r->head->port > 65535 && r->head->port != VIRTSOCK_PORT_ANY)
        why = "a TCP port ends at 65535";
    return finish(r, why, why != NULL ? nothing : (struct vs_span){ buf, strlen(buf) });
}

static virtsock_status read_fd(struct reader *r)
{
    uint32_t number;

    if (!vs_parse_u32(r->rest.s, r->rest.n, &number) || number > INT32_MAX)
        return REFUSE(r, "write fd://N, where N is the decimal number of an open socket");
    r->head->fd = (int32_t)number;
    return finish(r, NULL, nothing);
}

/* --- Options ------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char   *text;
    virtsock_part part;
    int           value;
} options[] = {
    { "type=stream",       VIRTSOCK_PART_TYPE,       VIRTSOCK_TYPE_STREAM },
    { "type=seqpacket",    VIRTSOCK_PART_TYPE,       VIRTSOCK_TYPE_SEQPACKET },
    { "type=dgram",        VIRTSOCK_PART_TYPE,       VIRTSOCK_TYPE_DGRAM },
    { "to-host=1",         VIRTSOCK_PART_TO_HOST,    1 },
    { "half-close=native", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_NATIVE },
    { "half-close=framed", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_FRAMED },
};

/* *seen: a bit for every part that was given. NULL, or why not. */
static const char *read_option(virtsock_address *head, struct vs_span item, unsigned *seen)
{
    size_t i = 0;

    while (i < sizeof options / sizeof options[0] && !vs_span_is(item, options[i].text))
        i++;
    if (i == sizeof options / sizeof options[0])
        return "the options after ? are type=stream|seqpacket|dgram, half-close=native|framed and (vsock) to-host=1, joined by &; "
               "a ? in a path is %3F";
    if ((*seen >> options[i].part & 1) != 0)
        return "an option is given twice";
    *seen |= 1u << options[i].part;

    if (options[i].part == VIRTSOCK_PART_TYPE)
        head->type = options[i].value;
    else if (options[i].part == VIRTSOCK_PART_HALF_CLOSE)
        head->half_close = options[i].value;
    else if (head->scheme == VIRTSOCK_SCHEME_VSOCK)
        head->to_host = true;
    else
        return "only vsock:// has to-host";
    return NULL;
}

/* --- Schemes --------------------------------------------------------------------------------------------------------------------- */

static const struct form {
    const char     *name;
    virtsock_scheme scheme;
    virtsock_status (*read)(struct reader *r);          /* NULL: a word of other tools */
    enum { ALWAYS, EITHER, NEVER } slashes;
    int             type;                               /* VIRTSOCK_TYPE_ that the scheme says, or 0 */
    const char     *shape;                              /* what messages say to write */
} forms[] = {
    { "vsock",            VIRTSOCK_SCHEME_VSOCK,    read_vsock,    EITHER, 0, "vsock://CID:PORT" },
    { "hvsock",           VIRTSOCK_SCHEME_HYPERV,   read_hyperv,   ALWAYS, 0, "hvsock://VM/SERVICE" },
    { "vsock-mux",        VIRTSOCK_SCHEME_MUX,      read_mux,      ALWAYS, 0, "vsock-mux://:PORT/PATH" },
    { "firecracker",      VIRTSOCK_SCHEME_MUX,      read_mux,      ALWAYS, 0, "vsock-mux://:PORT/PATH" },
    { "unix",             VIRTSOCK_SCHEME_UNIX,     read_unix,     ALWAYS, 0, "unix:///PATH" },
    { "tcp",              VIRTSOCK_SCHEME_TCP,      read_tcp,      ALWAYS, 0, "tcp://HOST:PORT" },
    { "fd",               VIRTSOCK_SCHEME_FD,       read_fd,       ALWAYS, 0, "fd://N" },
    { "hyperkit",         VIRTSOCK_SCHEME_HYPERKIT, read_hyperkit, ALWAYS, 0, "hyperkit://:PORT/DIRECTORY" },
    { "hyperkit+docker",  VIRTSOCK_SCHEME_HYPERKIT, read_docker,   ALWAYS, 0, "hyperkit+docker://:PORT" },
    { "vsock-stream",     VIRTSOCK_SCHEME_VSOCK,    read_vsock,    NEVER, VIRTSOCK_TYPE_STREAM,    "vsock-stream:CID:PORT" },
    { "vsock-seqpacket",  VIRTSOCK_SCHEME_VSOCK,    read_vsock,    NEVER, VIRTSOCK_TYPE_SEQPACKET, "vsock-seqpacket:CID:PORT" },
    { "vsock-dgram",      VIRTSOCK_SCHEME_VSOCK,    read_vsock,    NEVER, VIRTSOCK_TYPE_DGRAM,     "vsock-dgram:CID:PORT" },
    { "vsock-connect",    VIRTSOCK_SCHEME_NONE,     NULL,          ALWAYS, 0, "vsock://CID:PORT" },
    { "nbd+vsock",        VIRTSOCK_SCHEME_NONE,     NULL,          ALWAYS, 0, "vsock://CID:PORT" },
    { "hyperv",           VIRTSOCK_SCHEME_NONE,     NULL,          ALWAYS, 0, "hvsock://VM/SERVICE" },
    { "cloud-hypervisor", VIRTSOCK_SCHEME_NONE,     NULL,          ALWAYS, 0, "vsock-mux://:PORT/PATH" },
};
#define FORMS (sizeof forms / sizeof forms[0])

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const struct form *find_form(const char *s, size_t n)
{
    for (size_t i = 0; i < FORMS; i++) {
        const char *name = forms[i].name;
        size_t      same = 0;

        while (same < n && lower(s[same]) == name[same])
            same++;
        if (same == n && name[n] == '\0')
            return &forms[i];
    }
    return NULL;
}

/* Bytes at the start that could be a scheme: a letter, then what RFC 3986 allows. */
static size_t scheme_length(const char *s)
{
    size_t n = 0;

    while ((lower(s[n]) >= 'a' && lower(s[n]) <= 'z') || (n > 0 && s[n] != '\0' && strchr("0123456789+-.", s[n]) != NULL))
        n++;
    return n;
}

/* How many characters to insert, delete or replace to make one word of the other. */
static size_t distance(const char *s, size_t n, const char *name)
{
    size_t row[24], length = strlen(name);

    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t best = diagonal + (lower(s[i - 1]) != name[j - 1]);

            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[length];
}

static virtsock_status refuse_scheme(const struct reader *r, size_t n)
{
    const struct form *nearest = NULL;
    size_t             least = 3;

    for (size_t i = 0; i < FORMS && n < 24; i++) {
        size_t d = distance(r->text, n, forms[i].name);

        if (d < least && 3 * d <= strlen(forms[i].name) + 1) {
            least = d;
            nearest = &forms[i];
        }
    }
    if (nearest != NULL)
        return REFUSE(r, "no such scheme: did you mean %s?", nearest->shape);
    return REFUSE(r, "no such scheme: there are vsock, hvsock, vsock-mux, hyperkit, unix, tcp and fd");
}

/* No scheme with its colon at the start; n bytes of what could be one. */
static virtsock_status refuse_bare(const struct reader *r, size_t n)
{
    const struct form *form = find_form(r->text, n);
    const char        *rest = r->text + n;
    struct vs_span     shown = repeated((struct vs_span){ r->text, strlen(r->text) });
    bool               dots = strncmp(r->text, "./", 2) == 0 || strncmp(r->text, "../", 3) == 0;
    const char        *root = r->text[0] == '/' ? "" : dots ? "/" : "/./";

    if (form != NULL && form->scheme == VIRTSOCK_SCHEME_MUX && *rest == '/') {
        shown = repeated((struct vs_span){ rest, strlen(rest) });
        return REFUSE(r, "the port is part of the address: write vsock-mux://:PORT%.*s", SPAN(shown));
    }
    if (form != NULL)
        return REFUSE(r, "write %s", form->shape);
    if (r->text[0] == ' ')
        return REFUSE(r, "a blank stands in front of the address");
    if (strchr(r->text, '/') != NULL && strstr(r->text, "://") == NULL)
        return REFUSE(r, "a bare path is no address: write unix://%s%.*s, or vsock-mux://:PORT%s%.*s", root, SPAN(shown), root, SPAN(shown));
    return REFUSE(r, "no scheme: write vsock://CID:PORT, hvsock://VM/SERVICE, vsock-mux://:PORT/PATH or unix:///PATH");
}

/* --- All of it ------------------------------------------------------------------------------------------------------------------- */

/* NULL, or why this is no text of an address. */
static const char *measure(const char *text, size_t *length)
{
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        if (n == VS_TEXT_MAX)
            return "an address has at most 4096 bytes";
        if ((unsigned char)text[n] < 0x20 || text[n] == 0x7f)
            return "an address has no control character (in a path, %0A stands for a line's end)";
    }
    *length = n;
    return NULL;
}

/* Takes the options off r->rest. NULL, or why not. */
static const char *take_options(struct reader *r, bool has_type)
{
    struct vs_span all = r->rest, item;
    unsigned       seen = has_type ? 1u << VIRTSOCK_PART_TYPE : 0;
    const char    *why = NULL;

    if (!cut(&all, '?', &r->rest))
        return NULL;
    while (why == NULL && cut(&all, '&', &item))
        why = read_option(r->head, item, &seen);
    return why != NULL ? why : read_option(r->head, all, &seen);
}

static virtsock_status parse(struct reader *r)
{
    const struct form *form;
    size_t             all, n;
    const char        *why = measure(r->text, &all);

    if (why != NULL)
        return REFUSE(r, "%s", why);
    n = scheme_length(r->text);
    if (n == 0 || r->text[n] != ':')
        return refuse_bare(r, n);
    form = find_form(r->text, n);
    if (form == NULL)
        return refuse_scheme(r, n);
    r->slashes = strncmp(r->text + n + 1, "//", 2) == 0;
    if (form->read == NULL || (form->slashes == ALWAYS && !r->slashes) || (form->slashes == NEVER && r->slashes))
        return REFUSE(r, "write %s", form->shape);

    vs_address_begin(r->head, form->scheme);
    r->head->type = form->type != 0 ? form->type : r->head->type;
    n += r->slashes ? 3 : 1;
    r->rest = (struct vs_span){ r->text + n, all - n };
    why = take_options(r, form->type != 0);
    return why != NULL ? REFUSE(r, "%s", why) : form->read(r);
}

virtsock_status virtsock_address_parse(virtsock_address **out, const char *text, virtsock_error *err)
{
    virtsock_address head;
    struct reader    r = { text, nothing, false, &head, out, err };

    if (out != NULL)
        *out = NULL;
    if (out == NULL || text == NULL)
        return vs_refuse(err, "parse", NULL, VIRTSOCK_E_INVALID, "no text, or no place for the address");
    return parse(&r);
}
