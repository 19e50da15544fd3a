-- SPDX-License-Identifier: MIT
--
-- What `require "virtsock.ffi"` gives on LuaJIT: the same as `require "virtsock"`, over libvirtsock.so by its FFI, so that sends and receives
-- are compiled with the program around them. The methods of streams and listeners are here; the other functions are virtsock.library's.

local ffi = require "ffi"
local library = require "virtsock.library"

local C, core, bad, whole, failed = library.C, library.core, library.bad, library.whole, library.failed
local new, str, istype, sub = ffi.new, ffi.string, ffi.istype, string.sub
local max, min, huge = math.max, math.min, math.huge

ffi.cdef [[
  void *memchr(const void *bytes, int byte, size_t size);
  void *malloc(size_t size);
  void free(void *bytes);
  struct virtsock_lua_listener { virtsock_listener *handle; int32_t block_ms, total_ms; };
  struct virtsock_lua_stream {
    virtsock_stream *handle;
    int32_t block_ms, total_ms;         /* the two limits; -1: none */
    int32_t type;                       /* VIRTSOCK_TYPE_; 0: not asked for yet */
    bool sends;                         /* the last call that failed was a send */
    char *kept;                         /* once a line was wanted; those from at to over were not asked for yet */
    int32_t at, over;
    double received, sent, born_ms;
  };
]]
local stream_type, listener_type = ffi.typeof "struct virtsock_lua_stream", ffi.typeof "struct virtsock_lua_listener"
local kinds, now_ms = library.kinds, core.now_ms
kinds.stream.own, kinds.listener.own = stream_type, listener_type

-- --- Calls: their time limits, as LuaSocket has them ("b": of each wait, "t": of all), and signals ------------------------------------

local OK, EOF, INTERRUPTED = 0, C.VIRTSOCK_E_EOF, C.VIRTSOCK_E_INTERRUPTED
local KEPT, SCRATCH = 8192, 65536

-- Of the call that is under way: nothing comes between it and its results. An unsigned count is slow to become a number.
local done, err = new "size_t[1]", new "virtsock_error"
local count = ffi.cast("intptr_t *", done)

local function milliseconds(seconds)
  if seconds == nil then return -1 end
  if type(seconds) ~= "number" or seconds ~= seconds then bad(3, "seconds", seconds) end
  if seconds < 0 or seconds == huge then return -1 end
  if seconds > 2147483 then error("so many seconds are too many: leave them out to wait for ever", 3) end
  return math.ceil(seconds * 1000)
end

local function settimeout(self, seconds, mode)
  if not istype(stream_type, self) and not istype(listener_type, self) then bad(2, "stream", self) end
  local ms = milliseconds(seconds)
  if mode ~= nil and mode ~= "b" and mode ~= "t" then bad(2, '"b" or "t"', mode) end
  if mode ~= "t" then self.block_ms = ms end
  if mode ~= "b" then self.total_ms = mode == "t" and ms or -1 end
  return 1
end

local function gettimeout(self)
  if not istype(stream_type, self) and not istype(listener_type, self) then bad(2, "stream", self) end
  return self.block_ms < 0 and -1 or self.block_ms / 1000, self.total_ms < 0 and -1 or self.total_ms / 1000
end

local function ends_of(self)
  return self.total_ms > 0 and now_ms() + self.total_ms + 1 or 0
end

local function left_ms(self, ends)
  local left = self.total_ms
  if left > 0 then left = max(ends - now_ms(), 0) end
  return (left < 0 or self.block_ms >= 0 and self.block_ms < left) and self.block_ms or left
end

-- A signal ended a wait: the interpreter runs hooks (its handler of Ctrl-C sets one, which raises), compiled code does not.
local function hooks() end
require "jit".off(hooks)
local function goes_on(status)
  if status ~= INTERRUPTED then return false end
  hooks()
  return true
end

local function ended(status)
  if status == OK then return true end
  return failed(status, nil, err)
end

-- --- Streams -------------------------------------------------------------------------------------------------------------------------

local Stream, Listener = {}, {}
core.stream, core.listener = Stream, Listener

local function a_stream(self)
  if not istype(stream_type, self) then bad(3, "stream", self) end
end

local function a_listener(self)
  if not istype(listener_type, self) then bad(3, "listener", self) end
end

local function has_messages(self)
  if self.type == 0 then self.type = core.stream_get(self, C.VIRTSOCK_ITEM_TYPE) or 0 end
  return self.type == C.VIRTSOCK_TYPE_SEQPACKET
end

local function index(n, what)
  if n == nil then return what end
  if not whole(n, -2 ^ 53, 2 ^ 53) then bad(3, "index", n) end
  return n
end

function Stream:send(data, i, j)
  a_stream(self)
  if type(data) ~= "string" then bad(2, "data: string", data) end
  local size, ends = #data, ends_of(self)
  i, j = index(i, 1), index(j, -1)
  local from = max(i < 0 and size + i or i - 1, 0)
  local to = max(j < 0 and size + 1 + j or min(j, size), from)
  local call = (has_messages(self) or self.block_ms > 0) and C.virtsock_stream_send or C.virtsock_stream_send_all
  local status
  repeat
    status = call(self.handle, ffi.cast("const char *", data) + min(from, size), to - from, done, left_ms(self, ends), err)
    local moved = tonumber(count[0])
    from, self.sent = from + moved, self.sent + moved
  until not (status == OK and from < to or goes_on(status))
  if status == OK then return from end
  self.sends = true
  return failed(status, from, err)
end

-- Some bytes, at least one: those that were kept, else from the core. A status and how many.
local function some(self, to, cap, ends)
  local kept = self.over - self.at
  if kept > 0 then
    kept = min(kept, cap)
    ffi.copy(to, self.kept + self.at, kept)
    self.at = self.at + kept
    return OK, kept
  end
  local status, moved
  repeat
    status = C.virtsock_stream_recv(self.handle, to, cap, done, left_ms(self, ends), err)
    moved = tonumber(count[0])
  until not goes_on(status)
  self.received = self.received + moved
  return status, moved
end

local function received(self, bytes, size, status)
  local data = str(bytes, size)
  if status == OK then return data end
  self.sends = false
  return failed(status, data, err)
end

local scratch = new("char[?]", SCRATCH)

-- Up to `want` bytes or, `once`, some; twice the room that is full, and no more, for a number that a peer sent.
local function gather(self, want, once, prefix)
  local ends, room, size, status = ends_of(self), SCRATCH, #prefix, OK
  local bytes = scratch or new("char[?]", SCRATCH)
  scratch = nil
  local first = bytes
  if size > room then room, bytes = size * 2, new("char[?]", size * 2) end
  if once and has_messages(self) and want > room - size then room, bytes = size + want, new("char[?]", size + want) end
  ffi.copy(bytes, prefix, size)
  while size < want do
    if size == room then
      local larger = new("char[?]", room * 2)
      ffi.copy(larger, bytes, size)
      bytes, room = larger, room * 2
    end
    local moved
    status, moved = some(self, bytes + size, min(want, room) - size, ends)
    size = size + moved
    if once or status ~= OK then break end
  end
  scratch = first
  return bytes, size, status
end

local function receive_line(self, keep, prefix)
  local ends = ends_of(self)
  if self.kept == nil then self.kept = ffi.C.malloc(KEPT) end
  if self.kept == nil then error("not enough memory", 2) end
  while true do
    local from, left = self.kept + self.at, self.over - self.at
    local newline = left > 0 and ffi.C.memchr(from, 10, left) or nil
    if newline ~= nil then
      local size = tonumber(ffi.cast("char *", newline) - from) + 1
      self.at = self.at + size
      if prefix == "" and not keep then
        if size > 1 and from[size - 2] == 13 then size = size - 1 end
        return str(from, size - 1)
      end
      local line = prefix .. str(from, size)
      return keep and line or sub(line, 1, line:byte(-2) == 13 and -3 or -2)
    end
    prefix = prefix .. str(from, left)
    self.at, self.over = 0, 0
    local status, moved = some(self, self.kept, KEPT, ends)
    if status ~= OK then return received(self, prefix, #prefix, status) end
    self.over = moved
  end
end

local function count_of(n)
  if not whole(n, 0, 2 ^ 53) then bad(3, "number of bytes", n) end
  return n
end

function Stream:receive(pattern, prefix)
  a_stream(self)
  if prefix ~= nil and type(prefix) ~= "string" then bad(2, "prefix: string", prefix) end
  prefix = prefix or ""
  if has_messages(self) then
    local bytes, size, status = gather(self, count_of(pattern or SCRATCH) + #prefix, true, prefix)
    return received(self, bytes, size, status)
  elseif type(pattern) == "number" then
    if count_of(pattern) <= #prefix then return prefix end
    local bytes, size, status = gather(self, pattern, false, prefix)
    return received(self, bytes, size, status)
  elseif pattern == nil or pattern == "*l" or pattern == "l" then
    return receive_line(self, false, prefix)
  elseif pattern == "*L" or pattern == "L" then
    return receive_line(self, true, prefix)
  elseif pattern == "*a" or pattern == "a" then
    local bytes, size, status = gather(self, huge, false, prefix)
    return received(self, bytes, size, status == EOF and size > #prefix and OK or status)
  end
  error(('a number of bytes, "*l", "*L" or "*a" expected, got %s'):format(tostring(pattern)), 2)
end

function Stream:recv_exact(n) return self:receive(count_of(n)) end

function Stream:recv(n)
  a_stream(self)
  count_of(n)
  local bytes, size, status = gather(self, has_messages(self) and n or min(n, SCRATCH), true, "")
  return received(self, bytes, size, status)
end

local function line_or_end(line, word, rest, message)
  if line then return line end
  if word ~= "closed" then error(message, 0) end
  return rest ~= "" and rest or nil
end
local function next_line(self) return line_or_end(self:receive "*l") end
local function next_whole_line(self) return line_or_end(self:receive "*L") end

-- The same functions each time: a loop is compiled for those that are known.
function Stream:lines(pattern)
  a_stream(self)
  if has_messages(self) or pattern ~= nil and not (type(pattern) == "string" and pattern:match "^%*?[lL]$") then bad(2, '"*l" or "*L"', pattern) end
  return pattern and pattern:find "L" and next_whole_line or next_line, self
end

local function wants(self)
  local fd = tonumber(C.virtsock_stream_fd(self.handle))
  if fd < 0 then return core.stream_wants(self) end
  return fd, self.sends and C.VIRTSOCK_WANT_SEND or C.VIRTSOCK_WANT_RECV, self:dirty() and 0 or -1
end

function Stream:dirty() return self.at < self.over end
function Stream:getfd() return (wants(self)) end
function Stream:events() return ({ [0] = "", "r", "w", "rw" })[select(2, wants(self))] end
function Stream:timeout()
  local _, _, ms = wants(self)
  if ms >= 0 then return ms / 1000 end
end
function Stream:getstats() return self.received, self.sent, (now_ms() - self.born_ms) / 1000 end

function Stream:connect()
  local ends = ends_of(self)
  local status
  repeat
    status = C.virtsock_stream_connect(self.handle, left_ms(self, ends), err)
  until not goes_on(status)
  return ended(status)
end

local function close_on(self, linger_ms)
  local status
  repeat
    status = C.virtsock_stream_close(self.handle, linger_ms, err)
  until not goes_on(status)
  return status
end

local function close(self, linger_ms)
  a_stream(self)
  self.at, self.over = 0, 0
  local ok, status = pcall(close_on, self, linger_ms)
  if ok then return ended(status) end
  C.virtsock_stream_close(self.handle, 0, nil)          -- what a hook raises ends it at once
  error(status, 0)
end
function Stream:close() return close(self, -1) end
function Stream:abort() return close(self, 0) end
function Stream:finish(seconds)
  local ms = milliseconds(seconds)
  return close(self, ms < 0 and 2 ^ 31 - 1 or max(ms, 1))
end
function core.stream_shutdown(self, how)
  a_stream(self)
  return ended(C.virtsock_stream_shutdown(self.handle, how, err))
end

Stream.pollfd, Stream.settimeout, Stream.gettimeout = Stream.getfd, settimeout, gettimeout

ffi.metatype(stream_type, {
  __index = Stream,
  __tostring = function(self) return "virtsock.stream (fd " .. core.stream_fd(self) .. ")" end,
  __gc = function(self)
    C.virtsock_stream_free(self.handle)
    ffi.C.free(self.kept)
  end,
})
function kinds.stream.give(handle) return stream_type { handle = handle, block_ms = -1, total_ms = -1, born_ms = now_ms() } end

-- --- Listeners -----------------------------------------------------------------------------------------------------------------------

function Listener:accept()
  a_listener(self)
  local cell, ends = kinds.stream.cell(), ends_of(self)
  local status
  repeat
    status = C.virtsock_accept(cell, self.handle, left_ms(self, ends), err)
  until not goes_on(status)
  if status == OK then return kinds.stream.give(cell[0]) end
  return failed(status, nil, err)
end

function Listener:getfd() return core.listener_fd(self) end
function Listener:close()
  a_listener(self)
  return ended(C.virtsock_listener_close(self.handle, err))
end

Listener.pollfd, Listener.settimeout, Listener.gettimeout = Listener.getfd, settimeout, gettimeout

ffi.metatype(listener_type, {
  __index = Listener,
  __tostring = function(self) return "virtsock.listener (fd " .. core.listener_fd(self) .. ")" end,
  __gc = function(self) C.virtsock_listener_free(self.handle) end,
})
function kinds.listener.give(handle) return listener_type { handle = handle, block_ms = -1, total_ms = -1 } end

-- The layer is the other core's: its file takes this one.
for _, search in ipairs(package.loaders) do
  local layer = search "virtsock"
  if type(layer) == "function" then return layer(core) end
end
error('virtsock.ffi: there is no module "virtsock"', 0)
