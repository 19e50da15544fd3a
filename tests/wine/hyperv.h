/* SPDX-License-Identifier: MIT
 *
 * What the tests of Hyper-V sockets share: the peers of peers.py, the shim's switches and its log, and how exactly a time is kept. What a
 * test switches on, it switches off.
 */
#ifndef HYPERV_H
#define HYPERV_H

#include "check.h"

#define LATE_MS  50                     /* a deadline is kept so exactly; never early */
#define TRIES    3                      /* machines are busy with other things: the best of so many is judged */
#define OTHER_VM "55555555-6666-7777-0809-0a0b0c0d0e0f"
#define PEERS    "11111111-2222-3333-0102-030405060708"
enum { RESETS = 0x7001, LOSES, DRIPS, HALF_CLOSES, REFUSES, STALLS, READS_SLOWLY, ACCEPTS_LATE, UNSERVED = 0x7100 };

/* The address of a service of that VM; for the caller to free. */
static inline virtsock_address *service_of(const char *vm, unsigned port)
{
    char text[100];

    snprintf(text, sizeof text, "hvsock://%s/%u", vm, port);
    return test_parse(text);
}

static inline virtsock_options *option(virtsock_option name, int64_t value)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_error    e = { 0 };

    CHECK(o != NULL);
    CHECK_OK(virtsock_options_set(o, name, value, &e), e);
    return o;
}

static inline void connect_to(virtsock_stream **s, unsigned port, const virtsock_options *o)
{
    virtsock_address *a = service_of(PEERS, port);
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_connect(s, a, o, &e), e);
    virtsock_address_free(a);
}

static inline void check_advice(const virtsock_error *e, const char *says)
{
    const char *advice = virtsock_advice(e);

    CHECK(advice != NULL && strstr(advice, says) != NULL);
}

/* --- The shim ------------------------------------------------------------------------------------------------------------------ */

/* NULL: off. */
static inline void shim(const char *name, const char *value)
{
    CHECK(SetEnvironmentVariableA(name, value));
}

static inline const char *board_path(const char *name)
{
    static char path[MAX_PATH + 32];
    char        folder[MAX_PATH];

    CHECK(GetEnvironmentVariableA("HVSHIM_DIR", folder, sizeof folder) != 0);
    snprintf(path, sizeof path, "%s\\%s", folder, name);
    return path;
}

/* A file of the switchboard, or "". */
static inline const char *board_text(const char *name)
{
    static char text[1 << 16];
    FILE       *file = fopen(board_path(name), "rb");
    size_t      n = 0;

    if (file != NULL) {
        n = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[n] = '\0';
    return text;
}

/* From here on, what the shim was asked for is written down. */
static inline void log_begin(void)
{
    remove(board_path("log"));
    shim("HVSHIM_LOG", board_path("log"));
}

/* How many lines there are that begin so; *max: the greatest number that follows. */
static inline int log_count(const char *begin, unsigned long *max)
{
    int n = 0;

    if (max != NULL)
        *max = 0;
    for (const char *line = board_text("log"); *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        unsigned long number;

        if (strncmp(line, begin, strlen(begin)) != 0)
            continue;
        number = strtoul(line + strlen(begin), NULL, 10);
        n++;
        if (max != NULL && number > *max)
            *max = number;
    }
    return n;
}

/* Nothing was asked that Hyper-V sockets do not do. */
static inline void check_judge(void)
{
    const char *said = strstr(board_text("log"), "judge ");

    if (said != NULL)
        printf("the shim: %.*s\n", (int)strcspn(said, "\n"), said);
    CHECK(said == NULL);
}

/* --- Time ------------------------------------------------------------------------------------------------------------------------ */

/* Runs it up to TRIES times: what it says in us is never shorter than min_ms, and once no longer than max_ms. */
static inline void check_says(int64_t min_ms, int64_t max_ms, int64_t (*run)(void *), void *argument)
{
    for (int left = TRIES; left > 0; left--) {
        int64_t took = run(argument);

        printf("# %s: %.1f ms\n", test_now, (double)took / 1000);
        CHECK(took >= min_ms * 1000);
        if (took <= max_ms * 1000)
            return;
    }
    printf("late %d times: longer than %lld ms\n", TRIES, (long long)max_ms);
    CHECK(!"in time");
}

struct timed {
    void (*run)(void *);
    void  *argument;
};

static inline int64_t time_of(void *timed)
{
    struct timed *t = timed;
    int64_t       began = test_us();

    t->run(t->argument);
    return test_us() - began;
}

/* The same, of all that it does. */
static inline void check_takes(int64_t min_ms, int64_t max_ms, void (*run)(void *), void *argument)
{
    check_says(min_ms, max_ms, time_of, &(struct timed){ run, argument });
}

/* A call that waits for ever in a thread, and how long it takes a close to end it, in us. */
static inline int64_t close_into(virtsock_stream *s, void *(*call)(void *), long nap_ms)
{
    pthread_t t;
    int64_t   began;

    CHECK(pthread_create(&t, NULL, call, s) == 0);
    test_nap_ms(nap_ms);
    began = test_us();
    CHECK(virtsock_stream_close(s, 0, NULL) == VIRTSOCK_OK);
    pthread_join(t, NULL);
    began = test_us() - began;
    virtsock_stream_free(s);
    return began;
}

#endif
