-- SPDX-License-Identifier: MIT
--
-- The rows of __main__.py, which gives FOLDER ROUNDS ROW... and the paths: each does the same in several ways, in rounds that take turns, and
-- tells the ratio of the medians. `peer KIND ADDRESS` is the other end of the ping-pong.

local virtsock, socket = require "virtsock", require "socket"
local unix = require "socket.unix"
local stream_of = type(unix) == "table" and unix.stream or unix
local folder, rounds = arg[1], tonumber(arg[2])

local function median(values)
  table.sort(values)
  return values[math.floor(#values / 2) + 1]
end

local function tell(row, ours, others, name, goal)
  local ratio = ours / others
  local over = ratio > goal and " OVER" or ""
  print(("%-22s %9.1f ns, %s %9.1f ns, ratio %.3f (at most %.2f)%s"):format(row, ours * 1e9, name, others * 1e9, ratio, goal, over))
end

-- Each way is calls(n) or a function that tells its seconds itself. The medians of seconds a call.
local function medians(calls, ...)
  local ways, times = { ... }, {}
  for i in ipairs(ways) do times[i] = {} end
  for _ = 1, rounds do
    for i, way in ipairs(ways) do
      local begun = socket.gettime()
      local seconds = way(calls)
      times[i][#times[i] + 1] = (seconds or socket.gettime() - begun) / calls
    end
  end
  for i in ipairs(ways) do times[i] = median(times[i]) end
  return (table.unpack or unpack)(times)
end

-- --- Pairs ---------------------------------------------------------------------------------------------------------------------------

local made = 0
local function path()
  made = made + 1
  return folder .. "/" .. made
end

local function our_pair(module)
  local listener = assert(module.listen("unix://" .. path()))
  local a, b = assert(module.connect(listener:address())), assert(listener:accept())
  listener:close()
  return a, b
end

local function their_pair()
  local at, listener, a = path(), assert(stream_of()), assert(stream_of())
  assert(listener:bind(at))
  assert(listener:listen())
  assert(a:connect(at))
  local b = assert(listener:accept())
  listener:close()
  return a, b
end

-- --- Rows ----------------------------------------------------------------------------------------------------------------------------

local rows, order = {}, {}
local function row(name, run)
  rows[name], order[#order + 1] = run, name
end

-- A method with a string of 64 bytes, of which it sends none: its own cost.
local data = ("x"):rep(64)
local function sends_nothing(stream)
  return function(calls)
    for _ = 1, calls do stream:send(data, 65) end
  end
end

row("method", function()
  local listener = assert(virtsock.listen("unix://" .. path()))
  local by_hand = require "hand".connect(listener:address().path)
  local ours = assert(virtsock.connect(listener:address()))
  local a, b = medians(200000, sends_nothing(ours), sends_nothing(by_hand))
  tell("method", a, b, "by hand", jit and 1.4 or 0.9)
  if not jit then return end
  local module = require "virtsock.ffi"
  local quick = assert(module.connect(listener:address()))
  local c, d = medians(1000000, function(calls)
    for _ = 1, calls do quick:send(data, 65) end
  end, function(calls) return by_hand:spin(calls) end)
  print(("%-22s %9.1f ns, the same from C %9.1f ns, above it %.1f ns (at most 3)%s"):format("method, by the FFI", c * 1e9, d * 1e9, (c - d) * 1e9,
    c - d > 3e-9 and " OVER" or ""))
end)

local function talk(a, b, size)
  local piece = ("x"):rep(size)
  return function(calls)
    for _ = 1, calls do
      a:send(piece)
      b:receive(size)
    end
  end
end

local function both(name, calls, goal, way, ...)
  local kinds = { { "", our_pair(virtsock) } }
  if jit then kinds[2] = { ", by the FFI", our_pair(require "virtsock.ffi") } end
  local theirs = { their_pair() }
  for _, kind in ipairs(kinds) do
    local a, b = medians(calls, way(kind[2], kind[3], ...), way(theirs[1], theirs[2], ...))
    tell(name .. kind[1], a, b, "LuaSocket", goal)
  end
end

row("exchange", function() both("exchange 1 B", 5000, 1.0, talk, 1) end)

-- The receive alone: what sends is not measured.
local function receive(a, b, size)
  local piece = ("x"):rep(size)
  return function(calls)
    local seconds = 0
    for _ = 1, calls do
      a:send(piece)
      local begun = socket.gettime()
      b:receive(size)
      seconds = seconds + socket.gettime() - begun
    end
    return seconds
  end
end

row("receive", function() both("receive 64 KiB", 500, 0.55, receive, 65536) end)

-- 64 bytes a line. LuaSocket has no iterator: its receive() is what stands in a loop there.
local function lines(a, b, iterates)
  local text = (("x"):rep(63) .. "\n"):rep(500)
  local function by_receive()
    for _ = 1, 500 do b:receive() end
  end
  local function by_lines()
    local count = 0
    for _ in b:lines() do
      count = count + 1
      if count == 500 then return end
    end
  end
  local take = iterates and b.lines and by_lines or by_receive
  return function(calls)
    local seconds = 0
    for _ = 1, calls / 500 do
      a:send(text)
      local begun = socket.gettime()
      take()
      seconds = seconds + socket.gettime() - begun
    end
    return seconds
  end
end

row("lines", function()
  both("lines, by receive()", 20000, 0.5, lines, false)
  both("lines, by lines()", 20000, 0.5, lines, true)
end)

-- Another process sends back what comes; both on one processor.
local function ping_pong(kind, interpreter)
  local address = path()
  local child = io.popen(("%s %s peer %s %s"):format(interpreter, arg[0], kind, address))
  local stream
  if kind == "theirs" then
    child:read "*l"
    stream = assert(stream_of())
    assert(stream:connect(address))
  else
    local module = kind == "ffi" and require "virtsock.ffi" or virtsock
    stream = assert(module.connect("unix://" .. address, { wait = 10 }))
  end
  return function(calls)
    for _ = 1, calls do
      stream:send("x")
      stream:receive(1)
    end
  end
end

row("pingpong", function()
  local first = 0
  while arg[first - 1] do first = first - 1 end
  local interpreter = arg[first]
  local theirs = ping_pong("theirs", interpreter)
  for _, kind in ipairs(jit and { "ours", "ffi" } or { "ours" }) do
    local a, b = medians(2000, ping_pong(kind, interpreter), theirs)
    tell(kind == "ffi" and "ping-pong, by the FFI" or "ping-pong 1 B", a, b, "LuaSocket", 1.0)
  end
end)

local function peer(kind, address)
  local stream
  if kind == "theirs" then
    local listener = assert(stream_of())
    assert(listener:bind(address))
    assert(listener:listen())
    print "listening"
    io.stdout:flush()
    stream = assert(listener:accept())
  else
    local module = kind == "ffi" and require "virtsock.ffi" or virtsock
    stream = assert(assert(module.listen("unix://" .. address)):accept())
  end
  local piece = stream:receive(1)
  while piece do
    stream:send(piece)
    piece = stream:receive(1)
  end
end

if arg[1] == "peer" then return peer(arg[2], arg[3]) end
for _, name in ipairs(order) do
  if #arg == 2 or (" " .. table.concat(arg, " ", 3) .. " "):find(" " .. name .. " ", 1, true) then rows[name]() end
end
