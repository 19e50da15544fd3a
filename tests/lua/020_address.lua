-- SPDX-License-Identifier: MIT
--
-- Addresses: the vectors that C and Python read too, values made of parts, exact numbers, NULs.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

local vectors = os.getenv "VIRTSOCK_TEST_VECTORS" or check.directory .. "../vectors"

local unpack = table.unpack or unpack

local function unescape(s)
  return (s:gsub("\\(.)(%x?%x?)", function(kind, hex)
    if kind == "x" then return string.char(tonumber(hex, 16)) end
    return (kind == "t" and "\t" or kind == "n" and "\n" or "\\") .. hex
  end))
end

local function split(s, mark)
  local pieces = {}
  for piece in (s .. mark):gmatch("([^" .. mark .. "]*)" .. mark) do pieces[#pieces + 1] = piece end
  return pieces
end

local function compare(address, parts)
  for _, part in ipairs(parts == "-" and {} or split(parts, "|")) do
    local name, want = part:match("^([%w_]+)=(.*)$")
    local got = address[name]
    if got == true or got == false then got = got and 1 or 0 end
    if want == "-" then equal(got, nil, name) else equal(tostring(got), unescape(want), name) end
  end
end

test("vectors", function()
  local rows, line_number = 0, 0
  for line in io.lines(vectors .. "/addresses.tsv") do
    line_number = line_number + 1
    if line ~= "" and line:sub(1, 1) ~= "#" then
      local text, use, verdict, canonical, parts = unpack(split(line, "\t"))
      local ok, problem = pcall(function()
        equal(use, "parse", "use")
        local address, message, status = virtsock.address(unescape(text))
        if verdict == "invalid" then return check.fails("invalid", unescape(canonical), address, message, status) end
        assert(address, message)
        equal(tostring(address), unescape(canonical))
        local again = assert(virtsock.address(tostring(address)))
        assert(again == address)
        equal(again ~= address, false)
        equal(tostring(again), tostring(address))
        compare(address, parts)
      end)
      if not ok then error(("line %d, %s: %s"):format(line_number, text, problem), 0) end
      rows = rows + 1
    end
  end
  assert(rows >= 200, "too few rows: " .. rows)
end)

test("values", function()
  local a = virtsock.address("vsock://3:1024")
  equal(virtsock.address(a), a)
  equal(rawequal(virtsock.address(a), a), true)
  assert(a ~= virtsock.address("vsock://3:1025"))
  equal(a.cid, 3)
  equal(a.port, 1024)
  equal(a.type, "stream")
  equal(a.to_host, false)
  equal(a.path, nil)
  equal(a.nothing, nil)
  equal(a[1], nil)
  check.raises("does not change", function() a.cid = 4 end)
  check.raises("", setmetatable, a, {})
end)

test("from_parts", function()
  equal(tostring(virtsock.address { cid = 4294967295, port = 4294967295 }), "vsock://:any")
  equal(tostring(virtsock.address { cid = virtsock.CID_HOST, port = 0 }), "vsock://2:0")
  equal(tostring(virtsock.address { port = 1024 }), "vsock://:1024")
  equal(virtsock.address { vm = "parent", port = 5000 }, virtsock.address "hvsock://parent:5000")
  equal(virtsock.address { service = "00001388-facb-11e6-bd58-64006a7986d3" }, virtsock.address "hvsock://:5000")
  equal(tostring(virtsock.address { path = "/tmp/a b" }), "unix:///tmp/a%20b")
  equal(virtsock.address { path = "/v.sock", scheme = "vsock-mux", port = 52 }, virtsock.address "vsock-mux://:52/v.sock")
  equal(virtsock.address("vsock-mux://:52/v.sock").half_close, "unknown")
  equal(tostring(virtsock.address { path = "/v", scheme = "vsock-mux", port = 5, half_close = "native" }), "vsock-mux://:5/v?half-close=native")
  equal(tostring(virtsock.address { path = "/v", half_close = "unknown" }), "unix:///v?half-close=unknown")
  check.fails("invalid", "", virtsock.address { path = "" })
  check.raises("32 bits expected, got nil", virtsock.address, {})
  check.raises("got string", virtsock.address, { cid = "3", port = 1024 })
  check.raises("whole number expected", virtsock.address, { path = "/x", scheme = "smoke" })
  equal(tostring(virtsock.address { host = "::1", port = 80 }), "tcp://[::1]:80")
  equal(tostring(virtsock.address { host = "localhost", port = 80, half_close = "framed" }), "tcp://localhost:80?half-close=framed")
  equal(tostring(virtsock.address { fd = 3, type = "seqpacket" }), "fd://3?type=seqpacket")
  equal(tostring(virtsock.address { path = "x", type = "seqpacket" }), "unix:///./x?type=seqpacket")
  equal(tostring(virtsock.address { cid = 3, port = 5, to_host = true }), "vsock://3:5?to-host=1")
  check.fails("invalid", "no name is looked up", virtsock.address { host = "example.org" })
  check.fails("invalid", "to-host", virtsock.address { path = "/x", to_host = true })
  check.raises("no type 'smoke'", virtsock.address, { path = "/x", type = "smoke" })
end)

test("other_parts", function()
  local a = virtsock.address "vsock://3:80"
  equal(tostring(virtsock.address(a, { cid = 4, type = "seqpacket", to_host = true })), "vsock://4:80?type=seqpacket&to-host=1")
  equal(tostring(virtsock.address("vsock://3:80?to-host=1", { to_host = false, port = virtsock.PORT_ANY })), "vsock://3:any")
  equal(tostring(virtsock.address("unix:///a?type=seqpacket", { path = "b c" })), "unix:///./b%20c?type=seqpacket")
  equal(tostring(virtsock.address("hvsock://parent:80", { vm = "a:b", service = "81" })),
    "hvsock://a%3Ab/00000051-facb-11e6-bd58-64006a7986d3")
  equal(tostring(a), "vsock://3:80")
  check.fails("invalid", "no such part", virtsock.address(a, { path = "/x" }))
  check.fails("invalid", "the port is missing", virtsock.address("vsock://3", { cid = 4 }))
  check.raises("whole number of 32 bits expected", virtsock.address, a, { port = -1 })
  check.raises("without a NUL", virtsock.address, "unix:///a", { path = "b\0" })
  check.fails("invalid", "as a text", core.address_with(nil, core.PART_CID, "3"))
end)

test("numbers_are_exact_or_refused", function()
  for _, bad in ipairs { "5000", 3.7, 2 ^ 32, 2 ^ 32 + 5, -1, 0 / 0, 1 / 0, -1 / 0, 2 ^ 53 + 1, 1e300, true, {}, print } do
    check.raises("whole number of 32 bits expected", core.address_vsock, 3, bad)
    check.raises("whole number of 32 bits expected", core.address_vsock, bad, 3)
    check.raises("whole number of 32 bits expected", virtsock.service_from_port, bad)
  end
  check.raises("expected", core.address_vsock, 3, nil)
  check.raises("expected 2..2 args", core.address_vsock, 3)
  check.raises("expected 2..2 args", core.address_vsock, 3, 4, 5)
  local value = core.address_number(core.address_vsock(3, 2 ^ 32 - 1), core.PART_PORT)
  equal(value, 4294967295)
  if math.type then equal(math.type(value), "integer") end
end)

test("a_nul_is_refused", function()
  check.fails("invalid", "NUL", virtsock.address("vsock://3:1024\0"))
  check.fails("invalid", "NUL", virtsock.address("\0"))
  check.raises("without a NUL", core.address_parse, "vsock://3:1024\0")
  check.raises("without a NUL", virtsock.address, { path = "/a\0b" })
  check.raises("without a NUL", virtsock.port_from_service, "x\0")
end)

test("nil_and_others_are_no_address", function()
  for _, bad in ipairs { 3, true, print } do check.raises("address expected", virtsock.address, bad) end
  check.raises("address expected", virtsock.address, nil)
  check.raises("address expected", core.address_format, nil)
  check.raises("address expected", core.address_format, io.stdout)
  check.raises("address expected", core.address_format, core.options_new())
  check.raises("address expected", core.address_equal, core.address_vsock(3, 1), nil)
  check.raises("string expected", core.address_parse, 3)
  check.raises("string expected", core.address_parse, nil)
end)

test("services", function()
  equal(virtsock.service_from_port(5000), "00001388-facb-11e6-bd58-64006a7986d3")
  equal(virtsock.port_from_service("FFFFFFFF-facb-11e6-bd58-64006a7986d3"), 4294967295)
  local port, why = virtsock.port_from_service("0cb41550-2f5c-4ed4-a6c1-39f1b6f1d10a")
  equal(port, nil)
  equal(why, "not found")
  equal((select(2, virtsock.port_from_service("5000"))), "invalid")
end)

test("long_texts", function()
  local path = "/" .. ("\255"):rep(1300)
  local address = virtsock.address { path = path }
  equal(address.path, path)
  equal(#tostring(address), #"unix:///" + 3 * 1300)
end)

test("resolve", function()
  equal(virtsock.resolve("vsock://3:1024"), virtsock.address("vsock://3:1024"))
  check.fails("invalid", "port", virtsock.resolve("vsock://3"))
end)

check.run()
