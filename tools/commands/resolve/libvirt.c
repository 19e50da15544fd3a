/* SPDX-License-Identifier: MIT
 *
 * Finds a domain's CID in libvirt's XML: see libvirt.h. Elements are told apart by their whole path, so that nothing in a description, a
 * comment or another program's metadata passes for one. Entities are left as they are: no value that is wanted here has any.
 */
#include "libvirt.h"

#include <stdbool.h>
#include <string.h>

#define BLANKS " \t\r\n"

struct reader {
    const char *at;
    const char *domain;                 /* asked for */
    char        path[128];              /* of the element that is open: "/domain/devices" */
    int         beyond;                 /* elements open inside of one whose path has no room */
    bool        runs, named, vsock, automatic, has_cid;
    uint32_t    cid;
};

static bool skip_past(struct reader *r, const char *mark)
{
    const char *found = strstr(r->at, mark);

    if (found != NULL)
        r->at = found + strlen(mark);
    return found != NULL;
}

static bool span_is(const char *span, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(span, text, n) == 0;
}

/* Guests have 3 and above. */
static bool read_cid(const char *s, size_t n, uint32_t *cid)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || value > UINT32_MAX)
            return false;
        value = value * 10 + (uint64_t)(s[i] - '0');
    }
    *cid = (uint32_t)value;
    return value >= 3 && value < UINT32_MAX;
}

static void note_attribute(struct reader *r, const char *name, size_t n, const char *value, size_t size)
{
    if (strcmp(r->path, "/domain") == 0 && span_is(name, n, "id"))
        r->runs = true;
    if (strcmp(r->path, "/domain/devices/vsock/cid") != 0)
        return;
    if (span_is(name, n, "auto"))
        r->automatic = span_is(value, size, "yes");
    else if (span_is(name, n, "address"))
        r->has_cid = read_cid(value, size, &r->cid);
}

/* NAME="VALUE" as often as it is there. */
static bool read_attributes(struct reader *r)
{
    while ((r->at += strspn(r->at, BLANKS)), strchr("/>", *r->at) == NULL) {
        const char *name = r->at, *value;
        size_t      n = strcspn(name, "= \t\r\n/>"), size;
        char        quote[2] = "";

        r->at = name + n + strspn(name + n, BLANKS);
        if (n == 0 || *r->at++ != '=')
            return false;
        r->at += strspn(r->at, BLANKS);
        if (*r->at != '"' && *r->at != '\'')
            return false;
        quote[0] = *r->at;
        value = r->at + 1;
        size = strcspn(value, quote);
        if (value[size] == '\0')
            return false;
        note_attribute(r, name, n, value, size);
        r->at = value + size + 1;
    }
    return true;
}

static void leave(struct reader *r)
{
    if (r->beyond > 0)
        r->beyond--;
    else
        *strrchr(r->path, '/') = '\0';
}

static bool read_open(struct reader *r)
{
    const char *name = r->at + 1;
    size_t      n = strcspn(name, " \t\r\n/>"), length = strlen(r->path);

    if (n == 0)
        return false;
    if (r->beyond > 0 || length + 1 + n >= sizeof r->path) {
        r->beyond++;
    } else {
        r->path[length] = '/';
        memcpy(r->path + length + 1, name, n);
        r->path[length + 1 + n] = '\0';
        r->vsock = r->vsock || strcmp(r->path, "/domain/devices/vsock") == 0;
    }
    r->at = name + n;
    if (!read_attributes(r))
        return false;
    if (*r->at == '/') {
        leave(r);
        r->at++;
    }
    if (*r->at++ != '>')
        return false;
    if (strcmp(r->path, "/domain/name") == 0 || strcmp(r->path, "/domain/uuid") == 0)
        r->named = r->named || span_is(r->at, strcspn(r->at, "<"), r->domain);
    return true;
}

static bool read_close(struct reader *r)
{
    const char *name = r->at + 2, *open = strrchr(r->path, '/');
    size_t      n = strcspn(name, " \t\r\n>");

    if (r->beyond == 0 && (open == NULL || !span_is(name, n, open + 1)))
        return false;
    leave(r);
    return skip_past(r, ">");
}

static bool read_markup(struct reader *r)
{
    if (strncmp(r->at, "<!--", 4) == 0)
        return skip_past(r, "-->");
    if (strncmp(r->at, "<![CDATA[", 9) == 0)
        return skip_past(r, "]]>");
    if (strncmp(r->at, "<?", 2) == 0)
        return skip_past(r, "?>");
    return strncmp(r->at, "</", 2) == 0 ? read_close(r) : read_open(r);
}

enum libvirt_answer libvirt_read(const char *xml, const char *domain, uint32_t *cid)
{
    struct reader r = { .at = xml, .domain = domain };
    bool          any = false;

    while ((r.at = strchr(r.at, '<')) != NULL) {
        if (!read_markup(&r))
            return LIBVIRT_UNREADABLE;
        any = true;
    }
    if (!any || r.path[0] != '\0' || r.beyond > 0)
        return LIBVIRT_UNREADABLE;
    if (!r.named && domain[strspn(domain, " \t+-0123456789abcdefABCDEF")] == '\0')
        return LIBVIRT_OTHER;
    if (!r.vsock)
        return LIBVIRT_NO_VSOCK;
    *cid = r.cid;
    return r.has_cid && (r.runs || !r.automatic) ? LIBVIRT_CID : LIBVIRT_OFF;
}
