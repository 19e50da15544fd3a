/* SPDX-License-Identifier: MIT
 *
 * Lives of handles: freed while open, while connecting, with calls inside; in forked children; in programs that are started.
 */
#include "check.h"
#include "stream.h"

TEST(free_closes_what_is_open)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    size_t             n;
    char               b[4];

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    virtsock_listener_free(l);
    virtsock_stream_free(s);
    CHECK_STATUS(virtsock_stream_recv(t, b, 4, &n, 1000, &e), VIRTSOCK_E_EOF, e);
    virtsock_stream_free(t);
    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
    virtsock_address_free(a);
}

TEST(free_in_the_middle_of_connecting)
{
    virtsock_options *o = virtsock_options_new();
    virtsock_address *a = test_parse(test_address());
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 60000, &e), e);
    for (int step = 0; step < 3; step++) {
        CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
        for (int i = 0; i < step; i++)
            CHECK_STATUS(virtsock_stream_connect(s, i * 5, &e), VIRTSOCK_E_AGAIN, e);
        virtsock_stream_free(s);
    }
    virtsock_address_free(a);
    virtsock_options_free(o);
}

static void *recv_once(void *v)
{
    size_t n;
    char   b[4];

    return (void *)(intptr_t)virtsock_stream_recv(v, b, 4, &n, -1, NULL);
}

/* free is the last use, but calls may be inside when it comes. */
TEST(free_with_a_call_inside)
{
    for (int i = 0; i < 200; i++) {
        virtsock_stream *s[2];
        pthread_t        t;
        void            *status;

        test_pair(s, NULL);
        CHECK(pthread_create(&t, NULL, recv_once, s[0]) == 0);
        while ((atomic_load(&s[0]->handle.word) & VS_USERS) == 0)
            sched_yield();
        test_nap_us(i * 17 % 100);
        virtsock_stream_free(s[0]);
        pthread_join(t, &status);
        CHECK((intptr_t)status == VIRTSOCK_E_CANCELLED);
        virtsock_stream_free(s[1]);
    }
}

#ifdef _WIN32

NO_TEST(free_waits_for_a_close, "the DLL does not export how a handle counts who closes it")
NO_TEST(no_count_wraps, "the DLL does not export how a handle counts")

#else

static _Atomic bool gone;

static void *free_stream(void *v)
{
    virtsock_stream_free(v);
    gone = true;
    return NULL;
}

/* Nor may another close be on its way out: one that is, here, takes its time. */
TEST(free_waits_for_a_close)
{
    for (int round = 0; round < 6; round++) {
        virtsock_address  *a = test_parse(test_address());
        virtsock_listener *l;
        virtsock_stream   *s, *t;
        virtsock_error     e = { 0 };
        pthread_t          thread;
        struct vs_handle  *h;
        size_t             n;
        char               b;

        CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
        CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
        CHECK_OK(virtsock_accept(&t, l, 5000, &e), e);
        h = &s->handle;
        gone = false;
        atomic_fetch_add(&h->word, VS_CLOSER);
        CHECK(pthread_create(&thread, NULL, free_stream, s) == 0);
        CHECK_STATUS(virtsock_stream_recv(t, &b, 1, &n, 20000, &e), VIRTSOCK_E_EOF, e);         /* it has been closed */
        test_nap_ms(10);
        CHECK(!gone);
        vs_handle_leave_close(h);
        pthread_join(thread, NULL);
        virtsock_stream_free(t);
        virtsock_listener_free(l);
        virtsock_address_free(a);
    }
}

/* As many calls and closes inside as fill 16 bits, and 8, are counted, and leave the handle as it was. */
TEST(no_count_wraps)
{
    virtsock_stream  *s[2];
    struct vs_handle *h;
    virtsock_error    e = { 0 };
    virtsock_fd       fd;
    uint64_t          word;
    size_t            n;
    char              b;

    test_pair(s, NULL);
    h = &s[0]->handle;
    for (int i = 0; i < 65536; i++)
        CHECK(vs_enter(h, &word) && vs_is_open(word));
    CHECK_STATUS(virtsock_stream_detach(s[0], &fd, &e), VIRTSOCK_E_IN_USE, e);
    CHECK_OK(virtsock_stream_send(s[1], "x", 1, &n, 1000, &e), e);
    CHECK_OK(virtsock_stream_recv(s[0], &b, 1, &n, 1000, &e), e);
    for (int i = 0; i < 65536; i++)
        vs_leave(h);
    atomic_fetch_add(&h->word, 256 * VS_CLOSER);
    CHECK_STATUS(virtsock_stream_detach(s[0], &fd, &e), VIRTSOCK_E_IN_USE, e);
    for (int i = 0; i < 256; i++)
        vs_handle_leave_close(h);
    CHECK_OK(virtsock_stream_detach(s[0], &fd, &e), e);
    CHECK(close((int)fd) == 0);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

#endif

/* --- Forked children ------------------------------------------------------------------------------------------------------ */

#ifdef _WIN32

NO_TEST(a_child_frees_its_copies_alone, "Windows has no fork")
NO_TEST(a_child_goes_on, "Windows has no fork")
NO_TEST(the_name_is_its_maker_s, "Windows has no fork")
NO_TEST(a_wake_is_not_inherited, "Windows has no wakes")
NO_TEST(a_child_of_a_closing_parent, "Windows has no fork")
NO_TEST(a_child_s_waits_are_its_own, "Windows has no fork")
NO_TEST(a_child_in_a_pid_namespace, "Windows has no fork")

#else

#include <sys/wait.h>

static void check_child(pid_t pid)
{
    int status;

    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* The child frees what it inherited, with a call of the parent inside and without: the parent's conversations go on. */
/* proves: T4 */
TEST(a_child_frees_its_copies_alone)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_options  *o = virtsock_options_new();
    virtsock_listener *l;
    virtsock_stream   *s, *t, *under_way;
    virtsock_error     e = { 0 };
    struct test_call   reader;
    size_t             n;
    char               b[4];
    pid_t              pid;

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_LINGER, 20000, &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK_OK(virtsock_connect(&s, a, o, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    CHECK_OK(virtsock_connect_start(&under_way, a, o, &e), e);
    test_call_begin(&reader, recv_once, s);
    test_call_waits(&reader);
    if ((pid = fork()) == 0) {
        virtsock_stream_free(s);
        virtsock_stream_free(t);
        virtsock_stream_free(under_way);
        virtsock_listener_free(l);
        _exit(0);
    }
    check_child(pid);
    CHECK_OK(virtsock_stream_send(t, "x", 1, &n, -1, &e), e);
    CHECK((intptr_t)test_call_end(&reader) == VIRTSOCK_OK);
    CHECK_OK(virtsock_stream_send(s, "y", 1, &n, -1, &e), e);
    CHECK_OK(virtsock_stream_recv(t, b, 4, &n, 1000, &e), e);
    CHECK_OK(virtsock_stream_connect(under_way, 1000, &e), e);  /* the listener, and its name, are still there */
    virtsock_stream_free(under_way);
    virtsock_stream_close(s, 0, NULL);
    virtsock_stream_free(s);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* A child may go on with what it inherited, also with what the parent was waiting in, after the parent has closed it. */
TEST(a_child_goes_on)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t, *served;
    virtsock_error     e = { 0 };
    size_t             n;
    char               b[4];
    pid_t              pid;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&s, l, 20, &e), VIRTSOCK_E_TIMEOUT, e);        /* so that there is a wake to inherit */
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    if ((pid = fork()) == 0) {
        virtsock_stream_free(s);                                /* the parent's end */
        if (virtsock_accept(&served, l, 5000, NULL) != VIRTSOCK_OK || virtsock_stream_send(served, "a", 1, &n, -1, NULL) != VIRTSOCK_OK)
            _exit(1);
        virtsock_stream_free(served);
        _exit(virtsock_stream_send(t, "b", 1, &n, 1000, NULL) == VIRTSOCK_OK && virtsock_stream_close(t, 5000, NULL) == VIRTSOCK_OK ? 0 : 2);
    }
    virtsock_stream_free(t);                                    /* nobody inside: only this process's copy is closed */
    CHECK_OK(virtsock_connect(&served, a, NULL, &e), e);
    CHECK_OK(virtsock_stream_recv(served, b, 4, &n, 5000, &e), e);
    virtsock_stream_free(served);
    CHECK_OK(virtsock_stream_recv(s, b, 4, &n, 5000, &e), e);
    CHECK(b[0] == 'b');
    virtsock_stream_free(s);
    check_child(pid);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* Nor is any other descriptor that a wait has made. */
TEST(a_wake_is_not_inherited)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    bool               before[1024];
    int                made = 0;

    for (int fd = 0; fd < 1024; fd++)
        before[fd] = test_is_open(fd);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&s, l, 5, &e), VIRTSOCK_E_TIMEOUT, e);
    for (int fd = 0; fd < 1024; fd++)
        if (test_is_open(fd) && !before[fd]) {
            CHECK(!test_is_inherited(fd));
            made++;
        }
    CHECK(made == 1 + TEST_WAKE);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

static void *finish(void *v)
{
    return (void *)(intptr_t)virtsock_stream_close(v, 20000, NULL);
}

/* The thread that closes is the parent's alone: the child closes its copy, and waits for nobody. */
TEST(a_child_of_a_closing_parent)
{
    virtsock_stream *s[2];
    virtsock_error   e = { 0 };
    virtsock_fd      fd;
    pthread_t        closer;
    void            *status;
    size_t           n;
    char             b;
    pid_t            pid;

    test_pair(s, NULL);
    fd = virtsock_stream_fd(s[0]);
    CHECK(pthread_create(&closer, NULL, finish, s[0]) == 0);
    CHECK_STATUS(virtsock_stream_recv(s[1], &b, 1, &n, 20000, &e), VIRTSOCK_E_EOF, e);      /* it waits for our end */
    if ((pid = fork()) == 0) {
        virtsock_stream_free(s[0]);
        _exit(test_is_open(fd) ? 1 : 0);
    }
    check_child(pid);
    CHECK_OK(virtsock_stream_close(s[1], 0, &e), e);
    pthread_join(closer, &status);
    CHECK((intptr_t)status == VIRTSOCK_OK);
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
}

static void *accept_once(void *v)
{
    virtsock_stream *s;

    return (void *)(intptr_t)virtsock_accept(&s, v, -1, NULL);
}

/* What wakes the parent's wakes no call of the child, which has a wake of its own in place of the one that it inherited. */
TEST(a_child_s_waits_are_its_own)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    pthread_t          thread;
    void              *status;
    int                go[2], before;
    pid_t              pid;
    char               b;

    CHECK(pipe2(go, O_CLOEXEC) == 0);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&s, l, 5, &e), VIRTSOCK_E_TIMEOUT, e);         /* so that there is a wake */
    if ((pid = fork()) == 0) {
        before = test_open_descriptors();
        if (read(go[0], &b, 1) != 1 || virtsock_accept(&s, l, 20, NULL) != VIRTSOCK_E_TIMEOUT)
            _exit(1);
        _exit(test_open_descriptors() == before ? 0 : 2);
    }
    CHECK(pthread_create(&thread, NULL, accept_once, l) == 0);
    test_nap_ms(20);
    CHECK_OK(virtsock_listener_close(l, &e), e);
    pthread_join(thread, &status);
    CHECK((intptr_t)status == VIRTSOCK_E_CANCELLED && write(go[1], "", 1) == 1);
    check_child(pid);
    close(go[0]), close(go[1]);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* The child's explicit close of a listener ends the child's copy; the name is its maker's. */
/* proves: T4 */
TEST(the_name_is_its_maker_s)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    pid_t              pid;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    if ((pid = fork()) == 0)
        _exit(virtsock_listener_close(l, NULL) == VIRTSOCK_OK ? 0 : 1);
    check_child(pid);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

#ifdef __linux__

#include <sched.h>

/* A child that is 1 in a namespace of its own. -1: not permitted. */
static pid_t fork_as_first(void)
{
    return unshare(CLONE_NEWPID) == 0 ? fork() : -1;
}

/* As a container's first process: its number is 1, and its child's, too. */
static int live_as_first(void)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    pid_t              pid;
    int                status;

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    if ((pid = fork_as_first()) == 0) {
        if (getpid() != 1)
            _exit(3);
        virtsock_listener_free(l);
        _exit(0);
    }
    if (getpid() != 1 || waitpid(pid, &status, 0) != pid || status != 0)
        return 2;
    if (virtsock_connect(&s, a, NULL, &e) != VIRTSOCK_OK)
        return 1;                       /* the child took the name away */
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    return 0;
}

/* proves: T4 */
TEST(a_child_in_a_pid_namespace)
{
    pid_t outer, pid;
    int   status;

    if ((outer = fork()) == 0) {        /* so that the test's own children stay in its namespace */
        if ((pid = fork_as_first()) == 0)
            _exit(live_as_first());
        _exit(pid < 0 ? 77 : waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 9);
    }
    CHECK(waitpid(outer, &status, 0) == outer && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        SKIP("needs root, for a PID namespace");
    CHECK(WEXITSTATUS(status) == 0);
}

#else
NO_TEST(a_child_in_a_pid_namespace, "of Linux")
#endif

#endif

/* --- Programs that are started, and counts ------------------------------------------------------------------------------------ */

/* A program that is started finds no descriptor of ours, whatever was going on. */
/* proves: T5 */
TEST(nothing_is_inherited_by_programs)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&t, l, 5, &e), VIRTSOCK_E_TIMEOUT, e);         /* makes a wake */
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    CHECK(!test_is_inherited(virtsock_listener_fd(l)) && !test_is_inherited(virtsock_stream_fd(s)) && !test_is_inherited(virtsock_stream_fd(t)));
#ifndef _WIN32
    char command[300];

    snprintf(command, sizeof command, "for n in %d %d %d; do if [ -e /proc/self/fd/$n ]; then exit 1; fi; done",
             (int)virtsock_listener_fd(l), (int)virtsock_stream_fd(s), (int)virtsock_stream_fd(t));
    CHECK(system(command) == 0);
#endif
    virtsock_stream_free(s);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    virtsock_address_free(a);
}

/* A connection under way had a wake, once it had waited; as a stream it has none. */
TEST(a_connection_that_has_waited_has_one_descriptor)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };
    int                before = test_open_descriptors();

    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_WAIT, 60000, &e), e);
    CHECK_OK(virtsock_connect_start(&s, a, o, &e), e);
    CHECK_STATUS(virtsock_stream_connect(s, 30, &e), VIRTSOCK_E_AGAIN, e);
    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK_OK(virtsock_stream_connect(s, -1, &e), e);
    CHECK(test_open_descriptors() == before + 2);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* One descriptor a stream, also after waits; a listener has a second once a call has waited, where it can be woken by that alone. */
TEST(descriptors_are_counted)
{
    virtsock_address  *a = test_parse(test_address());
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    size_t             n;
    char               b[4];
    int                before = test_open_descriptors();

    CHECK_OK(virtsock_listen(&l, a, NULL, &e), e);
    CHECK(test_open_descriptors() == before + 1);
    CHECK_STATUS(virtsock_accept(&t, l, 5, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(test_open_descriptors() == before + 1 + TEST_WAKE);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_OK(virtsock_accept(&t, l, 1000, &e), e);
    CHECK_STATUS(virtsock_stream_recv(s, b, 4, &n, 5, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(test_open_descriptors() == before + 3 + TEST_WAKE);
    virtsock_stream_free(s);
    virtsock_stream_free(t);
    virtsock_listener_free(l);
    CHECK(test_open_descriptors() == before);
    virtsock_address_free(a);
}
