-- SPDX-License-Identifier: MIT
--
-- What `require "virtsock"` gives: addresses, and streams and listeners as they are used: options by name, times in seconds. Below it is
-- `core`, the functions of the C header with the methods of streams and listeners that are called most: virtsock.core, which SWIG makes, or
-- what virtsock.ffi has in its place. No global is set.

local core = ...
if type(core) ~= "table" then core = require "virtsock.core" end

local find = string.find

local virtsock = {
  version = core.version(), local_cid = core.local_cid,
  service_from_port = core.service_from_port, port_from_service = core.port_from_service,
  service_register = core.service_register, service_unregister = core.service_unregister,
  monotime = function() return core.now_ms() / 1000 end,        -- seconds of a clock that is never set, for elapsed time
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

-- --- Addresses -----------------------------------------------------------------------------------------------------------------

local schemes = { "vsock", "hvsock", "hyperkit", "vsock-mux", "unix", "tcp", "fd" }    -- VIRTSOCK_SCHEME_, both ways
for number, name in ipairs(schemes) do schemes[name] = number end
local part_words = {
  type = { "stream", "seqpacket", "dgram" }, half_close = { "native", "framed", "none", "unknown" }, to_host = { [0] = false, true },
}

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
function Address.__eq(a, b)
  a, b = handles[a], handles[b]         -- Lua 5.3 asks about other tables, too
  return a ~= nil and b ~= nil and core.address_equal(a, b)
end

local function new_address(handle, ...)
  if not handle then return nil, ... end
  local address = setmetatable({}, Address)
  handles[address] = handle
  return address
end

local options_of_address = { "type", "half_close", "to_host" }
local parts_of_address = { "cid", "vm", "host", "path", "fd", "service", "port", "type", "half_close", "to_host" }

-- The core's address with those of the parts that the list names; nil, message, status.
local function with_parts(parts, list, handle, message, status)
  if not handle and message then return nil, message, status end
  for _, name in ipairs(list) do
    local value, words = parts[name], part_words[name]
    if value ~= nil then
      for number, word in pairs(words or {}) do if word == value then value, words = number, nil end end
      if words then misuse("an address has no %s '%s'", name, tostring(value)) end
      handle, message, status = core.address_with(handle, core["PART_" .. name:upper()], value)
      if not handle then return nil, message, status end
    end
  end
  return handle
end

-- The core's address of a text, an address or a table of parts; nil, message, status.
local function address_handle(a)
  if handles[a] then return handles[a] end
  if type(a) == "table" and getmetatable(a) == false then a = tostring(a) end           -- of a module that was loaded before this one
  if type(a) == "string" then
    if find(a, "\0", 1, true) then return nil, "parse: there is a NUL in the address", "invalid" end
    return core.address_parse(a)
  end
  if type(a) ~= "table" then misuse("address expected (text, parts or an address), got %s", type(a)) end
  if a.path then return with_parts(a, options_of_address, core.address_path(schemes[a.scheme or "unix"], a.path, a.port or 0)) end
  if a.vm or a.service then
    return with_parts(a, options_of_address, core.address_hyperv(a.vm or "", a.service or core.service_from_port(a.port)))
  end
  if a.host or a.fd then return with_parts(a, parts_of_address, nil) end
  return with_parts(a, options_of_address, core.address_vsock(a.cid or core.CID_ANY, a.port))
end

-- From text, {cid =, port =}, {vm =, service = or port =}, {path =, scheme = "unix", "vsock-mux" or "hyperkit", port =}, {host =, port =} or
-- {fd =}, each with type, half_close and to_host. With a second table: as the first, but for those parts.
function virtsock.address(a, parts)
  if handles[a] and not parts then return a end
  local handle, message, status = address_handle(a)
  if not handle then return nil, message, status end
  return new_address(with_parts(parts or {}, parts_of_address, handle))
end

-- true, or nil, message, status: whether this system has sockets of a scheme ("vsock", "hvsock", "unix", ...).
function virtsock.supported(scheme)
  return core.supported(schemes[scheme] or misuse("scheme expected, got %s", tostring(scheme)))
end

-- --- Options -------------------------------------------------------------------------------------------------------------------

local in_seconds = { connect_timeout = true, wait = true, stays = true, backoff_first = true, backoff_max = true, linger = true }

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

-- --- Streams and listeners: what the core's classes do not have ---------------------------------------------------------------------

local Stream, Listener = core.stream, core.listener

local directions = { receive = core.SHUT_RECV, send = core.SHUT_SEND, both = core.SHUT_BOTH, send_unchecked = core.SHUT_SEND_UNCHECKED }
function Stream:shutdown(how)
  local direction = directions[how or "both"]
    or misuse("\"receive\", \"send\", \"send_unchecked\" or \"both\" expected, got %s", tostring(how))
  return core.stream_shutdown(self, direction)
end

function Stream:detach() return core.stream_detach(self) end
function Stream:peer() return new_address(core.stream_peer(self)) end
function Stream:address() return new_address(core.stream_local(self)) end               -- `local` is a word of Lua's

-- As LuaSocket's: where an end is, its port, its family; here the CID, GUID, host or path, the port or service, the scheme.
local function parts(address, ...)
  if not address then return nil, ... end
  return address.cid or address.vm or address.host or address.path or "", address.port or address.service, address.scheme
end
function Stream:getpeername() return parts(self:peer()) end
function Stream:getsockname() return parts(self:address()) end

-- A number: "scheme", "type", "attempts", "last_status", "last_code", "buffer_size", "peer_uid", "peer_pid", or "peer_state": the sum of 1,
-- the peer sends no more, and 2, it takes no more.
function Stream:get(item)
  return core.stream_get(self, core["ITEM_" .. tostring(item):upper()] or misuse("there is no item '%s'", tostring(item)))
end

-- for stream in listener:clients() do ... end: until the listener is closed or its timeout has passed.
function Listener:clients()
  core.listener_fd(self)
  return function()
    local stream, status, _, message = self:accept()
    if not stream and status ~= "closed" and status ~= "timeout" then error(message, 2) end
    return stream
  end
end

function Listener:dirty() return false end
function Listener:events() return "r" end
function Listener:timeout() end
function Listener:address() return new_address(core.listener_address(self)) end
function Listener:getsockname() return parts(self:address()) end

-- --- Connecting, listening -----------------------------------------------------------------------------------------------------------

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

local function timed(options, handle, ...)
  if handle and options and options.timeout then handle:settimeout(options.timeout, "t") end
  return handle, ...
end

-- The status names of what a maker gives, for the words of a stream.
local function connect(a, o)
  local handle, message, status, advice
  a, message, status, advice = core.resolve(a, o)
  if a then handle, message, status, advice = core.connect_start(a, o) end
  if not handle then return nil, message, status, advice end
  local ok
  repeat
    ok, message, status, advice = core.stream_connect(handle, -1)
  until status ~= "interrupted"
  if ok then return handle end
  return nil, message, status, advice
end

-- Options: timeout (of each later call as a whole; of an attempt to connect unless connect_timeout says otherwise), wait, and those above.
function virtsock.connect(address, options) return timed(options, with(connect, address, options)) end

-- Never waits: a stream whose `connect` takes the steps, as its timeout says. A VM's name is looked up by `resolve`, before.
function virtsock.connect_start(address, options) return timed(options, with(core.connect_start, address, options)) end

-- Options: timeout (of accept), allow (a rule or a list of rules), and those above.
function virtsock.listen(address, options) return timed(options, with(core.listen, address, options)) end

-- Until something listens there: connects as `wait` says, and leaves. true, or nil, message, status. nil: for ever, 0: one attempt.
function virtsock.wait(address, seconds)
  local stream, message, status, advice = virtsock.connect(address, { wait = seconds or math.huge })
  if not stream then return nil, message, status, advice end
  return stream:abort()
end

function virtsock.resolve(address, options) return new_address(with(core.resolve, address, options)) end

return virtsock
