/* SPDX-License-Identifier: MIT
 *
 * A C test program: TEST(name) { ... } as often as wanted, and nothing else; main is here. `PROGRAM --list` prints the names, `PROGRAM NAME...`
 * runs those (all, without). A line a test: `ok NAME`, `skip NAME: why`, `FAIL NAME: where what`; then END: without it the run is void.
 * The transport under test comes from outside: test_address gives a fresh address of it.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "virtsock.h"

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

static inline int64_t test_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void test_nap_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&t, NULL);
}

/* How late a wait may come back: emulated machines are slow. */
static inline int64_t test_late_ms(void)
{
    const char *scale = getenv("VIRTSOCK_TEST_SLOW");

    return 100 * (scale ? atoi(scale) : 1);
}

/* "unix" (default), "unix-seqpacket", "vsock" or "vsock-seqpacket": over CID 1, in a VM only. */
static inline const char *test_transport(void)
{
    const char *transport = getenv("VIRTSOCK_TEST_TRANSPORT");

    return transport ? transport : "unix";
}
static inline bool test_is_vsock(void) { return strncmp(test_transport(), "vsock", 5) == 0; }
static inline bool test_is_seqpacket(void) { return strstr(test_transport(), "seqpacket") != NULL; }

static char test_directory[64];
static inline void test_remove_directory(void)
{
    rmdir(test_directory);
}

/* Text of an address that nobody used before; listen and connect take the same. */
static inline const char *test_address(void)
{
    static char text[256];
    static int  n;
    const char *type = test_is_seqpacket() ? "?type=seqpacket" : "";

    n++;
    if (test_is_vsock()) {
        snprintf(text, sizeof text, "vsock://local:%u%s", 10000u + (unsigned)getpid() % 50000u * 100u + (unsigned)n, type);
        return text;
    }
    if (test_directory[0] == '\0') {
        strcpy(test_directory, "/tmp/virtsock-test-XXXXXX");
        if (mkdtemp(test_directory) == NULL)
            abort();
        atexit(test_remove_directory);
    }
    snprintf(text, sizeof text, "unix://%s/%d%s", test_directory, n, type);
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

static inline int test_open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

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

    setvbuf(stdout, NULL, _IOLBF, 0);
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
        before = test_open_descriptors();
        t->run();
        CHECK(test_open_descriptors() == before);       /* every test gives back the descriptors that it took */
        if (!test_skipped)
            printf("ok %s\n", t->name);
    }
    puts("END");
    return 0;
}

#endif
