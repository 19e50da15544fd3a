/* SPDX-License-Identifier: MIT
 *
 * Faults in a conversation: connecting, by one call and by a poll loop, data both ways, waits that end in time, every way to end it, and a
 * descriptor given away and adopted.
 */
#include <poll.h>

#include "talk.h"

/* proves: L11, L12, D1 */
SCENARIO(connect_echo_close)
{
    struct talk t;

    talk_begin(&t, NULL);
    talk_echo(t.client, t.server, -1);
    talk_echo(t.server, t.client, 2000);
    TRY("close", VIRTSOCK_OK, virtsock_stream_close(t.client, 0, &e));
    talk_end(&t);
}

/* As virtsock_connect, but by a loop of the caller's own. */
static virtsock_status drive(virtsock_stream **out, const virtsock_address *a, const virtsock_options *o, virtsock_error *e)
{
    virtsock_status status = virtsock_connect_start(out, a, o, e);

    while (status == VIRTSOCK_OK && (status = virtsock_stream_connect(*out, 0, e)) == VIRTSOCK_E_AGAIN) {
        struct pollfd p = { -1, 0, 0 };
        virtsock_fd   fd;
        int           events, timeout;

        virtsock_stream_wants(*out, &fd, &events, &timeout);
        p.fd = (int)fd;
        p.events = (short)(((events & VIRTSOCK_WANT_RECV) ? POLLIN : 0) | ((events & VIRTSOCK_WANT_SEND) ? POLLOUT : 0));
        poll(&p, 1, timeout);
        status = VIRTSOCK_OK;
    }
    if (status != VIRTSOCK_OK) {
        virtsock_stream_free(*out);
        *out = NULL;
    }
    return status;
}

/* proves: C6 */
SCENARIO(a_poll_loop_connects)
{
    struct talk t;

    talk_listen(&t, NULL);
    TRY("connect", VIRTSOCK_OK, drive(&t.client, t.address, NULL, &e));
    CHECK(talk_hello(t.client, NULL));
    talk_accept(&t, "accept");
    talk_echo(t.server, t.client, -1);
    talk_end(&t);
}

/* proves: D2, D4, D7 */
SCENARIO(slices_and_half_closes)
{
    const virtsock_slice slices[] = { { "he", 2 }, { NULL, 0 }, { "llo", 3 } };
    struct talk          t;
    size_t               n = 0, at = 0;
    char                 buf[8];

    talk_begin(&t, NULL);
    TRY("send", VIRTSOCK_OK, virtsock_stream_sendv(t.client, slices, 3, &n, -1, &e));
    CHECK(n == 5 || (n == 1 && torture.mode == FAULT_SHORT && !test_is_seqpacket()));
    TRY("recv", VIRTSOCK_OK, take(t.server, buf, n, &at, 2000, &e));
    CHECK(at == n && memcmp(buf, "hello", n) == 0);
    TRY("shutdown", VIRTSOCK_OK, virtsock_stream_shutdown(t.client, VIRTSOCK_SHUT_SEND, &e));
    TRY("recv", VIRTSOCK_E_EOF, virtsock_stream_recv(t.server, buf, sizeof buf, &n, -1, &e));
    talk_echo(t.server, t.client, -1);
    TRY("close", VIRTSOCK_OK, virtsock_stream_close(t.server, 1000, &e));
    talk_end(&t);
}

/* The peer has ended already, so that lingering sees the end at once. */
SCENARIO(a_close_that_finishes)
{
    struct talk t;

    talk_begin(&t, NULL);
    talk_echo(t.client, t.server, -1);
    TRY("shutdown", VIRTSOCK_OK, virtsock_stream_shutdown(t.server, VIRTSOCK_SHUT_SEND, &e));
    TRY("close", VIRTSOCK_OK, virtsock_stream_close(t.client, 1000, &e));
    talk_end(&t);
}

static virtsock_status close_and_see(virtsock_stream *s, int linger_ms, virtsock_error *e)
{
    virtsock_status status = virtsock_stream_close(s, linger_ms, e);

    CHECK(virtsock_stream_fd(s) == -1);         /* whatever it says */
    return status;
}

/* As AF_VSOCK tells that its driver was taken away: ENOTCONN, and the reason is the socket's error. */
/* proves: D4 */
TEST(a_way_that_goes_away)
{
    const char     *call = test_is_seqpacket() ? "recvmsg" : "recv";
    virtsock_error  e = { 0 };
    struct talk     t;
    size_t          n = 0;
    char            b;

    if (!test_is_unix())
        SKIP("others are not told of unread bytes");
    for (int i = 0; i < 3; i++) {
        talk_begin(&t, NULL);
        if (i != 1)
            CHECK(virtsock_stream_send(t.client, "x", 1, &n, -1, &e) == VIRTSOCK_OK && n == 1);
        CHECK(virtsock_stream_close(t.server, 0, &e) == VIRTSOCK_OK);
        fault_always(call, ENOTCONN);
        if (i == 2) {
            fault_always("recv", ENOTCONN);             /* a close discards bytes, of messages, too */
            CHECK_STATUS(virtsock_stream_close(t.client, 1000, &e), VIRTSOCK_E_RESET, e);
        } else {
            CHECK_STATUS(virtsock_stream_recv(t.client, &b, 1, &n, 1000, &e), i == 0 ? VIRTSOCK_E_RESET : VIRTSOCK_E_EOF, e);
        }
        CHECK(i == 1 || e.os_code == ECONNRESET);
        fault_always(NULL, 0);
        talk_end(&t);
    }
}

/* The peer never ends. The second close is OK: a closed stream has nothing left to wait for. */
SCENARIO(a_close_that_waits_in_vain)
{
    virtsock_error        e = { 0 };
    virtsock_status       status;
    struct talk           t;

    talk_begin(&t, NULL);
    fault_here();
    torture_step = "close_and_see";
    status = close_and_see(t.client, 1, &e);
    torture_judge("close", status, VIRTSOCK_E_TIMEOUT, &e);
    CHECK(close_and_see(t.client, 1, &e) == VIRTSOCK_OK);
    talk_end(&t);
}

#define WAIT_MS 1

static virtsock_status recv_in_vain(virtsock_stream *s, virtsock_error *e)
{
    const int64_t   start = test_ms();
    size_t          n;
    char            b;
    virtsock_status status = virtsock_stream_recv(s, &b, 1, &n, WAIT_MS, e);

    CHECK(n == 0 && (status != VIRTSOCK_E_TIMEOUT || test_ms() - start >= WAIT_MS));
    return status;
}

static virtsock_status accept_in_vain(virtsock_listener *l, virtsock_error *e)
{
    const int64_t    start = test_ms();
    virtsock_stream *s;
    virtsock_status  status = virtsock_accept(&s, l, WAIT_MS, e);

    CHECK(s == NULL && (status != VIRTSOCK_E_TIMEOUT || test_ms() - start >= WAIT_MS));
    return status;
}

SCENARIO(waits_end_in_time)
{
    struct talk t;
    size_t      n;
    char        b;

    talk_begin(&t, NULL);
    TRY("recv", VIRTSOCK_E_TIMEOUT, recv_in_vain(t.client, &e));
    TRY("recv", VIRTSOCK_E_AGAIN, virtsock_stream_recv(t.client, &b, 1, &n, 0, &e));
    TRY("accept", VIRTSOCK_E_TIMEOUT, accept_in_vain(t.listener, &e));
    talk_end(&t);
}

SCENARIO(data_that_is_there_is_taken_at_once)
{
    struct pollfd p = { -1, POLLIN, 0 };
    struct talk   t;
    size_t        n, at = 0;
    char          b;

    talk_begin(&t, NULL);
    TRY("send", VIRTSOCK_OK, give(t.client, "x", 1, &at, 2000, &e));
    p.fd = (int)virtsock_stream_fd(t.server);
    CHECK(poll(&p, 1, 2000) == 1);
    TRY("recv now", VIRTSOCK_OK, virtsock_stream_recv(t.server, &b, 1, &n, 0, &e));
    CHECK(n == 1 && b == 'x');
    talk_end(&t);
}

/* A pair of which the client's calls end by a signal. */
static void begin_interruptible(struct talk *t, int64_t interruptible)
{
    virtsock_options *o = virtsock_options_new();

    if (o == NULL)
        o = virtsock_options_new();
    fault_here();
    TRY("set", VIRTSOCK_OK, virtsock_options_set(o, VIRTSOCK_OPTION_INTERRUPTIBLE, interruptible, &e));
    talk_listen(t, NULL);
    TRY("connect interruptible", VIRTSOCK_OK, virtsock_connect(&t->client, t->address, o, &e));
    virtsock_options_free(o);
    CHECK(talk_hello(t->client, NULL));
    talk_accept(t, "accept");
}

/* A signal ends such a wait, and the next call goes on. */
SCENARIO(interruptible_waits)
{
    virtsock_error  why = { 0 };
    virtsock_status status;
    struct talk     t;
    size_t          n;
    char            b;

    begin_interruptible(&t, 1);
    do {
        torture_step = "recv interruptible";
        status = virtsock_stream_recv(t.client, &b, 1, &n, 1, &why);
        torture_judge("recv interruptible", status, VIRTSOCK_E_TIMEOUT, &why);
    } while (status != VIRTSOCK_E_TIMEOUT);
    talk_end(&t);
}

/* Where an untimed call is one system call, that one. */
SCENARIO(interruptible_calls)
{
    struct talk t;
    size_t      n;
    char        b;

    begin_interruptible(&t, 2);
    CHECK(talk_hello(t.server, NULL));
    TRY("recv untimed", VIRTSOCK_OK, virtsock_stream_recv(t.client, &b, 1, &n, -1, &e));
    TRY("send untimed", VIRTSOCK_OK, virtsock_stream_send(t.client, "!", 1, &n, -1, &e));
    talk_end(&t);
}

static void *send_late(void *stream)
{
    size_t n;

    test_nap_ms(20);
    return (void *)(intptr_t)virtsock_stream_send(stream, "x", 1, &n, -1, NULL);
}

/* An untimed call waits in the kernel: no poll, also where it finds nothing at first. */
TEST(an_untimed_call_is_one_system_call)
{
    const char *const name = test_is_seqpacket() ? "recvmsg" : "recv";

    for (int i = 0; i < 2; i++) {
        struct talk t;
        pthread_t   thread;
        void       *status;
        size_t      n;
        char        b;

        begin_interruptible(&t, i == 0 ? 0 : 2);
        for (int poll = 0; poll < 2; poll++) {
            CHECK(pthread_create(&thread, NULL, send_late, t.server) == 0);
            fault_always(poll ? "poll" : name, 0);
            CHECK(virtsock_stream_recv(t.client, &b, 1, &n, -1, NULL) == VIRTSOCK_OK && b == 'x');
            CHECK(fault_made() == (poll ? 0 : 1));
            fault_always(NULL, 0);
            CHECK(pthread_join(thread, &status) == 0 && (intptr_t)status == VIRTSOCK_OK);
        }
        talk_end(&t);
    }
}

SCENARIO(detach_and_adopt)
{
    virtsock_fd fd;
    struct talk t;

    talk_begin(&t, NULL);
    TRY("detach", VIRTSOCK_OK, virtsock_stream_detach(t.client, &fd, &e));
    virtsock_stream_free(t.client);
    TRY("adopt", VIRTSOCK_OK, virtsock_stream_from_fd(&t.client, fd, NULL, &e));
    talk_echo(t.client, t.server, -1);
    TRY("detach", VIRTSOCK_OK, virtsock_stream_detach(t.client, &fd, &e));
    virtsock_stream_free(t.client);
    t.client = NULL;
    CHECK(close((int)fd) == 0);
    talk_end(&t);
}

SCENARIO(a_descriptor_by_address)
{
    char              text[32];
    virtsock_address *a;
    virtsock_fd       fd;
    struct talk       t;

    talk_begin(&t, NULL);
    TRY("detach", VIRTSOCK_OK, virtsock_stream_detach(t.client, &fd, &e));
    virtsock_stream_free(t.client);
    snprintf(text, sizeof text, "fd://%d", (int)fd);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&a, text, &e));
    TRY("adopt by address", VIRTSOCK_OK, virtsock_connect(&t.client, a, NULL, &e));
    talk_echo(t.server, t.client, -1);
    virtsock_address_free(a);
    talk_end(&t);
}

SCENARIO(asking)
{
    const virtsock_item items[] = { VIRTSOCK_ITEM_BUFFER_SIZE, VIRTSOCK_ITEM_PEER_STATE, VIRTSOCK_ITEM_PEER_UID, VIRTSOCK_ITEM_PEER_PID };
    const bool          users = strncmp(talk_text(), "unix", 4) == 0;
    virtsock_address   *a;
    struct talk         t;
    int64_t             value;

    talk_begin(&t, NULL);
    TRY("peer", VIRTSOCK_OK, virtsock_stream_peer(t.client, &a, &e));
    virtsock_address_free(a);
    TRY("local", VIRTSOCK_OK, virtsock_stream_local(t.server, &a, &e));
    virtsock_address_free(a);
    TRY("address", VIRTSOCK_OK, virtsock_listener_address(t.listener, &a, &e));
    virtsock_address_free(a);
    for (size_t i = 0; i < (users ? 4 : 2); i++)
        TRY("get", VIRTSOCK_OK, virtsock_stream_get(t.server, items[i], &value, &e));
    talk_end(&t);
}

/* --- Ended from another thread ---------------------------------------------------------------------------------------------- */

static atomic_bool inside;

static void *receive(void *stream)
{
    size_t n;
    char   b;

    inside = true;
    TRY("recv", VIRTSOCK_E_CANCELLED, virtsock_stream_recv(stream, &b, 1, &n, -1, &e));
    return NULL;
}

static void *receive_in_time(void *stream)
{
    size_t n;
    char   b;

    inside = true;
    TRY("recv", VIRTSOCK_E_CANCELLED, virtsock_stream_recv(stream, &b, 1, &n, 5000, &e));
    return NULL;
}

static void *accept_one(void *listener)
{
    virtsock_stream *s;

    inside = true;
    TRY("accept", VIRTSOCK_E_CANCELLED, virtsock_accept(&s, listener, -1, &e));
    return NULL;
}

/* A failure is final here, so there is no second try. */
static void *connect_for_ever(void *stream)
{
    virtsock_error  e = { 0 };
    virtsock_status status;

    inside = true;
    fault_here();
    status = virtsock_stream_connect(stream, -1, &e);
    torture_judge("connect and wait", status, VIRTSOCK_E_CANCELLED, &e);
    return NULL;
}

static pthread_t go_inside(void *(*work)(void *), void *handle)
{
    pthread_t thread;

    inside = false;
    CHECK(pthread_create(&thread, NULL, work, handle) == 0);
    while (!inside)
        sched_yield();
    test_nap_ms(1);
    return thread;
}

/* proves: T1 */
SCENARIO(close_wakes_recv)
{
    void *(*const works[])(void *) = { receive, receive_in_time };
    struct talk t;

    for (int i = 0; i < 2; i++) {
        pthread_t thread;

        talk_begin(&t, NULL);
        thread = go_inside(works[i], t.client);
        TRY("close", VIRTSOCK_OK, virtsock_stream_close(t.client, 0, &e));
        pthread_join(thread, NULL);
        talk_end(&t);
    }
}

/* proves: L13 */
SCENARIO(close_wakes_accept)
{
    struct talk t;
    pthread_t   thread;

    talk_listen(&t, NULL);
    thread = go_inside(accept_one, t.listener);
    TRY("unlisten", VIRTSOCK_OK, virtsock_listener_close(t.listener, &e));
    pthread_join(thread, NULL);
    talk_end(&t);
}

SCENARIO(close_wakes_connect)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_error    unused = { 0 };
    struct talk       t = { 0 };
    pthread_t         thread;

    if (o == NULL)
        o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 60000, &unused), unused);
    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, talk_nowhere(), &e));
    TRY("connect", VIRTSOCK_OK, virtsock_connect_start(&t.client, t.address, o, &e));
    thread = go_inside(connect_for_ever, t.client);
    TRY("close", VIRTSOCK_OK, virtsock_stream_close(t.client, 0, &e));
    pthread_join(thread, NULL);
    talk_end(&t);
    virtsock_options_free(o);
}
