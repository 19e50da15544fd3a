/* SPDX-License-Identifier: MIT
 *
 * half-close=framed: streams that speak frames with a peer that knows nothing of them but what the vectors write (tests/vectors/frames.tsv), so
 * that each byte is seen. Behaviour that all streams share is tests/contract's.
 */
#include "frames.h"

#define FRAME_SENT 4096                 /* most of payload in a frame: wire facts, flow_shutdown */

/* The smallest there is. Linux tells nobody of room in an AF_VSOCK buffer that is smaller than a frame, so sends look again each second there. */
#define SMALL_BUFFER (test_is_vsock() ? FRAME_SENT : 1)

#define STREAMS() if (test_is_seqpacket()) SKIP("frames are for streams")

/* --- A stream, and a peer without frames --------------------------------------------------------------------------------------- */

/* A listener at the one, a client to the other; what that gave is accepted. */
static void pair_of(virtsock_stream **client, virtsock_stream **server, const char *to, const char *at, const virtsock_options *options)
{
    virtsock_address  *a[2] = { test_parse(to), test_parse(at) };
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a[1], options, &e), e);
    CHECK_OK(virtsock_connect(client, a[0], options, &e), e);
    CHECK_OK(virtsock_accept(server, l, TEST_PATIENT_MS, &e), e);
    virtsock_listener_free(l);
    virtsock_address_free(a[0]);
    virtsock_address_free(a[1]);
}

/* s[0] is framed, s[1] is not; s[0] was accepted, or has connected. */
static void half_framed_pair(virtsock_stream *s[2], bool accepted, const virtsock_options *options)
{
    char plain[256], framed[300];

    strcpy(plain, test_address());
    snprintf(framed, sizeof framed, "%s?half-close=framed", plain);
    pair_of(&s[accepted ? 1 : 0], &s[accepted ? 0 : 1], accepted ? plain : framed, accepted ? framed : plain, options);
}

static void framed_pair(virtsock_stream *s[2])
{
    char text[300];

    snprintf(text, sizeof text, "%s?half-close=framed", test_address());
    pair_of(&s[0], &s[1], text, text, NULL);
}

/* --- Data ------------------------------------------------------------------------------------------------------------------------- */

static virtsock_stream *other[2];               /* settle's, until free_pair */

static void free_both(virtsock_stream *s[2])
{
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    s[0] = s[1] = NULL;
}

static void free_pair(virtsock_stream *s[2])
{
    free_both(s);
    free_both(other);
}

static void put(virtsock_stream *s, const void *data, size_t size)
{
    virtsock_error e = { 0 };
    size_t         n;

    CHECK_OK(virtsock_stream_send_all(s, data, size, &n, TEST_PATIENT_MS, &e), e);
    CHECK(n == size);
}

static void get(virtsock_stream *s, void *buf, size_t size)
{
    virtsock_error e = { 0 };
    size_t         n;

    CHECK_OK(virtsock_stream_recv_exact(s, buf, size, &n, TEST_PATIENT_MS, &e), e);
}

/* What was sent is there a moment later, but in order, between connections too: it has come when a byte on another one has. */
static void settle(void)
{
    char b, text[256];

    if (test_is_unix())
        return;
    if (other[0] == NULL) {
        strcpy(text, test_address());
        pair_of(&other[0], &other[1], text, text, NULL);
    }
    put(other[0], "", 1);
    get(other[1], &b, 1);
}

static void put_hex(virtsock_stream *s, const char *hex, bool drips)
{
    unsigned char data[500];
    size_t        n = from_hex(data, hex);

    for (size_t at = 0; at < n; at += drips ? 1 : n)
        put(s, data + at, drips ? 1 : n);
    settle();
}

static void expect_hex(virtsock_stream *s, const char *hex)
{
    unsigned char  want[5000], got[5000];
    virtsock_error e = { 0 };
    size_t         n = from_hex(want, hex), more;

    get(s, got, n);
    CHECK(memcmp(got, want, n) == 0);
    settle();
    CHECK(virtsock_stream_recv(s, got, 1, &more, 0, &e) != VIRTSOCK_OK && more == 0);
}

static virtsock_status status_of(const char *name)
{
    virtsock_status status = VIRTSOCK_OK;

    while (strcmp(virtsock_status_name(status), name) != 0) {
        CHECK(status > VIRTSOCK_E_SYSTEM);
        status--;
    }
    return status;
}

/* --- Talks -------------------------------------------------------------------------------------------------------------------------- */

static bool talk_drips, talk_accepted;

static void talk_recv(virtsock_stream *s, const char *how)
{
    virtsock_status want = how[0] == '!' ? status_of(how + 1) : VIRTSOCK_OK;
    virtsock_error  e = { 0 };
    char            got[100];
    size_t          n;

    if (want == VIRTSOCK_OK) {
        get(s, got, strlen(how + 1));
        CHECK(memcmp(got, how + 1, strlen(how + 1)) == 0);
        return;
    }
    CHECK_STATUS(virtsock_stream_recv(s, got, sizeof got, &n, want == VIRTSOCK_E_AGAIN ? 0 : TEST_PATIENT_MS, &e), want, e);
    CHECK(n == 0);
}

static void talk_send(virtsock_stream *s, const char *how)
{
    virtsock_error e = { 0 };
    size_t         n;

    if (how[0] == ':') {
        put(s, how + 1, strlen(how + 1));
        return;
    }
    if (how[0] == '{') {
        char data[5000];

        memset(data, 'x', sizeof data);
        put(s, data, (size_t)atoi(how + 1));
        return;
    }
    CHECK_STATUS(virtsock_stream_send(s, "x", 1, &n, TEST_PATIENT_MS, &e), status_of(how + 1), e);
    CHECK(n == 0);
}

static void talk_close(virtsock_stream *s, virtsock_status want)
{
    virtsock_error e = { 0 };

    CHECK_STATUS(virtsock_stream_close(s, want == VIRTSOCK_E_TIMEOUT ? 100 : TEST_PATIENT_MS, &e), want, e);
}

static void talk_peer(const virtsock_stream *s, const char *what)
{
    static const char *const states[] = { "here", "ended", "deaf", "gone" };
    virtsock_error e = { 0 };
    int64_t        state;

    CHECK_OK(virtsock_stream_get(s, VIRTSOCK_ITEM_PEER_STATE, &state, &e), e);
    CHECK(state >= 0 && state <= VIRTSOCK_PEER_GONE);
    if (state != 0 || TEST_TELLS)
        CHECK_TEXT(states[state], what);
}

static void hang_up(virtsock_stream *peer)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_stream_close(peer, 0, &e), e);
    settle();
}

static void talk_step(virtsock_stream *s, virtsock_stream *peer, const char *step)
{
    virtsock_error e = { 0 };

    if (step[0] == '<')
        put_hex(peer, step + 1, talk_drips);
    else if (step[0] == '>')
        expect_hex(peer, step + 1);
    else if (strncmp(step, "send", 4) == 0)
        talk_send(s, step + 4);
    else if (strncmp(step, "recv", 4) == 0)
        talk_recv(s, step + 4);
    else if (strncmp(step, "shut-", 5) == 0)
        CHECK_OK(virtsock_stream_shutdown(s, step[5] == 'r' ? VIRTSOCK_SHUT_RECV : step[5] == 's' ? VIRTSOCK_SHUT_SEND : VIRTSOCK_SHUT_BOTH, &e), e);
    else if (strncmp(step, "close!", 6) == 0)
        talk_close(s, status_of(step + 6));
    else if (strncmp(step, "end!", 4) == 0)
        CHECK_STATUS(virtsock_stream_close(s, -1, &e), status_of(step + 4), e);
    else if (strncmp(step, "peer:", 5) == 0)
        talk_peer(s, step + 5);
    else if (strcmp(step, "abort") == 0)
        CHECK_OK(virtsock_stream_close(s, 0, &e), e);
    else if (strcmp(step, "hangup") == 0)
        hang_up(peer);
    else {
        CHECK(strcmp(step, "over") == 0);
        talk_recv(peer, "!eof");
    }
}

static void check_talk(char *steps, char *unused)
{
    virtsock_stream *s[2];
    char             text[1000];

    (void)unused;
    strcpy(text, steps);
    half_framed_pair(s, talk_accepted, NULL);
    for (char *step = strtok(text, " "); step != NULL; step = strtok(NULL, " ")) {
        char where[1100];

        snprintf(where, sizeof where, "talks: %s: %s", steps, step);
        test_now = where;
        talk_step(s[0], s[1], step);
    }
    test_now = "talks";
    free_both(s);
}

/* proves: framed */
TEST(talks)
{
    const int step = test_is_vsock() ? 3 : TEST_STEP;           /* emulated machines are slow, too: both at once, and neither */

    STREAMS();
    for (int i = 0; i < 4; i += step) {
        talk_drips = i % 2 == 1;
        talk_accepted = i / 2 == 1;
        CHECK(each_row("talk", check_talk) > 40);
    }
    free_both(other);
}

/* Every order of every choice of the three frames, said by either side, ours before theirs, after them or in turns: what can be sent and
 * received after that, and the bytes that went. */
enum { CLOSE, SHUT_RECV, SHUT_SEND, KINDS };
static const char *const hex_of[KINDS] = { "addeadde", "efbeadde", "addeefbe" };

static void say(virtsock_stream *s, int kind)
{
    virtsock_error e = { 0 };

    CHECK_OK(virtsock_stream_shutdown(s, kind == SHUT_RECV ? VIRTSOCK_SHUT_RECV : VIRTSOCK_SHUT_SEND_UNCHECKED, &e), e);      /* as SEND */
}

/* Ours have no Close, which the end says. order: bit n: that turn is ours. number: of those that have been. */
static void check_order(const int ours[2], int our_count, const int theirs[3], int their_count, unsigned order, int number)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    bool             said[KINDS] = { false }, heard[KINDS] = { false }, deaf, mute;
    char             want[100] = "";
    size_t           n;
    char             b;

    half_framed_pair(s, number % 2 == 0, NULL);
    for (int o = 0, t = 0; o + t < our_count + their_count; order /= 2)
        if (order % 2 != 0) {
            say(s[0], ours[o]);
            if (!heard[CLOSE])
                strcat(want, hex_of[ours[o]]);
            said[ours[o++]] = true;
        } else {
            put_hex(s[1], hex_of[theirs[t]], number % 3 == 0);
            heard[theirs[t++]] = true;
            CHECK(virtsock_stream_recv(s[0], &b, 1, &n, 0, &e) != VIRTSOCK_OK);        /* so that it is heard before what we say next */
            strcat(want, theirs[t - 1] == CLOSE ? hex_of[CLOSE] : "");
        }
    deaf = heard[CLOSE] || heard[SHUT_SEND] || said[SHUT_RECV];
    mute = heard[CLOSE] || heard[SHUT_RECV] || said[SHUT_SEND];
    CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, 0, &e), deaf ? VIRTSOCK_E_EOF : VIRTSOCK_E_AGAIN, e);
    CHECK_STATUS(virtsock_stream_send(s[0], "x", 1, &n, 0, &e), mute ? VIRTSOCK_E_RESET : VIRTSOCK_OK, e);
    strcat(want, mute ? "" : "0100000078");
    if (!heard[CLOSE]) {
        put_hex(s[1], hex_of[CLOSE], false);
        strcat(want, hex_of[CLOSE]);
    }
    CHECK_OK(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), e);
    expect_hex(s[1], want);
    free_both(s);
}

/* Whether a row before this one begins with the same. */
static bool has_been(const int *rows, int width, int row, int count)
{
    for (int i = 0; i < row; i++)
        if (memcmp(rows + i * width, rows + row * width, (size_t)count * sizeof *rows) == 0)
            return true;
    return false;
}

static int bits(unsigned word)
{
    return word == 0 ? 0 : (int)(word & 1) + bits(word >> 1);
}

/* proves: framed */
TEST(every_order)
{
    static const int theirs[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
    static const int ours[][2] = { { SHUT_RECV, SHUT_SEND }, { SHUT_SEND, SHUT_RECV } };
    int              number = 0;

    STREAMS();
    for (int t = 0; t < 6; t++)
        for (int their_count = 0; their_count <= 3; their_count++)
            for (int o = 0; o < 2 && !has_been(theirs[0], 3, t, their_count); o++)
                for (int our_count = 0; our_count <= 2; our_count++)
                    for (unsigned order = 0; order < 1u << (our_count + their_count) && !has_been(ours[0], 2, o, our_count); order++)
                        if (bits(order) == our_count)
                            check_order(ours[o], our_count, theirs[t], their_count, order, number++);
    CHECK(number == 326);
    free_both(other);
}

/* --- The end ------------------------------------------------------------------------------------------------------------------------ */

TEST(a_peer_that_never_answers_close)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_watch w;

    STREAMS();
    half_framed_pair(s, false, NULL);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_close(s[0], 150, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 150);
    expect_hex(s[1], "addeadde");
    free_pair(s);
}

static void *answer_late(void *v)
{
    unsigned char word[4];
    char          data[5];

    test_nap_ms(100);
    get(v, word, 4);
    CHECK(memcmp(word, "\5\0\0\0", 4) == 0);
    get(v, data, 5);
    put_hex(v, "addeefbe03000000616263", true);         /* not yet: only the end of one direction, and data that nobody wants */
    get(v, word, 4);
    CHECK(memcmp(word, "\xad\xde\xad\xde", 4) == 0);
    test_nap_ms(100);
    put_hex(v, "addeadde", true);
    return NULL;
}

TEST(close_waits_for_the_peer_s)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    pthread_t        t;
    int64_t          start = test_ms();

    STREAMS();
    half_framed_pair(s, true, NULL);
    CHECK(pthread_create(&t, NULL, answer_late, s[1]) == 0);
    put(s[0], "hello", 5);
    CHECK_OK(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), e);
    CHECK(test_ms() - start >= 200);
    pthread_join(t, NULL);
    free_pair(s);
}

static void *receive_for_ever(void *v)
{
    size_t n;
    char   b[16];

    return (void *)(intptr_t)virtsock_stream_recv(v, b, sizeof b, &n, -1, NULL);
}

static void *answer_at_once(void *v)
{
    unsigned char word[4];

    get(v, word, 4);
    CHECK(memcmp(word, "\xad\xde\xad\xde", 4) == 0);
    put_hex(v, "addeadde", false);
    return NULL;
}

/* That call ends as at any close, and the end is told all the same. */
TEST(a_close_with_a_call_inside_is_in_order)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_call  inside;
    struct test_watch closing;
    pthread_t         t;

    STREAMS();
    half_framed_pair(s, false, NULL);
    test_call_begin(&inside, receive_for_ever, s[0]);
    test_call_waits(&inside);
    CHECK(pthread_create(&t, NULL, answer_at_once, s[1]) == 0);
    closing = test_watch_begin();
    CHECK_OK(virtsock_stream_close(s[0], -1, &e), e);
    test_watch_end(&closing);
    CHECK((intptr_t)test_call_end(&inside) == VIRTSOCK_E_CANCELLED);
    CHECK(test_wake_us(&inside, 1, &closing) < (50 + test_late_ms()) * 1000);
    pthread_join(t, NULL);
    free_pair(s);
}

static void *close_too(void *v)
{
    return (void *)(intptr_t)virtsock_stream_close(v, TEST_PATIENT_MS, NULL);
}

TEST(both_close_at_once)
{
    STREAMS();
    for (int i = 0; i < 100; i++) {
        virtsock_stream *s[2];
        virtsock_error   e = { 0 };
        pthread_t        t;
        void            *status;

        framed_pair(s);
        if (i % 2 == 1)
            put(s[i / 2 % 2], "unread", 6);
        CHECK(pthread_create(&t, NULL, close_too, s[1]) == 0);
        CHECK_OK(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), e);
        CHECK(pthread_join(t, &status) == 0 && (intptr_t)status == VIRTSOCK_OK);
        free_pair(s);
    }
}

/* --- Full peers, and frames in parts ---------------------------------------------------------------------------------------------- */

/* Sends without a wait until no more goes; how much went. One byte, so that less than a frame fits the rest of a small buffer. */
static size_t fill(virtsock_stream *s, char *next)
{
    virtsock_error  e = { 0 };
    virtsock_status status;
    size_t          total = 0, n;
    char            data[5000];
    int             i = 0;

    do {
        for (size_t at = 0; at < sizeof data; at++)
            data[at] = (char)(*next + (char)at);
        status = virtsock_stream_send(s, data, i++ % 2 == 0 ? 1 : sizeof data, &n, 0, &e);
        total += n;
        *next = (char)(*next + (char)n);
    } while (status == VIRTSOCK_OK);
    CHECK_STATUS(status, VIRTSOCK_E_AGAIN, e);
    return total;
}

/* What a peer has read of Data frames. */
struct incoming {
    unsigned char word[4];
    size_t        heard, left;
};

/* A byte of payload, or -1: it was one of a length. */
static int take(struct incoming *in, unsigned char byte)
{
    if (in->left > 0) {
        in->left--;
        return byte;
    }
    in->word[in->heard++] = byte;
    if (in->heard == 4) {
        in->left = in->word[0] + 256u * in->word[1];
        CHECK(in->left <= FRAME_SENT && in->word[2] == 0 && in->word[3] == 0);
        in->heard = 0;
    }
    return -1;
}

/* Reads frames: each byte is one more than the one before it. Until `size` bytes of payload. */
static size_t read_frames(virtsock_stream *peer, struct incoming *in, char *next, size_t size, size_t *most)
{
    unsigned char  data[1000];
    virtsock_error e = { 0 };
    size_t         total = 0, n;

    while (total < size) {
        CHECK_OK(virtsock_stream_recv(peer, data, in->left > 0 && in->left < sizeof data ? in->left : 1, &n, TEST_PATIENT_MS, &e), e);
        for (size_t at = 0; at < n; at++) {
            int byte = take(in, data[at]);

            *most = in->left > *most ? in->left : *most;
            CHECK(byte < 0 || (char)byte == (*next)++);
            total += byte >= 0;
        }
    }
    return total;
}

/* The smallest buffers: frames leave in parts. What was said to have gone is there without another call; the next send goes on. */
TEST(sends_to_a_full_peer)
{
    virtsock_options *o;
    struct incoming   in = { .left = 0 };
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    char              out = 0, back = 0;
    size_t            most = 0, sent, parts = 0;

    STREAMS();
    o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, SMALL_BUFFER, &e), e);
    half_framed_pair(s, false, o);
    for (int i = 0; i < 20 || (in.left == 0 && i < 40); i++) {
        sent = fill(s[0], &out);
        CHECK(sent > 0);
        CHECK(read_frames(s[1], &in, &back, sent, &most) == sent);
        parts += in.left > 0;
    }
    CHECK(most <= FRAME_SENT && out == back);
    if (!test_is_vsock())
        CHECK(parts > 0);
    if (in.left > 0) {                  /* in the middle of a frame its end cannot be told */
        CHECK_STATUS(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), VIRTSOCK_E_RESET, e);
        CHECK(strstr(e.message, "unfinished") != NULL);
    }
    free_pair(s);
    virtsock_options_free(o);
}

static void *shut_late(void *v)
{
    virtsock_error e = { 0 };

    return (void *)(intptr_t)virtsock_stream_shutdown(v, VIRTSOCK_SHUT_SEND, &e);
}

/* Reads what was sent before it, and what only a send can finish of that; then it is there. */
static void let_go(virtsock_stream *s[2], size_t sent, char next)
{
    struct incoming in = { .left = 0 };
    char            back = 0, data[FRAME_SENT];
    size_t          most = 0, rest;

    read_frames(s[1], &in, &back, sent, &most);
    rest = in.left;
    for (size_t n = 0; n < rest; n++)
        data[n] = next++;
    if (rest > 0) {
        put(s[0], data, rest);
        read_frames(s[1], &in, &back, rest, &most);
    }
}

/* The room for its frame is waited for: until the peer reads, until a close, or for five seconds. */
TEST(a_shutdown_to_a_full_peer)
{
    static const virtsock_status ends[] = { VIRTSOCK_OK, VIRTSOCK_E_CANCELLED, VIRTSOCK_E_TIMEOUT };
    virtsock_options            *o;
    virtsock_error               e = { 0 };

    STREAMS();
    o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, SMALL_BUFFER, &e), e);
    for (int i = 0; i < 3; i++) {
        virtsock_stream  *s[2];
        struct test_watch w;
        struct test_call  c;
        char              next = 0;
        size_t            sent;

        half_framed_pair(s, false, o);
        sent = fill(s[0], &next);
        test_call_begin(&c, shut_late, s[0]);
        test_call_waits(&c);
        w = test_watch_begin();
        if (i == 0)
            let_go(s, sent, next);
        if (i == 1)
            CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
        test_watch_end(&w);
        CHECK((intptr_t)test_call_end(&c) == ends[i]);
        if (i < 2)
            CHECK(test_wake_us(&c, 1, &w) < (i == 0 ? 4000 : 50 + test_late_ms()) * 1000);       /* TCP crawls with such buffers */
        else
            CHECK_WATCH(c.watch, 5000, 5000 + test_late_ms());
        if (i == 0)
            expect_hex(s[1], "addeefbe");
        free_pair(s);
    }
    virtsock_options_free(o);
}

/* Sends frames until no more goes, and the rest of the last one, or one more: the peer reads for as long as that takes. */
static void fill_with_frames(virtsock_stream *s, virtsock_stream *peer)
{
    static char     data[FRAME_SENT];
    virtsock_status status;
    virtsock_error  e = { 0 };
    size_t          n, left = FRAME_SENT;

    while ((status = virtsock_stream_send(s, data, left, &n, 0, &e)) == VIRTSOCK_OK)
        left = left > n ? left - n : FRAME_SENT;
    CHECK_STATUS(status, VIRTSOCK_E_AGAIN, e);
    while (left > 0) {
        get(peer, data, 1000);
        settle();                       /* until it is told of the room */
        status = virtsock_stream_send(s, data, left, &n, 0, &e);
        CHECK(status == VIRTSOCK_OK || status == VIRTSOCK_E_AGAIN);
        left -= n;
    }
}

/* Both are full, and both say Close: each discards what comes, which makes room. */
TEST(full_peers_close)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    pthread_t        t;
    void            *status;

    STREAMS();
    framed_pair(s);
    fill_with_frames(s[0], s[1]);
    fill_with_frames(s[1], s[0]);
    CHECK(pthread_create(&t, NULL, close_too, s[1]) == 0);
    CHECK_OK(virtsock_stream_close(s[0], TEST_PATIENT_MS, &e), e);
    CHECK(pthread_join(t, &status) == 0 && (intptr_t)status == VIRTSOCK_OK);
    free_pair(s);
}

/* --- A peer that means no good ------------------------------------------------------------------------------------------------------- */

static _Atomic bool flooding, flooded;

static void *flood(void *v)
{
    static const unsigned char empty[4000];             /* a thousand frames of nothing */
    size_t                     n;

    while (flooding && virtsock_stream_send(v, empty, sizeof empty, &n, 10, NULL) != VIRTSOCK_E_INVALID)
        flooded = true;
    return NULL;
}

TEST(a_flood_of_empty_frames_moves_no_deadline)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    pthread_t         t;
    struct test_watch w;
    size_t            n = 9;
    char              b;

    STREAMS();
    half_framed_pair(s, true, NULL);
    flooding = true;
    flooded = false;
    CHECK(pthread_create(&t, NULL, flood, s[1]) == 0);
    while (!flooded)
        test_nap_ms(1);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_TIME(w, 0);
    CHECK(n == 0);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, 100, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 100);
    w = test_watch_begin();
    CHECK_STATUS(virtsock_stream_close(s[0], 100, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK_TIME(w, 100);
    flooding = false;
    pthread_join(t, NULL);
    free_pair(s);
}

/* A row of words without data is heard in turns: a call that must not wait does not hear all of it. */
TEST(a_row_of_empty_frames_takes_turns)
{
    static unsigned char row[4000];                     /* a thousand */
    virtsock_stream     *s[2];
    virtsock_error       e = { 0 };
    virtsock_status      status;
    size_t               n;
    int                  calls = 1;
    char                 b;

    STREAMS();
    half_framed_pair(s, true, NULL);
    put(s[1], row, sizeof row);
    put_hex(s[1], "0100000078", false);
    while ((status = virtsock_stream_recv(s[0], &b, 1, &n, 0, &e)) == VIRTSOCK_E_AGAIN)
        calls++;
    CHECK_OK(status, e);
    CHECK(b == 'x' && calls == 1 + 1000 / 64);
    free_pair(s);
}

/* --- Threads ---------------------------------------------------------------------------------------------------------------------------- */

TEST(a_shutdown_ends_a_recv_of_another_thread)
{
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    struct test_call  calls[2];
    struct test_watch ending;

    STREAMS();
    half_framed_pair(s, true, NULL);
    for (int i = 0; i < 2; i++)
        test_call_begin(&calls[i], receive_for_ever, s[0]);
    for (int i = 0; i < 2; i++)
        test_call_waits(&calls[i]);
    ending = test_watch_begin();
    CHECK_OK(virtsock_stream_shutdown(s[0], VIRTSOCK_SHUT_RECV, &e), e);
    test_watch_end(&ending);
    for (int i = 0; i < 2; i++)
        CHECK((intptr_t)test_call_end(&calls[i]) == VIRTSOCK_E_EOF);
    CHECK(test_wake_us(calls, 2, &ending) < (100 + test_late_ms()) * 1000);       /* it looks again each 100 ms */
    free_pair(s);
}

#define EACH 300
#define SIZE_OF(i) (1 + (size_t)(i) * 13)

struct sender {
    virtsock_stream *s;
    unsigned char    mark;
    pthread_t        thread;
};

static void *send_marks(void *v)
{
    struct sender *sender = v;
    unsigned char  data[FRAME_SENT];
    virtsock_error e = { 0 };
    size_t         n;

    memset(data, sender->mark, sizeof data);
    for (int i = 0; i < EACH; i++)
        CHECK_OK(virtsock_stream_send_all(sender->s, data, SIZE_OF(i), &n, i % 2 == 0 ? -1 : TEST_PATIENT_MS, &e), e);
    return NULL;
}

/* Four at once, while another receives: a frame is one sender's, as far as it left in one part. A send that was short leaves a frame that only
 * the next can fill, so all is sent, and bytes are counted. */
TEST(frames_of_threads_do_not_mix)
{
    struct incoming  in = { .left = 0 };
    struct sender    senders[4];
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    pthread_t        receiver;
    void            *status;
    unsigned char    data[FRAME_SENT];
    size_t           n, left = 0;

    STREAMS();
    half_framed_pair(s, true, NULL);
    CHECK(pthread_create(&receiver, NULL, receive_for_ever, s[0]) == 0);
    for (int i = 0; i < 4; i++) {
        senders[i] = (struct sender){ .s = s[0], .mark = (unsigned char)(i + 1) };
        CHECK(pthread_create(&senders[i].thread, NULL, send_marks, &senders[i]) == 0);
    }
    for (int i = 0; i < EACH; i++)
        left += 4 * SIZE_OF(i);
    while (left > 0) {
        get(s[1], data, 4);
        for (int i = 0; i < 4; i++)
            CHECK(take(&in, data[i]) < 0);
        n = in.left;
        get(s[1], data, n);
        in.left = 0;
        for (size_t i = 1; i < n && !test_is_vsock(); i++)
            CHECK(data[i] == data[0] && data[0] != 0);
        CHECK(n <= left);
        left -= n;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(senders[i].thread, NULL);
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    CHECK(pthread_join(receiver, &status) == 0 && (intptr_t)status == VIRTSOCK_E_CANCELLED);
    free_pair(s);
}

/* Small buffers, so that frames leave in parts: whoever comes next finishes what another has begun. In a TCP window of less than a frame, bytes
 * wait for timers that double: 2.3 MB took from 1 s to more than 9 minutes. */
TEST(parts_of_frames_of_threads_do_not_mix)
{
    struct incoming   in = { .left = 0 };
    struct sender     senders[4];
    virtsock_options *o;
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    unsigned char     data[1000];
    size_t            left = 0, marks[5] = { 0 }, each = 0, n;

    STREAMS();
    o = virtsock_options_new();
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_BUFFER_SIZE, test_is_unix() ? 1 : FRAME_SENT, &e), e);
    half_framed_pair(s, true, o);
    for (int i = 0; i < EACH; i++)
        each += SIZE_OF(i);
    for (int i = 0; i < 4; i++) {
        senders[i] = (struct sender){ .s = s[0], .mark = (unsigned char)(i + 1) };
        CHECK(pthread_create(&senders[i].thread, NULL, send_marks, &senders[i]) == 0);
    }
    for (left = 4 * each; left > 0;) {
        CHECK_OK(virtsock_stream_recv(s[1], data, sizeof data, &n, 20000, &e), e);
        for (size_t at = 0; at < n; at++) {
            int byte = take(&in, data[at]);

            if (byte >= 0) {
                CHECK(byte >= 1 && byte <= 4 && left > 0);
                marks[byte]++;
                left--;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(senders[i].thread, NULL);
        CHECK(marks[i + 1] == each);
    }
    CHECK(in.left == 0 && in.heard == 0);
    free_pair(s);
    virtsock_options_free(o);
}

static void *send_until_closed(void *v)
{
    virtsock_status status;
    size_t          n;

    while ((status = virtsock_stream_send(v, "x", 1, &n, 1, NULL)) == VIRTSOCK_OK || status == VIRTSOCK_E_TIMEOUT)
        continue;
    return (void *)(intptr_t)status;
}

/* A send looks at what comes, too: it leaves another thread's receive what is that one's. */
TEST(one_receives_while_others_send)
{
    static unsigned char frames[20000][6];              /* length 2, and two bytes that count */
    virtsock_stream     *s[2];
    virtsock_error       e = { 0 };
    pthread_t            senders[2];
    void                *status;

    STREAMS();
    for (size_t i = 0; i < 20000; i++)
        memcpy(frames[i], (const unsigned char[]){ 2, 0, 0, 0, (unsigned char)i, (unsigned char)(i >> 8) }, 6);
    half_framed_pair(s, true, NULL);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&senders[i], NULL, send_until_closed, s[0]) == 0);
    for (size_t i = 0; i < 20000; i += 100) {
        unsigned char got[200], scrap[4096];
        size_t        n;

        put(s[1], frames[i], 600);
        get(s[0], got, 200);
        for (size_t k = 0; k < 100; k++)
            CHECK(got[2 * k] == frames[i + k][4] && got[2 * k + 1] == frames[i + k][5]);
        while (virtsock_stream_recv(s[1], scrap, sizeof scrap, &n, 0, &e) == VIRTSOCK_OK)
            continue;
    }
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(senders[i], &status) == 0 && (intptr_t)status == VIRTSOCK_E_CANCELLED);
    free_pair(s);
}

/* Reads what comes within that time; *closes: bytes of Close, after whole frames and with nothing behind them. What ended it. */
static virtsock_status read_to_close(virtsock_stream *peer, struct incoming *in, size_t *closes, int timeout_ms)
{
    static const unsigned char close[] = { 0xad, 0xde, 0xad, 0xde };
    unsigned char              data[4096];
    virtsock_status            status;
    size_t                     n;

    while ((status = virtsock_stream_recv(peer, data, sizeof data, &n, timeout_ms, NULL)) == VIRTSOCK_OK)
        for (size_t at = 0; at < n; at++)
            if (*closes == 0 && (in->left > 0 || in->heard > 0 || data[at] != close[0]))
                take(in, data[at]);
            else
                CHECK(*closes < sizeof close && data[at] == close[(*closes)++]);
    return status;
}

/* The peer says Close while four send: one of them answers, once, after a whole frame; or the end does, if there was no room. */
TEST(one_of_many_answers_close)
{
    STREAMS();
    for (int round = 0; round < 100; round++) {
        struct incoming  in = { .left = 0 };
        virtsock_stream *s[2];
        virtsock_error   e = { 0 };
        pthread_t        senders[4];
        void            *ended;
        size_t           closes = 0;

        half_framed_pair(s, true, NULL);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&senders[i], NULL, send_until_closed, s[0]) == 0);
        for (int i = 0; i < round % 10; i++)
            read_to_close(s[1], &in, &closes, 0);
        put(s[1], "\xad\xde\xad\xde", 4);
        read_to_close(s[1], &in, &closes, 0);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(senders[i], &ended) == 0 && (intptr_t)ended == VIRTSOCK_E_RESET);
        settle();
        CHECK(read_to_close(s[1], &in, &closes, 0) == VIRTSOCK_E_AGAIN);
        CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
        CHECK(read_to_close(s[1], &in, &closes, 20000) == VIRTSOCK_E_EOF && closes == 4);
        free_pair(s);
    }
}

#ifdef _WIN32
NO_TEST(a_child_says_nothing_for_its_parent, "Windows has no fork")
#else

#include <sys/wait.h>

/* The peer's Close was heard, and there was no room to answer it: that is its maker's to do. */
TEST(a_child_says_nothing_for_its_parent)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    size_t           n, sent = 0;
    char             b, frame[5];
    pid_t            pid;
    int              status;

    STREAMS();
    if (!test_is_unix())
        SKIP("only UNIX sockets take a small frame whole or not at all");
    half_framed_pair(s, true, NULL);
    while (virtsock_stream_send(s[0], "x", 1, &n, 0, &e) == VIRTSOCK_OK)
        sent += n;
    put_hex(s[1], "addeadde", false);
    CHECK_STATUS(virtsock_stream_recv(s[0], &b, 1, &n, 0, &e), VIRTSOCK_E_EOF, e);
    while (sent-- > 0)
        get(s[1], frame, 5);
    if ((pid = fork()) == 0) {
        virtsock_stream_free(s[0]);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], &b, 1, &n, 0, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_OK(virtsock_stream_close(s[0], 0, &e), e);
    expect_hex(s[1], "addeadde");
    free_pair(s);
}
#endif

/* --- What a framed stream is ---------------------------------------------------------------------------------------------------------- */

TEST(a_framed_stream_has_no_descriptor)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_fd      fd = 7;

    STREAMS();
    framed_pair(s);
    for (int i = 0; i < 2; i++) {
        CHECK(virtsock_stream_fd(s[i]) == -1);
        CHECK_STATUS(virtsock_stream_detach(s[i], &fd, &e), VIRTSOCK_E_UNSUPPORTED, e);
        CHECK(fd == -1);
    }
    put(s[0], "whole", 5);
    free_pair(s);
}

static uint32_t half_close_of(virtsock_address *a)
{
    uint32_t value = 0;

    CHECK(virtsock_address_number(a, VIRTSOCK_PART_HALF_CLOSE, &value) == VIRTSOCK_OK);
    virtsock_address_free(a);
    return value;
}

TEST(addresses_say_framed)
{
    virtsock_stream   *s[2];
    virtsock_listener *l;
    virtsock_address  *a, *b;
    virtsock_error     e = { 0 };
    char               text[300];

    STREAMS();
    snprintf(text, sizeof text, "%s?half-close=framed", test_address());
    a = test_parse(text);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_listener_address(l, &b, &e), e);
    CHECK(virtsock_address_equal(a, b));
    CHECK_OK(virtsock_connect(&s[0], b, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, TEST_PATIENT_MS, &e), e);
    virtsock_address_free(b);
    CHECK_OK(virtsock_stream_peer(s[0], &b, &e), e);
    CHECK(virtsock_address_equal(a, b));
    CHECK(half_close_of(b) == VIRTSOCK_HALF_CLOSE_FRAMED);
    CHECK_OK(virtsock_stream_local(s[1], &b, &e), e);
    CHECK(half_close_of(b) == VIRTSOCK_HALF_CLOSE_FRAMED);
    free_pair(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

#ifdef _WIN32
NO_TEST(adopting_and_messages, "Windows has neither socketpair nor seqpacket")
#else
/* A descriptor that is adopted by its address may be framed; messages never are. */
TEST(adopting_and_messages)
{
    virtsock_stream   *s, *peer;
    virtsock_listener *l;
    virtsock_address  *a;
    virtsock_error     e = { 0 };
    char               text[60];
    int                fds[2];

    if (strcmp(test_transport(), "unix") != 0)
        SKIP("has sockets of its own, and runs once");
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    snprintf(text, sizeof text, "fd://%d?half-close=framed", fds[0]);
    a = test_parse(text);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_stream_from_fd(&peer, fds[1], NULL, &e), e);
    put(s, "x", 1);
    expect_hex(peer, "0100000078");
    virtsock_stream_free(s);
    virtsock_stream_free(peer);
    virtsock_address_free(a);

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    snprintf(text, sizeof text, "fd://%d?half-close=framed", fds[0]);
    a = test_parse(text);
    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK(strstr(e.message, "streams") != NULL && close(fds[0]) == 0 && close(fds[1]) == 0);
    virtsock_address_free(a);
    a = test_parse("unix:///nowhere?type=seqpacket&half-close=framed");
    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK(strstr(e.message, "exclude") != NULL);
    virtsock_address_free(a);
}
#endif

TEST(slices_and_message_max)
{
    virtsock_options *o;
    virtsock_stream  *s[2];
    virtsock_error    e = { 0 };
    virtsock_slice    v[700];
    size_t            n;

    STREAMS();
    o = virtsock_options_new();
    for (int i = 0; i < 700; i++)
        v[i] = (virtsock_slice){ i >= 500 ? "x" : NULL, i >= 500 };
    half_framed_pair(s, false, o);
    CHECK_OK(virtsock_stream_sendv(s[0], v, 503, &n, 0, &e), e);
    CHECK(n == 3);
    expect_hex(s[1], "03000000787878");
    CHECK_OK(virtsock_stream_sendv(s[0], v, 700, &n, 0, &e), e);
    CHECK(n == 200);
    free_pair(s);
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_MESSAGE_MAX, 3, &e), e);
    half_framed_pair(s, false, o);
    CHECK_OK(virtsock_stream_send(s[0], "abcdef", 6, &n, 0, &e), e);
    CHECK(n == 3);
    v[0] = (virtsock_slice){ "defg", 4 };
    CHECK_OK(virtsock_stream_sendv(s[0], v, 1, &n, 0, &e), e);
    CHECK(n == 3);
    put(s[0], "g", 1);
    expect_hex(s[1], "0300000061626303000000646566010000" "0067");
    free_pair(s);
    virtsock_options_free(o);
}
