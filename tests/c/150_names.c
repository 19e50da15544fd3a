/* SPDX-License-Identifier: MIT
 *
 * Names to ids: how a program is asked, what its answers mean, and that a hostile name is data. The program that is asked is a function
 * here, on every system alike; tests/wine has real ones. And what a service may be called.
 */
#include "platform/platform.h"
#include "vectors.h"

#define ID    "11111111-2222-3333-4444-555555555555"
#define OTHER "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
#define ONCE() if (strcmp(test_transport(), "unix") != 0) SKIP("has no transport, and runs once")

/* What the next answer is, and what was asked. */
static struct {
    const char       *says;
    size_t            size;             /* 0: its length */
    uint32_t          exit_code;
    int               code;
    int               calls;
    struct vs_program asked;            /* but its value */
    char              value[VS_TEXT_MAX];
    int64_t           deadline;
} program;

static int answer(const struct vs_program *asked, char *out, size_t cap, size_t *size, uint32_t *exit_code, int64_t deadline)
{
    program.calls++;
    program.asked = *asked;
    snprintf(program.value, sizeof program.value, "%s", asked->value);
    program.deadline = deadline;
    *size = program.size != 0 ? program.size : strlen(program.says);
    CHECK(*size <= cap);
    memcpy(out, program.says, *size);
    *exit_code = program.exit_code;
    return program.code;
}

static virtsock_status resolve(virtsock_address **out, const char *text, const virtsock_options *options, virtsock_error *err)
{
    virtsock_address *a = test_parse(text);
    virtsock_status   status;

    memset(err, 'x', sizeof *err);
    *out = NULL;
    status = vs_resolve_vm(out, a, options, answer, err);
    CHECK((status == VIRTSOCK_OK) == (*out != NULL));
    virtsock_address_free(a);
    return status;
}

static void check_resolved(const char *text, const char *want)
{
    char              formatted[256];
    virtsock_address *out;
    virtsock_error    e;

    CHECK_OK(resolve(&out, text, NULL, &e), e);
    virtsock_address_format(out, formatted, sizeof formatted);
    CHECK_TEXT(formatted, want);
    virtsock_address_free(out);
}

/* --- Names ------------------------------------------------------------------------------------------------------------------- */

static void check_name(const char *name, const char *text, const char *arguments)
{
    char              canonical[2 * VS_TEXT_MAX], formatted[VS_TEXT_MAX + 1];
    virtsock_address *made, *out;
    virtsock_error    e = { 0 };

    snprintf(canonical, sizeof canonical, "hvsock://%s/00000050-facb-11e6-bd58-64006a7986d3", text);
    CHECK_OK(virtsock_address_hyperv(&made, name, "80", &e), e);
    virtsock_address_format(made, formatted, sizeof formatted);
    CHECK_TEXT(formatted, canonical);
    CHECK_TEXT(virtsock_address_text(made, VIRTSOCK_PART_VM), name);
    CHECK_OK(resolve(&out, canonical, NULL, &e), e);
    CHECK_TEXT(program.value, name);
    CHECK_TEXT(program.asked.arguments, arguments);
    CHECK_TEXT(program.asked.variable, "VIRTSOCK_NAME");
    virtsock_address_free(out);
    virtsock_address_free(made);
}

static void check_no_name(const char *name, const char *text)
{
    virtsock_address *out;
    char              address[256];

    CHECK(virtsock_address_hyperv(&out, name, "80", NULL) == VIRTSOCK_E_INVALID);
    snprintf(address, sizeof address, "hvsock://%s/80", text);
    CHECK(virtsock_address_parse(&out, address, NULL) == VIRTSOCK_E_INVALID);
}

/* proves: T13 */
TEST(hostile_names_are_data)
{
    FILE             *file;
    char              line[4 * VS_TEXT_MAX];
    const char       *arguments;
    virtsock_address *out;
    virtsock_error    e;
    int               rows = 0;

    ONCE();
    program.says = ID "\r\n";
    CHECK_OK(resolve(&out, "hvsock://web/80", NULL, &e), e);
    virtsock_address_free(out);
    arguments = program.asked.arguments;
    CHECK(strstr(arguments, "$env:VIRTSOCK_NAME") != NULL && strstr(arguments, "web") == NULL);
    file = fopen(TEST_VECTORS "/names.tsv", "r");
    CHECK(file != NULL);
    for (; fgets(line, sizeof line, file) != NULL; rows++) {
        char *verdict = strchr(line, '\t'), *text;

        if (line[0] == '#' || line[0] == '\n')
            continue;
        line[strcspn(line, "\n")] = '\0';
        CHECK(verdict != NULL && (text = strchr(verdict + 1, '\t')) != NULL);
        *verdict++ = *text++ = '\0';
        unescape(line);
        if (strcmp(verdict, "ok") == 0) {
            check_name(line, text, arguments);
        } else {
            CHECK_TEXT(verdict, "invalid");
            check_no_name(line, text);
        }
    }
    fclose(file);
    CHECK(rows > 150);                  /* lines */
}

/* --- Answers ----------------------------------------------------------------------------------------------------------------- */

TEST(one_id_is_the_answer)
{
    static const char *const answers[] = {
        ID "\r\n", ID "\n", ID, "\r\n" ID "\r\n\r\n", "some warning\r\n" ID "\r\n", "11111111-2222-3333-4444-555555555555\nbye",
    };

    ONCE();
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        program.says = answers[i];
        check_resolved("hvsock://some%20vm/80", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3");
    }
    program.says = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\r\n";
    check_resolved("hvsock://x/80", "hvsock://" OTHER "/00000050-facb-11e6-bd58-64006a7986d3");
}

TEST(the_rest_of_the_address_stays)
{
    ONCE();
    program.says = ID "\r\n";
    check_resolved("hvsock://x/", "hvsock://" ID "/");
    check_resolved("hvsock://x/8ba03980-174a-43e7-852a-e5ec79a671c7", "hvsock://" ID "/8ba03980-174a-43e7-852a-e5ec79a671c7");
    check_resolved("hvsock://x/80?half-close=framed", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3?half-close=framed");
    check_resolved("hvsock://x/80?type=seqpacket", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3?type=seqpacket");
}

#define ROW(says, exit_code, code, status, piece) { says, sizeof says - 1, exit_code, code, status, piece }
static const struct {
    const char     *says;
    size_t          size;
    uint32_t        exit_code;
    int             code;
    virtsock_status status;
    const char     *piece;
} failures[] = {
    ROW("", 0, 0, VIRTSOCK_E_NOT_FOUND, "no VM has exactly that name"),
    ROW("\r\n\r\n", 0, 0, VIRTSOCK_E_NOT_FOUND, "no VM has exactly that name"),
    ROW(ID "\r\n" OTHER "\r\n", 0, 0, VIRTSOCK_E_AMBIGUOUS, "2 VMs have that name: " ID ", " OTHER),
    ROW(ID "\n" ID "\n" ID, 0, 0, VIRTSOCK_E_AMBIGUOUS, "3 VMs have that name: " ID ", " ID ", ..."),
    ROW("the name is wrong\r\n", 0, 0, VIRTSOCK_E_PROTOCOL, "no id in the answer"),
    ROW("1\0" "1\0" "1\0-\0\n\0\xff\xfe", 0, 0, VIRTSOCK_E_PROTOCOL, "no id in the answer"),
    ROW("\r", 0, 0, VIRTSOCK_E_NOT_FOUND, "no VM"),
    ROW(ID "0", 0, 0, VIRTSOCK_E_PROTOCOL, "no id in the answer"),
    ROW(" " ID, 0, 0, VIRTSOCK_E_PROTOCOL, "no id in the answer"),
    ROW("11111111-2222-3333-4444-55555555555", 0, 0, VIRTSOCK_E_PROTOCOL, "no id in the answer"),
    ROW("", 5, 0, VIRTSOCK_E_DENIED, "may not use Get-VM"),
    ROW("", 126, 0, VIRTSOCK_E_UNSUPPORTED, "no Hyper-V module"),
    ROW("", 1, 0, VIRTSOCK_E_SYSTEM, "exit code is 1"),
    ROW(ID "\r\n", 0xc0000005, 0, VIRTSOCK_E_SYSTEM, "exit code is 3221225477"),       /* it had answered, and crashed then */
    ROW(ID "\r\n", 0, VS_HUNG, VIRTSOCK_E_TIMEOUT, "PowerShell did not answer in time"),
    ROW(ID "\r\n" ID, 0, VS_FLOODED, VIRTSOCK_E_PROTOCOL, "does not end"),
    ROW("", 0, VS_ABSENT, VIRTSOCK_E_UNSUPPORTED, "no PowerShell"),
};

/* proves: C17 */
TEST(each_failure_has_its_status)
{
    ONCE();
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        virtsock_address *out;
        virtsock_error    e;

        program.says = failures[i].says;
        program.size = failures[i].size;
        program.exit_code = failures[i].exit_code;
        program.code = failures[i].code;
        CHECK_STATUS(resolve(&out, "hvsock://some%20vm/80", NULL, &e), failures[i].status, e);
        CHECK_TEXT(e.op, "resolve");
        CHECK(e.scheme == VIRTSOCK_SCHEME_HYPERV && strncmp(e.message, "resolve hvsock://some%20vm/", 27) == 0);
        if (strstr(e.message, failures[i].piece) == NULL)
            CHECK_TEXT(e.message, failures[i].piece);
    }
    program.size = 0;
    program.exit_code = 0;
    program.code = 0;
}

/* The ids must be read: what is long is the name. */
TEST(several_are_named_whole)
{
    char              text[4000] = "hvsock://";
    virtsock_address *out;
    virtsock_error    e;

    ONCE();
    memset(text + 9, 'n', 1000);
    strcpy(text + 1009, "/80");
    program.says = ID "\r\n" OTHER "\r\n" ID "\r\n";
    CHECK_STATUS(resolve(&out, text, NULL, &e), VIRTSOCK_E_AMBIGUOUS, e);
    CHECK(strstr(e.message, "3 VMs have that name: " ID ", " OTHER ", ...") != NULL);
}

TEST(an_answer_may_fill_its_place)
{
    static char       says[8192];
    virtsock_address *out;
    virtsock_error    e;

    ONCE();
    for (size_t i = 0; i < sizeof says; i++)
        says[i] = "11111111-2222-3333-4444-555555555555\n"[i % 37];
    program.says = says;
    program.size = sizeof says;
    CHECK_STATUS(resolve(&out, "hvsock://x/80", NULL, &e), VIRTSOCK_E_AMBIGUOUS, e);
    CHECK(strstr(e.message, "221 VMs") != NULL);
    program.size = 0;
}

/* --- How it is asked --------------------------------------------------------------------------------------------------------- */

TEST(wsl_is_asked_of_wsl)
{
    virtsock_address *out;
    virtsock_error    e;

    ONCE();
    program.says = ID "\n";
    check_resolved("hvsock://wsl/80", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3");
    CHECK_TEXT(program.asked.path, "wsl.exe");
    CHECK_TEXT(program.asked.arguments, "-- wslinfo --vm-id");
    CHECK(program.asked.variable == NULL);
    program.exit_code = 1;
    CHECK_STATUS(resolve(&out, "hvsock://wsl/80", NULL, &e), VIRTSOCK_E_NOT_FOUND, e);
    CHECK(strstr(e.message, "wsl.exe") != NULL);
    program.exit_code = 0;
    program.code = VS_HUNG;
    CHECK_STATUS(resolve(&out, "hvsock://wsl/80", NULL, &e), VIRTSOCK_E_TIMEOUT, e);
    CHECK(strstr(e.message, "wsl.exe") != NULL);
    program.code = 0;
}

TEST(the_script_is_what_it_was)
{
    ONCE();
    program.says = ID "\n";
    check_resolved("hvsock://x/80", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3");
    CHECK_TEXT(program.asked.path, "WindowsPowerShell\\v1.0\\powershell.exe");
    CHECK(strncmp(program.asked.arguments, "-NoLogo -NoProfile -NonInteractive ", 35) == 0);
    CHECK(strstr(program.asked.arguments, "Hyper-V\\Get-VM") != NULL && strstr(program.asked.arguments, "-Name") == NULL);
    CHECK(strstr(program.asked.arguments, "[string]::Equals($_.Name, $env:VIRTSOCK_NAME)") != NULL);
    /* One argument in double quotes, with none inside: nothing of it can end early. */
    CHECK(strchr(program.asked.arguments, '"') == strstr(program.asked.arguments, "\"$ErrorActionPreference"));
    CHECK(strchr(strchr(program.asked.arguments, '"') + 1, '"') == program.asked.arguments + strlen(program.asked.arguments) - 1);
}

TEST(the_time_is_that_of_a_connection)
{
    static const int64_t set[][2] = { { 250, 250 }, { 0, 0 }, { 60000, 60000 } };
    virtsock_options    *o;
    virtsock_address    *out;
    virtsock_error       e;
    int64_t              before = vs_now_ms();

    ONCE();
    o = virtsock_options_new();
    program.says = ID "\n";
    check_resolved("hvsock://x/80", "hvsock://" ID "/00000050-facb-11e6-bd58-64006a7986d3");
    CHECK(program.deadline >= before + 10000 && program.deadline < before + 10500);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, set[i][0], &e), e);
        before = set[i][1] == 0 ? 0 : vs_now_ms();
        CHECK_OK(resolve(&out, "hvsock://x/80", o, &e), e);
        virtsock_address_free(out);
        CHECK(program.deadline >= before + set[i][1] && program.deadline < before + set[i][1] + 500);
    }
    CHECK_OK(virtsock_options_set(o, VIRTSOCK_OPTION_CONNECT_TIMEOUT, -1, &e), e);
    CHECK_OK(resolve(&out, "hvsock://x/80", o, &e), e);
    virtsock_address_free(out);
    CHECK(program.deadline == VS_FOREVER);
    virtsock_options_free(o);
}

TEST(only_names_are_asked_for)
{
    static const char *const texts[] = { "hvsock://parent/80", "hvsock://" ID "/80", "hvsock:///80", "vsock://3:80", "unix:///x" };
    virtsock_address        *out;
    virtsock_error           e;

    ONCE();
    program.calls = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        virtsock_address *a = test_parse(texts[i]);

        CHECK(!vs_needs_lookup(a));
        CHECK_OK(virtsock_resolve(&out, a, NULL, &e), e);
        CHECK(virtsock_address_equal(out, a));
        virtsock_address_free(out);
        virtsock_address_free(a);
    }
    CHECK(program.calls == 0);
}

/* --- Services: what is refused on every system ----------------------------------------------------------------------------- */

/* A connection that never blocks does not look one up. */
TEST(a_start_wants_a_name_resolved)
{
    virtsock_address *a = test_parse("hvsock://some-vm/80");
    virtsock_stream  *s;
    virtsock_error    e = { 0 };

    CHECK_STATUS(virtsock_connect_start(&s, a, NULL, &e), VIRTSOCK_E_INVALID, e);
    CHECK(s == NULL && strstr(e.message, "resolve the name first") != NULL);
    virtsock_address_free(a);
}

TEST(a_service_is_a_guid_or_a_port)
{
    static const char *const bad[] = {
        "", "x", "5000x", "-1", "2147483648", "{", "any", "00000050-facb-11e6-bd58-64006a7986d", "80/x", "80?", " 80"
    };
    virtsock_error e;

    ONCE();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(virtsock_service_register(bad[i], "name", &e), VIRTSOCK_E_INVALID, e);
        CHECK_TEXT(e.op, "register");
        CHECK_STATUS(virtsock_service_unregister(bad[i], &e), VIRTSOCK_E_INVALID, e);
        CHECK_TEXT(e.op, "unregister");
    }
}

TEST(the_name_of_a_service_is_text)
{
    static const char *const bad[] = { "", "a\nb", "\x7f", "Gr\xf6\xdf!", "x\xe2\x80" };
    char                     name[257] = "";
    virtsock_error           e;

    ONCE();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_STATUS(virtsock_service_register("80", bad[i], &e), VIRTSOCK_E_INVALID, e);
    CHECK_STATUS(virtsock_service_register("80", NULL, &e), VIRTSOCK_E_INVALID, e);
    memset(name, 'n', 256);
    CHECK_STATUS(virtsock_service_register("80", name, &e), VIRTSOCK_E_INVALID, e);
}
