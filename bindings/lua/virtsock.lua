-- SPDX-License-Identifier: MIT
--
-- What `require "virtsock"` gives: addresses, streams with LuaSocket's methods and listeners, over the functions that SWIG makes of the
-- C header (virtsock.core). Times are seconds here and milliseconds there. Deadlines of calls that take several steps and the bytes that
-- were received but not asked for yet are kept here; nothing else is. No global is set.

local core = require "virtsock.core"

local now, recv, recv_exact = core.now_ms, core.stream_recv, core.stream_recv_exact
local concat, find, sub, byte, max, min = table.concat, string.find, string.sub, string.byte, math.max, math.min

local CHUNK = 4096              -- bytes that a search for a line receives at once
local BLOCK = 256 * 1024        -- bytes of the largest receive: a number that a peer sent does not make us allocate

local virtsock = {
  version = core.version(), local_cid = core.local_cid,
  service_from_port = core.service_from_port, port_from_service = core.port_from_service,
  monotime = function() return now() / 1000 end,        -- seconds of a clock that is never set, for elapsed time
}
for name, value in pairs(core) do
  if find(name, "^CID_") or find(name, "^PORT_") or find(name, "^VM_") then virtsock[name] = value end
end

-- Raises where the first function stands that is not of this file.
local here = debug and debug.getinfo(1, "S").source
local function misuse(...)
  local level = 2
  while here and debug.getinfo(level, "S") and debug.getinfo(level, "S").source == here do level = level + 1 end
  error(string.format(...), level)
end

local function count(n, what)
  return type(n) == "number" and n >= 0 and n % 1 == 0 and n or misuse("%s expected, got %s", what or "number of bytes", tostring(n))
end
local function text(s, what) return type(s) == "string" and s or misuse("%s: string expected, got %s", what, type(s)) end
local function given(ok, message) return ok or misuse("%s", message) end

-- Seconds as milliseconds, rounded up; nil, a negative number or math.huge is for ever.
local function milliseconds(seconds)
  if seconds == nil then return -1 end
  if type(seconds) ~= "number" or seconds ~= seconds then misuse("seconds expected, got %s", tostring(seconds)) end
  if seconds < 0 or seconds == math.huge then return -1 end
  if seconds > 2147483 then misuse("%g seconds are too many: leave it out to wait for ever", seconds) end
  return math.ceil(seconds * 1000)
end

local function deadline(ms) return ms > 0 and now() + ms end
local function left(ms, ends) return ends and max(ends - now(), 0) or ms end

-- --- Addresses -----------------------------------------------------------------------------------------------------------------

local schemes = { "vsock", "hvsock", "hyperkit", "vsock-mux", "unix", "tcp", "fd" }    -- VIRTSOCK_SCHEME_, both ways
for number, name in ipairs(schemes) do schemes[name] = number end
local part_words = { type = { "stream", "seqpacket", "dgram" }, half_close = { "native", "framed" }, to_host = { [0] = false, true } }

-- An address has no field of its own that could be changed: the core's is kept apart.
local Address = { __name = "virtsock.address", __metatable = false }
local handles = setmetatable({}, { __mode = "k" })

function Address:__index(name)
  local handle, part = handles[self], core["PART_" .. tostring(name):upper()]
  if name == "scheme" then return schemes[core.address_scheme(handle)] end
  local number = part and core.address_number(handle, part)
  if part_words[name] then return part_words[name][number] end
  return number or part and core.address_text(handle, part)
end
function Address:__newindex(name) misuse("an address does not change (field '%s'): make another", tostring(name)) end
function Address:__tostring() return core.address_format(handles[self]) end
function Address.__eq(a, b) return core.address_equal(handles[a], handles[b]) end

local function new_address(handle, ...)
  if not handle then return nil, ... end
  local address = setmetatable({}, Address)
  handles[address] = handle
  return address
end

-- The core's address of a text, an address or a table of parts; nil, message, status.
local function address_handle(a)
  if handles[a] then return handles[a] end
  if type(a) == "string" then
    if find(a, "\0", 1, true) then return nil, "parse: there is a NUL in the address", "invalid" end
    return core.address_parse(a)
  end
  if type(a) ~= "table" then misuse("address expected (text, parts or an address), got %s", type(a)) end
  if a.path then return core.address_path(schemes[a.scheme or "unix"], a.path, a.port or 0) end
  if a.vm or a.service then return core.address_hyperv(a.vm or "", a.service or core.service_from_port(a.port)) end
  return core.address_vsock(a.cid or core.CID_ANY, a.port)
end

-- From text, {cid =, port =}, {vm =, service = or port =} or {path =, scheme = "unix", "vsock-mux" or "hyperkit", port =}.
function virtsock.address(a)
  if handles[a] then return a end
  return new_address(address_handle(a))
end

-- true, or nil, message, status: whether this system has sockets of a scheme ("vsock", "hvsock", "unix", ...).
function virtsock.supported(scheme)
  return core.supported(schemes[scheme] or misuse("scheme expected, got %s", tostring(scheme)))
end

-- --- Options -------------------------------------------------------------------------------------------------------------------

local in_seconds = { connect_timeout = true, wait = true, backoff_first = true, backoff_max = true, linger = true }

local function set_option(handle, name, value)
  if name == "allow" then
    for _, rule in ipairs(type(value) == "table" and value or { value }) do
      given(core.options_allow(handle, text(rule, "option 'allow'")))
    end
    return
  end
  local option = core["OPTION_" .. tostring(name):upper()] or misuse("there is no option '%s'", tostring(name))
  if in_seconds[name] then
    value = milliseconds(value)
  elseif find(name, "^hyperv_") and type(value) == "boolean" then
    value = value and 1 or 0
  else
    count(value, "option '" .. name .. "': whole number")
  end
  given(core.options_set(handle, option, value))
end

-- --- Streams: what fails gives nil, "timeout" or "closed" or a status, what was done, message -------------------------------------

local Stream, Listener = { __name = "virtsock.stream" }, { __name = "virtsock.listener" }
Stream.__index, Listener.__index = Stream, Listener

local function send_message(handle, data, skip, n, ms) return core.stream_send(handle, sub(data, skip + 1, skip + n), ms) end

local function new_stream(options, handle, ...)
  if not handle then return nil, ... end
  local packets = core.stream_get(handle, core.ITEM_TYPE) == core.TYPE_SEQPACKET
  return setmetatable({
    handle = handle, ms = milliseconds(options and options.timeout), buffer = "", at = 1,
    packets = packets, put = packets and send_message or core.stream_send_part,
  }, Stream)
end

local function take(self, n)
  local piece = sub(self.buffer, self.at, self.at + n - 1)
  self.at = self.at + #piece
  if self.at > #self.buffer then self.buffer, self.at = "", 1 end
  return piece
end

-- Receives, and again after a signal unless there is a part to keep.
local function step(self, call, n, ends)
  local data, status, part, message
  repeat
    data, status, part, message = call(self.handle, n, left(self.ms, ends))
  until status ~= "interrupted" or part ~= ""
  return data, status, part, message
end

local function receive_count(self, n, prefix)
  local ends, pieces = deadline(self.ms), { prefix .. take(self, n - #prefix) }
  local want = n - #pieces[1]
  while want > 0 do
    local data, status, part, message = step(self, recv_exact, min(want, BLOCK), ends)
    if data and #data == n then return data end
    pieces[#pieces + 1] = data or part
    if not data and status ~= "interrupted" then return nil, status, concat(pieces), message end
    want = want - #(data or part)
  end
  return concat(pieces)
end

local function receive_line(self, keep, prefix)
  local ends, pieces = deadline(self.ms), nil
  while true do
    local newline = find(self.buffer, "\n", self.at, true)
    local line = take(self, newline and newline + 1 - self.at or #self.buffer)
    if pieces or not newline then
      pieces = pieces or { prefix }
      pieces[#pieces + 1] = line
    end
    if newline then
      line = pieces and concat(pieces) or prefix .. line
      return keep and line or sub(line, 1, byte(line, -2) == 13 and -3 or -2)
    end
    local data, status, _, message = step(self, recv, CHUNK, ends)
    if not data then return nil, status, concat(pieces), message end
    self.buffer = data
  end
end

local function receive_all(self, prefix)
  local ends, pieces = deadline(self.ms), { prefix, take(self, #self.buffer) }
  while true do
    local data, status, _, message = step(self, recv, BLOCK / 4, ends)
    if not data then
      local all = concat(pieces)
      if status == "closed" and #all > #prefix then return all end
      return nil, status, all, message
    end
    pieces[#pieces + 1] = data
  end
end

-- A number of bytes, a line ("*l", without its end; "*L" with it) or all until the peer's end ("*a"). What it gives begins with `prefix`,
-- which a number counts: the partial result of a call that timed out. On a seqpacket stream: one message of at most n bytes.
function Stream:receive(pattern, prefix)
  prefix = text(prefix or "", "prefix")
  if self.packets then
    local data, status, part, message = step(self, recv, count(pattern or BLOCK / 4), deadline(self.ms))
    return data and prefix .. data, status, part and prefix .. part, message
  end
  if type(pattern) == "number" then
    if count(pattern) <= #prefix then return prefix end
    return receive_count(self, pattern, prefix)
  end
  if pattern == "*a" or pattern == "a" then return receive_all(self, prefix) end
  local keep = pattern == "*L" or pattern == "L"
  if keep or pattern == nil or pattern == "*l" or pattern == "l" then return receive_line(self, keep, prefix) end
  misuse("a number of bytes, \"*l\", \"*L\" or \"*a\" expected, got %s", tostring(pattern))
end

function Stream:recv_exact(n) return self:receive(count(n)) end

-- Some bytes, at least one.
function Stream:recv(n)
  count(n)
  if self:dirty() then return take(self, n) end
  return step(self, recv, min(n, BLOCK), deadline(self.ms))
end

-- data from its i-th to its j-th byte, as string.sub counts. The index of the last byte that went, which a failure has third.
function Stream:send(data, i, j)
  local size, ends = #text(data, "data"), deadline(self.ms)
  i, j = i or 1, j or -1
  count(i < 0 and -i or i, "index")
  count(j < 0 and -j or j, "index")
  local sent = max(i < 0 and size + i or i - 1, 0)
  local last = max(j < 0 and size + 1 + j or min(j, size), sent)
  local done, status, part, message
  repeat
    done, status, part, message = self.put(self.handle, data, sent, last - sent, left(self.ms, ends))
    sent = sent + (done or part)
  until status ~= "interrupted"
  if done then return sent end
  return nil, status, sent, message
end

local directions = { receive = core.SHUT_RECV, send = core.SHUT_SEND, both = core.SHUT_BOTH }
function Stream:shutdown(how)
  local direction = directions[how or "both"] or misuse("\"receive\", \"send\" or \"both\" expected, got %s", tostring(how))
  return core.stream_shutdown(self.handle, direction)
end

local function close(self, linger)
  self.buffer, self.at = "", 1
  return core.stream_close(self.handle, linger)
end
function Stream:close() return close(self, -1) end
function Stream:abort() return close(self, 0) end

-- Half-closes, waits until the peer has ended too, closes.
function Stream:finish(seconds)
  local ms = milliseconds(seconds)
  return close(self, ms < 0 and 2147483647 or max(ms, 1))
end

-- Of each later call as a whole; nil: for ever, 0: never wait.
function Stream:settimeout(seconds)
  self.ms = milliseconds(seconds)
  return 1
end

function Stream:dirty() return self.at <= #self.buffer end
function Stream:getfd() return core.stream_fd(self.handle) end
function Stream:detach() return core.stream_detach(self.handle) end
function Stream:peer() return new_address(core.stream_peer(self.handle)) end
function Stream:address() return new_address(core.stream_local(self.handle)) end        -- `local` is a word of Lua's
function Stream:__tostring() return string.format("%s (fd %d)", Stream.__name, self:getfd()) end
Stream.__close = Stream.close

-- A number: "scheme", "type", "attempts", "last_status", "last_code", "buffer_size", "peer_uid" or "peer_pid".
function Stream:get(item)
  return core.stream_get(self.handle, core["ITEM_" .. tostring(item):upper()] or misuse("there is no item '%s'", tostring(item)))
end

-- --- Listeners, connecting -----------------------------------------------------------------------------------------------------

function Listener:accept()
  local ends = deadline(self.ms)
  local handle, status, _, message
  repeat
    handle, status, _, message = core.accept(self.handle, left(self.ms, ends))
  until status ~= "interrupted"
  return new_stream(nil, handle, status, nil, message)
end

-- for stream in listener:clients() do ... end: until the listener is closed or its timeout has passed.
function Listener:clients()
  return function()
    local stream, status, _, message = self:accept()
    if not stream and status ~= "closed" and status ~= "timeout" then error(message, 2) end
    return stream
  end
end

function Listener:dirty() return false end
function Listener:getfd() return core.listener_fd(self.handle) end
function Listener:address() return new_address(core.listener_address(self.handle)) end
function Listener:close() return core.listener_close(self.handle) end
function Listener:__tostring() return string.format("%s (fd %d)", Listener.__name, self:getfd()) end
Listener.settimeout, Listener.__close = Stream.settimeout, Listener.close

-- Waits are interruptible: the interpreter's own handler of Ctrl-C gets its turn, after other signals calls go on by themselves.
local function with(call, address, options)
  local o = core.options_new()
  given(core.options_set(o, core.OPTION_INTERRUPTIBLE, 1))
  if options and type(options) ~= "table" then misuse("options: table expected, got %s", type(options)) end
  for name, value in pairs(options or {}) do
    if name ~= "timeout" then
      set_option(o, name, value)
    elseif options.connect_timeout == nil and value ~= 0 then
      set_option(o, "connect_timeout", value)
    end
  end
  local a, message, status, advice = address_handle(address)
  if not a then return nil, message, status, advice end
  return call(a, o)
end

local function connect(a, o)
  local ok, handle, message, status, advice
  a, message, status, advice = core.resolve(a, o)
  if a then handle, message, status, advice = core.connect_start(a, o) end
  if not handle then return nil, message, status, advice end
  repeat
    ok, message, status, advice = core.stream_connect(handle, -1)
  until status ~= "interrupted"
  if ok then return handle end
  return nil, message, status, advice
end

-- Options: timeout (of each later call; of an attempt to connect unless connect_timeout says otherwise), wait, and those above.
function virtsock.connect(address, options) return new_stream(options, with(connect, address, options)) end

-- Options: timeout (of accept), allow (a rule or a list of rules), and those above.
function virtsock.listen(address, options)
  local handle, message, status, advice = with(core.listen, address, options)
  if not handle then return nil, message, status, advice end
  return setmetatable({ handle = handle, ms = milliseconds(options and options.timeout) }, Listener)
end
function virtsock.resolve(address, options) return new_address(with(core.resolve, address, options)) end

return virtsock
