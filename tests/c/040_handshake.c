/* SPDX-License-Identifier: MIT
 *
 * The handshakes of multiplexers as bytes, both sides. What a peer makes of them is 220's.
 */
#include "check.h"

#include "transport/handshake.h"

struct row {
    const char    *text;
    enum vs_shake  shake;
    const char    *port;                /* DONE */
    size_t         used;
};

typedef enum vs_shake reader(const char *data, size_t n, size_t *used, char port[VS_PORT_TEXT]);

#define GUID "00000034-facb-11e6-bd58-64006a7986d3"
#define DIGITS "0000000000000000000000000000000000000000000000000000000000000000"

static void check_rows(reader *read, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char          port[VS_PORT_TEXT] = "?";
        size_t        used = 0;
        enum vs_shake shake = read(rows[i].text, strlen(rows[i].text), &used, port);

        if (shake != rows[i].shake || (shake == VS_SHAKE_DONE && (used != rows[i].used || strcmp(port, rows[i].port) != 0)))
            printf("'%s': %d, %zu bytes, port '%s'\n", rows[i].text, (int)shake, used, port);
        CHECK(shake == rows[i].shake);
        if (shake == VS_SHAKE_DONE) {
            CHECK(used == rows[i].used);
            CHECK_TEXT(port, rows[i].port);
        }
    }
}

TEST(requests_are_read)
{
    static const struct row rows[] = {
        { "CONNECT 52\n", VS_SHAKE_DONE, "52", 11 },
        { "connect 52\r\nHello", VS_SHAKE_DONE, "52", 12 },
        { "Connect  \t4294967295 \n", VS_SHAKE_DONE, "4294967295", 22 },
        { "CONNECT " GUID "\n", VS_SHAKE_DONE, GUID, 45 },
        { "CONNECT 0\n", VS_SHAKE_DONE, "0", 10 },
        { "", VS_SHAKE_MORE, NULL, 0 },
        { "C", VS_SHAKE_MORE, NULL, 0 },
        { "CONNECT", VS_SHAKE_MORE, NULL, 0 },
        { "CONNECT 52", VS_SHAKE_MORE, NULL, 0 },
        { "CONNECT\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT \n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT52\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT 52 53\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT 4294967296\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT -1\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT 0x34\n", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT +52\n", VS_SHAKE_BAD, NULL, 0 },
        { " CONNECT 52\n", VS_SHAKE_BAD, NULL, 0 },
        { "\n", VS_SHAKE_BAD, NULL, 0 },
        { "GET / HTTP/1.1\r\n", VS_SHAKE_BAD, NULL, 0 },
        { "G", VS_SHAKE_BAD, NULL, 0 },
        { "CONNECT 5\x80", VS_SHAKE_BAD, NULL, 0 },
    };

    check_rows(vs_mux_read_request, rows, sizeof rows / sizeof rows[0]);
}

/* proves: C12 */
TEST(replies_are_read)
{
    static const struct row rows[] = {
        { "OK 1073741824\n", VS_SHAKE_DONE, "1073741824", 14 },
        { "OK 5001\nglued", VS_SHAKE_DONE, "5001", 8 },
        { "OK " GUID "\n", VS_SHAKE_DONE, GUID, 40 },
        { "ok 1\r\n", VS_SHAKE_DONE, "1", 6 },
        { "OK 10737", VS_SHAKE_MORE, NULL, 0 },
        { "OK 99999999999999999999\nhello", VS_SHAKE_BAD, NULL, 0 },
        { "OK " DIGITS, VS_SHAKE_BAD, NULL, 0 },
        { "OK\n", VS_SHAKE_BAD, NULL, 0 },
        { "OOOO", VS_SHAKE_BAD, NULL, 0 },
        { "ERR 3\n", VS_SHAKE_BAD, NULL, 0 },
    };
    char   port[VS_PORT_TEXT];
    size_t used;

    check_rows(vs_mux_read_reply, rows, sizeof rows / sizeof rows[0]);
    CHECK(vs_mux_read_reply("OK \0\n", 5, &used, port) == VS_SHAKE_BAD);
    CHECK(vs_mux_read_reply("OK 5\0\n", 6, &used, port) == VS_SHAKE_BAD);
}

/* In any two pieces the answer is that of the whole; what is bad stays bad. */
TEST(pieces_make_the_whole)
{
    static const char *const texts[] = { "OK 1073741824\nrest", "OK " GUID "\r\n", "OK x\n", "NO 5\n", "OK" DIGITS DIGITS };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t        all = strlen(texts[i]), used = 0;
        char          port[VS_PORT_TEXT];
        enum vs_shake last = vs_mux_read_reply(texts[i], all, &used, port), shake = VS_SHAKE_MORE;

        for (size_t n = 1; n <= all && shake == VS_SHAKE_MORE; n++)
            shake = vs_mux_read_reply(texts[i], n, &used, port);
        CHECK(shake == last && shake != VS_SHAKE_MORE);
    }
}

TEST(what_is_written_is_read)
{
    static const char *const ports[] = { "0", "52", "4294967295", GUID };
    char   line[VS_LINE_MAX], port[VS_PORT_TEXT];
    size_t n, used;

    CHECK(vs_mux_request(line, "52") == 11 && memcmp(line, "CONNECT 52\n", 11) == 0);
    CHECK(vs_mux_reply(line, "1073741824") == 14 && memcmp(line, "OK 1073741824\n", 14) == 0);
    for (size_t i = 0; i < 4; i++) {
        n = vs_mux_request(line, ports[i]);
        CHECK(vs_mux_read_request(line, n, &used, port) == VS_SHAKE_DONE && used == n);
        CHECK_TEXT(port, ports[i]);
        n = vs_mux_reply(line, ports[i]);
        CHECK(vs_mux_read_reply(line, n, &used, port) == VS_SHAKE_DONE && used == n);
        CHECK_TEXT(port, ports[i]);
    }
}

TEST(hyperkit)
{
    static const char *const bad[] = {
        "0000000g.00000050\n", "00000003:00000050\n", "00000003.00000050 ", "3.50\n", "\n", "-", "00000003.000000500",
    };
    char     line[VS_HYPERKIT_LINE], name[VS_HYPERKIT_LINE];
    uint32_t cid = 0, port = 0;

    vs_hyperkit_request(line, 3, 80);
    CHECK(memcmp(line, "00000003.00000050\n", VS_HYPERKIT_LINE) == 0);
    vs_hyperkit_name(name, 2, UINT32_MAX - 1);
    CHECK_TEXT(name, "00000002.fffffffe");
    CHECK(vs_hyperkit_read_request(line, 18, &cid, &port) == VS_SHAKE_DONE && cid == 3 && port == 80);
    CHECK(vs_hyperkit_read_request("DEADBEEF.0000ABCD\nrest", 22, &cid, &port) == VS_SHAKE_DONE && cid == 0xdeadbeef && port == 0xabcd);
    for (size_t n = 0; n < 18; n++)
        CHECK(vs_hyperkit_read_request(line, n, &cid, &port) == VS_SHAKE_MORE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(vs_hyperkit_read_request(bad[i], strlen(bad[i]), &cid, &port) == VS_SHAKE_BAD);
}
