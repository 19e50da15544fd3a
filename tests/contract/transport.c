/* SPDX-License-Identifier: MIT
 *
 * The transport under test: what is a fact of it, and how addresses, listeners and pairs of it are made from one template.
 */
#include <stdlib.h>

#include "suite.h"

#define ADDRESSES_MAX 10000
#define TINY          1024              /* bytes; the kernel makes a little more of it */
#ifdef _WIN32
#define HAS_SOCKETPAIRS false
#define UNREAD_OF_TCP   UNREAD_EITHER   /* Wine 8 forgets a reset that comes while nobody receives */
#else
#define HAS_SOCKETPAIRS true
#define UNREAD_OF_TCP   UNREAD_RESETS
#endif

static const struct traits table[] = {
    /* Nothing is between the two ends, so everything shows; there is no address, so nothing of listening does. */
    { .scheme = VIRTSOCK_SCHEME_NONE, .unread = UNREAD_RESETS },

    /* Linux holds a connection back until the backlog has room, and tells a peer of data that was never read. A path may be that of a
     * listener that died, which only a connection can tell. Users are known, CIDs not. */
    { .scheme = VIRTSOCK_SCHEME_UNIX, .replies = true, .full = FULL_WAITS, .unread = UNREAD_RESETS, .probes = true,
      .no_any_port = "a path is no port",
      .rules = { { "self", "uid", "local", NULL }, { "uid=4294967294", NULL }, { "3", "host", NULL } } },

    /* Linux refuses at once when the backlog is full, and ends in order with data unread. CIDs are known, users not. */
    { .scheme = VIRTSOCK_SCHEME_VSOCK, .replies = true, .full = FULL_REFUSES, .unread = UNREAD_ENDS,
      .rules = { { "local", "1", "0-5", NULL }, { "7", "local:privileged", "host", NULL }, { "self", "uid", NULL } } },

    /* As Windows documents it: VMs are known, users and CIDs not; what a close leaves unsent is dropped. What a full backlog does, and what
     * a peer sees of data that was never read, is not documented. */
    { .scheme = VIRTSOCK_SCHEME_HYPERV, .replies = true, .full = FULL_UNKNOWN, .unread = UNREAD_EITHER, .drops = true,
      .rules = { { "local", VIRTSOCK_VM_LOOPBACK, NULL }, { "parent", "55555555-6666-7777-0809-0a0b0c0d0e0f", NULL },
                 { "3", "self", "uid", NULL } } },

    /* Linux drops the SYN when the backlog is full, and sends RST for data that was never read. Nothing that rules name is known. */
    { .scheme = VIRTSOCK_SCHEME_TCP, .replies = true, .full = FULL_WAITS, .unread = UNREAD_OF_TCP,
      .rules = { { NULL }, { NULL }, { "self", "uid", "3", NULL } } },

    /* The multiplexer connects on, with a queue of its own, and it has read what the listener never reads. It is whose user is known. */
    { .scheme = VIRTSOCK_SCHEME_MUX, .replies = true, .full = FULL_UNKNOWN, .silent = true, .unread = UNREAD_EITHER,
      .probes = true, .no_any_port = "the port is the name of a path",
      .rules = { { "self", "uid", NULL }, { "uid=4294967294", NULL }, { "3", "local", NULL } } },

    /* The same, and HyperKit sends no reply to a connection: it succeeds before anybody was asked. */
    { .scheme = VIRTSOCK_SCHEME_HYPERKIT, .replies = false, .full = FULL_UNKNOWN, .unread = UNREAD_EITHER,
      .probes = true, .no_any_port = "the port is the name of a path",
      .rules = { { "self", "uid", NULL }, { "uid=4294967294", NULL }, { "3", "local", NULL } } },
};

/* --- The template ------------------------------------------------------------------------------------------------------- */

/* Canonical, in three pieces: a number goes between head and tail. */
static char     head[400], tail[400];
static uint32_t base;
static bool     any_port;               /* the system chooses */

static bool wrong(const char *text, const char *why)
{
    fprintf(stderr, "virtsock-selftest: %s: %s\n", text, why);
    return false;
}

/* unix:///PATH?type=... becomes PATH.N. */
static void split_at_query(const char *text)
{
    const char *query = strchr(text, '?');
    size_t      n = query != NULL ? (size_t)(query - text) : strlen(text);

    snprintf(head, sizeof head, "%.*s.", (int)n, text);
    snprintf(tail, sizeof tail, "%s", text + n);
}

/* hvsock://loopback/SERVICE: numbers are services, too. */
static bool take_service(const virtsock_address *a, const char *text)
{
    const char *vm = virtsock_address_text(a, VIRTSOCK_PART_VM), *service = virtsock_address_text(a, VIRTSOCK_PART_SERVICE);

    snprintf(head, sizeof head, "hvsock://loopback/");
    if (vm == NULL || strcmp(vm, "loopback") != 0)
        return wrong(text, "both ends are one machine: write hvsock://loopback/PORT");
    if (service == NULL || virtsock_port_from_service(service, &base) != VIRTSOCK_OK)
        return wrong(text, "a port is missing, from which to count");
    return base <= INT32_MAX - ADDRESSES_MAX || wrong(text, "the 10,000 ports above it are used, too: choose a lower one");
}

/* SCHEME://HOST:PORT/... : the port is after the last colon before the path. */
static void split_at_port(const char *text)
{
    const char *authority = strstr(text, "://") + 3;
    size_t      n = strcspn(authority, "/?");
    const char *port = authority + n;

    while (port[-1] != ':')
        port--;
    snprintf(head, sizeof head, "%.*s", (int)(port - text), text);
    snprintf(tail, sizeof tail, "%s", authority + n);
}

static bool take_port(const virtsock_address *a, const char *text)
{
    const bool tcp = under_test.traits->scheme == VIRTSOCK_SCHEME_TCP;
    uint32_t   cid = VIRTSOCK_CID_ANY;

    virtsock_address_number(a, VIRTSOCK_PART_CID, &cid);
    if (under_test.traits->scheme == VIRTSOCK_SCHEME_VSOCK && cid == VIRTSOCK_CID_ANY)
        return wrong(text, "both ends are one machine: write vsock://local:PORT");
    if (virtsock_address_number(a, VIRTSOCK_PART_PORT, &base) != VIRTSOCK_OK)
        return wrong(text, "a port is missing, from which to count");
    any_port = tcp && (base == VIRTSOCK_PORT_ANY || base == 0);
    if (!any_port && base > (tcp ? UINT16_MAX : UINT32_MAX) - ADDRESSES_MAX)
        return wrong(text, "the 10,000 ports above it are used, too: choose a lower one");
    return true;
}

static bool take(const virtsock_address *a, const char *text)
{
    static char canonical[400];
    uint32_t    type = VIRTSOCK_TYPE_STREAM, half_close = VIRTSOCK_HALF_CLOSE_NATIVE;

    if (virtsock_address_format(a, canonical, sizeof canonical) > 300)
        return wrong(text, "too long");
    virtsock_address_number(a, VIRTSOCK_PART_TYPE, &type);
    virtsock_address_number(a, VIRTSOCK_PART_HALF_CLOSE, &half_close);
    under_test.messages = type == VIRTSOCK_TYPE_SEQPACKET;
    under_test.whole = half_close == VIRTSOCK_HALF_CLOSE_NONE || half_close == VIRTSOCK_HALF_CLOSE_UNKNOWN;
    under_test.framed = half_close == VIRTSOCK_HALF_CLOSE_FRAMED;
    under_test.torn = under_test.messages && under_test.traits->scheme == VIRTSOCK_SCHEME_VSOCK;
    if (under_test.traits->scheme == VIRTSOCK_SCHEME_UNIX) {
        split_at_query(canonical);
        return true;
    }
    if (under_test.traits->scheme == VIRTSOCK_SCHEME_HYPERV)
        return take_service(a, text);
    split_at_port(canonical);
    return take_port(a, text);
}

static const struct traits *traits_of(virtsock_scheme scheme)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].scheme == scheme)
            return &table[i];
    return NULL;
}

bool transport_open(const char *text)
{
    virtsock_address *a;
    virtsock_error    e = { 0 };
    bool              fits;

    under_test.text = text;
    under_test.traits = traits_of(VIRTSOCK_SCHEME_NONE);
    if (strcmp(text, "socketpair") == 0)
        return HAS_SOCKETPAIRS || wrong(text, "this system has none");
    if (virtsock_address_parse(&a, text, &e) != VIRTSOCK_OK) {
        fprintf(stderr, "virtsock-selftest: %s\n", e.message);
        return false;
    }
    under_test.traits = traits_of(virtsock_address_scheme(a));
    if (under_test.traits == NULL)
        fits = wrong(text, "nothing is known of that transport");
    else if ((fits = take(a, text)) && virtsock_supported(virtsock_address_scheme(a), &e) != VIRTSOCK_OK)
        fits = wrong(text, e.message);
    virtsock_address_free(a);
    return fits;
}

/* --- Addresses and listeners ----------------------------------------------------------------------------------------------- */

static virtsock_address *parse(const char *text)
{
    virtsock_address *a;
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_address_parse(&a, text, &e), e);
    return a;
}

static virtsock_address *numbered(void)
{
    char text[900];

    snprintf(text, sizeof text, "%s%lu%s", head, (unsigned long)base + (unsigned long)under_test.number, tail);
    under_test.number++;
    return parse(text);
}

virtsock_address *any_address(void)
{
    char text[900];

    if (under_test.traits->scheme == VIRTSOCK_SCHEME_HYPERV)
        return parse("hvsock://loopback");
    snprintf(text, sizeof text, "%sany%s", head, tail);
    return parse(text);
}

static void listen_any(virtsock_listener **l, virtsock_address **address, const virtsock_options *options)
{
    virtsock_address *any = any_address();
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_listen(l, any, options, &e), e);
    CHECK_OK(virtsock_listener_address(*l, address, &e), e);
    virtsock_address_free(any);
}

virtsock_address *fresh_address(void)
{
    virtsock_listener *l;
    virtsock_address  *a;

    if (!any_port)
        return numbered();
    listen_any(&l, &a, NULL);
    virtsock_listener_free(l);
    return a;
}

virtsock_address *nobody_address(void)
{
    char text[900];

    if (under_test.traits->replies)
        return fresh_address();
    snprintf(text, sizeof text, "%s%u%s/nobody", head, base, tail);     /* no directory, so not even HyperKit */
    return parse(text);
}

void listen_fresh(virtsock_listener **l, virtsock_address **address, const virtsock_options *options)
{
    virtsock_error e = { 0 };

    if (any_port) {
        listen_any(l, address, options);
        return;
    }
    *address = numbered();
    CHECK_OK(virtsock_listen(l, *address, options, &e), e);
}

/* --- Pairs ------------------------------------------------------------------------------------------------------------------- */

static void make_socketpair(virtsock_stream *s[2], const virtsock_options *options)
{
    virtsock_error e = { 0 };
    virtsock_fd    fds[2];

    CHECK(small_sockets(fds, TINY));
    for (int i = 0; i < 2; i++)
        CHECK_OK(virtsock_stream_from_fd(&s[i], fds[i], options, &e), e);
}

void connect_pair(virtsock_stream *s[2], virtsock_listener *l, const virtsock_address *a)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_connect(&s[0], a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, patient_ms(), &e), e);
}

void make_pair(virtsock_stream *s[2], const virtsock_options *options)
{
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_error     e = { 0 };

    if (under_test.traits->scheme == VIRTSOCK_SCHEME_NONE) {
        make_socketpair(s, options);
        return;
    }
    listen_fresh(&l, &a, options);
    CHECK_OK(virtsock_connect(&s[0], a, options, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, patient_ms(), &e), e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

void free_pair(virtsock_stream *s[2])
{
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* --- Options, and a hole ------------------------------------------------------------------------------------------------------ */

void set(virtsock_options *o, virtsock_option option, int64_t value)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_options_set(o, option, value, &e), e);
}

virtsock_options *with(virtsock_option option, int64_t value)
{
    virtsock_options *o = virtsock_options_new();

    CHECK(o != NULL);
    set(o, option, value);
    return o;
}

/* A UNIX socket where a multiplexer should be, at which nobody reads. */
static void dig_silent(struct hole *h)
{
    virtsock_address *multiplexer, *mute;
    virtsock_error    e = { 0 };
    char              path[120];
    uint32_t          port;

    multiplexer = numbered();
    CHECK_OK(virtsock_address_number(multiplexer, VIRTSOCK_PART_PORT, &port), e);
    snprintf(path, sizeof path, "%s.mute%lu", virtsock_address_text(multiplexer, VIRTSOCK_PART_PATH), (unsigned long)port);
    virtsock_address_free(multiplexer);
    CHECK_OK(virtsock_address_path(&mute, VIRTSOCK_SCHEME_UNIX, path, 0, &e), e);
    CHECK_OK(virtsock_listen(&h->l, mute, NULL, &e), e);
    virtsock_address_free(mute);
    CHECK_OK(virtsock_address_path(&h->address, under_test.traits->scheme, path, port, &e), e);
}

/* A listener that accepts nobody, with its backlog full. */
static void dig_full(struct hole *h)
{
    virtsock_options *one = with(VIRTSOCK_OPTION_BACKLOG, 1), *soon = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 100);
    virtsock_error    e = { 0 };
    virtsock_status   status;

    listen_fresh(&h->l, &h->address, one);
    while ((status = virtsock_connect(&h->fill[h->filled], h->address, soon, &e)) == VIRTSOCK_OK) {
        h->filled++;
        CHECK(h->filled < 16);
    }
    CHECK_STATUS(status, VIRTSOCK_E_TIMEOUT, e);
    CHECK(h->filled >= 1);
    virtsock_options_free(one);
    virtsock_options_free(soon);
}

bool hole_dig(struct hole *h)
{
    memset(h, 0, sizeof *h);
    if (under_test.traits->silent)
        dig_silent(h);
    else if (under_test.traits->full == FULL_WAITS && under_test.traits->replies)
        dig_full(h);
    else
        return false;
    return true;
}

void hole_fill(struct hole *h)
{
    for (int i = 0; i < h->filled; i++)
        virtsock_stream_free(h->fill[i]);
    virtsock_listener_free(h->l);
    virtsock_address_free(h->address);
}
