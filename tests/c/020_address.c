/* SPDX-License-Identifier: MIT
 *
 * Addresses: the shared vectors, and what a file of texts cannot say: constructors, sizes, limits, NULLs, and bytes in memory.
 */
#include "vectors.h"

/* proves: T15 */
TEST(vectors)
{
    FILE *file = fopen(TEST_VECTORS "/addresses.tsv", "r");
    char  line[4 * VS_TEXT_MAX];
    int   rows = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        char *column[5] = { line };
        int   n = 1;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        for (char *tab; n < 5 && (tab = strchr(column[n - 1], '\t')) != NULL; n++) {
            *tab = '\0';
            column[n] = tab + 1;
        }
        CHECK(n == 5);
        CHECK_TEXT(column[1], "parse");
        unescape(column[0]);
        unescape(column[3]);
        if (strcmp(column[2], "ok") == 0) {
            check_valid(column[0], column[3], column[4]);
        } else {
            CHECK_TEXT(column[2], "invalid");
            check_invalid(column[0], column[3]);
        }
        rows++;
    }
    fclose(file);
    CHECK(rows >= 400);
}

/* --- Constructors ---------------------------------------------------------------------------------------------------------- */

/* Frees a. Its canonical form parses to an equal address. */
static void check_made(virtsock_address *a, const char *want)
{
    char              formatted[VS_TEXT_MAX + 1];
    virtsock_address *again;

    virtsock_address_format(a, formatted, sizeof formatted);
    CHECK_TEXT(formatted, want);
    again = test_parse(formatted);
    CHECK(virtsock_address_equal(a, again));
    CHECK(a->size == again->size && a->vm_kind == again->vm_kind && memcmp(&a->vm, &again->vm, sizeof a->vm) == 0);
    virtsock_address_free(again);
    virtsock_address_free(a);
}

TEST(from_cid_and_port)
{
    static const uint32_t values[] = { 0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
    virtsock_address     *a;
    virtsock_error        e;
    uint32_t              cid, port;

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            char want[64] = "vsock://", *s = want + 8;

            CHECK_OK(virtsock_address_vsock(&a, values[i], values[j], &e), e);
            CHECK(virtsock_address_number(a, VIRTSOCK_PART_CID, &cid) == VIRTSOCK_OK && cid == values[i]);
            CHECK(virtsock_address_number(a, VIRTSOCK_PART_PORT, &port) == VIRTSOCK_OK && port == values[j]);
            s += values[i] == UINT32_MAX ? 0 : sprintf(s, "%u", values[i]);
            s += values[j] == UINT32_MAX ? sprintf(s, ":any") : sprintf(s, ":%u", values[j]);
            check_made(a, want);
        }
    }
}

static void check_hyperv(const char *vm, const char *service, const char *want)
{
    virtsock_address *a;
    virtsock_error    e;

    CHECK_OK(virtsock_address_hyperv(&a, vm, service, &e), e);
    check_made(a, want);
}

TEST(from_vm_and_service)
{
    static const char *const refused[][2] = {
        { "3", "80" }, { "-1", "80" }, { "0x3", "80" }, { "99999999999999999999", "80" }, { "a/b", "80" }, { "a\nb", "80" }, { "\xff", "80" },
        { "\xc2\x9f", "80" }, { "web", "2147483648" }, { "web", "any" }, { "web", "x" }, { "web", "80 " }, { "web", "00000050-facb" },
        { "web", "80?type=dgram" }, { "web", "8%30" }, { "web", "80/" }, { "web/80", "" }, { "web", "/80" },
    };
    virtsock_address *a;
    virtsock_error    e;

    check_hyperv("", "80", "hvsock:///00000050-facb-11e6-bd58-64006a7986d3");
    check_hyperv("any", "0x50", "hvsock:///00000050-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_WILDCARD, "80", "hvsock:///00000050-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_BROADCAST, "0", "hvsock://broadcast/00000000-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_CHILDREN, "0", "hvsock://children/00000000-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_LOOPBACK, "0", "hvsock://loopback/00000000-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_PARENT, "0", "hvsock://parent/00000000-facb-11e6-bd58-64006a7986d3");
    check_hyperv(VIRTSOCK_VM_SILOHOST, "0", "hvsock://silohost/00000000-facb-11e6-bd58-64006a7986d3");
    check_hyperv("{CDEE5C88-C5A5-4CC8-9D2D-C15816A01349}", "8BA03980-174A-43E7-852A-E5EC79A671C7",
                 "hvsock://cdee5c88-c5a5-4cc8-9d2d-c15816a01349/8ba03980-174a-43e7-852a-e5ec79a671c7");
    check_hyperv("My VM: 100%", "80", "hvsock://My%20VM%3A%20100%25/00000050-facb-11e6-bd58-64006a7986d3");
    check_hyperv("%41", "80", "hvsock://%2541/00000050-facb-11e6-bd58-64006a7986d3");
    check_hyperv("b\xc3\xbcro", "", "hvsock://b%C3%BCro/");
    check_hyperv("wsl", "80", "hvsock://wsl/00000050-facb-11e6-bd58-64006a7986d3");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        a = (virtsock_address *)&a;
        CHECK(virtsock_address_hyperv(&a, refused[i][0], refused[i][1], &e) == VIRTSOCK_E_INVALID);
        CHECK(a == NULL && strncmp(e.message, "parse ", 6) == 0);
    }
}

static void check_path(virtsock_scheme scheme, const char *path, uint32_t port, const char *want_path, const char *want)
{
    virtsock_address *a;
    virtsock_error    e;

    CHECK_OK(virtsock_address_path(&a, scheme, path, port, &e), e);
    CHECK(virtsock_address_scheme(a) == scheme);
    CHECK_TEXT(virtsock_address_text(a, VIRTSOCK_PART_PATH), want_path);
    check_made(a, want);
}

TEST(from_path)
{
    static const virtsock_scheme others[] = {
        VIRTSOCK_SCHEME_NONE, VIRTSOCK_SCHEME_VSOCK, VIRTSOCK_SCHEME_HYPERV, VIRTSOCK_SCHEME_TCP, VIRTSOCK_SCHEME_FD, 8, -1,
    };
    virtsock_address *a;
    virtsock_error    e;

    check_path(VIRTSOCK_SCHEME_UNIX, "/run/x.sock", 5, "/run/x.sock", "unix:///run/x.sock");
    check_path(VIRTSOCK_SCHEME_UNIX, "x.sock", 0, "./x.sock", "unix:///./x.sock");
    check_path(VIRTSOCK_SCHEME_UNIX, "./x", 0, "./x", "unix:///./x");
    check_path(VIRTSOCK_SCHEME_UNIX, "../x", 0, "../x", "unix:///../x");
    check_path(VIRTSOCK_SCHEME_UNIX, ".hidden/x", 0, "./.hidden/x", "unix:///./.hidden/x");
    check_path(VIRTSOCK_SCHEME_UNIX, "..", 0, "./..", "unix:///./..");
    check_path(VIRTSOCK_SCHEME_UNIX, "/./x", 0, "/x", "unix:///x");
    check_path(VIRTSOCK_SCHEME_UNIX, "/../.././x", 0, "/x", "unix:///x");
    check_path(VIRTSOCK_SCHEME_UNIX, "/.hidden", 0, "/.hidden", "unix:///.hidden");
    check_path(VIRTSOCK_SCHEME_UNIX, "//./x", 0, "//./x", "unix:////./x");
    check_path(VIRTSOCK_SCHEME_UNIX, "/a%20b?c d\n\xff", 0, "/a%20b?c d\n\xff", "unix:///a%2520b%3Fc%20d%0A%FF");
    check_path(VIRTSOCK_SCHEME_UNIX, "@name/x y", 0, "@name/x y", "unix://@name/x%20y");
    check_path(VIRTSOCK_SCHEME_UNIX, "./@name", 0, "./@name", "unix:///./%40name");
    check_path(VIRTSOCK_SCHEME_MUX, "@name", 52, "./@name", "vsock-mux://:52/./%40name");
    check_path(VIRTSOCK_SCHEME_MUX, "/run/v.sock", 52, "/run/v.sock", "vsock-mux://:52/run/v.sock");
    check_path(VIRTSOCK_SCHEME_MUX, "v.sock", VIRTSOCK_PORT_ANY, "./v.sock", "vsock-mux://:any/./v.sock");
    check_path(VIRTSOCK_SCHEME_HYPERKIT, "/var/run/vm", 0, "/var/run/vm", "hyperkit://:0/var/run/vm");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(virtsock_address_path(&a, others[i], "/x", 1, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, "", 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, "/", 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, "@", 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, "/../", 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
}

static void check_with(const char *from, virtsock_part part, uint32_t number, const char *text, const char *want)
{
    virtsock_address *a = from != NULL ? test_parse(from) : NULL, *b;
    virtsock_error    e = { 0 };

    CHECK_OK(virtsock_address_with(&b, a, part, number, text, &e), e);
    check_made(b, want);
    if (from != NULL)
        CHECK(virtsock_address_format(a, NULL, 0) == strlen(from));
    virtsock_address_free(a);
}

static void check_without(const char *from, virtsock_part part, uint32_t number, const char *text, const char *says)
{
    virtsock_address *a = from != NULL ? test_parse(from) : NULL, *b = a;
    virtsock_error    e = { 0 };

    CHECK(virtsock_address_with(&b, a, part, number, text, &e) == VIRTSOCK_E_INVALID && b == NULL && strstr(e.message, says) != NULL);
    virtsock_address_free(a);
}

TEST(one_part_after_another)
{
    static char long_text[4200];
    const char *guid = "00000050-facb-11e6-bd58-64006a7986d3", *sevens = "77777777-facb-11e6-bd58-64006a7986d3";

    check_with(NULL, VIRTSOCK_PART_CID, 3, NULL, "vsock://3:any");
    check_with(NULL, VIRTSOCK_PART_PORT, 80, NULL, "vsock://:80");
    check_with(NULL, VIRTSOCK_PART_VM, 0, "a b", "hvsock://a%20b/");
    check_with(NULL, VIRTSOCK_PART_SERVICE, 0, "80", "hvsock:///00000050-facb-11e6-bd58-64006a7986d3");
    check_with(NULL, VIRTSOCK_PART_PATH, 0, "a?b", "unix:///./a%3Fb");
    check_with(NULL, VIRTSOCK_PART_HOST, 0, "127.0.0.1", "tcp://127.0.0.1:any");
    check_with(NULL, VIRTSOCK_PART_FD, 3, NULL, "fd://3");
    check_with("tcp://127.0.0.1:any", VIRTSOCK_PART_PORT, 80, NULL, "tcp://127.0.0.1:80");
    check_with("tcp://127.0.0.1:80", VIRTSOCK_PART_HOST, 0, "0:0::1", "tcp://[::1]:80");
    check_with("tcp://[::1]:80", VIRTSOCK_PART_HOST, 0, "[::2]", "tcp://[::2]:80");
    check_with("vsock://3:80", VIRTSOCK_PART_CID, VIRTSOCK_CID_ANY, NULL, "vsock://:80");
    check_with("vsock://3:80?to-host=1", VIRTSOCK_PART_TYPE, VIRTSOCK_TYPE_SEQPACKET, NULL, "vsock://3:80?type=seqpacket&to-host=1");
    check_with("vsock://3:80?type=seqpacket", VIRTSOCK_PART_TYPE, VIRTSOCK_TYPE_STREAM, NULL, "vsock://3:80");
    check_with("vsock://3:80?to-host=1", VIRTSOCK_PART_TO_HOST, 0, NULL, "vsock://3:80");
    check_with("unix:///a", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_NONE, NULL, "unix:///a?half-close=none");
    check_with("unix:///a", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_UNKNOWN, NULL, "unix:///a?half-close=unknown");
    check_with("vsock-mux://:52/v", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_NATIVE, NULL, "vsock-mux://:52/v?half-close=native");
    check_with("vsock-mux://:52/v?half-close=none", VIRTSOCK_PART_HALF_CLOSE, VIRTSOCK_HALF_CLOSE_UNKNOWN, NULL, "vsock-mux://:52/v");
    check_with("vsock-mux://:52/v?half-close=native", VIRTSOCK_PART_PATH, 0, "/w", "vsock-mux://:52/w?half-close=native");
    check_with("unix:///a?type=seqpacket", VIRTSOCK_PART_PATH, 0, "/../b", "unix:///b?type=seqpacket");
    check_with("vsock-mux://:52/v.sock", VIRTSOCK_PART_SERVICE, 0, guid, "vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/v.sock");
    check_with("vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/v.sock", VIRTSOCK_PART_PORT, 52, NULL, "vsock-mux://:52/v.sock");
    check_with("vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/v", VIRTSOCK_PART_PATH, 0, "/longer/than/it/was",
               "vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/longer/than/it/was");
    check_with("hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3", VIRTSOCK_PART_VM, 0, "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
               "hvsock://children/00000050-facb-11e6-bd58-64006a7986d3");
    check_with("hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3", VIRTSOCK_PART_SERVICE, 0, sevens,
               "hvsock://parent/77777777-facb-11e6-bd58-64006a7986d3");
    check_with("hyperkit://:80/dir", VIRTSOCK_PART_CID, 5, NULL, "hyperkit://5:80/dir");
    check_with("hyperkit+docker://:80", VIRTSOCK_PART_PORT, 81, NULL, "hyperkit+docker://:81");

    check_without("unix:///a", VIRTSOCK_PART_PORT, 80, NULL, "no such part; write unix:///PATH");
    check_without("vsock://3:80", VIRTSOCK_PART_PATH, 0, "/a", "no such part");
    check_without("hyperkit+docker://:80", VIRTSOCK_PART_PATH, 0, "/a", "no such part");
    check_without("hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3", VIRTSOCK_PART_PORT, 80, NULL, "no such part");
    check_without("unix:///a", VIRTSOCK_PART_TO_HOST, 1, NULL, "only vsock://");
    check_without("vsock://3:80", VIRTSOCK_PART_TO_HOST, 2, NULL, "no such choice");
    check_without("vsock://3:80", VIRTSOCK_PART_TYPE, 4, NULL, "no such choice");
    check_without("vsock://3:80", VIRTSOCK_PART_HALF_CLOSE, 0, NULL, "no such choice");
    check_without("tcp://127.0.0.1:80", VIRTSOCK_PART_PORT, 65536, NULL, "65535");
    check_without("tcp://127.0.0.1:80", VIRTSOCK_PART_HOST, 0, "127.0.0.1:81", "no name is looked up");
    check_without("tcp://127.0.0.1:80", VIRTSOCK_PART_HOST, 0, "localhost?type=dgram", "no name is looked up");
    check_without("fd://3", VIRTSOCK_PART_FD, UINT32_MAX, NULL, "N is the decimal number");
    check_without("hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3", VIRTSOCK_PART_SERVICE, 0, "80?", "a service is a GUID");
    check_without("hvsock://parent/00000050-facb-11e6-bd58-64006a7986d3", VIRTSOCK_PART_VM, 0, "7", "a CID is for vsock");
    check_without("unix:///a", VIRTSOCK_PART_PATH, 0, "/", "the path is missing");
    check_without("unix:///a", VIRTSOCK_PART_PATH, 5, NULL, "the reverse");
    check_without("vsock://3:80", VIRTSOCK_PART_CID, 5, "5", "the reverse");
    check_without(NULL, VIRTSOCK_PART_TYPE, VIRTSOCK_TYPE_SEQPACKET, NULL, "no address has that part alone");
    for (int part = -2; part < 1; part++)
        check_without("vsock://3:80", part, 1, NULL, "no such part");
    check_without("vsock://3:80", VIRTSOCK_PART_HALF_CLOSE + 1, 1, NULL, "no such part");
    CHECK(virtsock_address_with(NULL, NULL, VIRTSOCK_PART_CID, 1, NULL, NULL) == VIRTSOCK_E_INVALID);
    memset(long_text, 'a', sizeof long_text - 1);
    check_without(NULL, VIRTSOCK_PART_VM, 0, long_text, "4096 bytes");
    check_without(NULL, VIRTSOCK_PART_PATH, 0, long_text, "4096 bytes");
    check_without(NULL, VIRTSOCK_PART_HOST, 0, long_text, "4096 bytes");
    memset(long_text, '?', 2000);
    long_text[2000] = '\0';
    check_without(NULL, VIRTSOCK_PART_PATH, 0, long_text, "4096 bytes");
}

/* --- Format, equality, parts ------------------------------------------------------------------------------------------------- */

TEST(formats_as_snprintf)
{
    virtsock_address *a = test_parse("unix:///run/a b?type=seqpacket");
    const char       *want = "unix:///run/a%20b?type=seqpacket";
    size_t            length = strlen(want);
    char              buf[64];

    CHECK(virtsock_address_format(a, NULL, 0) == length);
    CHECK(virtsock_address_format(a, NULL, sizeof buf) == length);
    for (size_t cap = 0; cap <= length + 2; cap++) {
        size_t fits = cap <= length ? cap : length + 1;

        memset(buf, '#', sizeof buf);
        CHECK(virtsock_address_format(a, buf, cap) == length);
        CHECK(cap == 0 || (memcmp(buf, want, fits - 1) == 0 && buf[fits - 1] == '\0'));
        CHECK(buf[fits] == '#');
    }
    virtsock_address_free(a);
}

TEST(equal_by_canonical_text)
{
    static const char *const texts[] = {
        "vsock://3:80", "vsock://3:81", "vsock://4:80", "vsock://:80", "vsock://3:any", "vsock://3:80?type=dgram", "vsock://3:80?to-host=1",
        "vsock://3:80?half-close=framed", "hvsock://parent/80", "hvsock://parent", "hvsock://loopback/80", "hvsock://web/80",
        "hvsock://Web/80", "hyperkit://3:80/x", "hyperkit://:80/x", "hyperkit+docker://:80", "vsock-mux://:80/x",
        "vsock-mux://:80/x?half-close=native", "vsock-mux://:80/x?half-close=none",
        "vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/x", "unix:///x", "unix:///./x", "unix:///X",
        "tcp://localhost:80", "tcp://127.0.0.1:80", "tcp://[::1]:80", "fd://3", "fd://4",
    };
    const size_t n = sizeof texts / sizeof texts[0];

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            virtsock_address *a = test_parse(texts[i]), *b = test_parse(texts[j]);

            CHECK(virtsock_address_equal(a, b) == (i == j));
            virtsock_address_free(a);
            virtsock_address_free(b);
        }
    }
}

TEST(parts_that_there_are_not)
{
    virtsock_address *a = test_parse("vsock://3:80");
    uint32_t          value = 7;

    for (int part = -2; part < 1; part++)
        CHECK(virtsock_address_number(a, part, &value) == VIRTSOCK_E_NOT_FOUND && virtsock_address_text(a, part) == NULL);
    for (int part = VIRTSOCK_PART_HALF_CLOSE + 1; part < 100; part++)
        CHECK(virtsock_address_number(a, part, &value) == VIRTSOCK_E_NOT_FOUND && virtsock_address_text(a, part) == NULL);
    CHECK(virtsock_address_number(a, INT32_MIN, &value) == VIRTSOCK_E_NOT_FOUND && virtsock_address_text(a, INT32_MAX) == NULL);
    CHECK(value == 7);
    virtsock_address_free(a);
}

TEST(null_is_never_a_crash)
{
    virtsock_address *a = test_parse("vsock://3:80"), *b = a;
    virtsock_error    e;
    uint32_t          value = 7;
    char              buf[4] = "xyz";

    CHECK(virtsock_address_parse(NULL, "vsock://3:80", &e) == VIRTSOCK_E_INVALID && e.status == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_parse(&b, NULL, &e) == VIRTSOCK_E_INVALID && b == NULL);
    CHECK(virtsock_address_parse(NULL, NULL, NULL) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_vsock(NULL, 3, 80, &e) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_hyperv(NULL, "parent", "80", &e) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_hyperv(&b, NULL, "80", &e) == VIRTSOCK_E_INVALID && b == NULL);
    CHECK(virtsock_address_hyperv(&b, "parent", NULL, NULL) == VIRTSOCK_E_INVALID && b == NULL);
    CHECK(virtsock_address_path(NULL, VIRTSOCK_SCHEME_UNIX, "/x", 0, &e) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_path(&b, VIRTSOCK_SCHEME_UNIX, NULL, 0, NULL) == VIRTSOCK_E_INVALID && b == NULL);
    virtsock_address_free(NULL);
    CHECK(virtsock_address_format(NULL, buf, sizeof buf) == 0 && buf[0] == '\0');
    CHECK(virtsock_address_format(NULL, NULL, 0) == 0);
    CHECK(virtsock_address_equal(NULL, a) == 0 && virtsock_address_equal(a, NULL) == 0 && virtsock_address_equal(NULL, NULL) == 0);
    CHECK(virtsock_address_scheme(NULL) == VIRTSOCK_SCHEME_NONE);
    CHECK(virtsock_address_number(NULL, VIRTSOCK_PART_CID, &value) == VIRTSOCK_E_INVALID && value == 7);
    CHECK(virtsock_address_number(a, VIRTSOCK_PART_CID, NULL) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_address_text(NULL, VIRTSOCK_PART_PATH) == NULL);
    CHECK(vs_address_copy(&b, NULL) == VIRTSOCK_E_INVALID && b == NULL);
    virtsock_service_from_port(NULL, 80);
    CHECK(virtsock_port_from_service(NULL, &value) == VIRTSOCK_E_INVALID);
    CHECK(virtsock_port_from_service("00000050-facb-11e6-bd58-64006a7986d3", NULL) == VIRTSOCK_E_INVALID);
    virtsock_address_free(a);
}

/* --- Services ------------------------------------------------------------------------------------------------------------------ */

TEST(ports_and_services)
{
    static const struct {
        uint32_t    port;
        const char *service;
    } pairs[] = {
        { 0, "00000000-facb-11e6-bd58-64006a7986d3" },          { 1, "00000001-facb-11e6-bd58-64006a7986d3" },
        { 0x12345678, "12345678-facb-11e6-bd58-64006a7986d3" }, { 500000, "0007a120-facb-11e6-bd58-64006a7986d3" },
        { 0x7fffffff, "7fffffff-facb-11e6-bd58-64006a7986d3" }, { 0x80000000, "80000000-facb-11e6-bd58-64006a7986d3" },
        { 0xffffffff, "ffffffff-facb-11e6-bd58-64006a7986d3" },
    };
    uint32_t port = 0;

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[37];

        virtsock_service_from_port(text, pairs[i].port);
        CHECK_TEXT(text, pairs[i].service);
        CHECK(virtsock_port_from_service(text, &port) == VIRTSOCK_OK && port == pairs[i].port);
        for (char *s = text; *s != '\0'; s++)
            *s = *s >= 'a' ? (char)(*s - 'a' + 'A') : *s;
        port = ~pairs[i].port;
        CHECK(virtsock_port_from_service(text, &port) == VIRTSOCK_OK && port == pairs[i].port);
    }
}

TEST(services_that_are_no_ports)
{
    static const char *const none[] = {
        "3049197c-9a4e-4fbf-9367-97f792f16994", "00000050-facb-11e6-bd58-64006a7986d4", "00000050-facc-11e6-bd58-64006a7986d3",
        VIRTSOCK_VM_WILDCARD, VIRTSOCK_VM_PARENT,
    };
    static const char *const bad[] = {
        "", "80", "00000050-facb-11e6-bd58-64006a7986d", "00000050-facb-11e6-bd58-64006a7986d33", " 00000050-facb-11e6-bd58-64006a7986d3",
        "00000050-facb-11e6-bd58-64006a7986d3 ", "{00000050-facb-11e6-bd58-64006a7986d3}", "0000005g-facb-11e6-bd58-64006a7986d3",
        "00000050facb-11e6--bd58-64006a7986d3", "00000050-facb-11e6-bd58+64006a7986d3", "000000-50facb-11e6-bd58-64006a7986d3",
        "50-facb-11e6-bd58-64006a7986d3", "0x000050-facb-11e6-bd58-64006a7986d3",
    };
    uint32_t port = 7;

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK(virtsock_port_from_service(none[i], &port) == VIRTSOCK_E_NOT_FOUND);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(virtsock_port_from_service(bad[i], &port) == VIRTSOCK_E_INVALID);
    CHECK(port == 7);
}

/* The bytes that go into a SOCKADDR_HV. */
/* proves: T12 */
TEST(bytes_of_guids)
{
    const char       *parent = "\xda\x7c\x2e\xa4\x3f\xd0\x0c\x48\x9c\xc2\xa4\xde\x20\xab\xb8\x78";
    const char       *service = "\x7c\x19\x49\x30\xcb\xfa\xe6\x11\xbd\x58\x64\x00\x6a\x79\x86\xd3";
    virtsock_address *a = test_parse("hvsock://parent/0x3049197c");
    struct vs_guid    guid = { { 0 } };
    char              text[VS_GUID_TEXT];

    CHECK(a->vm_kind == VS_VM_PARENT);
    CHECK(memcmp(a->vm.b, parent, 16) == 0);
    CHECK(memcmp(a->service.b, service, 16) == 0);
    vs_guid_format(text, &a->vm);
    CHECK_TEXT(text, VIRTSOCK_VM_PARENT);
    CHECK(!vs_guid_parse(&guid, "a42e7cda-d03f-480c-9cc2-a4de20abb87x", 36) && guid.b[0] == 0);
    CHECK(!vs_guid_parse(&guid, VIRTSOCK_VM_PARENT, 35));
    CHECK(vs_guid_parse(&guid, VIRTSOCK_VM_PARENT "x", 36) && memcmp(guid.b, parent, 16) == 0);
    virtsock_address_free(a);
}

/* --- Limits ---------------------------------------------------------------------------------------------------------------------- */

/* PREFIX and so many times c, n bytes in all. */
static const char *long_text(const char *prefix, char c, size_t n)
{
    static char text[VS_TEXT_MAX + 64];

    memset(text, c, n);
    memcpy(text, prefix, strlen(prefix));
    text[n] = '\0';
    return text;
}

TEST(texts_of_4096_and_4097_bytes)
{
    virtsock_address *a = test_parse(long_text("unix:///", 'x', 4096));
    char              formatted[VS_TEXT_MAX + 1];

    CHECK(virtsock_address_format(a, formatted, sizeof formatted) == 4096);
    CHECK_TEXT(formatted, long_text("unix:///", 'x', 4096));
    CHECK(strlen(virtsock_address_text(a, VIRTSOCK_PART_PATH)) == 4096 - strlen("unix://"));
    virtsock_address_free(a);
    check_invalid(long_text("unix:///", 'x', 4097), "at most 4096 bytes");
    check_invalid(long_text("", 'x', 4097), "at most 4096 bytes");
    check_invalid(long_text("/", 'x', 4096), "unix:///PATH");
    check_invalid(long_text("", '9', 4096), "no known scheme");
    check_invalid(long_text("vsock://3:", '9', 4096), "0 to 4294967295");
    check_invalid(long_text("vsock://3:80?", 'x', 4096), "options");
    check_invalid(long_text("unix://x/", 'x', 4096), "write unix:///");
    check_invalid(long_text("tcp://[", ':', 4096), "the port is missing");
    check_invalid(long_text("hvsock:///x/", ':', 4096), "vsock-mux://:PORT/PATH");
    check_invalid(long_text("vsock-mux/", 'x', 4096), "vsock-mux://:PORT/PATH");
}

/* Encoded, a blank is three bytes: what could not be parsed again is no address. */
TEST(canonical_forms_that_are_too_long)
{
    const size_t      head = strlen("unix:///"), most = (4096 - head) / 3;
    virtsock_address *a = test_parse(long_text("unix:///", ' ', head + most)), *again;
    virtsock_error    e;
    char              formatted[VS_TEXT_MAX + 1];

    CHECK(virtsock_address_format(a, formatted, sizeof formatted) == head + 3 * most);
    again = test_parse(formatted);
    CHECK(virtsock_address_equal(a, again));
    virtsock_address_free(again);
    virtsock_address_free(a);
    check_invalid(long_text("unix:///", ' ', head + most + 1), "the canonical form is longer");
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, long_text("/", ' ', most + 2), 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, long_text("", 'x', 4097), 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_path(&a, VIRTSOCK_SCHEME_UNIX, long_text("", 'x', 4096), 0, &e) == VIRTSOCK_E_INVALID && a == NULL);
    CHECK(virtsock_address_hyperv(&a, long_text("", ' ', 1400), "80", &e) == VIRTSOCK_E_INVALID && a == NULL);
}

/* Every byte of a path, as it is and encoded. */
TEST(every_byte_of_a_path)
{
    for (int c = 1; c < 256; c++) {
        const char *plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
        char        raw[16], encoded[16], want_path[] = { '/', 'a', (char)c, 'b', '\0' };

        snprintf(raw, sizeof raw, "unix://%s", want_path);
        snprintf(encoded, sizeof encoded, "unix:///a%%%02Xb", (unsigned)c);
        if (c < 0x20 || c == 0x7f)
            check_invalid(raw, "control characters must be encoded");
        else if (c == '?')
            check_invalid(raw, "the options after ?");
        else if (c == '%')
            check_invalid(raw, "two hexadecimal digits");
        else
            check_valid(raw, strchr(plain, c) != NULL ? raw : encoded, (char[]){ "-" });
        check_path(VIRTSOCK_SCHEME_UNIX, want_path, 0, want_path, strchr(plain, c) != NULL ? raw : encoded);
        check_valid(encoded, strchr(plain, c) != NULL ? raw : encoded, (char[]){ "-" });
    }
}

TEST(one_allocation_of_the_needed_size)
{
    static const struct {
        const char *text;
        size_t      more;               /* bytes behind the fixed part */
    } sizes[] = {
        { "vsock://3:1024", 1 }, { "fd://3", 1 }, { "unix:///./x", 4 }, { "unix:///%41%42", 4 }, { "hyperkit+docker://:80", 1 },
        { "tcp://[0:0:0:0:0:0:0:1]:80", 4 }, { "hvsock://parent", 7 }, { "hvsock://parent:80", 7 + 37 }, { "hvsock://any:80", 1 + 37 },
        { "vsock-mux://:80/x", 3 }, { "vsock-mux://:00000050-facb-11e6-bd58-64006a7986d3/x", 3 + 37 },
    };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        virtsock_address *a = test_parse(sizes[i].text), *copy;

        CHECK(a->size == sizeof *a + sizes[i].more);
        CHECK(vs_address_copy(&copy, a) == VIRTSOCK_OK && copy != a && copy->size == a->size);
        virtsock_address_free(a);
        a = test_parse(sizes[i].text);
        CHECK(virtsock_address_equal(a, copy));
        virtsock_address_free(copy);
        virtsock_address_free(a);
    }
    CHECK(sizeof(virtsock_address) <= 96);
}

TEST(numbers)
{
    uint32_t value = 7;

    CHECK(vs_parse_u32("4294967295x", 10, &value) && value == UINT32_MAX);
    CHECK(vs_parse_u32("0", 1, &value) && value == 0);
    value = 7;
    CHECK(!vs_parse_u32("4294967296", 10, &value) && !vs_parse_u32("9999999999", 10, &value) && !vs_parse_u32("00000000001", 11, &value));
    CHECK(!vs_parse_u32("", 0, &value) && !vs_parse_u32("-1", 2, &value) && !vs_parse_u32("+1", 2, &value) && !vs_parse_u32(" 1", 2, &value));
    CHECK(!vs_parse_u32("1 ", 2, &value) && !vs_parse_u32("0x1", 3, &value) && !vs_parse_u32("\0", 1, &value));
    CHECK(!vs_parse_u32("/", 1, &value) && !vs_parse_u32(":", 1, &value) && value == 7);
}
