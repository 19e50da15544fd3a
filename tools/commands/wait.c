/* SPDX-License-Identifier: MIT
 *
 * virtsock wait: connects, again and again, until the peer answers; says nothing to it, and leaves.
 */
#include "commands/commands.h"
#include "common/peer.h"
#include "common/report.h"

#define WAIT_MS 60000                   /* unless --wait says */

static int run(char **operand, int count)
{
    virtsock_address *address;
    virtsock_stream  *stream;
    virtsock_error    err;
    int               code;

    (void)count;
    if (peer_settings.wait_ms == ARG_UNSET)
        peer_settings.wait_ms = WAIT_MS;
    if ((code = peer_options(false)) != EXIT_DONE)
        return code;
    if (virtsock_address_parse(&address, operand[0], &err) != VIRTSOCK_OK)
        return report_argument(&err);
    code = peer_connect(&stream, address, &err) == VIRTSOCK_OK ? EXIT_DONE : EXIT_FAILED;
    virtsock_stream_free(stream);
    virtsock_address_free(address);
    return code;
}

static const struct arg args[] = {
    { 0, "wait", "SECONDS", ARG_SECONDS, &peer_settings.wait_ms, "so long at most, or `forever`; 60 unless told" },
    { 0, "timeout", "SECONDS", ARG_SECONDS, &peer_settings.timeout_ms, "give one attempt up after that, and begin the next" },
    { 0, "stays", "SECONDS", ARG_SECONDS, &peer_settings.stays_ms, "who hangs up within that, without a byte, is not there yet: see above" },
    { 'v', "verbose", NULL, ARG_COUNT, &peer_settings.verbose, "tell of each attempt" },
    ARGS_COMMON
};

const struct command wait_command = {
    .name = "wait",
    .summary = "wait until a peer answers",
    .usage = "[OPTION]... ADDRESS",
    .text = "Connects until that succeeds, and leaves: exits with 0 then, and with 1 when the time has passed or when trying\n"
            "again is of no use, and says why. While nobody listens, no VM runs or nothing answers, it tries again; on a\n"
            "terminal it shows that it does. The peer sees a client that comes and says nothing.\n"
            "\n"
            "What a connection proves: over vsock-mux:// that the guest's service has accepted, as far as its hypervisor knows;\n"
            "over vsock:// and unix:// that the peer's system has. The sockets of libkrun and vfkit (unix://) and of HyperKit\n"
            "accept before anybody listens in the guest, and hang up then: there --stays 1 waits for one that has stayed for a\n"
            "second, or has said something. A first connection may take libkrun 5 seconds.\n",
    .examples = "  virtsock wait vsock://3:1024 && ssh vsock/3         once a guest's service is there\n"
                "  virtsock wait --wait 5 vsock-mux://:52/run/vm.sock  not longer than five seconds\n"
                "  virtsock wait --stays 1 unix:///run/krun/1024       over libkrun and vfkit\n"
                "  virtsock wait --wait 0 -v vsock://3:1024            one attempt, and why it failed\n",
    .args = args, .least = 1, .most = 1, .run = run
};
