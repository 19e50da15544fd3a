/* SPDX-License-Identifier: MIT
 *
 * Transports with an address of their own: tcp, and the two multiplexers against a peer that says what its script has and looks at what
 * it is asked, written without the core's handshakes. Behaviour that all transports share is tests/contract's.
 */
#include "check.h"

#ifdef _WIN32
#define ONCE() if (!test_is_tcp()) SKIP("has transports of its own, and runs once")
#else
#define ONCE() if (strcmp(test_transport(), "unix") != 0) SKIP("has transports of its own, and runs once")
#endif

static void expect_bytes(virtsock_stream *s, const char *want)
{
    char           got[64];
    virtsock_error e = { 0 };
    size_t         n;

    CHECK_OK(virtsock_stream_recv_exact(s, got, strlen(want), &n, 5000, &e), e);
    CHECK(memcmp(got, want, n) == 0);
    CHECK(virtsock_stream_recv(s, got, 1, &n, 0, &e) == VIRTSOCK_E_AGAIN);
}

#ifdef _WIN32

#define NO_UNIX "stands on UNIX sockets: Wine's Winsock has none"
NO_TEST(mux_answers, NO_UNIX)
NO_TEST(mux_half_closes_when_told, NO_UNIX)
NO_TEST(mux_service_is_asked_for_by_guid, NO_UNIX)
NO_TEST(mux_silence_ends_at_the_deadline, NO_UNIX)
NO_TEST(the_wait_ends_an_attempt_that_hangs, NO_UNIX)
NO_TEST(the_last_cause_is_the_peer_s, NO_UNIX)
NO_TEST(each_attempt_has_the_whole_time_for_one, NO_UNIX)
NO_TEST(mux_handshake_is_woken_by_close, NO_UNIX)
NO_TEST(mux_refusals_are_waited_through, NO_UNIX)
NO_TEST(an_answer_begins_anew_with_each_attempt, NO_UNIX)
NO_TEST(listeners_of_multiplexers, NO_UNIX)
NO_TEST(hyperkit_is_asked_in_18_bytes, NO_UNIX)
NO_TEST(misuse_of_multiplexers, NO_UNIX)
NO_TEST(rules_that_a_multiplexer_can_check, NO_UNIX)
NO_TEST(paths_that_just_fit, NO_UNIX)

TEST(abstract_names)
{
    virtsock_address *a = test_parse("unix://@virtsock-test");
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
    virtsock_address_free(a);
}

#else

#include <sys/stat.h>
#include <sys/un.h>

/* --- A multiplexer by script ------------------------------------------------------------------------------------------------- */

struct script {
    const char *asks;                   /* all that the first receive must give */
    const char *says;                   /* then; NULL: silence until the client ends */
    size_t      size;                   /* of it; 0: its length */
    int         digits;                 /* more, after it */
    bool        drips;                  /* byte by byte */
    bool        ends;                   /* hangs up then */
    bool        resets;                 /* hangs up with the request unread */
    int         refusals;               /* connections hung up on before, */
    const char *first;                  /* or each told this, and then left in silence until it ends */
};

struct mux {
    struct script script;
    pthread_t     thread;
    int           fd;
    char          path[108], heard[64];
    size_t        heard_size;
};

static void say(int fd, const struct script *s)
{
    size_t size = s->size != 0 ? s->size : strlen(s->says);

    for (size_t at = 0; at < size; at += s->drips ? 1 : size) {
        if (send(fd, s->says + at, s->drips ? 1 : size, MSG_NOSIGNAL) < 0)
            return;
        if (s->drips)
            test_nap_ms(2);
    }
    for (int i = 0; i < s->digits; i++)
        if (send(fd, "7", 1, MSG_NOSIGNAL) < 0)
            return;
}

static void *serve(void *argument)
{
    struct mux *m = argument;
    char        rest[64];

    for (int i = 0; i <= m->script.refusals; i++) {
        int client = accept(m->fd, NULL, NULL);

        if (client < 0)
            return NULL;
        if (!m->script.resets) {
            ssize_t n = recv(client, m->heard, sizeof m->heard, 0);

            m->heard_size = n > 0 ? (size_t)n : 0;
        } else {
            poll(&(struct pollfd){ client, POLLIN, 0 }, 1, TEST_PATIENT_MS);     /* the request lies unread */
        }
        if (i == m->script.refusals && m->script.says != NULL)
            say(client, &m->script);
        if (i < m->script.refusals && m->script.first != NULL && send(client, m->script.first, strlen(m->script.first), MSG_NOSIGNAL) > 0)
            while (recv(client, rest, sizeof rest, 0) > 0)
                continue;
        while (i == m->script.refusals && !m->script.ends && !m->script.resets && recv(client, rest, sizeof rest, 0) > 0)
            continue;
        close(client);
    }
    return NULL;
}

static void mux_start(struct mux *m, const struct script *script, const char *name)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    memset(m, 0, sizeof *m);
    m->script = *script;
    snprintf(m->path, sizeof m->path, "%s/%s", test_directory(), name);
    strcpy(at.sun_path, m->path);
    m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(m->fd >= 0 && bind(m->fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(m->fd, 8) == 0);
    CHECK(pthread_create(&m->thread, NULL, serve, m) == 0);
}

static void mux_end(struct mux *m)
{
    shutdown(m->fd, SHUT_RDWR);
    pthread_join(m->thread, NULL);
    close(m->fd);
    unlink(m->path);
    if (m->script.asks != NULL) {
        CHECK(m->heard_size == strlen(m->script.asks));
        CHECK(memcmp(m->heard, m->script.asks, m->heard_size) == 0);
    }
}

static virtsock_options *with(virtsock_option option, int64_t value)
{
    virtsock_options *o = virtsock_options_new();

    CHECK(o != NULL && virtsock_options_set(o, option, value, NULL) == VIRTSOCK_OK);
    return o;
}

/* --- vsock-mux ----------------------------------------------------------------------------------------------------------------- */

#define GUID "00000034-facb-11e6-bd58-64006a7986d3"

/* proves: C9, C11, C12 */
TEST(mux_answers)
{
    static const struct {
        struct script   script;
        virtsock_status status;
        const char     *payload;
    } rows[] = {
        { { "CONNECT 52\n", .says = "OK 1073741824\n" }, VIRTSOCK_OK, "" },
        { { "CONNECT 52\n", .says = "OK 52\nhello" }, VIRTSOCK_OK, "hello" },
        { { "CONNECT 52\n", .says = "OK 1073741824\nhello", .drips = true }, VIRTSOCK_OK, "hello" },
        { { "CONNECT 52\n", .says = "OK " GUID "\n\n" }, VIRTSOCK_OK, "\n" },
        { { "CONNECT 52\n", .says = "OK \0\nhello", .size = 10 }, VIRTSOCK_E_PROTOCOL, NULL },
        { { "CONNECT 52\n", .says = "HTTP/1.1 400 Bad Request\r\n\r\n" }, VIRTSOCK_E_PROTOCOL, NULL },
        { { "CONNECT 52\n", .says = "OK ", .digits = 4096 }, VIRTSOCK_E_PROTOCOL, NULL },
        { { "CONNECT 52\n", .says = "OK 99999999999999999999\nhello" }, VIRTSOCK_E_PROTOCOL, NULL },
        { { "CONNECT 52\n", .says = "OK 10737", .ends = true }, VIRTSOCK_E_PROTOCOL, NULL },
        { { "CONNECT 52\n", .says = "", .ends = true }, VIRTSOCK_E_REFUSED, NULL },
        { { .resets = true }, VIRTSOCK_E_REFUSED, NULL },
    };

    ONCE();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mux        m;
        virtsock_address *a;
        virtsock_stream  *s;
        virtsock_error    e = { 0 };

        mux_start(&m, &rows[i].script, "mux");
        CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), rows[i].status, e);
        CHECK((s != NULL) == (rows[i].status == VIRTSOCK_OK));
        if (s != NULL)
            expect_bytes(s, rows[i].payload);
        virtsock_stream_free(s);
        virtsock_address_free(a);
        mux_end(&m);
    }
}

/* The half-close of an address that says nothing of it is unknown, at either end, and is one that its user may know. */
TEST(mux_half_closes_when_told)
{
    static const struct script script = { "CONNECT 52\n", .says = "OK 1073741824\n" };
    static const struct {
        const char     *word;
        virtsock_status status;
    } rows[] = { { "", VIRTSOCK_E_UNSUPPORTED }, { "?half-close=none", VIRTSOCK_E_UNSUPPORTED }, { "?half-close=native", VIRTSOCK_OK } };

    ONCE();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mux        m;
        virtsock_address *a;
        virtsock_stream  *s;
        virtsock_error    e = { 0 };
        char              text[200];

        mux_start(&m, &script, "mux");
        snprintf(text, sizeof text, "vsock-mux://:52%s%s", m.path, rows[i].word);
        a = test_parse(text);
        CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
        CHECK_STATUS(virtsock_stream_shutdown(s, VIRTSOCK_SHUT_SEND, &e), rows[i].status, e);
        CHECK(rows[i].status == VIRTSOCK_OK || (e.scheme == VIRTSOCK_SCHEME_MUX && virtsock_advice(&e) != NULL));
        virtsock_stream_free(s);
        virtsock_address_free(a);
        mux_end(&m);
    }
}

TEST(mux_service_is_asked_for_by_guid)
{
    static const struct script script = { "CONNECT " GUID "\n", .says = "OK " GUID "\nx" };
    struct mux        m;
    virtsock_address *a, *peer;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              text[200];
    int64_t           scheme;

    ONCE();
    mux_start(&m, &script, "mux");
    snprintf(text, sizeof text, "vsock-mux://:%s%s", GUID, m.path);
    a = test_parse(text);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    expect_bytes(s, "x");
    CHECK(virtsock_stream_get(s, VIRTSOCK_ITEM_SCHEME, &scheme, &e) == VIRTSOCK_OK && scheme == VIRTSOCK_SCHEME_MUX);
    CHECK_OK(virtsock_stream_peer(s, &peer, &e), e);
    CHECK(virtsock_address_equal(peer, a));
    virtsock_address_free(peer);
    CHECK_STATUS(virtsock_stream_local(s, &peer, &e), VIRTSOCK_E_NOT_FOUND, e);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    mux_end(&m);
}

/* proves: C3, C10 */
TEST(mux_silence_ends_at_the_deadline)
{
    static const struct script script = { "CONNECT 52\n", .says = NULL };
    virtsock_options *o;
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    virtsock_fd       fd;
    struct test_watch w;
    int               events, ms;

    ONCE();
    mux_start(&m, &script, "mux");
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
    o = with(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 200);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 200);
    virtsock_options_free(o);
    mux_end(&m);

    /* without the option: 5 s for the answer, told to who drives it */
    mux_start(&m, &script, "mux");
    CHECK_OK(virtsock_connect_start(&s, a, NULL, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    virtsock_stream_wants(s, &fd, &events, &ms);
    CHECK(fd >= 0 && events == VIRTSOCK_WANT_RECV && ms > 4000 && ms <= 5000);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    mux_end(&m);
}

/* However long an attempt may take: the whole of them has WAIT. */
TEST(the_wait_ends_an_attempt_that_hangs)
{
    static const struct script script = { "CONNECT 52\n", .says = NULL };
    static const int64_t       timeouts[] = { 0, 60000, -1 };          /* 0: not set */

    ONCE();
    for (size_t i = 0; i < 3; i++) {
        virtsock_options *o = with(VIRTSOCK_OPTION_WAIT, 150);
        struct mux        m;
        virtsock_address *a;
        virtsock_stream  *s;
        virtsock_error    e = { 0 };
        int64_t           start = test_ms();
        int               ms;

        if (timeouts[i] != 0)
            CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, timeouts[i], &e), e);
        mux_start(&m, &script, "mux");
        CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
        CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
        CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
        virtsock_stream_wants(s, NULL, NULL, &ms);
        CHECK(ms >= 0 && ms <= 151);
        CHECK_STATUS(virtsock_stream_connect(s, 20000, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(test_ms() - start >= 150 && e.attempts == 1 && e.os_code == 0);
        CHECK(strstr(e.message, "1 attempt; the last: no answer") != NULL);
        virtsock_stream_free(s);
        virtsock_address_free(a);
        virtsock_options_free(o);
        mux_end(&m);
    }
}

/* Nobody is there, and then somebody who does not answer until the time is over: that attempt has no cause to tell, and
 * the one before it has. */
TEST(the_last_cause_is_the_peer_s)
{
    static const struct script script = { "CONNECT 52\n", .says = NULL };
    virtsock_options *o;
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              path[100];

    ONCE();
    o = with(VIRTSOCK_OPTION_WAIT, 500);
    snprintf(path, sizeof path, "%s/mux", test_directory());
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, path, 52, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    mux_start(&m, &script, "mux");
    CHECK_STATUS(virtsock_stream_connect(s, 20000, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(e.os_code == ENOENT && strstr(e.message, "2 attempts; the last: no such socket") != NULL);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
    mux_end(&m);
}

/* The pause before it, and what the attempts before it took, are not of its time. */
TEST(each_attempt_has_the_whole_time_for_one)
{
    static const struct script script = { "CONNECT 52\n", .says = NULL };
    virtsock_options *o;
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              path[100];
    int64_t           start, attempts;
    int               ms;

    ONCE();
    o = with(VIRTSOCK_OPTION_WAIT, 600000);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 20000, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 200, &e), e);
    snprintf(path, sizeof path, "%s/mux", test_directory());
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, path, 52, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
    mux_start(&m, &script, "mux");
    do {
        start = test_ms();
        test_nap_ms(1);
        CHECK_STATUS(virtsock_stream_connect(s, 0, &e), VIRTSOCK_E_AGAIN, e);
        CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e), e);
    } while (attempts == 1);
    virtsock_stream_wants(s, NULL, NULL, &ms);
    CHECK(ms <= 20001 && ms + (test_ms() - start) >= 20000);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    virtsock_options_free(o);
    mux_end(&m);
}

static void *connect_forever(void *argument)
{
    virtsock_error e;

    return (void *)(intptr_t)virtsock_stream_connect(argument, -1, &e);
}

TEST(mux_handshake_is_woken_by_close)
{
    static const struct script script = { "CONNECT 52\n", .says = "OK 5" };
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    struct test_call  c;
    struct test_watch closing;

    ONCE();
    mux_start(&m, &script, "mux");
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, NULL, &e), e);
    test_call_begin(&c, connect_forever, s);
    test_call_waits(&c);
    closing = test_watch_begin();
    CHECK_OK(virtsock_stream_close(s, 0, &e), e);
    test_watch_end(&closing);
    CHECK((intptr_t)test_call_end(&c) == VIRTSOCK_E_CANCELLED);
    CHECK(test_wake_us(&c, 1, &closing) < test_late_ms() * 1000);
    virtsock_stream_free(s);
    virtsock_address_free(a);
    mux_end(&m);
}

TEST(mux_refusals_are_waited_through)
{
    static const struct script script = { "CONNECT 52\n", .says = "OK 52\nhi", .refusals = 3 };
    virtsock_options *o;
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    int64_t           attempts;

    ONCE();
    o = with(VIRTSOCK_OPTION_WAIT, 5000);
    mux_start(&m, &script, "mux");
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    CHECK(virtsock_stream_get(s, VIRTSOCK_ITEM_ATTEMPTS, &attempts, &e) == VIRTSOCK_OK && attempts == 4);
    expect_bytes(s, "hi");
    virtsock_stream_free(s);
    virtsock_options_free(o);
    virtsock_address_free(a);
    mux_end(&m);
}

/* What one connection heard of its answer is not the beginning of the next one's. */
TEST(an_answer_begins_anew_with_each_attempt)
{
    static const struct script script = { "CONNECT 52\n", .says = "OK 52\nhi", .refusals = 1, .first = "OK 5" };
    virtsock_options *o;
    struct mux        m;
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    ONCE();
    o = with(VIRTSOCK_OPTION_WAIT, 60000);
    mux_start(&m, &script, "mux");
    CHECK_OK(virtsock_address_path(&a, VIRTSOCK_SCHEME_MUX, m.path, 52, &e), e);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 1000, &e), e);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    expect_bytes(s, "hi");
    virtsock_stream_free(s);
    virtsock_options_free(o);
    virtsock_address_free(a);
    mux_end(&m);
}

/* --- Where a guest's connections come to ------------------------------------------------------------------------------------- */

/* Listens at an address, is reached at the file, and takes it away again. */
static void check_listening(const char *text, const char *file, virtsock_scheme scheme)
{
    virtsock_address  *a = test_parse(text), *at, *path;
    virtsock_listener *l;
    virtsock_stream   *client, *server;
    virtsock_error     e = { 0 };
    struct stat        st;
    int64_t            value;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK(stat(file, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
    CHECK_OK(virtsock_listener_address(l, &at, &e), e);
    CHECK(virtsock_address_equal(a, at));
    CHECK_OK(virtsock_address_path(&path, VIRTSOCK_SCHEME_UNIX, file, 0, &e), e);
    CHECK_OK(virtsock_connect(&client, path, NULL, &e), e);
    CHECK_OK(virtsock_accept(&server, l, 5000, &e), e);
    CHECK(virtsock_stream_get(server, VIRTSOCK_ITEM_SCHEME, &value, &e) == VIRTSOCK_OK && value == scheme);
    virtsock_address_free(at);
    CHECK_STATUS(virtsock_stream_peer(server, &at, &e), VIRTSOCK_E_NOT_FOUND, e);
    if (scheme == VIRTSOCK_SCHEME_MUX)
        CHECK_STATUS(virtsock_stream_shutdown(server, VIRTSOCK_SHUT_SEND, &e), VIRTSOCK_E_UNSUPPORTED, e);
    virtsock_stream_free(client);
    virtsock_stream_free(server);
    virtsock_listener_free(l);
    CHECK(stat(file, &st) != 0 && errno == ENOENT);
    virtsock_address_free(path);
    virtsock_address_free(a);
}

TEST(listeners_of_multiplexers)
{
    static const struct {
        const char *address, *file;     /* %s: the directory */
        virtsock_scheme scheme;
    } rows[] = {
        { "vsock-mux://:52%s/v", "%s/v_52", VIRTSOCK_SCHEME_MUX },
        { "vsock-mux://:4294967294%s/v", "%s/v_4294967294", VIRTSOCK_SCHEME_MUX },
        { "vsock-mux://:0%s/v", "%s/v_0", VIRTSOCK_SCHEME_MUX },
        { "vsock-mux://:" GUID "%s/v", "%s/v_" GUID, VIRTSOCK_SCHEME_MUX },
        { "hyperkit://:80%s", "%s/00000002.00000050", VIRTSOCK_SCHEME_HYPERKIT },
        { "hyperkit://3:4098%s", "%s/00000003.00001002", VIRTSOCK_SCHEME_HYPERKIT },
    };
    char text[200], file[200];

    ONCE();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, rows[i].address, test_directory());
        snprintf(file, sizeof file, rows[i].file, test_directory());
        check_listening(text, file, rows[i].scheme);
    }
}

/* --- hyperkit ------------------------------------------------------------------------------------------------------------------ */

static void check_hyperkit(const char *text, const char *asks, const char *directory)
{
    struct script     script = { asks, .says = "guest" };
    struct mux        m;
    virtsock_address *a = test_parse(text);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    mux_start(&m, &script, directory);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    expect_bytes(s, "guest");
    virtsock_stream_free(s);
    virtsock_address_free(a);
    mux_end(&m);
}

/* proves: C14 */
TEST(hyperkit_is_asked_in_18_bytes)
{
    char text[200], home[160], old[100];

    ONCE();
    snprintf(text, sizeof text, "hyperkit://:80%s", test_directory());
    check_hyperkit(text, "00000003.00000050\n", "connect");
    snprintf(text, sizeof text, "hyperkit://7:4294967294%s", test_directory());
    check_hyperkit(text, "00000007.fffffffe\n", "connect");

    /* Docker's directory, under HOME */
    CHECK(getenv("HOME") != NULL);
    snprintf(old, sizeof old, "%s", getenv("HOME"));
    snprintf(home, sizeof home, "%s/Library/Containers/com.docker.docker/Data/vms/0", test_directory());
    for (char *slash = strchr(home + strlen(test_directory()) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        CHECK(mkdir(home, 0700) == 0);
        *slash = '/';
    }
    CHECK(mkdir(home, 0700) == 0 && setenv("HOME", test_directory(), 1) == 0);
    check_hyperkit("hyperkit+docker://:255", "00000003.000000ff\n", "Library/Containers/com.docker.docker/Data/vms/0/connect");
    CHECK(setenv("HOME", old, 1) == 0);
    while (strlen(home) > strlen(test_directory())) {
        CHECK(rmdir(home) == 0);
        *strrchr(home, '/') = '\0';
    }
}

/* --- What they cannot do --------------------------------------------------------------------------------------------------------- */

TEST(misuse_of_multiplexers)
{
    static const struct {
        const char     *address;
        virtsock_status connects, listens;
    } rows[] = {
        { "vsock-mux://:any/nowhere/v", VIRTSOCK_E_INVALID, VIRTSOCK_E_INVALID },
        { "hyperkit://:any/nowhere", VIRTSOCK_E_INVALID, VIRTSOCK_E_INVALID },
        { "vsock-mux://:52/nowhere/v", VIRTSOCK_E_REFUSED, VIRTSOCK_E_NOT_FOUND },
        { "hyperkit://:52/nowhere", VIRTSOCK_E_REFUSED, VIRTSOCK_E_NOT_FOUND },
        { "tcp://127.0.0.1:any", VIRTSOCK_E_INVALID, VIRTSOCK_OK },
        { "tcp://127.0.0.1:0", VIRTSOCK_E_INVALID, VIRTSOCK_OK },
        { "tcp://192.0.2.1:0", VIRTSOCK_E_INVALID, VIRTSOCK_E_UNREACHABLE },
    };

    ONCE();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        virtsock_address  *a = test_parse(rows[i].address);
        virtsock_listener *l;
        virtsock_stream   *s;
        virtsock_error     e = { 0 };

        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), rows[i].connects, e);
        CHECK(e.scheme == (int32_t)virtsock_address_scheme(a));
        if (e.status == VIRTSOCK_E_REFUSED)
            CHECK(virtsock_advice(&e) != NULL);
        CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), rows[i].listens, e);
        virtsock_listener_free(l);
        virtsock_address_free(a);
    }
}

TEST(rules_that_a_multiplexer_can_check)
{
    static const struct {
        const char     *rule;
        virtsock_status status;
    } rows[] = { { "self", VIRTSOCK_OK }, { "uid=0", VIRTSOCK_OK }, { "host", VIRTSOCK_E_UNSUPPORTED }, { "3", VIRTSOCK_E_UNSUPPORTED },
                 { "local", VIRTSOCK_E_UNSUPPORTED }, { "self:privileged", VIRTSOCK_E_UNSUPPORTED } };
    static const char *const addresses[] = { "vsock-mux://:52%s/v", "hyperkit://:52%s" };
    char text[200];

    ONCE();
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        virtsock_options  *o = virtsock_options_new();
        virtsock_listener *l;
        virtsock_address  *a;
        virtsock_error     e = { 0 };

        snprintf(text, sizeof text, addresses[i % 2], test_directory());
        a = test_parse(text);
        CHECK_OK(virtsock_options_allow(o, rows[i / 2].rule, &e), e);
        CHECK_STATUS(virtsock_listen(&l, a, o, &e), rows[i / 2].status, e);
        virtsock_listener_free(l);
        virtsock_address_free(a);
        virtsock_options_free(o);
    }
}

/* The tail is part of what must fit: 107 bytes do, 108 do not, and nothing was made. */
/* proves: L6 */
TEST(paths_that_just_fit)
{
    static const struct {
        virtsock_scheme scheme;
        size_t          connecting, listening;          /* bytes that are added */
    } rows[] = { { VIRTSOCK_SCHEME_MUX, 0, 3 }, { VIRTSOCK_SCHEME_HYPERKIT, 8, 18 } };
    char path[200];

    ONCE();
    for (size_t i = 0; i < 2; i++) {
        for (size_t length = 107; length <= 108; length++) {
            bool               fits = length == 107;
            virtsock_listener *l;
            virtsock_address  *a;
            virtsock_stream   *s;
            virtsock_error     e = { 0 };

            memset(path, 'x', sizeof path);
            memcpy(path, "/tmp/", 5);
            path[length - rows[i].connecting] = '\0';
            CHECK_OK(virtsock_address_path(&a, rows[i].scheme, path, 52, &e), e);
            CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), fits ? VIRTSOCK_E_REFUSED : VIRTSOCK_E_NAME_TOO_LONG, e);
            virtsock_address_free(a);
            memset(path, 'x', sizeof path);
            memcpy(path, "/tmp/", 5);
            path[length - rows[i].listening] = '\0';
            CHECK_OK(virtsock_address_path(&a, rows[i].scheme, path, 52, &e), e);
            CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), !fits ? VIRTSOCK_E_NAME_TOO_LONG
                         : rows[i].scheme == VIRTSOCK_SCHEME_MUX ? VIRTSOCK_OK : VIRTSOCK_E_NOT_FOUND, e);
            virtsock_listener_free(l);
            virtsock_address_free(a);
        }
    }
}

/* No file is made, looked at or taken away, whatever stands at that name. */
static void check_abstract(const char *text, const char *file)
{
    virtsock_address  *a = test_parse(text), *at, *peer;
    virtsock_listener *l, *second;
    virtsock_stream   *client, *server;
    virtsock_options  *mode = virtsock_options_new();
    virtsock_error     e = { 0 };
    char               got[64];
    size_t             sent, n;

    CHECK_OK(virtsock_options_set(mode, VIRTSOCK_OPTION_SOCKET_MODE, 0600, &e), e);
    CHECK_STATUS(virtsock_listen(&l, a, mode, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK(l == NULL && strstr(e.message, "an abstract name has no SOCKET_MODE: rules say whom") != NULL);
    virtsock_options_free(mode);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_listen(&second, a, NULL, &e), VIRTSOCK_E_IN_USE, e);
    CHECK_OK(virtsock_listener_address(l, &at, &e), e);
    CHECK_OK(virtsock_connect(&client, at, NULL, &e), e);
    CHECK_OK(virtsock_accept(&server, l, 5000, &e), e);
    CHECK_OK(virtsock_stream_send(client, "hello", 5, &sent, 5000, &e), e);
    CHECK_OK(virtsock_stream_recv(server, got, sizeof got, &n, 5000, &e), e);
    CHECK(sent == 5 && n == 5 && memcmp(got, "hello", 5) == 0);
    CHECK_OK(virtsock_stream_peer(client, &peer, &e), e);
    CHECK(virtsock_address_equal(peer, a) && virtsock_address_equal(at, a));
    virtsock_address_free(peer);
    virtsock_stream_free(client);
    virtsock_stream_free(server);
    virtsock_listener_free(l);
    CHECK_STATUS(virtsock_connect(&client, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
    CHECK(access(file, F_OK) == 0);
    virtsock_address_free(at);
    virtsock_address_free(a);
}

TEST(abstract_names)
{
    char text[300], file[300];
    FILE *made;

    ONCE();
    snprintf(file, sizeof file, "%s/@file", test_directory());
    CHECK(chdir(test_directory()) == 0 && (made = fopen(file, "w")) != NULL && fclose(made) == 0);
#ifdef __linux__
    snprintf(text, sizeof text, "unix://@file");
    check_abstract(text, file);
    snprintf(text, sizeof text, "unix://@%ld/a b?type=seqpacket", (long)getpid());
    check_abstract(text, file);
    snprintf(text, sizeof text, "unix://@%0106d", 1);           /* 107 bytes */
    check_abstract(text, file);
#endif
    snprintf(text, sizeof text, "unix://@%0107d", 1);
    {
        virtsock_address *a = test_parse(text);
        virtsock_stream  *s;
        virtsock_error    e = { 0 };

        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_NAME_TOO_LONG, e);
        virtsock_address_free(a);
    }
    remove(file);
}

#endif

/* --- tcp ------------------------------------------------------------------------------------------------------------------------ */

static void check_tcp(const char *text, const char *begins)
{
    virtsock_address  *a = test_parse(text), *at, *peer, *local;
    virtsock_listener *l;
    virtsock_stream   *client, *server;
    virtsock_error     e = { 0 };
    uint32_t           port;
    char               shown[100];

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_listener_address(l, &at, &e), e);
    virtsock_address_format(at, shown, sizeof shown);
    CHECK(strncmp(shown, begins, strlen(begins)) == 0);
    CHECK(virtsock_address_number(at, VIRTSOCK_PART_PORT, &port) == VIRTSOCK_OK && port >= 1024 && port < 65536);
    CHECK_OK(virtsock_connect(&client, at, NULL, &e), e);
    CHECK_OK(virtsock_accept(&server, l, 5000, &e), e);
    CHECK_OK(virtsock_stream_send_all(client, "hello", 5, NULL, -1, &e), e);
    expect_bytes(server, "hello");
    CHECK_OK(virtsock_stream_peer(client, &peer, &e), e);
    CHECK(virtsock_address_equal(peer, at));
    virtsock_address_free(peer);
    CHECK_OK(virtsock_stream_peer(server, &peer, &e), e);
    CHECK_OK(virtsock_stream_local(client, &local, &e), e);
    CHECK(virtsock_address_equal(peer, local));
    virtsock_address_free(peer);
    virtsock_address_free(local);
    virtsock_stream_free(client);
    virtsock_stream_free(server);
    virtsock_listener_free(l);
    CHECK_STATUS(virtsock_connect(&client, at, NULL, &e), VIRTSOCK_E_REFUSED, e);
    CHECK_OK(virtsock_listen(&l, at, NULL, &e), e);             /* although connections of the past hold the port */
    virtsock_listener_free(l);
    virtsock_address_free(at);
    virtsock_address_free(a);
}

#ifdef _WIN32
NO_TEST(tcp_sends_small_pieces_at_once, "asks as POSIX systems are asked")
#else
#include <netinet/in.h>
#include <netinet/tcp.h>

TEST(tcp_sends_small_pieces_at_once)
{
    virtsock_address  *a, *at;
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };

    ONCE();
    a = test_parse("tcp://127.0.0.1:any");
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_listener_address(l, &at, &e), e);
    CHECK_OK(virtsock_connect(&s[0], at, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, 5000, &e), e);
    for (int i = 0; i < 2; i++) {
        int       on = 0;
        socklen_t length = sizeof on;

        CHECK(getsockopt((int)virtsock_stream_fd(s[i]), IPPROTO_TCP, TCP_NODELAY, &on, &length) == 0 && on != 0);
        virtsock_stream_free(s[i]);
    }
    virtsock_listener_free(l);
    virtsock_address_free(at);
    virtsock_address_free(a);
}
#endif

TEST(tcp)
{
    ONCE();
    check_tcp("tcp://127.0.0.1:any", "tcp://127.0.0.1:");
    check_tcp("tcp://localhost:0", "tcp://127.0.0.1:");
    check_tcp("tcp://127.1.2.3:any", "tcp://127.1.2.3:");
}

/* Where nobody listens on a port of the range that clients get theirs from, a client may be given that very port, and so meet itself. */
/* proves: C7 */
TEST(tcp_does_not_meet_itself)
{
    virtsock_address *a;
    virtsock_stream  *s;
    virtsock_error    e = { 0 };
    char              text[40];

    ONCE();
    for (int i = 0; i < TEST_CLIENTS; i++) {
        snprintf(text, sizeof text, "tcp://127.0.0.1:%d", TEST_CLIENT + i % 64 * 2);    /* of one, an old connection may be in the way */
        a = test_parse(text);
        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
        virtsock_address_free(a);
    }
}

TEST(tcp_over_ipv6)
{
    virtsock_address  *a;
    virtsock_listener *l;
    virtsock_error     e = { 0 };
    virtsock_status    status;

    ONCE();
    a = test_parse("tcp://[::1]:any");
    status = virtsock_listen(&l, a, NULL, &e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    if (status == VIRTSOCK_E_UNSUPPORTED || status == VIRTSOCK_E_UNREACHABLE)
        SKIP("this system has no IPv6");
    check_tcp("tcp://[::1]:any", "tcp://[::1]:");
}
