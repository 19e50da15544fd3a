/* SPDX-License-Identifier: MIT
 *
 * A C test program: TEST(name) { ... } as often as wanted, and nothing else; main is here. `PROGRAM --list` prints the names, `PROGRAM NAME...`
 * runs those (all, without). A line a test: `ok NAME`, `skip NAME: why`, `FAIL NAME: where what`; then END: without it the run is void.
 * The transport under test comes from outside: test_address gives a fresh address of it.
 */
/* proves: local, compilers, linux */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>

#include "virtsock.h"

#include "os.h"

struct test {
    const char  *name;
    void       (*run)(void);
    struct test *next;
};
static struct test *tests, **tests_end = &tests;
static const char  *test_now;
static bool         test_skipped;

#define TEST(NAME)                                                                      \
    static void NAME(void);                                                             \
    __attribute__((constructor)) static void register_##NAME(void)                      \
    {                                                                                   \
        static struct test t = { #NAME, NAME, NULL };                                   \
        *tests_end = &t;                                                                \
        tests_end = &t.next;                                                            \
    }                                                                                   \
    static void NAME(void)

/* A test that this system has no means for. */
#define NO_TEST(NAME, why) TEST(NAME) { SKIP(why); }

#define CHECK(condition)                                                                                    \
    do {                                                                                                    \
        if (!(condition)) {                                                                                 \
            printf("FAIL %s: %s:%d: %s (errno %d)\n", test_now, __FILE__, __LINE__, #condition, errno);     \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

/* A status, with what the library said about it. */
#define CHECK_STATUS(call, want, error)                                                                             \
    do {                                                                                                            \
        virtsock_status got_ = (call);                                                                              \
        if (got_ != (want)) {                                                                                       \
            printf("FAIL %s: %s:%d: %s is %s: %s\n", test_now, __FILE__, __LINE__, #call, virtsock_status_name(got_), \
                   (error).message);                                                                                \
            exit(1);                                                                                                \
        }                                                                                                           \
    } while (0)
#define CHECK_OK(call, error) CHECK_STATUS(call, VIRTSOCK_OK, error)

#define CHECK_TEXT(got, want)                                                                                           \
    do {                                                                                                                \
        const char *got_ = (got), *want_ = (want);                                                                      \
        if (got_ == NULL || strcmp(got_, want_) != 0) {                                                                 \
            printf("FAIL %s: %s:%d: \"%s\" is not \"%s\"\n", test_now, __FILE__, __LINE__, got_ ? got_ : "(null)", want_); \
            exit(1);                                                                                                    \
        }                                                                                                               \
    } while (0)

#define SKIP(why)                                   \
    do {                                            \
        printf("skip %s: %s\n", test_now, (why));   \
        test_skipped = true;                        \
        return;                                     \
    } while (0)

#include "watch.h"

/* How late a wait may come back: emulated machines are slow. */
static inline int64_t test_late_ms(void)
{
    return 100 * test_slowness();
}

/* Long enough for everything that is to happen. */
#define TEST_PATIENT_MS 20000

/* What the watch saw took so long at least, and less than so long without what the machine took from it. */
#define CHECK_WATCH(watch, least_ms, most_ms)                                                                                       \
    do {                                                                                                                            \
        if (test_took_us(&(watch)) < (least_ms) * INT64_C(1000) || test_used_us(&(watch)) >= (most_ms) * INT64_C(1000)) {           \
            printf("FAIL %s: %s:%d: %.3f ms, of which the machine took %.3f: not within %d and %d ms\n", test_now, __FILE__, __LINE__,  \
                   (double)test_took_us(&(watch)) / 1000, (double)(test_took_us(&(watch)) - test_used_us(&(watch))) / 1000,         \
                   (int)(least_ms), (int)(most_ms));                                                                                \
            exit(1);                                                                                                                \
        }                                                                                                                           \
    } while (0)
/* The same, of the call that has just come back. */
#define CHECK_TOOK(watch, least_ms, most_ms)            \
    do {                                                \
        test_watch_end(&(watch));                       \
        CHECK_WATCH(watch, least_ms, most_ms);          \
    } while (0)
/* It waited for ms: never less, and not much more. */
#define CHECK_TIME(watch, ms) CHECK_TOOK(watch, ms, (ms) + test_late_ms())

/* "unix" (default), "unix-seqpacket", "vsock" or "vsock-seqpacket": over CID 1, in a VM only; "hvsock": within one machine; "tcp". */
static inline const char *test_transport(void)
{
    const char *transport = getenv("VIRTSOCK_TEST_TRANSPORT");

    return transport ? transport : "unix";
}
static inline bool test_is_vsock(void) { return strncmp(test_transport(), "vsock", 5) == 0; }
static inline bool test_is_unix(void) { return strncmp(test_transport(), "unix", 4) == 0; }
static inline bool test_is_hyperv(void) { return strcmp(test_transport(), "hvsock") == 0; }
static inline bool test_is_tcp(void) { return strcmp(test_transport(), "tcp") == 0; }
static inline bool test_is_seqpacket(void) { return strstr(test_transport(), "seqpacket") != NULL; }

/* Text of an address that nobody used before; listen and connect take the same. */
static inline const char *test_address(void)
{
    static char text[256];
    static int  n;
    const char *type = test_is_seqpacket() ? "?type=seqpacket" : "";
    unsigned    process = (unsigned)getpid();

    n++;
    if (test_is_vsock())
        snprintf(text, sizeof text, "vsock://local:%u%s", 10000u + process % 50000u * 100u + (unsigned)n, type);
    else if (test_is_hyperv())
        snprintf(text, sizeof text, "hvsock://loopback/%u", 10000u + process % 50000u * 100u + (unsigned)n);
    else if (test_is_tcp())             /* a port that no client is given, at an address that no other process has */
        snprintf(text, sizeof text, "tcp://127.%u.%u.%u:%d", 1 + process / 62500 % 250, process / 250 % 250, 1 + process % 250, 10000 + n);
    else
        snprintf(text, sizeof text, "unix://%s/%d%s", test_directory(), n, type);
    return text;
}

static inline virtsock_address *test_parse(const char *text)
{
    virtsock_address *a;
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_address_parse(&a, text, &e), e);
    return a;
}

/* A connected pair over the transport under test. */
static inline void test_pair(virtsock_stream *out[2], const virtsock_options *options)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, options, &e), e);
    CHECK_OK(virtsock_connect(&out[0], a, options, &e), e);
    CHECK_OK(virtsock_accept(&out[1], l, 5000, &e), e);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

#ifdef _WIN32
static void *test_begin_thread(void *s)
{
    char b;

    return virtsock_stream_recv(s, &b, 1, NULL, 20, NULL) == VIRTSOCK_OK ? s : NULL;
}

/* What Windows and its threads keep open once they were used. */
static inline void test_warm_up(void)
{
    virtsock_stream *s[2];
    pthread_t        t[16];

    test_pair(s, NULL);
    for (int i = 0; i < 16; i++)
        CHECK(pthread_create(&t[i], NULL, test_begin_thread, s[0]) == 0);
    for (int i = 0; i < 16; i++)
        pthread_join(t[i], NULL);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}
#else
static inline void test_warm_up(void) {}
#endif

static inline bool test_chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(name, argv[i]) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    bool list = argc > 1 && strcmp(argv[1], "--list") == 0;

    setvbuf(stdout, NULL, TEST_FLUSHED, 0);
    test_now = "warming up";
    if (!list)
        test_warm_up();
    for (struct test *t = tests; t != NULL; t = t->next) {
        int before;

        if (list) {
            puts(t->name);
            continue;
        }
        if (!test_chosen(t->name, argc, argv))
            continue;
        test_now = t->name;
        test_skipped = false;
        for (int left = TEST_TRIES; left > 0; left--) {
            before = test_open_descriptors();
            t->run();
            if (test_open_descriptors() == before)
                break;
            CHECK(left > 1);            /* every test gives back the descriptors that it took */
        }
        if (!test_skipped)
            printf("ok %s\n", t->name);
    }
    puts("END");
    return 0;
}

#endif
