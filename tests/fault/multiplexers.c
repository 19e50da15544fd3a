/* SPDX-License-Identifier: MIT
 *
 * Faults on the way through a multiplexer. The hypervisor is a process of its own, written apart from the library: it reads one line, answers
 * as its protocol says, and then sends back what comes. A request that leaves in pieces is refused, since it reads once.
 */
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "talk.h"

static char folder[64], text[128];

static void serve(int fd, const char *request, const char *answer)
{
    char    buf[64];
    ssize_t n = recv(fd, buf, strlen(request), 0);

    if (n == (ssize_t)strlen(request) && memcmp(buf, request, strlen(request)) == 0 && send(fd, answer, strlen(answer), MSG_NOSIGNAL) >= 0)
        while ((n = recv(fd, buf, sizeof buf, 0)) > 0 && send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n)
            ;
    close(fd);
}

static pid_t hypervisor(const char *name, const char *request, const char *answer)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int                fd = socket(AF_UNIX, SOCK_STREAM, 0);
    pid_t              child;

    snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", folder, name);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0);
    if ((child = fork()) == 0)
        for (prctl(PR_SET_PDEATHSIG, SIGKILL);;)
            serve(accept(fd, NULL, NULL), request, answer);
    close(fd);
    return child;
}

static void converse(void)
{
    struct talk       t = { 0 };
    virtsock_address *peer = NULL;
    size_t            sent = 0, got = 0;
    char              buf[8];

    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, text, &e));
    TRY("connect", VIRTSOCK_OK, virtsock_connect(&t.client, t.address, NULL, &e));
    TRY("peer", VIRTSOCK_OK, virtsock_stream_peer(t.client, &peer, &e));
    CHECK(virtsock_address_equal(peer, t.address));
    virtsock_address_free(peer);
    TRY("send", VIRTSOCK_OK, give(t.client, "hello", 5, &sent, -1, &e));
    TRY("recv", VIRTSOCK_OK, take(t.client, buf, 5, &got, 2000, &e));
    CHECK(got == 5 && memcmp(buf, "hello", 5) == 0);
    virtsock_stream_free(t.client);
    virtsock_address_free(t.address);
}

static void ask_in_pieces(void)
{
    virtsock_error    e = { 0 };
    virtsock_address *a;
    virtsock_stream  *s;

    CHECK_OK(virtsock_address_parse(&a, text, &e), e);
    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_REFUSED, e);
    CHECK(strstr(e.message, "one piece") != NULL);
    virtsock_address_free(a);
}

static void begin(const char *format)
{
    strcpy(folder, "/tmp/virtsock-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(text, sizeof text, format, folder);
}

/* The name that the hypervisor has in the folder, and what it expects and answers. */
static void torture_with(const char *name, const char *request, const char *answer)
{
    pid_t child = hypervisor(name, request, answer);
    char  path[128];

    torture_all(converse, 1u << FAULT_PLAIN);
    torture.mode = FAULT_SHORT;
    fault_arm(FAULT_SHORT, 0, 0);
    torture_run(ask_in_pieces);
    fault_disarm(&torture.fault);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    rmdir(folder);
}

/* proves: C13, C13b */
TEST(vsock_mux)
{
    begin("vsock-mux://:52%s/vm.sock");
    torture_with("vm.sock", "CONNECT 52\n", "OK 1073741824\n");
}

/* proves: C13b */
TEST(hyperkit)
{
    begin("hyperkit://:52%s");
    torture_with("connect", "00000003.00000034\n", "");
}

/* --- Guests that come to their host -------------------------------------------------------------------------------------------- */

static void listen_for_guests(void)
{
    struct talk       t = { 0 };
    virtsock_address *address;

    TRY("parse", VIRTSOCK_OK, virtsock_address_parse(&t.address, text, &e));
    TRY("listen", VIRTSOCK_OK, virtsock_listen(&t.listener, t.address, NULL, &e));
    TRY("address", VIRTSOCK_OK, virtsock_listener_address(t.listener, &address, &e));
    TRY("accept", VIRTSOCK_E_TIMEOUT, virtsock_accept(&t.server, t.listener, 2, &e));
    TRY("unlisten", VIRTSOCK_OK, virtsock_listener_close(t.listener, &e));
    virtsock_listener_free(t.listener);
    virtsock_address_free(address);
    virtsock_address_free(t.address);
}

static void torture_listening(const char *format, const char *left)
{
    char path[128];

    begin(format);
    torture_all(listen_for_guests, 1u << FAULT_PLAIN);
    snprintf(path, sizeof path, "%s/%s", folder, left);
    unlink(path);
    CHECK(rmdir(folder) == 0);
}

TEST(vsock_mux_listens) { torture_listening("vsock-mux://:53%s/vm.sock", "vm.sock_53"); }
TEST(hyperkit_listens) { torture_listening("hyperkit://:53%s", "00000002.00000035"); }
