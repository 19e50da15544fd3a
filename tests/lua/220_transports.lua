-- SPDX-License-Identifier: MIT
--
-- Transports with an address of their own: tcp, and the two multiplexers, with this program at the multiplexer's end too.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

local function once()
  if check.transport ~= "unix" then check.skip "has transports of its own, and runs once" end
end

-- A connection under way to `text`, and the multiplexer's end of it, which listens at a path.
local function ask(text, path)
  local listener = assert(virtsock.listen("unix://" .. path, { timeout = 5 }))
  local handle = assert(core.connect_start(core.address_parse(text), core.options_new()))
  check.fails("again", "", core.stream_connect(handle, 0))
  local guest = assert(listener:accept())
  guest:settimeout(5)
  listener:close()
  return handle, guest
end

local function path() return (check.address():gsub("^unix://", "")) end

test("tcp", function()
  once()
  local listener = assert(virtsock.listen("tcp://127.0.0.1:any", { timeout = 5 }))
  local address = listener:address()
  equal(address.scheme, "tcp")
  equal(address.host, "127.0.0.1")
  local a = assert(virtsock.connect(address, { timeout = 5 }))
  local b = assert(listener:accept())
  equal(a:peer(), address)
  equal(b:peer(), a:address())
  equal(a:send("ping"), 4)
  equal(b:receive(4), "ping")
  for _, handle in ipairs { a, b, listener } do handle:close() end
  check.fails("refused", "tcp://127.0.0.1", virtsock.connect(address))
end)

test("mux_handshake_in_steps", function()
  once()
  local at = path()
  local text = "vsock-mux://:52" .. at
  local handle, guest = ask(text, at)
  equal(guest:receive("*l"), "CONNECT 52")
  guest:send("OK 1073741824")
  check.fails("again", "", core.stream_connect(handle, 0))
  local fd, events = core.stream_wants(handle)
  assert(fd >= 0 and events == core.WANT_RECV)
  guest:send("\nhello")
  equal(core.stream_connect(handle, 5000), true)
  equal(core.stream_recv_exact(handle, 5, 5000), "hello")
  equal(core.address_format(core.stream_peer(handle)), text)
  local _, word, _, message = core.stream_shutdown(handle, core.SHUT_SEND)
  equal(word, "unsupported")
  assert(message:find("half-close=unknown", 1, true), message)
  core.stream_close(handle, 0)
  guest:close()
end)

test("mux_answers_that_fail", function()
  once()
  for _, row in ipairs {
    { "", "refused", "nobody listens" }, { "HTTP/1.1 400\r\n", "protocol", "OK and a port" }, { "OK \0\n", "protocol", "OK and a port" },
    { "OK 10737", "protocol", "middle of its answer" }, { "OK " .. ("7"):rep(4096), "protocol", "OK and a port" },
  } do
    local at = path()
    local handle, guest = ask("vsock-mux://:52" .. at, at)
    equal(guest:receive("*l"), "CONNECT 52")
    if row[1] ~= "" then guest:send(row[1]) end
    guest:close()
    check.fails(row[2], row[3], core.stream_connect(handle, 5000))
    core.stream_close(handle, 0)
  end
end)

test("mux_silence_ends_at_the_deadline", function()
  once()
  local at = path()
  local listener = assert(virtsock.listen("unix://" .. at))
  check.takes(0.2, function()
    check.fails("timeout", "vsock-mux://:52", virtsock.connect("vsock-mux://:52" .. at, { connect_timeout = 0.2 }))
  end)
  listener:close()
end)

test("where_a_guest_comes_to", function()
  once()
  local at = path()
  local listener = assert(virtsock.listen("vsock-mux://:52" .. at, { timeout = 5 }))
  equal(tostring(listener:address()), "vsock-mux://:52" .. at)
  local guest = assert(virtsock.connect("unix://" .. at .. "_52"))
  local host = assert(listener:accept())
  host:settimeout(5)
  guest:send("from a guest\n")
  equal(host:receive("*l"), "from a guest")
  check.fails("not found", "peer", host:peer())
  equal(select(2, host:shutdown "send"), "unsupported")
  for _, handle in ipairs { guest, host, listener } do handle:close() end
  check.fails("refused", "connect", virtsock.connect("unix://" .. at .. "_52"))
end)

test("hyperkit", function()
  once()
  check.fails("refused", "hyperkit", virtsock.connect("hyperkit://:80/nowhere"))
  check.fails("name too long", "107", virtsock.connect("hyperkit://:80/" .. ("x"):rep(100)))
  check.fails("invalid", "PORT", virtsock.connect("hyperkit://:any/nowhere"))
end)

test("abstract_names", function()
  once()
  local at = "unix://@" .. path():gsub("%W", "-")
  local listener = virtsock.listen(at, { timeout = 5 })
  if not listener then check.skip "abstract names are Linux's alone" end
  equal(tostring(listener:address()), at)
  check.fails("unsupported", "an abstract name has no SOCKET_MODE", virtsock.listen(at .. "2", { socket_mode = 384 }))
  local client = assert(virtsock.connect(at))
  local server = assert(listener:accept())
  server:settimeout(5)
  client:send("by name\n")
  equal(server:receive("*l"), "by name")
  equal(tostring(client:peer()), at)
  for _, handle in ipairs { client, server, listener } do handle:close() end
  check.fails("refused", "connect", virtsock.connect(at))
end)

check.run()
