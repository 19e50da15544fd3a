---@meta virtsock
-- SPDX-License-Identifier: MIT

--- What `require "virtsock"` gives, for the Lua language server and for the reference; `require "virtsock.ffi"` gives the same on LuaJIT.
-- Times are seconds. What makes or asks fails with nil, a message, the name of a status, and perhaps an advice; what sends, receives, accepts,
-- connects a stream, shuts down or closes fails with nil, a word (`"timeout"`, `"closed"` or the name of a status), what was done, a message, and
-- perhaps an advice. Misuse raises an error. The names of the statuses are those of `virtsock_status_name` in virtsock.h. A call blocks
-- until it is done unless a timeout says otherwise; a coroutine is not given up. A state and what it made belongs to one thread at a time.
-- @module virtsock

---@class virtsock
---@field version string of the library, "0.1.0"
---@field CID_ANY integer 4294967295: listening, any CID
---@field CID_HYPERVISOR integer 0
---@field CID_LOCAL integer 1: this machine
---@field CID_HOST integer 2
---@field PORT_ANY integer 4294967295: the system chooses
---@field VM_WILDCARD string listening: any VM, and this machine
---@field VM_BROADCAST string
---@field VM_CHILDREN string listening: VMs of this host
---@field VM_LOOPBACK string this machine
---@field VM_PARENT string of a VM its host
---@field VM_SILOHOST string of a container the machine that it is on
local virtsock = {}

---@alias virtsock.Scheme "vsock"|"hvsock"|"hyperkit"|"vsock-mux"|"unix"|"tcp"|"fd"

--- Where to connect or to listen: a value, with `tostring` and `==`, that does not change. A field that an address has not is nil.
---@class virtsock.Address
---@field scheme virtsock.Scheme
---@field cid? integer
---@field port? integer
---@field vm? string a GUID, a well-known word, a name, or "" for the wildcard
---@field service? string a GUID
---@field path? string
---@field host? string of tcp
---@field fd? integer of fd
---@field type "stream"|"seqpacket"|"dgram"
---@field to_host? boolean
---@field half_close? "native"|"framed"|"none"|"unknown"

--- Parts of an address: of AF_VSOCK cid and port, of Hyper-V vm and service or port, of TCP host and port, of an inherited socket fd, of the others
--- path, scheme ("unix" unless told) and port; of each its type, half_close and (AF_VSOCK) to_host.
---@class virtsock.Parts
---@field cid? integer
---@field port? integer
---@field vm? string
---@field service? string
---@field path? string
---@field scheme? "unix"|"vsock-mux"|"hyperkit"
---@field host? string
---@field fd? integer
---@field type? "stream"|"seqpacket"|"dgram"
---@field half_close? "native"|"framed"|"none"|"unknown"
---@field to_host? boolean

---@alias virtsock.To string|virtsock.Address|virtsock.Parts

--- Seconds, bytes and numbers as virtsock.h says under Options.
---@class virtsock.Options
---@field timeout? number of each later call as a whole, and of an attempt to connect
---@field connect_timeout? number of an attempt to connect, with its handshake
---@field wait? number how long to try again where nobody listens yet; math.huge: for ever
---@field stays? number in which a peer that hangs up without a byte is not there yet (libkrun, vfkit, HyperKit)
---@field backoff_first? number the first pause between attempts
---@field backoff_max? number the longest
---@field linger? number that `close` waits for the peer's end
---@field allow? string|string[] of listeners: whom to accept ("host", "local", "parent", a CID, "CID-CID", a GUID, "uid=N", "self"; ":privileged")
---@field backlog? integer clients that wait to be accepted; as many as the system allows
---@field socket_mode? integer permission bits of a UNIX socket that listens; 0600
---@field buffer_min? integer
---@field buffer_size? integer
---@field buffer_max? integer
---@field message_max? integer
---@field hyperv_passthru? boolean
---@field hyperv_suspend? boolean
---@field hyperv_high_vtl? boolean

--- Connects, and blocks until that is done or has failed. OK means that the peer's system accepted, as far as the transport can know.
---@param address virtsock.To
---@param options? virtsock.Options
---@return virtsock.Stream? stream
---@return string? message
---@return string? status
---@return string? advice
function virtsock.connect(address, options) end

--- Begins to connect and never blocks: the stream's `connect` takes the steps. "invalid" for an address with a VM's name: `resolve` it first.
---@param address virtsock.To
---@param options? virtsock.Options
---@return virtsock.Stream? stream
---@return string? message
---@return string? status
---@return string? advice
function virtsock.connect_start(address, options) end

--- Listens. A UNIX socket is 0600 from birth; a stale one is replaced, anything else is "in use".
---@param address virtsock.To
---@param options? virtsock.Options
---@return virtsock.Listener? listener
---@return string? message
---@return string? status
---@return string? advice
function virtsock.listen(address, options) end

--- From text or parts; an address is given back as it is. With a second argument: as the first, but for those parts. No I/O.
---@param address virtsock.To
---@param parts? virtsock.Parts
---@return virtsock.Address? address
---@return string? message
---@return string? status
---@return string? advice
function virtsock.address(address, parts) end

--- Looks a VM's name up (Windows); other addresses are given back. May block for `connect_timeout`, ten seconds unless told.
---@param address virtsock.To
---@param options? virtsock.Options
---@return virtsock.Address? address
---@return string? message
---@return string? status
---@return string? advice
function virtsock.resolve(address, options) end

--- Blocks until something listens there: connects, and leaves. The peer sees a client that says nothing.
---@param address virtsock.To
---@param seconds? number nil: for ever; 0: one attempt
---@return true? done
---@return string? message
---@return string? status
---@return string? advice
function virtsock.wait(address, seconds) end

--- Whether this system has sockets of a scheme.
---@param scheme virtsock.Scheme
---@return true? yes
---@return string? message why not
---@return string? status
---@return string? advice
function virtsock.supported(scheme) end

--- This machine's CID, asked each time.
---@return integer? cid
---@return string? message
---@return string? status
---@return string? advice
function virtsock.local_cid() end

--- A vsock port as a Hyper-V service id.
---@param port integer
---@return string service a GUID
function virtsock.service_from_port(port) end

--- The port that a service id stands for.
---@param service string a GUID
---@return integer? port
---@return string? word "invalid": no GUID; "not found": a GUID that stands for no port
function virtsock.port_from_service(service) end

--- Registers a Hyper-V service with a Windows host, for guests to reach it. Done before is fine; the name that is there stays. "denied" without an
-- administrator's rights; "unsupported": other systems need no registration.
---@param service string a GUID or a port
---@param name string for people to read
---@return true? done
---@return string? message
---@return string? status
---@return string? advice
function virtsock.service_register(service, name) end

--- Takes that back.
---@param service string
---@return true? done
---@return string? message
---@return string? status
---@return string? advice
function virtsock.service_unregister(service) end

--- Seconds of a clock that is never set, for elapsed time.
---@return number seconds
function virtsock.monotime() end

--- A conversation. The collector closes one that nobody closed; `local s <close>` closes it at the end of a block.
---@class virtsock.Stream
local Stream = {}

--- Sends data from its i-th to its j-th byte, as string.sub counts; on a seqpacket stream that is one message.
---@param data string
---@param i? integer
---@param j? integer
---@return integer? last the index of the last byte that went
---@return string? word
---@return integer? last the same, where it failed
---@return string? message
---@return string? advice
function Stream:send(data, i, j) end

--- Receives a number of bytes, a line ("*l" without its end, "*L" with it; the default) or all until the peer's end ("*a"). What it gives begins
-- with `prefix`, which a number counts: the partial result of a call that timed out. On a seqpacket stream: one message of at most so many bytes.
---@param pattern? integer|"*l"|"l"|"*L"|"L"|"*a"|"a"
---@param prefix? string
---@return string? data
---@return string? word
---@return string? partial
---@return string? message
---@return string? advice
function Stream:receive(pattern, prefix) end

--- Receives some bytes, at least one and at most n.
---@param n integer
---@return string? data
---@return string? word
---@return string? partial
---@return string? message
---@return string? advice
function Stream:recv(n) end

--- Receives n bytes.
---@param n integer
---@return string? data
---@return string? word
---@return string? partial
---@return string? message
---@return string? advice
function Stream:recv_exact(n) end

--- `for line in stream:lines() do`: until the peer's end; what is left without an end is the last line. Any other failure raises its message.
---@param pattern? "*l"|"l"|"*L"|"L"
---@return fun(stream: virtsock.Stream): string?
---@return virtsock.Stream
function Stream:lines(pattern) end

--- Takes the next steps of a connection under way, as the timeout says: with 0 what can be done now. `true` when it is connected; "timeout": it
-- goes on, when `getfd` has one of `events` or `timeout` has passed; anything else is final.
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Stream:connect() end

--- Ends one direction or both: after "send" the peer reads what is under way, and then the end. "send" is unsupported with half-close=none, and
--- with unknown, a multiplexer's unless its address says; "send_unchecked" tries it there all the same, and an answer may be lost.
---@param how? "send"|"send_unchecked"|"receive"|"both"
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Stream:shutdown(how) end

--- Half-closes (not with half-close=none or unknown), waits until the peer has ended too, and closes: nothing that is under way is lost.
---@param seconds? number nil: for ever
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Stream:finish(seconds) end

--- Ends the conversation, any number of times. Waits as the option `linger` says, which is a second on framed streams and
--- on Hyper-V, else not at all.
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Stream:close() end

--- Closes at once.
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Stream:abort() end

--- Limits later calls: each wait ("b", LuaSocket's default) or a call as a whole ("t"). Without a mode it is "b", and the other limit is lifted.
---@param seconds? number nil or less than 0: for ever; 0: never wait
---@param mode? "b"|"t"
---@return 1
function Stream:settimeout(seconds, mode) end

--- Both limits in seconds, -1 where there is none.
---@return number block
---@return number total
function Stream:gettimeout() end

--- The descriptor, which the stream keeps owning; of a connection under way that which it waits for, which may be another after every step. -1:
-- none.
---@return integer fd
function Stream:getfd() end

--- As `getfd`, by cqueues' name.
---@return integer fd
function Stream:pollfd() end

--- What to wait for: to read, unless the last call that failed was a send; of a connection under way what that wants.
---@return "r"|"w"|"rw"|"" events
function Stream:events() end

--- Seconds to wait at most; nil: no limit; 0: there are bytes that were received and not asked for yet.
---@return number? seconds
function Stream:timeout() end

--- Whether there are bytes that were received and not asked for yet.
---@return boolean
function Stream:dirty() end

--- Gives the descriptor up to the caller; the stream is closed then.
---@return integer? fd
---@return string? message
---@return string? status
---@return string? advice
function Stream:detach() end

--- The address of the other end. "not found" where it has none.
---@return virtsock.Address? address
---@return string? message
---@return string? status
---@return string? advice
function Stream:peer() end

--- The address of this end.
---@return virtsock.Address? address
---@return string? message
---@return string? status
---@return string? advice
function Stream:address() end

--- Parts of the peer's address, as LuaSocket gives them.
---@return integer|string|nil where the CID, GUID, host or path
---@return integer|string|nil port or service
---@return string? scheme
function Stream:getpeername() end

--- Parts of this end's address.
---@return integer|string|nil where
---@return integer|string|nil port
---@return string? scheme
function Stream:getsockname() end

--- Bytes received, bytes sent, seconds since it was made.
---@return integer received
---@return integer sent
---@return number age
function Stream:getstats() end

--- What the system tells of it. "peer_state" is the sum of 1, the peer sends no more, and 2, it takes no more: 3, it is gone.
---@param item "scheme"|"type"|"attempts"|"last_status"|"last_code"|"buffer_size"|"peer_uid"|"peer_pid"|"peer_state"
---@return integer? value
---@return string? message
---@return string? status
---@return string? advice
function Stream:get(item) end

--- A place where streams are accepted.
---@class virtsock.Listener
local Listener = {}

--- The next client that the rules admit; its calls have no time limit. "no resources": out of descriptors; it stays queued.
---@return virtsock.Stream? stream
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Listener:accept() end

--- `for stream in listener:clients() do`: until the listener is closed, or its timeout has passed. Any other failure raises its message.
---@return fun(): virtsock.Stream?
function Listener:clients() end

--- Where it listens, with the port that the system chose.
---@return virtsock.Address? address
---@return string? message
---@return string? status
---@return string? advice
function Listener:address() end

--- Parts of that address.
---@return integer|string|nil where
---@return integer|string|nil port
---@return string? scheme
function Listener:getsockname() end

--- As a stream's, of `accept`.
---@param seconds? number
---@param mode? "b"|"t"
---@return 1
function Listener:settimeout(seconds, mode) end

--- Both limits in seconds, -1 where there is none.
---@return number block
---@return number total
function Listener:gettimeout() end

--- The descriptor; -1: closed.
---@return integer fd
function Listener:getfd() end

--- As `getfd`.
---@return integer fd
function Listener:pollfd() end

--- "r".
---@return "r" events
function Listener:events() end

--- nil: no limit.
---@return nil
function Listener:timeout() end

--- false.
---@return false
function Listener:dirty() end

--- Ends it. A UNIX socket is removed. Never waits.
---@return true? done
---@return string? word
---@return nil
---@return string? message
---@return string? advice
function Listener:close() end

return virtsock
