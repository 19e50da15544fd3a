/* SPDX-License-Identifier: MIT
 *
 * Addresses as sock_stress and hvstress of linuxkit/virtsock take them, made addresses of this project: nothing at
 * all, a bare CID, a scheme alone, a host without a port, and its modes for HyperKit. What is filled in is told. What
 * it took for another than it says is refused here.
 */
#include <stdio.h>
#include <string.h>

#include "common/ancestor.h"
#include "common/peer.h"
#include "common/report.h"
#include "stress.h"

#define TEXT_MAX 4096

struct text {
    char   s[TEXT_MAX + 64];
    size_t size;
};

static void add(struct text *t, const char *s, size_t size)
{
    if (size > TEXT_MAX - t->size)      /* no address is so long: it will be refused */
        size = TEXT_MAX - t->size;
    memcpy(t->s + t->size, s, size);
    t->s[t->size += size] = '\0';
}

static void add_text(struct text *t, const char *s)
{
    add(t, s, strlen(s));
}

/* A scheme may be in any case; sock_stress's words are as it has them. */
static bool is(const char *text, const char *end, const char *word)
{
    return end != NULL ? peer_is_scheme(text, (size_t)(end - text), word) : strcmp(text, word) == 0;
}

/* host[:port] with what is missing. */
static void fill_internet(struct text *t, const char *rest, bool six)
{
    size_t host = *rest == '[' ? strcspn(rest, "]") + (strchr(rest, ']') != NULL) : strcspn(rest, ":/?");

    if (host > 0)
        add(t, rest, host);
    else
        add_text(t, six ? "[::1]" : "localhost");
    rest += host;
    if (*rest != ':' || rest[1] == '\0' || rest[1] == '/' || rest[1] == '?') {
        char port[16];

        snprintf(port, sizeof port, ":%d", UDP_PORT);
        add_text(t, port);
        rest += *rest == ':';
    }
    add_text(t, rest);
}

/* What hyperkit: names, as a path of an address: relative ones are /./PATH there. */
static void add_directory(struct text *t, const char *path)
{
    add_text(t, *path == '/' ? "" : *path == '.' ? "/" : "/./");
    for (; *path != '\0'; path++)
        if (*path == '?' || *path == '%')
            add_text(t, *path == '?' ? "%3F" : "%25");
        else
            add(t, path, 1);
}

/* vsock://CID:PORT, all but the scheme, in the mode. */
static int fill_mode(struct text *t, const char *rest, const char *mode)
{
    static const char hyperkit[] = "hyperkit:";
    bool              docker = strcmp(mode, "docker") == 0;

    if (!docker && (strncmp(mode, hyperkit, strlen(hyperkit)) != 0 || mode[strlen(hyperkit)] == '\0'))
        return report_usage("-m \"%s\": it is hyperkit:DIRECTORY, docker, or a number of bytes", mode);
    add_text(t, docker ? "hyperkit+docker://" : "hyperkit://");
    add_text(t, rest);
    if (!docker)
        add_directory(t, mode + strlen(hyperkit));
    return EXIT_DONE;
}

static int fill(struct text *t, const char *text, const char *mode, bool listening)
{
    static const char *const words[] = { "vsock", "hvsock", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6" };
    enum { VSOCK, HVSOCK, INTERNET, END = sizeof words / sizeof *words };
    const char *end = strstr(text, "://"), *rest = end != NULL ? end + 3 : "";
    size_t      i = 0;

    if (text[strspn(text, "0123456789")] == '\0')
        rest = text;                    /* a CID, or nothing */
    else
        while (i < END && !is(text, end, words[i]))
            i++;
    if (mode != NULL)
        return i == VSOCK ? fill_mode(t, rest, mode) : report_usage("-m %s is for vsock://CID:PORT, a CID, or no address", mode);
    if (i == END) {
        add_text(t, text);
        return EXIT_DONE;
    }
    add(t, words[i], i >= INTERNET ? 3 : strlen(words[i]));
    add_text(t, "://");
    if (i >= INTERNET) {
        fill_internet(t, rest, words[i][3] == '6');
        return EXIT_DONE;
    }
    if (!listening && strchr(":/?", *rest) != NULL)     /* a client that names nobody means this machine; strchr finds the end, too */
        add_text(t, i == VSOCK ? "local" : "loopback");
    add_text(t, rest);
    return EXIT_DONE;
}

/* As hvstress was told, on its port. */
static int read_hvstress(const char *text, const char *mode, bool listening)
{
    int code;

    if (mode != NULL)
        return report_usage("-m %s is for vsock://CID:PORT, a CID, or no address", mode);
    code = ancestor_address(&stress.address, text, stress.vsock, listening);
    if (code != EXIT_DONE)
        return code;
    if ((stress.where = peer_text(stress.address)) == NULL)
        return report_no_memory();
    report_line("%s: %s is taken", *text != '\0' ? text : "no address", stress.where);
    return EXIT_DONE;
}

int stress_read_address(const char *text, const char *mode, bool listening)
{
    static struct text t;
    int                code;

    if (stress.vsock || ancestor_is_target(text))
        return read_hvstress(text, mode, listening);
    code = fill(&t, text, mode, listening);

    if (code != EXIT_DONE)
        return code;
    if (strcmp(t.s, text) != 0)
        report_line("%s: %s is taken", *text != '\0' ? text : "no address", t.s);
    stress.where = t.s;
    if (udp_is(t.s))
        return udp_read(&stress.udp, t.s);
    code = peer_address(&stress.address, t.s, strncmp(t.s, "hvsock", 6) == 0 ? PORT_HVECHO : PORT_STRESS);
    if (code == EXIT_DONE && (stress.where = peer_text(stress.address)) == NULL)
        stress.where = t.s;
    return code;
}
