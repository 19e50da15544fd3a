-- SPDX-License-Identifier: MIT
--
-- libvirtsock.so by LuaJIT's FFI, for virtsock.ffi: its functions as the other core has them, made of the text of the C header
-- (virtsock.header). VIRTSOCK_LIBRARY names the library, where it is not on the loader's path.

local ffi = require "ffi"
local header = require "virtsock.header"

local new, str, istype, sub = ffi.new, ffi.string, ffi.istype, string.sub

-- --- The library and its header ------------------------------------------------------------------------------------------------------

local function load_library()
  local names, problem = { os.getenv "VIRTSOCK_LIBRARY" or "libvirtsock.so.1", "libvirtsock.1.dylib", "virtsock-1" }, nil
  for _, name in ipairs(names) do
    local ok, library = pcall(ffi.load, name)
    if ok then return library end
    problem = problem or library
  end
  error(("virtsock.ffi: %s (VIRTSOCK_LIBRARY may name the file)"):format(problem), 0)
end

local plain = header:gsub("/%*.-%*/", ""):gsub("\n#[^\n]*", ""):gsub('extern "C" {', ""):gsub("\n}%s*$", "\n")
plain = plain:gsub("VIRTSOCK_API ", ""):gsub("VIRTSOCK_MUST ", "")
ffi.cdef(plain)
local C = load_library()

local core = {}
setmetatable(core, { __index = function(_, name)
  local ok, value = pcall(function() return C["VIRTSOCK_" .. name] end)
  return ok and value or nil
end })
for name, value in header:gmatch "\n#define VIRTSOCK_(%u[%u_]*) +([^\n/]+)" do
  core[name] = value:match '^"(.-)"' or tonumber(value:match "^(%w+)u")
end

-- --- Arguments and results: what swig/lua.i says for the other core ------------------------------------------------------------------

local function bad(level, what, got) error(("%s expected, got %s"):format(what, type(got)), level + 1) end

local function whole(n, least, most) return type(n) == "number" and n >= least and n <= most and n % 1 == 0 end

-- Of each kind of handle: its C type, the cell that a new one comes in, and what users get for one. Where that is not the handle itself,
-- virtsock.ffi sets `give`, and `own`: a type whose field `handle` is the handle.
local kinds = {}
for _, kind in ipairs { "address", "options", "stream", "listener" } do
  local free = C["virtsock_" .. kind .. "_free"]
  kinds[kind] = { type = ffi.typeof("virtsock_" .. kind .. " *"), cell = ffi.typeof("virtsock_" .. kind .. " *[1]"),
    give = function(handle) return ffi.gc(handle, free) end }
end

local function handle_of(kind, value)
  local own = kinds[kind].own
  if own and istype(own, value) then value = value.handle end
  if not istype(kinds[kind].type, value) then bad(3, kind, value) end
  return value
end

local function name_of(status) return str(C.virtsock_status_name(status)) end

local words = { [C.VIRTSOCK_E_TIMEOUT] = "timeout", [C.VIRTSOCK_E_AGAIN] = "timeout", [C.VIRTSOCK_E_EOF] = "closed",
  [C.VIRTSOCK_E_CANCELLED] = "closed" }
local function word_of(status) return words[status] or name_of(status) end

local function message_of(err)
  local advice = C.virtsock_advice(err)
  return str(err.message), advice ~= nil and str(advice) or nil
end

-- Of I/O that failed.
local function failed(status, partial, err)
  err.status = status
  return nil, word_of(status), partial, message_of(err)
end

-- One C parameter after the other: what goes into the call, and what its results are. `use` of an argument, `out` of a result.
local numbers = { int = { -2 ^ 31, 2 ^ 31 - 1 }, uint32_t = { 0, 2 ^ 32 - 1 }, int64_t = { -2 ^ 53, 2 ^ 53 }, size_t = { 0, 2 ^ 31 - 1 } }
local function parameter(text)
  local kind = text:match "virtsock_(%a+) %*"
  if text:find "%*%*" then
    local handle = kinds[kind]
    return { make = function() return handle.cell() end, out = function(cell) return cell[0] ~= nil and handle.give(cell[0]) or nil end }
  elseif kind == "error" then
    return { make = function() return new "virtsock_error" end, error = true }
  elseif kinds[kind] then
    return { use = function(value)
      if value == nil and text:find "const virtsock_options" then return nil end
      return handle_of(kind, value)
    end }
  elseif text:find "const char %*" then
    return { use = function(value)
      if type(value) ~= "string" then bad(3, "string", value) end
      if value:find("\0", 1, true) then bad(3, "text without a NUL", value) end
      return value
    end }
  elseif text:find "%*$" or text:find "%*%a+$" then
    local cell = ffi.typeof(text:match "^([%w_]+)" .. "[1]")
    return { make = function() return cell() end, out = function(value) return tonumber(value[0]) end }
  end
  local range = numbers[text:match "^([%w_]+)"] or numbers.int
  return { use = function(value)
    if not whole(value, range[1], range[2]) then bad(3, text:find "^uint32" and "whole number of 32 bits" or "whole number", value) end
    return value
  end }
end

-- A function of the header whose arguments and results are one C parameter each; the others are written out below.
local function bind(name, result, list)
  local call, parameters = C["virtsock_" .. name], {}
  for text in list:gmatch "[^,]+" do
    parameters[#parameters + 1] = parameter((text:match "^%s*(.-)%s*$"))
  end
  local count = #parameters
  return function(...)
    local arguments, at, err = {}, 0, nil
    for i, one in ipairs(parameters) do
      if one.use then
        at = at + 1
        arguments[i] = one.use((select(at, ...)))
      else
        arguments[i] = one.make()
        if one.error then err = arguments[i] end
      end
    end
    if select("#", ...) ~= at then error(("bad argument count to '%s': expected %d..%d args, got %d"):format(name, at, at, select("#", ...)), 2) end
    local status = call(unpack(arguments, 1, count))
    if result == "void" then return end
    if result == "virtsock_scheme" or result == "int" then return status end
    if status ~= 0 then
      if err == nil then return nil, word_of(status) end
      local message, advice = message_of(err)
      return nil, message, name_of(status), advice
    end
    local results = {}
    for i, one in ipairs(parameters) do
      if one.out then results[#results + 1] = one.out(arguments[i]) end
    end
    if #results == 0 then return true end
    return unpack(results)
  end
end

for result, name, list in plain:gmatch "\n([%w_]+) virtsock_([%w_]+)(%b())" do
  if not (list:find "void %*" or list:find "slice" or list:find "uint32_t number") then core[name] = bind(name, result, sub(list, 2, -2)) end
end

function core.version() return str(C.virtsock_version()) end
function core.status_name(status) return name_of(status) end
function core.options_new() return kinds.options.give(C.virtsock_options_new()) end
function core.address_equal(a, b) return C.virtsock_address_equal(handle_of("address", a), handle_of("address", b)) == 1 end
function core.address_format(address)
  local size = C.virtsock_address_format(handle_of("address", address), nil, 0) + 1
  local text = new("char[?]", size)
  C.virtsock_address_format(address, text, size)
  return str(text)
end
function core.address_text(address, part)
  local text = C.virtsock_address_text(handle_of("address", address), part)
  return text ~= nil and str(text) or nil
end
function core.address_with(from, part, value)
  local text, made, err = type(value) == "string", kinds.address.cell(), new "virtsock_error"
  if text and value:find("\0", 1, true) then bad(2, "text without a NUL", value) end
  if not text and not whole(value, 0, 2 ^ 32 - 1) then bad(2, "text or whole number of 32 bits", value) end
  from = from ~= nil and handle_of("address", from) or nil
  local status = C.virtsock_address_with(made, from, part, text and 0 or value, text and value or nil, err)
  if status ~= 0 then return nil, str(err.message), name_of(status) end
  return kinds.address.give(made[0])
end
function core.service_from_port(port)
  if not whole(port, 0, 2 ^ 32 - 1) then bad(2, "whole number of 32 bits", port) end
  local text = new "char[37]"
  C.virtsock_service_from_port(text, port)
  return str(text)
end
function core.stream_wants(stream)
  local fd, events, timeout_ms = new "virtsock_fd[1]", new "int[1]", new "int[1]"
  fd[0], timeout_ms[0] = -1, -1
  C.virtsock_stream_wants(handle_of("stream", stream), fd, events, timeout_ms)
  return tonumber(fd[0]), events[0], timeout_ms[0]
end
for _, name in ipairs { "stream", "listener" } do
  core[name .. "_fd"] = function(object) return tonumber(C["virtsock_" .. name .. "_fd"](handle_of(name, object))) end
end

if ffi.os == "Windows" then
  ffi.cdef "unsigned long long GetTickCount64(void);"
  function core.now_ms() return tonumber(ffi.C.GetTickCount64()) end
else
  ffi.cdef "struct virtsock_clock { long seconds, nanoseconds; }; int clock_gettime(int clock, struct virtsock_clock *now);"
  local clock, now = ({ OSX = 6, BSD = 4 })[ffi.os] or 1, new "struct virtsock_clock"         -- CLOCK_MONOTONIC
  function core.now_ms()
    ffi.C.clock_gettime(clock, now)
    return tonumber(now.seconds) * 1000 + math.floor(tonumber(now.nanoseconds) / 1e6)
  end
end
return { C = C, core = core, kinds = kinds, bad = bad, whole = whole, failed = failed }
