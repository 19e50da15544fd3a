/* SPDX-License-Identifier: MIT
 *
 * Data over Hyper-V sockets: nothing is lost on close, counts are exact whatever ends a call, and what the provider does in its own way (no more
 * than 64 KiB in one send, the end of a stream as an error) is not seen.
 */
#include "hyperv.h"

#define MIB (1u << 20)

static void send_all(virtsock_stream *s, const void *data, size_t size)
{
    virtsock_error e = { 0 };
    size_t         n;

    CHECK_OK(virtsock_stream_send_all(s, data, size, &n, 10000, &e), e);
    CHECK(n == size);
}

/* All that comes, to the end; how many bytes. */
static size_t receive_to_end(virtsock_stream *s, virtsock_status end)
{
    static char    b[65536];
    virtsock_error e = { 0 };
    size_t         n, total = 0;

    while (virtsock_stream_recv(s, b, sizeof b, &n, 10000, &e) == VIRTSOCK_OK)
        total += n;
    CHECK_STATUS(e.status, end, e);
    return total;
}

static void free_pair(virtsock_stream *s[2])
{
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

/* --- Closing --------------------------------------------------------------------------------------------------------------------- */

/* Sends 2 MiB to the peer that reads slowly, and closes at once; how much it got. */
static long lose(bool lossy, int linger_ms)
{
    static char      data[2 * MIB];
    virtsock_stream *s;
    virtsock_error   e = { 0 };
    int64_t          until = test_ms() + 10000;
    const char      *said;

    remove(board_path("slow"));
    shim("HVSHIM_LOSSY", lossy ? "1" : NULL);
    connect_to(&s, READS_SLOWLY, NULL);
    send_all(s, data, sizeof data);
    CHECK_OK(virtsock_stream_close(s, linger_ms, &e), e);
    virtsock_stream_free(s);
    shim("HVSHIM_LOSSY", NULL);
    while (strchr(said = board_text("slow"), '\n') == NULL && test_ms() < until)
        test_nap_ms(10);
    printf("# %s: %s, linger %d: of %u bytes the peer got %s", test_now, lossy ? "lossy" : "not lossy", linger_ms, (unsigned)sizeof data, said);
    CHECK(*said != '\0');
    return atol(said);
}

/* proves: D6 */
TEST(a_slow_reader_gets_all_of_it)
{
    CHECK(lose(true, -1) == 2 * MIB && strstr(board_text("slow"), " eof") != NULL);
    CHECK(lose(false, -1) == 2 * MIB);
}

/* What the default protects from. */
/* proves: D6 */
TEST(without_a_linger_it_loses_most)
{
    CHECK(lose(true, 0) < (long)MIB);
}

/* --- Ends ------------------------------------------------------------------------------------------------------------------------ */

/* 60,000 of 100,000 bytes: those are there, and no error is made of what never came. */
TEST(a_part_and_then_the_end)
{
    virtsock_stream *s;
    virtsock_error   e = { 0 };
    static char      b[100000];
    size_t           n;

    connect_to(&s, LOSES, NULL);
    CHECK(receive_to_end(s, VIRTSOCK_E_EOF) == 60000);
    virtsock_stream_free(s);
    connect_to(&s, LOSES, NULL);
    CHECK_STATUS(virtsock_stream_recv_exact(s, b, sizeof b, &n, 5000, &e), VIRTSOCK_E_EOF, e);
    CHECK(n == 60000);
    virtsock_stream_free(s);
}

TEST(one_byte_at_a_time)
{
    virtsock_stream *s;

    connect_to(&s, DRIPS, NULL);
    CHECK(receive_to_end(s, VIRTSOCK_E_EOF) == 50);
    virtsock_stream_free(s);
}

/* proves: D5 */
TEST(the_peer_ends_first_and_we_still_send)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    char             b[5];
    size_t           n;

    connect_to(&s[0], HALF_CLOSES, NULL);
    CHECK(receive_to_end(s[0], VIRTSOCK_E_EOF) == 0);
    send_all(s[0], "still", 5);
    virtsock_stream_free(s[0]);
    test_pair(s, NULL);
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK(receive_to_end(s[0], VIRTSOCK_E_EOF) == 0);
    send_all(s[0], "still", 5);
    CHECK_OK(virtsock_stream_recv_exact(s[1], b, 5, &n, 5000, &e), e);
    CHECK(memcmp(b, "still", 5) == 0);
    free_pair(s);
}

/* As some builds of Windows call it. */
/* proves: D7 */
TEST(a_broken_pipe_is_the_end)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    char             b[8];
    size_t           n;

    shim("HVSHIM_BROKEN_PIPE", "1");
    test_pair(s, NULL);
    send_all(s[0], "all", 3);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    CHECK_STATUS(virtsock_stream_recv_exact(s[1], b, 8, &n, 5000, &e), VIRTSOCK_E_EOF, e);
    CHECK(n == 3);
    for (int ms = -1; ms < 2; ms++)
        CHECK_STATUS(virtsock_stream_recv(s[1], b, 8, &n, ms, &e), VIRTSOCK_E_EOF, e);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    CHECK_OK(virtsock_stream_close(s[0], 1000, &e), e);         /* which waits for the peer's end */
    shim("HVSHIM_BROKEN_PIPE", NULL);
    free_pair(s);
}

/* Wine 8 may show it as the end: then this test says so, and nothing else does. */
/* proves: D2 */
TEST(a_reset_in_mid_stream)
{
    virtsock_stream *s;
    virtsock_error   e = { 0 };
    virtsock_status  status;
    char             b[8];
    size_t           n;

    connect_to(&s, RESETS, NULL);
    send_all(s, "go", 2);
    status = virtsock_stream_recv(s, b, sizeof b, &n, 5000, &e);
    if (status == VIRTSOCK_E_EOF)
        printf("miss %s: the end of the stream\n", test_now);
    else
        CHECK_STATUS(status, VIRTSOCK_E_RESET, e);
    CHECK(n == 0);
    virtsock_stream_free(s);
}

/* --- Time and cancelling --------------------------------------------------------------------------------------------------------- */

static void receive_in_vain(void *s)
{
    virtsock_error e = { 0 };
    size_t         n = 7;
    char           b;

    CHECK_STATUS(virtsock_stream_recv(s, &b, 1, &n, 250, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(n == 0);
}

/* proves: D10 */
TEST(a_receive_ends_in_its_time)
{
    virtsock_stream *s;

    connect_to(&s, STALLS, NULL);
    check_takes(250, 250 + LATE_MS, receive_in_vain, s);
    virtsock_stream_free(s);
}

static void *receive_for_ever(void *stream)
{
    virtsock_error e = { 0 };
    size_t         n = 7;
    char           b;

    CHECK_STATUS(virtsock_stream_recv(stream, &b, 1, &n, -1, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK(n == 0);
    return NULL;
}

static void *send_for_ever(void *stream)
{
    static char    data[64 * MIB];
    virtsock_error e = { 0 };
    size_t         n = 0;

    CHECK_STATUS(virtsock_stream_send_all(stream, data, sizeof data, &n, -1, &e), VIRTSOCK_E_CANCELLED, e);
    CHECK(n > 0 && n < sizeof data);
    return NULL;
}

static int64_t close_a_call(void *call)
{
    virtsock_stream *s;

    connect_to(&s, STALLS, NULL);
    return close_into(s, *(void *(**)(void *))call, 200);
}

static void check_close_ends(void *(*call)(void *))
{
    check_says(0, LATE_MS, close_a_call, &call);
}

/* proves: T1 */
TEST(a_close_ends_a_receive) { check_close_ends(receive_for_ever); }
/* proves: T1 */
TEST(a_close_ends_a_send) { check_close_ends(send_for_ever); }

struct sending {
    virtsock_stream *s;
    size_t           sent;
};

static void send_in_vain(void *sending)
{
    static char     data[64 * MIB];
    struct sending *f = sending;
    virtsock_error  e = { 0 };
    size_t          n = 0;

    CHECK_STATUS(virtsock_stream_send_all(f->s, data, sizeof data, &n, 300, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(n < sizeof data);
    f->sent += n;
}

/* What is said to have gone is what comes. */
/* proves: D9 */
TEST(a_send_ends_in_its_time_with_an_exact_count)
{
    virtsock_stream *s[2];
    struct sending   f = { NULL, 0 };
    virtsock_error   e = { 0 };
    size_t           got;

    connect_to(&f.s, STALLS, NULL);
    check_takes(300, 300 + LATE_MS, send_in_vain, &f);
    CHECK(f.sent > 0);
    virtsock_stream_free(f.s);

    test_pair(s, NULL);
    f = (struct sending){ s[0], 0 };
    for (int i = 0; i < 3; i++)
        send_in_vain(&f);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    got = receive_to_end(s[1], VIRTSOCK_E_EOF);
    printf("# %s: %zu bytes sent, %zu came\n", test_now, f.sent, got);
    CHECK(got == f.sent);
    free_pair(s);
}

struct receiving {
    virtsock_stream *s;
    size_t           got;
    pthread_t        thread;
};

static void *receive_slowly(void *receiving)
{
    struct receiving *r = receiving;
    static char       b[7001];
    virtsock_error    e = { 0 };
    size_t            n;

    while (virtsock_stream_recv(r->s, b, sizeof b, &n, 10000, &e) == VIRTSOCK_OK) {
        r->got += n;
        if (r->got / 200000 != (r->got - n) / 200000)
            test_nap_ms(20);
    }
    CHECK_STATUS(e.status, VIRTSOCK_E_EOF, e);
    return NULL;
}

/* Sends that are taken back in the midst of it, again and again: each says how much of it went, which is often a part, since the small window of
 * the client makes the system take them in small portions. */
TEST(counts_are_exact_when_sends_are_taken_back)
{
    static char      data[50001];
    virtsock_options *o = option(VIRTSOCK_OPTION_BUFFER_SIZE, 8192);
    virtsock_stream *s[2];
    struct receiving r = { 0 };
    virtsock_error   e = { 0 };
    size_t           n, total = 0;
    int              sends = 0, late = 0, parts = 0;

    test_pair(s, o);
    r.s = s[0];
    CHECK(pthread_create(&r.thread, NULL, receive_slowly, &r) == 0);
    for (; sends < 400; sends++) {
        virtsock_status status = virtsock_stream_send(s[1], data, sizeof data, &n, sends % 4, &e);

        CHECK(status == VIRTSOCK_OK || status == VIRTSOCK_E_AGAIN || status == VIRTSOCK_E_TIMEOUT);
        CHECK((status == VIRTSOCK_OK) == (n > 0));
        late += n == 0;
        parts += n > 0 && n < sizeof data;
        total += n;
    }
    CHECK_OK(virtsock_stream_shutdown(s[1], VIRTSOCK_SHUT_SEND, &e), e);
    pthread_join(r.thread, NULL);
    printf("# %s: of %d sends %d sent nothing and %d a part; %zu bytes went, %zu came\n", test_now, sends, late, parts, total, r.got);
    CHECK(r.got == total && late > 0 && parts > 0);
    free_pair(s);
    virtsock_options_free(o);
}

/* --- Much ---------------------------------------------------------------------------------------------------------------------------- */

#define ECHO (8 * MIB)
static unsigned char sent[ECHO], came[ECHO];

static void *echo(void *stream)
{
    static char    b[65536];
    virtsock_error e = { 0 };
    size_t         n;

    while (virtsock_stream_recv(stream, b, sizeof b, &n, 10000, &e) == VIRTSOCK_OK)
        send_all(stream, b, n);
    CHECK_STATUS(e.status, VIRTSOCK_E_EOF, e);
    CHECK_OK(virtsock_stream_shutdown(stream, VIRTSOCK_SHUT_SEND, &e), e);
    return NULL;
}

/* A receive that may not wait is taken back each time, with what it had by then. */
/* proves: D10 */
TEST(an_echo_is_whole_with_receives_that_do_not_wait)
{
    virtsock_stream *s[2];
    pthread_t        t;
    virtsock_error   e = { 0 };
    virtsock_status  status;
    size_t           out = 0, in = 0, n;
    int              empty = 0;

    for (size_t i = 0; i < ECHO; i++)
        sent[i] = (unsigned char)(i * 31 + (i >> 11));
    memset(came, 0, ECHO);
    test_pair(s, NULL);
    CHECK(pthread_create(&t, NULL, echo, s[1]) == 0);
    while (in < ECHO) {
        if (out < ECHO) {
            status = virtsock_stream_send(s[0], sent + out, ECHO - out < 40000 ? ECHO - out : 40000, &n, 1, &e);
            CHECK(status == VIRTSOCK_OK || status == VIRTSOCK_E_TIMEOUT);
            out += n;
        }
        status = virtsock_stream_recv(s[0], came + in, ECHO - in, &n, out < ECHO ? 0 : 5000, &e);
        CHECK(status == VIRTSOCK_OK || (status == VIRTSOCK_E_AGAIN && out < ECHO));
        empty += status == VIRTSOCK_E_AGAIN;
        in += n;
    }
    CHECK(memcmp(sent, came, ECHO) == 0 && empty > 0);
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_SEND, &e), e);
    pthread_join(t, NULL);
    printf("# %s: %d receives found nothing\n", test_now, empty);
    free_pair(s);
}

/* --- In pieces ------------------------------------------------------------------------------------------------------------------- */

static void *receive(void *receiving)
{
    struct receiving *r = receiving;

    r->got = receive_to_end(r->s, VIRTSOCK_E_EOF);
    return NULL;
}

/* 1 MiB at once, whole and from two slices, by either end; the longest send that the system saw. */
static unsigned long longest_send(const virtsock_options *o)
{
    static char      data[MIB];
    virtsock_slice   two[2] = { { data, 70000 }, { data, MIB - 70000 } };
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    unsigned long    longest;
    size_t           n;

    log_begin();
    for (int i = 0; i < 2; i++) {
        struct receiving r;

        test_pair(s, o);
        r = (struct receiving){ .s = s[1 - i] };
        CHECK(pthread_create(&r.thread, NULL, receive, &r) == 0);
        send_all(s[i], data, sizeof data);
        CHECK_OK(virtsock_stream_sendv(s[i], two, 2, &n, 5000, &e), e);
        CHECK_OK(virtsock_stream_shutdown(s[i], VIRTSOCK_SHUT_SEND, &e), e);
        pthread_join(r.thread, NULL);
        CHECK(r.got == MIB + n);
        free_pair(s);
    }
    check_judge();
    log_count("send ", &longest);
    return longest;
}

/* proves: D8 */
TEST(a_send_is_64_kib_at_most)
{
    CHECK(longest_send(NULL) == 65536);
}

/* Builds that break a connection over more than 8 KiB. */
/* proves: D8 */
TEST(a_send_is_message_max_at_most)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_MESSAGE_MAX, 8192);

    shim("HVSHIM_SEND_MAX", "8192");
    CHECK(longest_send(o) == 8192);
    shim("HVSHIM_SEND_MAX", NULL);
    virtsock_options_free(o);
}

/* And what happens there without it. */
TEST(a_send_that_is_too_long_is_told)
{
    static char      data[MIB];
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n = 7;

    shim("HVSHIM_SEND_MAX", "8192");
    test_pair(s, NULL);
    CHECK_STATUS(virtsock_stream_send(s[0], data, sizeof data, &n, 1000, &e), VIRTSOCK_E_MESSAGE_TOO_LONG, e);
    CHECK(n == 0);
    check_advice(&e, "MESSAGE_MAX");
    shim("HVSHIM_SEND_MAX", NULL);
    free_pair(s);
}
