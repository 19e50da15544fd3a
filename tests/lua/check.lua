-- SPDX-License-Identifier: MIT
--
-- A Lua test program: check.test(name, function) as often as wanted, and check.run() at its end. `lua FILE.lua --list` prints the names,
-- `lua FILE.lua NAME...` runs those (all, without). A line a test: `ok NAME`, `skip NAME: why`, `FAIL NAME: what`; then END: without it
-- the run is void. VIRTSOCK_TEST_TRANSPORT says over what; VIRTSOCK_TEST_GC=1 makes the collector as aggressive as it can be. At the end no
-- descriptor may be open that was not at the start, when the collector has had its say.

-- proves: lua, lua-others

-- LuaJIT: the same tests over libvirtsock.so; those of the functions that SWIG makes skip themselves.
local ffi = os.getenv "VIRTSOCK_TEST_FFI"
if ffi then package.loaded["virtsock"] = require "virtsock.ffi" end
local virtsock = require "virtsock"

local check = {
  ffi = ffi ~= nil,
  transport = os.getenv "VIRTSOCK_TEST_TRANSPORT" or "unix",
  directory = arg[0]:match("^(.*[/\\])") or "./",
  late = 0.1 * (tonumber(os.getenv "VIRTSOCK_TEST_SLOW") or 1),         -- how late a wait may come back: emulated machines are slow
}
check.seqpacket = check.transport:find("seqpacket", 1, true) ~= nil
check.vsock = check.transport:find("^vsock") ~= nil
check.hyperv = check.transport == "hvsock"
check.unix = check.transport:find("^unix") ~= nil
check.windows = package.config:sub(1, 1) == "\\"

local tests, made = {}, 0
local unique = tonumber((tostring({}):match("%x+$")), 16) + os.time() * 4096

function check.test(name, run)
  tests[#tests + 1] = { name = name, run = run }
end

function check.skip(why)
  error({ skip = why }, 0)
end

-- An address that nobody used before; listen and connect take the same.
function check.address()
  made = made + 1
  local kind = check.seqpacket and "?type=seqpacket" or ""
  if check.hyperv then return ("hvsock://loopback:%d"):format(10000 + (unique + made) % 2000000000) end
  if check.vsock then return ("vsock://local:%d%s"):format(10000 + (unique + made) % 4000000000, kind) end
  return ("unix:///tmp/virtsock-test-%.0f-%d%s"):format(unique, made, kind)
end

-- For an end whose other end is in the same thread: a close that waits for that one would wait in vain.
function check.options(options)
  local all = { linger = check.hyperv and 0 or nil }
  for name, value in pairs(options or {}) do all[name] = value end
  return all
end

-- A connected pair over the transport under test; both with `options`.
function check.pair(options)
  local listener = assert(virtsock.listen(check.address(), check.options { timeout = 5 }))
  local patient = check.options(options)
  options = check.options(options)
  patient.timeout = math.max(patient.timeout or 0, 5)
  local a = assert(virtsock.connect(listener:address(), patient))
  local b = assert(listener:accept())
  listener:close()
  a:settimeout(options.timeout, "t")
  b:settimeout(options.timeout, "t")
  return a, b
end

function check.equal(got, want, what)
  if got ~= want then error(("%s is %s, not %s"):format(what or "it", tostring(got):sub(1, 200), tostring(want):sub(1, 200)), 2) end
end

-- What a maker gives: nil, a message with a piece in it, the name of a status.
function check.fails(status, piece, value, message, name)
  if value ~= nil then error("no failure: " .. tostring(value), 2) end
  if name ~= status then error(("status %s, not %s: %s"):format(tostring(name), status, tostring(message)), 2) end
  if not message:find(piece, 1, true) then error(("'%s' is not in '%s'"):format(piece, message), 2) end
end

-- What I/O gives: nil, a word, what was done, a message.
function check.stops(word, partial, value, name, part, message)
  if value ~= nil then error("no failure: " .. tostring(value), 2) end
  if name ~= word then error(("%s, not %s: %s"):format(tostring(name), word, tostring(message)), 2) end
  if part ~= partial then error(("partial result %s, not %s"):format(tostring(part), tostring(partial)), 2) end
  if type(message) ~= "string" then error("no message", 2) end
end

function check.raises(piece, call, ...)
  local ok, message = pcall(call, ...)
  if ok then error("nothing was raised", 2) end
  if not tostring(message):find(piece, 1, true) then error(("'%s' is not in '%s'"):format(piece, tostring(message)), 2) end
end

function check.elapsed(call, ...)
  local from = virtsock.monotime()
  call(...)
  return virtsock.monotime() - from
end

-- A number of Linux's /proc; nil: nobody counts it here.
local function counted(path, pattern)
  local file = not check.windows and io.open(path)
  if not file then return nil end
  local line = file:read("*l") or ""
  file:close()
  return tonumber(line:match(pattern))
end

-- What the machine took from this thread so far, in s: the account of tests/c/watch.h, whose head says why.
local function taken()
  return (counted("/proc/thread-self/schedstat", "^%d+ (%d+)") or 0) / 1e9,
    (counted("/proc/stat", "^cpu +%d+ %d+ %d+ %d+ %d+ %d+ %d+ (%d+)") or 0) / 100
end

-- The call waits so long: never less, and not much more but for what the machine took.
function check.takes(seconds, call, ...)
  local delay, steal = taken()
  local took = check.elapsed(call, ...)
  local delay_after, steal_after = taken()
  local used = took - (delay_after - delay) - (steal_after - steal)
  assert(took >= seconds and used < seconds + check.late, ("%g s, %g of them used, and not %g"):format(took, used, seconds))
end

-- A descriptor that was not given back leaves the next one a higher number; on Windows numbers say nothing.
local function next_descriptor()
  if check.windows then return end
  collectgarbage()
  collectgarbage()
  local listener = assert(virtsock.listen(check.address()))
  local fd = listener:getfd()
  listener:close()
  return fd
end

local function run(test)
  local before = next_descriptor()
  local ok, problem = xpcall(test.run, function(problem)
    return type(problem) == "table" and problem or debug.traceback(tostring(problem), 2)
  end)
  if ok and next_descriptor() ~= before then ok, problem = false, "descriptors were not given back" end
  if ok then
    print("ok " .. test.name)
  elseif type(problem) == "table" and problem.skip then
    print("skip " .. test.name .. ": " .. problem.skip)
  else
    print("FAIL " .. test.name .. ": " .. tostring(problem):gsub("\n%s*", " | "))
    return false
  end
  return true
end

local function open_descriptors()
  collectgarbage()
  collectgarbage()
  local name = os.tmpname()             -- a pipe would be counted, or not
  os.execute("ls /proc/$PPID/fd 2>/dev/null | wc -l >" .. name)
  local file = assert(io.open(name))
  local count = file:read "*n"
  file:close()
  os.remove(name)
  return count
end

-- Generations where there are, and in every Lua a step after every few instructions; each step is a full one now and then.
local function press_the_collector()
  if _VERSION >= "Lua 5.4" then
    collectgarbage "generational"
  else
    collectgarbage("setpause", 0)
    collectgarbage("setstepmul", 1000)
  end
  local count = 0
  debug.sethook(function()
    count = count + 1
    if count % 1000 == 0 then collectgarbage() else collectgarbage("step", 1) end
  end, "", 50)
end

function check.run()
  local chosen, passed, before = {}, true, not check.windows and open_descriptors()
  io.stdout:setvbuf("line")
  for _, name in ipairs(arg) do chosen[name] = true end
  if os.getenv "VIRTSOCK_TEST_GC" then press_the_collector() end
  for _, test in ipairs(tests) do
    if chosen["--list"] then
      print(test.name)
    elseif #arg == 0 or chosen[test.name] then
      passed = run(test) and passed
    end
  end
  if not check.windows and not chosen["--list"] then
    local after = open_descriptors()
    print(("unclosed: %d"):format(after - before))
    passed = passed and after == before
  end
  print("END")
  os.exit(passed and 0 or 1, true)       -- closes the state, where the Lua can
end

return check
