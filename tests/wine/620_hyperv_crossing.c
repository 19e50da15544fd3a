/* SPDX-License-Identifier: MIT
 *
 * Where AF_VSOCK's world and Hyper-V's meet: what a vsock:// address is on Windows, which services there are, and whom a listener admits.
 */
#include "hyperv.h"

#define HIGH_SERVICE "90000000-facb-11e6-bd58-64006a7986d3"
#define OWN_SERVICE  "12345678-9abc-def0-1234-56789abcdef0"

/* A port that no other test of this process has. */
static unsigned fresh_port(void)
{
    static unsigned n;

    return 0x20000000u + (unsigned)getpid() * 1000u % 0x10000000u + n++;
}

static const char *text_of(virtsock_address *a)
{
    static char text[200];

    virtsock_address_format(a, text, sizeof text);
    virtsock_address_free(a);
    return text;
}

static void check_talk(virtsock_stream *a, virtsock_stream *b)
{
    virtsock_error e = { 0 };
    char           got[5];
    size_t         n;

    CHECK_OK(virtsock_stream_send_all(a, "hello", 5, &n, 5000, &e), e);
    CHECK_OK(virtsock_stream_recv_exact(b, got, 5, &n, 5000, &e), e);
    CHECK(memcmp(got, "hello", 5) == 0);
}

/* Listens at one address and connects to the other; peer: what the client says of the other end. */
static void check_meet(const char *listens, const char *connects, const char *peer)
{
    virtsock_address  *at = test_parse(listens), *to = test_parse(connects), *named;
    virtsock_listener *l;
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };

    log_begin();
    CHECK_OK(virtsock_listen(&l, at, NULL, &e), e);
    CHECK_OK(virtsock_connect(&s[0], to, NULL, &e), e);
    CHECK_OK(virtsock_accept(&s[1], l, 5000, &e), e);
    check_talk(s[0], s[1]);
    CHECK_OK(virtsock_stream_peer(s[0], &named, &e), e);
    CHECK_TEXT(text_of(named), peer);
    check_judge();
    virtsock_stream_free(s[0]);
    virtsock_stream_free(s[1]);
    virtsock_listener_free(l);
    virtsock_address_free(at);
    virtsock_address_free(to);
}

static void check_meet_at_port(const char *listens, const char *connects, const char *peer)
{
    char     text[3][100];
    unsigned port = fresh_port();

    snprintf(text[0], sizeof text[0], "%s%u", listens, port);
    snprintf(text[1], sizeof text[1], "%s%u", connects, port);
    snprintf(text[2], sizeof text[2], "hvsock://%s/%08x-facb-11e6-bd58-64006a7986d3", peer, port);
    check_meet(text[0], text[1], text[2]);
}

/* One program for both systems. */
TEST(vsock_addresses_are_hyperv_here)
{
    check_meet_at_port("vsock://:", "vsock://local:", "loopback");
    check_meet_at_port("vsock://local:", "vsock://local:", "loopback");
    check_meet_at_port("hvsock://parent/", "vsock://host:", "parent");
}

TEST(either_world_reaches_the_other)
{
    check_meet_at_port("vsock://:", "hvsock://loopback/", "loopback");
    check_meet_at_port("hvsock:///", "vsock://local:", "loopback");
}

TEST(a_service_of_no_template)
{
    check_meet("hvsock:///" OWN_SERVICE, "hvsock://loopback/" OWN_SERVICE, "hvsock://loopback/" OWN_SERVICE);
}

static void check_unsupported(const char *text, const char *says)
{
    virtsock_address  *a = test_parse(text);
    virtsock_listener *l;
    virtsock_stream   *s;
    virtsock_error     e = { 0 };

    CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK(s == NULL && strstr(e.message, says) != NULL);
    CHECK_STATUS(virtsock_listen(&l, a, NULL, &e), VIRTSOCK_E_UNSUPPORTED, e);
    CHECK(l == NULL && strstr(e.message, says) != NULL);
    virtsock_address_free(a);
}

TEST(a_cid_is_nothing_here)
{
    check_unsupported("vsock://7:1024", "hvsock://VM");
    check_unsupported("vsock://hypervisor:1024", "hvsock://VM");
}

/* --- Services ------------------------------------------------------------------------------------------------------------------------ */

static void check_silence(const char *text, bool warned)
{
    virtsock_options *o = option(VIRTSOCK_OPTION_CONNECT_TIMEOUT, 50);
    virtsock_address *a = test_parse(text);
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_STATUS(virtsock_connect(&s, a, o, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK((strstr(e.message, "0x7fffffff") != NULL) == warned);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

/* Linux guests from 4.14 to 5.5 do not take those. */
TEST(a_high_port_that_nobody_answers_is_explained)
{
    check_silence("hvsock://" PEERS "/" HIGH_SERVICE, true);
    check_silence("vsock://host:0x80000000", true);
    check_silence("vsock://host:0x7fffffff", false);
    check_silence("hvsock://" PEERS "/2147483647", false);
    check_silence("hvsock://" PEERS "/" OWN_SERVICE, false);
}

static void check_chosen(const char *text)
{
    virtsock_address  *a = test_parse(text), *at[2], *to;
    virtsock_listener *l[2];
    virtsock_stream   *s[2];
    virtsock_error     e = { 0 };
    uint32_t           port;

    for (int i = 0; i < 2; i++) {
        CHECK_OK(virtsock_listen(&l[i], a, NULL, &e), e);
        CHECK_OK(virtsock_listener_address(l[i], &at[i], &e), e);
        CHECK_OK(virtsock_port_from_service(virtsock_address_text(at[i], VIRTSOCK_PART_SERVICE), &port), e);
        CHECK(port >= 0x40000000u && port <= 0x7fffffffu);
        CHECK_OK(virtsock_address_hyperv(&to, "loopback", virtsock_address_text(at[i], VIRTSOCK_PART_SERVICE), &e), e);
        CHECK_OK(virtsock_connect(&s[0], to, NULL, &e), e);
        CHECK_OK(virtsock_accept(&s[1], l[i], 5000, &e), e);
        check_talk(s[0], s[1]);
        virtsock_stream_free(s[0]);
        virtsock_stream_free(s[1]);
        virtsock_address_free(to);
    }
    CHECK(!virtsock_address_equal(at[0], at[1]));
    for (int i = 0; i < 2; i++) {
        virtsock_listener_free(l[i]);
        virtsock_address_free(at[i]);
    }
    virtsock_address_free(a);
}

TEST(listening_chooses_a_service)
{
    check_chosen("vsock://:any");
    check_chosen("vsock://local:any");
    check_chosen("hvsock://loopback");
}

/* To listen may leave that to the library; to connect may not. */
TEST(a_connection_needs_one_vm_and_one_service)
{
    static const char *const texts[] = { "vsock://:1024", "vsock://host:any", "hvsock:///1024", "hvsock://parent" };
    virtsock_stream         *s;
    virtsock_error           e = { 0 };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        virtsock_address *a = test_parse(texts[i]);

        CHECK_STATUS(virtsock_connect(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
        CHECK(s == NULL && strstr(e.message, "one VM and one service") != NULL);
        virtsock_address_free(a);
    }
}

/* --- Whom a listener admits ------------------------------------------------------------------------------------------------------------ */

/* A peer of that VM, by the shim's word (NULL: of this machine), comes to a listener with that rule. */
static void check_rule(const char *rule, const char *vm, bool admits)
{
    virtsock_options  *o = virtsock_options_new();
    virtsock_address  *a = test_parse(test_address()), *from;
    virtsock_listener *l;
    virtsock_stream   *s, *t;
    virtsock_error     e = { 0 };
    size_t             n;
    char               b;

    shim("HVSHIM_PEER", vm);
    CHECK_OK(virtsock_options_allow(o, rule, &e), e);
    CHECK_OK(virtsock_listen(&l, a, o, &e), e);
    CHECK_OK(virtsock_connect(&s, a, NULL, &e), e);
    CHECK_STATUS(virtsock_accept(&t, l, admits ? 5000 : 100, &e), admits ? VIRTSOCK_OK : VIRTSOCK_E_TIMEOUT, e);
    if (admits) {
        CHECK_OK(virtsock_stream_peer(t, &from, &e), e);
        CHECK(strncmp(text_of(from), "hvsock://", 9) == 0);
        check_talk(s, t);
    } else {                                                    /* turned away, not left to wait */
        virtsock_status status = virtsock_stream_recv(s, &b, 1, &n, 5000, &e);

        CHECK(status == VIRTSOCK_E_EOF || status == VIRTSOCK_E_RESET);
    }
    shim("HVSHIM_PEER", NULL);
    virtsock_stream_free(t);
    virtsock_stream_free(s);
    virtsock_listener_free(l);
    virtsock_address_free(a);
    virtsock_options_free(o);
}

TEST(a_rule_names_the_parent)
{
    check_rule("parent", VIRTSOCK_VM_PARENT, true);
    check_rule("parent", NULL, false);
    check_rule("parent", OTHER_VM, false);
}

TEST(a_rule_names_this_machine)
{
    check_rule("local", NULL, true);
    check_rule("local", VIRTSOCK_VM_PARENT, false);
    check_rule("local", OTHER_VM, false);
}

TEST(a_rule_names_a_vm)
{
    check_rule(OTHER_VM, OTHER_VM, true);
    check_rule(OTHER_VM, PEERS, false);
    check_rule(OTHER_VM, NULL, false);
    check_rule(VIRTSOCK_VM_PARENT, VIRTSOCK_VM_PARENT, true);
}

TEST(a_rule_that_nobody_can_check_is_refused)
{
    static const char *const rules[] = { "3", "3-9", "self", "uid=0", "local:privileged" };
    virtsock_listener       *l;
    virtsock_error           e = { 0 };

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        virtsock_options *o = virtsock_options_new();
        virtsock_address *a = test_parse(test_address());

        CHECK_OK(virtsock_options_allow(o, rules[i], &e), e);
        CHECK_STATUS(virtsock_listen(&l, a, o, &e), VIRTSOCK_E_UNSUPPORTED, e);
        CHECK(l == NULL && e.message[0] != '\0');
        virtsock_address_free(a);
        virtsock_options_free(o);
    }
}
