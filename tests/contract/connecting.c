/* SPDX-License-Identifier: MIT
 *
 * Connecting, listening and accepting: refused, late, full, many at once; whom a listener admits; descriptors that change hands.
 */
#include "rows.h"
#include "suite.h"


#define CROWD 100

/* HyperKit's connection to a port without a listener: nothing can be said before the first receive. */
static void check_unreplied(void)
{
    virtsock_address *a = fresh_address();
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    virtsock_status   status;
    size_t            n;
    char              b;

    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    status = virtsock_stream_recv(s, &b, 1, &n, patient_ms(), &e);
    CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    virtsock_stream_free(s);
    virtsock_address_free(a);
}

static bool is_late(struct test_watch w)
{
    test_watch_end(&w);
    return test_used_us(&w) >= late_ms() * 1000;
}

/* Where another program says no, it may wait for a processor, and nobody counts that: at most two of three are late. */
void refused(void)
{
    virtsock_address *a = nobody_address();
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_watch w;
    int               tries = under_test.traits->silent ? 3 : 1;

    do {
        w = test_watch_begin();
        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
        CHECK(s == NULL && e.attempts == 1 && e.message[0] != '\0');
    } while (--tries > 0 && is_late(w));
    CHECK_TIME(w, 0);
    virtsock_address_free(a);
    if (!under_test.traits->replies)
        check_unreplied();
}

void connect_deadline(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 200);
    virtsock_address *a = nobody_address();
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_watch w = test_watch_begin();

    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 200);
    CHECK(s == NULL && (e.attempts >= 3 || w.delay_us > 50000));
    virtsock_address_free(a);
    virtsock_options_free(o);
}

void attempt_deadline(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 150);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct hole       h;
    struct test_watch w;

    if (hole_dig(&h)) {
        w = test_watch_begin();
        CHECK_STATUS(virtsock_connect(&s, h.address, o, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK_TIME(w, 150);
        CHECK(s == NULL && e.attempts == 1);
        hole_fill(&h);
    } else {
        skip("here every connection within one machine is answered at once, with yes or no");
    }
    virtsock_options_free(o);
}

/* --- A listener that comes late -------------------------------------------------------------------------------------------- */

/* Who connects sleeps between two attempts by then. */
struct late {
    const virtsock_address *address;
    long                    client;     /* its thread */
    pthread_t               thread;
};

static void *listen_late(void *late)
{
    const struct late *w = late;
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    while (test_runs(w->client))
        nap_us(1000);
    nap_us(150000);
    CHECK_OK(virtsock_listen(&l, w->address, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s, l, patient_ms(), &e), e);
    put(s, "late", 4);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    return NULL;
}

void late_listener(void)
{
    virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, patient_ms());
    struct late       w = { .address = fresh_address(), .client = test_thread() };
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           began = test_us(), attempts;
    char              got[4];

    start(&w.thread, listen_late, &w);
    CHECK_OK(virtsock_connect(&s, w.address, o, &e), e);
    CHECK(test_us() - began >= 150000);
    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    CHECK(attempts > 1);
    get(s, got, 4);
    end(w.thread);
    virtsock_stream_free(s);
    virtsock_address_free((virtsock_address *)(uintptr_t)w.address);
    virtsock_options_free(o);
}

/* As a foreign event loop does it: every step in no time, and nothing is waited for that was not asked for. */
static void drive(virtsock_stream *s)
{
    virtsock_error  e = { 0 };
    virtsock_status status;

    for (;;) {
        struct test_watch w = test_watch_begin();
        virtsock_fd       fd;
        int               events, timeout;

        status = virtsock_stream_connect(s, 0, &e);
        CHECK_TIME(w, 0);
        if (status != VIRTSOCK_E_AGAIN)
            break;
        virtsock_stream_wants(s, &fd, &events, &timeout);
        CHECK(fd >= 0 ? events != 0 : timeout >= 0);
        test_wait(fd, events, timeout);
    }
    CHECK_STATUS(status, VIRTSOCK_OK, e);
}

void poll_loop(void)
{
    virtsock_options  *o = with(VIRTSOCK_OPTION_WAIT, patient_ms());
    struct late        w;
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    size_t             n;
    char               got[4];

    listen_fresh(&l, &a, NULL);                                 /* somebody is there */
    CHECK_OK(virtsock_connect_start(&s[0], a, o, &e), e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, 0, &e), VIRTSOCK_E_INVALID, e);
    drive(s[0]);
    CHECK_OK(virtsock_accept(&s[1], l, patient_ms(), &e), e);
    check_echo(s[0], s[1]);
    free_pair(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    if (under_test.traits->replies) {                           /* and somebody comes late */
        w.address = a = fresh_address();
        w.client = test_thread();
        CHECK_OK(virtsock_connect_start(&s[0], a, o, &e), e);
        start(&w.thread, listen_late, &w);
        drive(s[0]);
        get(s[0], got, 4);
        end(w.thread);
        virtsock_stream_free(s[0]);
        virtsock_address_free(a);
    }
    virtsock_options_free(o);
}

/* --- Listeners ---------------------------------------------------------------------------------------------------------------- */

/* The second listener was no client of the first. */
static void meet_nobody(virtsock_listener *l)
{
    virtsock_stream *s;
    virtsock_error   e = { 0 };

    CHECK_STATUS(virtsock_accept(&s, l, 0, &e), VIRTSOCK_E_AGAIN, e);
}

void two_listeners(void)
{
    virtsock_listener *l, *m;
    virtsock_address  *a;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };

    listen_fresh(&l, &a, NULL);
    CHECK_STATUS(virtsock_listen(&m, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK(m == NULL);
    if (under_test.traits->probes)
        meet_nobody(l);
    connect_pair(s, l, a);
    check_echo(s[0], s[1]);
    free_pair(s);
    virtsock_listener_free(l);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    connect_pair(s, l, a);
    free_pair(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

void any_port(void)
{
    virtsock_address  *a, *where;
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    uint32_t           port = VIRTSOCK_PORT_ANY;

    if (under_test.traits->no_any_port != NULL) {
        skip("%s", under_test.traits->no_any_port);
        return;
    }
    a = any_address();
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_listener_address(l, &where, &e), e);
    if (under_test.traits->scheme == VIRTSOCK_SCHEME_HYPERV)
        CHECK_OK(virtsock_port_from_service(virtsock_address_text(where, VIRTSOCK_PART_SERVICE), &port), e);
    else
        CHECK_OK(virtsock_address_number(where, VIRTSOCK_PART_PORT, &port), e);
    CHECK(port != VIRTSOCK_PORT_ANY && port >= 1024);
    connect_pair(s, l, where);
    check_echo(s[0], s[1]);
    free_pair(s);
    virtsock_listener_free(l);
    virtsock_address_free(where);
    virtsock_address_free(a);
}

/* UNIX holds a connection back, TCP drops its packets, both until the deadline; AF_VSOCK refuses. */
void full_backlog(void)
{
    virtsock_options  *one = with(VIRTSOCK_OPTION_BACKLOG, 1), *o = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 100);
    virtsock_address  *a;
    virtsock_stream   *s[16], *next, *accepted;
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    virtsock_status    status = VIRTSOCK_OK;
    int                n = 0;

    if (under_test.traits->full == FULL_UNKNOWN) {
        skip("whose queue is met, and what a full one does, is not known of this transport");
        goto out;
    }
    listen_fresh(&l, &a, one);
    while (n < 16 && (status = virtsock_connect(&s[n], a, o, &e)) == VIRTSOCK_OK)
        n++;
    CHECK(n >= 1);
    CHECK_STATUS(status, under_test.traits->full == FULL_WAITS ? VIRTSOCK_E_TIMEOUT : VIRTSOCK_E_REFUSED, e);
    set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, -1);
    set(o, VIRTSOCK_OPTION_WAIT, patient_ms());
    CHECK_OK(virtsock_connect_start(&next, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(next, 30, &e), VIRTSOCK_E_AGAIN, e);
    for (int i = 0; i < n; i++) {
        CHECK_OK(virtsock_accept(&accepted, l, patient_ms(), &e), e);
        virtsock_stream_free(accepted);
        virtsock_stream_free(s[i]);
    }
    CHECK_OK(virtsock_stream_connect(next, -1, &e), e);
    virtsock_stream_free(next);
    virtsock_listener_free(l);
    virtsock_address_free(a);
out:
    virtsock_options_free(one);
    virtsock_options_free(o);
}

/* --- A crowd ------------------------------------------------------------------------------------------------------------------- */

struct client {
    const virtsock_address *address;
    const virtsock_options *options;
    uint64_t                id;
    virtsock_stream        *s;
    pthread_t               thread;
};

static void *visit(void *client)
{
    struct client *c = client;
    virtsock_error e = { 0 };
    uint64_t       answer = 0;

    CHECK_OK(virtsock_connect(&c->s, c->address, c->options, &e), e);
    put(c->s, &c->id, sizeof c->id);
    get(c->s, &answer, sizeof answer);
    CHECK_EQUAL(answer, 3 * c->id + 1);
    return NULL;
}

void many_clients(void)
{
    static struct client c[CROWD];
    virtsock_options    *o = with(VIRTSOCK_OPTION_WAIT, patient_ms());
    virtsock_stream     *s[CROWD];
    virtsock_listener   *l;
    virtsock_address    *a;
    virtsock_error       e = { 0 };

    listen_fresh(&l, &a, NULL);
    for (int i = 0; i < CROWD; i++) {
        c[i] = (struct client){ .address = a, .options = o, .id = (uint64_t)i };
        start(&c[i].thread, visit, &c[i]);
    }
    for (int i = 0; i < CROWD; i++)                             /* all are there before the first is answered */
        CHECK_OK(virtsock_accept(&s[i], l, patient_ms(), &e), e);
    for (int i = 0; i < CROWD; i++) {
        uint64_t id;

        get(s[i], &id, sizeof id);
        id = 3 * id + 1;
        put(s[i], &id, sizeof id);
    }
    for (int i = 0; i < CROWD; i++) {
        end(c[i].thread);
        virtsock_stream_free(c[i].s);
        virtsock_stream_free(s[i]);
    }
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* --- Whom a listener admits -------------------------------------------------------------------------------------------------- */

static void check_rule(const char *rule, int verdict)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = fresh_address();
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    virtsock_status    status;
    char               text[32], b;
    size_t             n;

    snprintf(text, sizeof text, "uid=%lld", (long long)test_user());
    CHECK_OK(virtsock_options_allow(o, strcmp(rule, "uid") == 0 ? text : rule, &e), e);
    if (verdict == UNSUPPORTED) {
        CHECK_STATUS(virtsock_listen(&l, a, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
    } else {
        CHECK_OK(virtsock_listen(&l, a, o, &e), e);
        CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
        CHECK_STATUS(virtsock_accept(&t, l, verdict == ADMITTED ? patient_ms() : 100, &e),
                     verdict == ADMITTED ? VIRTSOCK_OK : VIRTSOCK_E_TIMEOUT, e);
        if (verdict == REFUSED) {                               /* turned away, not left to wait */
            status = virtsock_stream_recv(s, &b, 1, &n, patient_ms(), &e);
            CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
        }
        virtsock_stream_free(t);
        virtsock_stream_free(s);
        virtsock_listener_free(l);
    }
    virtsock_address_free(a);
    virtsock_options_free(o);
}

void peer_rules(void)
{
    for (int verdict = ADMITTED; verdict <= UNSUPPORTED; verdict++)
        for (const char *const *rule = under_test.traits->rules[verdict]; *rule != NULL; rule++)
            check_rule(*rule, verdict);
}

/* --- Descriptors ------------------------------------------------------------------------------------------------------------------ */

void detach_and_adopt(void)
{
    virtsock_stream *s[2], *t;
    virtsock_error   e = { 0 };
    virtsock_fd      fd = -1, none;
    size_t           n;
    int              flags;

    make_pair(s, NULL);
    put(s[1], "before", 6);
    flags = test_flags(virtsock_stream_fd(s[0]));
    CHECK_OK(virtsock_stream_detach(s[0], &fd, &e), e);
    CHECK(fd >= 0 && virtsock_stream_fd(s[0]) == -1 && test_flags(fd) == flags);
    CHECK_STATUS(virtsock_stream_detach(s[0], &none, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, 0, &e), VIRTSOCK_E_CANCELLED, e);
    virtsock_stream_free(s[0]);
    CHECK_OK(virtsock_stream_from_fd(&t, fd, NULL, &e), e);
    drain(t, 6);
    check_echo(t, s[1]);
    virtsock_stream_free(t);
    CHECK(!test_is_open(fd));
    virtsock_stream_free(s[1]);
}
