/* SPDX-License-Identifier: MIT
 *
 * Faults while values are made, while listening, accepting by rules, connecting to what is full or late, and asking this system.
 */
#include <sys/stat.h>
#include <sys/un.h>

#include "talk.h"

static virtsock_options *options_new(void)
{
    virtsock_options *o = virtsock_options_new();

    if (o == NULL) {
        CHECK(fault_here().call != NULL);
        o = virtsock_options_new();
    }
    CHECK(o != NULL);
    fault_here();
    return o;
}

static void set(virtsock_options *o, virtsock_option option, int64_t value)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_options_set(o, option, value, &e), e);
}

static bool is_unix(void)
{
    return strncmp(talk_text(), "unix", 4) == 0;
}

/* proves: T6 */
SCENARIO(values)
{
    virtsock_address *a[4], *b;

    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&a[0], "vsock-mux://:52/run/vm.sock", &e));
    TRY("parse", VIRTSOCK_OK, virtsock_address_vsock(&a[1], 3, 1024, &e));
    TRY("parse", VIRTSOCK_OK, virtsock_address_hyperv(&a[2], "parent", "1024", &e));
    TRY("parse", VIRTSOCK_OK, virtsock_address_path(&a[3], VIRTSOCK_SCHEME_UNIX, "/run/x", 0, &e));
    TRY("resolve", VIRTSOCK_OK, virtsock_resolve(&b, a[0], NULL, &e));
    CHECK(virtsock_address_equal(a[0], b));
    virtsock_address_free(b);
    for (int i = 0; i < 4; i++)
        virtsock_address_free(a[i]);
    virtsock_options_free(options_new());
}

static virtsock_status supported(virtsock_scheme scheme, virtsock_error *e)
{
    virtsock_status status = virtsock_supported(scheme, e);

    CHECK(status == VIRTSOCK_OK || e->message[0] != '\0');
    return status;
}

static virtsock_status vsock, local;     /* what this system says without a fault */

static void ask_this_system(void)
{
    uint32_t cid;

    TRY("supported", vsock, supported(VIRTSOCK_SCHEME_VSOCK, &e));
    TRY("supported", VIRTSOCK_OK, supported(VIRTSOCK_SCHEME_UNIX, &e));
    TRY("cid", local, virtsock_local_cid(&cid, &e));
}

/* proves: C15, D4 */
TEST(this_system)
{
    uint32_t cid;

    vsock = virtsock_supported(VIRTSOCK_SCHEME_VSOCK, NULL);
    local = virtsock_local_cid(&cid, NULL);
    torture_all(ask_this_system, 1u << FAULT_PLAIN);
}

/* What listens at the path of an address, and is no library's: bound, and closed where it shall be stale. */
static int stranger(const char *path, int type, bool stale)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int                fd = socket(AF_UNIX, type, 0);

    strcpy(at.sun_path, path);
    unlink(path);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0);
    if (stale)
        close(fd);
    return fd;
}

static const char *talk_path(void)
{
    static char path[200];

    sscanf(talk_text(), "unix://%199[^?]", path);
    return path;
}

/* proves: L1 */
SCENARIO(a_stale_socket_is_taken_over)
{
    struct talk t;

    if (!is_unix())
        return;
    stranger(talk_path(), test_is_seqpacket() ? SOCK_SEQPACKET : SOCK_STREAM, true);
    talk_listen(&t, NULL);
    CHECK(access(talk_path(), F_OK) == 0);
    talk_end(&t);
}

/* "Nobody listens" is believed: the kernel alone knows. Whatever else fails, the live one keeps its name. */
/* proves: L2 */
SCENARIO(a_live_socket_is_left_alone)
{
    virtsock_error     now = { 0 };
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_status    status;
    struct fault       fault;
    struct stat        before, after;
    int                fd;

    if (!is_unix())
        return;
    fd = stranger(talk_path(), test_is_seqpacket() ? SOCK_SEQPACKET : SOCK_STREAM, false);
    CHECK(lstat(talk_path(), &before) == 0);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&a, talk_text(), &e));
    torture_step = "virtsock_listen";
    status = virtsock_listen(&l, a, NULL, &now);
    fault = fault_here();
    if (status != VIRTSOCK_OK) {
        CHECK(fault_allows("listen", fault, status, VIRTSOCK_E_IN_USE));
        CHECK(lstat(talk_path(), &after) == 0 && before.st_ino == after.st_ino);
    } else {
        CHECK(fault.code == ECONNREFUSED);
    }
    virtsock_listener_free(l);
    virtsock_address_free(a);
    unlink(talk_path());
    close(fd);
}

static virtsock_status listen_or_nothing(virtsock_listener **out, const virtsock_address *a, const virtsock_options *o, virtsock_error *e)
{
    virtsock_status status = virtsock_listen(out, a, o, e);

    CHECK((status == VIRTSOCK_OK) == (access(talk_path(), F_OK) == 0));         /* a failure leaves no file behind */
    return status;
}

/* A mode that the umask has taken from, so that it must be mended after the bind. */
/* proves: L4 */
SCENARIO(a_mode_of_its_own)
{
    const mode_t      old = umask(022);
    virtsock_options *o = options_new();
    struct talk       t = { 0 };
    struct stat       file;

    if (is_unix()) {
        set(o, VIRTSOCK_OPTION_SOCKET_MODE, 0660);
        set(o, VIRTSOCK_OPTION_BUFFER_SIZE, 65536);
        TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, talk_text(), &e));
        TRY("listen", VIRTSOCK_OK, listen_or_nothing(&t.listener, t.address, o, &e));
        CHECK(stat(talk_path(), &file) == 0 && (file.st_mode & 0777) == 0660);
        talk_end(&t);
    }
    virtsock_options_free(o);
    umask(old);
}

SCENARIO(accept_by_rule)
{
    virtsock_options *o = options_new();
    virtsock_error    e_ = { 0 };
    struct talk       t;

    if (is_unix()) {
        CHECK_OK(virtsock_options_allow(o, "self", &e_), e_);
        talk_listen(&t, o);
        TRY("connect", VIRTSOCK_OK, virtsock_connect(&t.client, t.address, NULL, &e));
        CHECK(talk_hello(t.client, NULL));
        talk_accept(&t, "accept by rule");
        talk_end(&t);
    }
    virtsock_options_free(o);
}

static void *accept_for_ever(void *listener)
{
    virtsock_stream *s;

    return (void *)(intptr_t)virtsock_accept(&s, listener, -1, NULL);
}

/* Clients that left before they were accepted, without end: a call ends in its time all the same, after 64 of them if it
 * has none, and when the listener is closed. */
TEST(clients_that_left_hold_no_accept)
{
    static const int codes[] = { ECONNABORTED, EPROTO, ETIMEDOUT, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ENETDOWN };
    virtsock_error   e = { 0 };
    struct talk      t;
    pthread_t        thread;
    int64_t          start;
    void            *status;

    talk_listen(&t, NULL);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        virtsock_stream *client;

        CHECK_OK(virtsock_connect(&client, t.address, NULL, &e), e);            /* so that the listener is ready, too */
        fault_always("accept4", codes[i]);
        CHECK_STATUS(virtsock_accept(&t.server, t.listener, 0, &e), VIRTSOCK_E_AGAIN, e);
        CHECK(fault_made() == 64);
        start = test_ms();
        CHECK_STATUS(virtsock_accept(&t.server, t.listener, 20, &e), VIRTSOCK_E_TIMEOUT, e);
        CHECK(test_ms() - start >= 20);
        fault_always(NULL, 0);
        CHECK_OK(virtsock_accept(&t.server, t.listener, 5000, &e), e);
        virtsock_stream_free(t.server);
        virtsock_stream_free(client);
    }
    t.server = NULL;
    CHECK_OK(virtsock_connect(&t.client, t.address, NULL, &e), e);
    fault_always("accept4", ECONNABORTED);
    CHECK(pthread_create(&thread, NULL, accept_for_ever, t.listener) == 0);
    while (fault_made() == 0)
        sched_yield();
    CHECK_OK(virtsock_listener_close(t.listener, &e), e);
    pthread_join(thread, &status);
    CHECK((intptr_t)status == VIRTSOCK_E_CANCELLED);
    fault_always(NULL, 0);
    talk_end(&t);
}

SCENARIO(an_adopted_listener)
{
    struct talk t;
    virtsock_fd fd;

    talk_listen(&t, NULL);
    fd = dup((int)virtsock_listener_fd(t.listener));
    TRY("unlisten", VIRTSOCK_OK, virtsock_listener_close(t.listener, &e));
    virtsock_listener_free(t.listener);
    TRY("adopt listener", VIRTSOCK_OK, virtsock_listener_from_fd(&t.listener, fd, NULL, &e));
    TRY("accept", VIRTSOCK_E_TIMEOUT, virtsock_accept(&t.server, t.listener, 5, &e));
    talk_end(&t);
}

/* Connections of the program's own, until there is no room for one more. */
static int fill(const char *path, int fds[8])
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    strcpy(at.sun_path, path);
    for (int n = 0; n < 8; n++) {
        fds[n] = socket(AF_UNIX, (test_is_seqpacket() ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK, 0);
        if (connect(fds[n], (struct sockaddr *)&at, sizeof at) != 0)
            return n + 1;
    }
    return 8;
}

/* proves: C5 */
SCENARIO(a_full_backlog)
{
    virtsock_options *o = options_new();
    struct talk       t;
    int               fds[8], n;

    if (is_unix()) {
        set(o, VIRTSOCK_OPTION_BACKLOG, 1);
        talk_listen(&t, o);
        n = fill(talk_path(), fds);
        CHECK(n < 8);
        set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 4);
        TRY("connect", VIRTSOCK_E_TIMEOUT, virtsock_connect(&t.client, t.address, o, &e));
        while (n > 0)
            close(fds[--n]);
        talk_end(&t);
    }
    virtsock_options_free(o);
}

/* Nobody is there; the waiting ends in time, with the reason. */
SCENARIO(waiting_in_vain)
{
    virtsock_options *o = options_new();
    struct talk       t = { 0 };

    set(o, VIRTSOCK_OPTION_WAIT, 4);
    set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 2);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, talk_nowhere(), &e));
    TRY("connect and wait", VIRTSOCK_E_TIMEOUT, virtsock_connect(&t.client, t.address, o, &e));
    talk_end(&t);
    virtsock_options_free(o);
}

/* Who cannot be told is refused: what was told of the client before is not taken for it. */
TEST(a_user_that_cannot_be_told_is_refused)
{
    char rules[2][20] = { "self" };

    if (!is_unix())
        return;
    snprintf(rules[1], sizeof rules[1], "uid=%u", (unsigned)geteuid());
    for (int i = 0; i < 2; i++) {
        virtsock_options *o = options_new();
        virtsock_error    e = { 0 };
        struct talk       t;

        CHECK_OK(virtsock_options_allow(o, rules[i], &e), e);
        talk_listen(&t, o);
        for (int failing = 0; failing < 2; failing++) {
            CHECK_OK(virtsock_connect(&t.client, t.address, NULL, &e), e);
            fault_always(failing ? "getsockopt" : NULL, ENOMEM);
            CHECK_STATUS(virtsock_accept(&t.server, t.listener, failing ? 0 : 5000, &e),
                         failing ? VIRTSOCK_E_AGAIN : VIRTSOCK_OK, e);
            fault_always(NULL, 0);
            virtsock_stream_free(t.client);
            virtsock_stream_free(t.server);
        }
        t.client = t.server = NULL;
        talk_end(&t);
        virtsock_options_free(o);
    }
}

/* What waiting can mend is tried again, and nothing else. */
TEST(what_is_waited_through)
{
    static const struct {
        int             code;
        virtsock_status status;         /* AGAIN: there is another attempt */
    } rows[] = { { ECONNREFUSED, VIRTSOCK_E_AGAIN }, { EHOSTUNREACH, VIRTSOCK_E_AGAIN }, { ETIMEDOUT, VIRTSOCK_E_AGAIN },
                 { EACCES, VIRTSOCK_E_DENIED }, { ENOMEM, VIRTSOCK_E_NO_RESOURCES } };
    virtsock_options *o = options_new();

    set(o, VIRTSOCK_OPTION_WAIT, 60000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        virtsock_error   e = { 0 };
        struct talk      t = { 0 };

        CHECK_OK(virtsock_address_parse(&t.address, talk_nowhere(), &e), e);
        CHECK_OK(virtsock_connect_start(&t.client, t.address, o, &e), e);
        fault_always("connect", rows[i].code);
        CHECK_STATUS(virtsock_stream_connect(t.client, 0, &e), rows[i].status, e);
        fault_always(NULL, 0);
        talk_end(&t);
    }
    virtsock_options_free(o);
}

/* A connection that could not be waited for has failed, and wants nothing more: in a long pause, too. */
TEST(what_has_failed_wants_nothing)
{
    virtsock_options *o = options_new();
    virtsock_error    e = { 0 };
    struct talk       t = { 0 };
    virtsock_fd       fd;
    int               events, timeout;

    set(o, VIRTSOCK_OPTION_WAIT, 600000);
    set(o, VIRTSOCK_OPTION_BACKOFF_FIRST, 60000);
    CHECK_OK(virtsock_address_parse(&t.address, talk_nowhere(), &e), e);
    CHECK_OK(virtsock_connect_start(&t.client, t.address, o, &e), e);
    fault_always("eventfd", EMFILE);
    CHECK_STATUS(virtsock_stream_connect(t.client, -1, &e), VIRTSOCK_E_NO_RESOURCES, e);
    fault_always(NULL, 0);
    virtsock_stream_wants(t.client, &fd, &events, &timeout);
    CHECK(fd == -1 && events == 0 && timeout == 0);
    CHECK_STATUS(virtsock_stream_connect(t.client, -1, &e), VIRTSOCK_E_NO_RESOURCES, e);
    talk_end(&t);
    virtsock_options_free(o);
}

/* AF_VSOCK up to the connection itself, which fault.c makes nobody's. */
static void ask_for_vsock(void)
{
    virtsock_options *o = options_new();
    struct talk       t = { 0 };

    set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, 1000);
    set(o, VIRTSOCK_OPTION_BUFFER_MIN, 64);
    set(o, VIRTSOCK_OPTION_BUFFER_SIZE, 1000000);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, "vsock://local:77", &e));
    TRY("connect", VIRTSOCK_E_REFUSED, virtsock_connect(&t.client, t.address, o, &e));
    virtsock_address_free(t.address);
    virtsock_options_free(o);
}

/* proves: C3 */
TEST(vsock_without_a_peer)
{
    if (virtsock_supported(VIRTSOCK_SCHEME_VSOCK, NULL) != VIRTSOCK_OK)
        SKIP("this system has no AF_VSOCK");
    torture_all(ask_for_vsock, 1u << FAULT_PLAIN);
}
