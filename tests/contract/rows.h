/* SPDX-License-Identifier: MIT
 *
 * The one table of behaviours: name, needs, and what each shows. A name is a function of one of the files here, and what is written after
 * the address on the command line.
 */
#ifndef ROWS_H
#define ROWS_H

#define ROWS(ROW)                                                                                                                       \
    /* nettest.c */                                                                                                                     \
    ROW(basic_io, 0, "8 MiB arrive whole and in order, each way")                                                                       \
    ROW(ping_pong, 0, "two ends take turns")                                                                                            \
    ROW(racy_read, 0, "ten threads receive at once, with and without deadlines")                                                        \
    ROW(racy_write, 0, "ten threads send at once, with and without deadlines")                                                          \
    ROW(read_timeout, 0, "a receive ends in its time, and sending goes on")                                                             \
    ROW(write_timeout, NEEDS_SENDING, "a send ends in its time with an exact count, and receiving goes on")                             \
    ROW(past_timeout, 0, "a timeout of 0 never blocks, and harms nothing")                                                              \
    ROW(present_timeout, 0, "one call ends in its time while another goes on waiting")                                                  \
    ROW(future_timeout, NEEDS_SENDING, "both directions end in their own time, and the connection is whole")                            \
    ROW(close_timeout, 0, "a close ends calls that wait for ever, in both directions")                                                  \
    ROW(concurrent_methods, 0, "twenty threads use everything of two ends at once")                                                     \
    /* connecting.c */                                                                                                                  \
    ROW(refused, NEEDS_LISTENER, "nobody listens: REFUSED at once")                                                                     \
    ROW(connect_deadline, NEEDS_LISTENER, "WAIT is a total: TIMEOUT in its time, after several attempts")                               \
    ROW(attempt_deadline, NEEDS_LISTENER | NEEDS_REPLY, "CONNECT_TIMEOUT ends an attempt that gets no answer")                          \
    ROW(late_listener, NEEDS_LISTENER | NEEDS_REPLY, "a connection waits for a listener that comes late")                               \
    ROW(poll_loop, NEEDS_LISTENER, "a poll loop drives a connection, no call blocks")                                                   \
    ROW(two_listeners, NEEDS_LISTENER, "a second listener is IN_USE, the first goes on, and its address is free after it")              \
    ROW(any_port, NEEDS_LISTENER, "the system chooses a port, and says which")                                                          \
    ROW(full_backlog, NEEDS_LISTENER | NEEDS_REPLY, "a full backlog is no hang, and room lets the next one in")                         \
    ROW(many_clients, NEEDS_LISTENER, "100 clients connect at once, and each gets its own answer")                                      \
    ROW(peer_rules, NEEDS_LISTENER, "a listener admits whom its rules name, and no rule is ignored")                                    \
    ROW(detach_and_adopt, NEEDS_FD, "a descriptor leaves one stream and joins another, the conversation goes on")                        \
    /* data.c */                                                                                                                        \
    ROW(echo, 0, "lengths from 1 to 65,536 come back as they went")                                                                     \
    ROW(half_close, NEEDS_HALF_CLOSE, "each end ends its direction and still receives the other's")                                      \
    ROW(data_then_close, NEEDS_DELIVERY, "what was sent before a close arrives, then EOF")                                               \
    ROW(close_with_unread_data, 0, "a peer closes with our data unread")                                                                \
    ROW(zero_lengths, 0, "a length of 0 does nothing, and is not taken for the end")                                                    \
    ROW(huge_lengths, 0, "lengths above 4 GiB are not cut to 32 bits")                                                                  \
    ROW(more_than_2_gib, NEEDS_BYTES, "one call sends more than 2 GiB")                                                                \
    ROW(messages, NEEDS_MESSAGES, "one call is one message; a longer one is cut, and said to be")                                       \
    ROW(messages_of_threads, NEEDS_MESSAGES, "messages that four threads send at once arrive whole, each once")                         \
    ROW(part_of_a_message, NEEDS_MESSAGES, "a message of which only a part came neither prolongs a wait nor keeps it busy")             \
    ROW(bulk, 0, "50 connections at once carry 20 MiB each way, hashed")                                                                \
    /* closing.c */                                                                                                                     \
    ROW(closes_in_flight, 0, "100 peers close with data in flight, without SIGPIPE")                                                    \
    ROW(close_wakes_recv, 0, "a close ends a receive within 50 ms")                                                                     \
    ROW(close_wakes_send, 0, "a close ends a send within 50 ms")                                                                        \
    ROW(close_wakes_accept, NEEDS_LISTENER, "a close ends an accept within 50 ms")                                                      \
    ROW(close_wakes_connect, NEEDS_LISTENER, "a close ends a connect within 50 ms")                                                     \
    ROW(no_number_is_reused, 0, "no call sees another's descriptor under the number of a closed one")                                   \
    ROW(finish, NEEDS_HALF_CLOSE, "a lingering close waits for the peer's end, and nothing is lost")                                     \
    ROW(finish_deadline, 0, "a lingering close is TIMEOUT in its time when the peer does not end")                                      \
    ROW(abort_at_once, 0, "a close without linger does not wait for data that nobody reads")                                            \
    /* process_posix.c, run_windows.c */                                                                                                \
    ROW(signal_storm, 0, "a thousand signals a second are not seen, lose nothing, and move no deadline")                                \
    ROW(interruptible, 0, "INTERRUPTIBLE: a signal ends a wait, and only that")                                                         \
    ROW(fork_with_handles, 0, "a child frees its copies, and nothing of the parent ends")                                               \
    ROW(peer_killed, 0, "a peer is killed in mid-transfer: EOF or RESET at once")                                                       \
    ROW(out_of_descriptors, NEEDS_LISTENER, "accept is NO_RESOURCES, the client stays queued, and is served later")

#define DECLARE_ROW(name, needs, shows) void name(void);
ROWS(DECLARE_ROW)

#endif
