-- SPDX-License-Identifier: MIT
--
-- The module comes in without leaving a trace, and says who it is.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

test("methods_are_the_functions", function()
  local address = core.address_vsock(3, 1024)
  equal(address.format, core.address_format)
  equal(address:format(), "vsock://3:1024")
  equal(address.nothing, nil)
  equal(getmetatable(address), false)
end)

test("no_global", function()
  local names = {}
  for name in pairs(_G) do names[name] = true end
  for _, name in ipairs { "virtsock", "virtsock_core", "swig_type", "swig_equals", "core" } do equal(names[name], nil, name) end
  -- Once more from the start, under the eyes of a table that refuses every assignment.
  package.loaded["virtsock"], package.loaded["virtsock.core"] = nil, nil
  local function refuse(_, name) error("global " .. name) end
  setmetatable(_G, { __newindex = refuse, __index = refuse })
  local ok, again = pcall(require, "virtsock")
  setmetatable(_G, nil)
  assert(ok, again)
  equal(again.version, virtsock.version)
  for name in pairs(_G) do
    if not names[name] then error("global " .. name) end
  end
end)

test("version", function()
  assert(virtsock.version:find("^%d+%.%d+%.%d+$"), virtsock.version)
  equal(virtsock.version, core.VERSION)
end)

test("constants", function()
  equal(virtsock.CID_HYPERVISOR, 0)
  equal(virtsock.CID_LOCAL, 1)
  equal(virtsock.CID_HOST, 2)
  equal(virtsock.CID_ANY, 4294967295)
  equal(virtsock.PORT_ANY, 4294967295)
  equal(("%d"):format(virtsock.CID_ANY), "4294967295")
  equal(virtsock.VM_PARENT, "a42e7cda-d03f-480c-9cc2-a4de20abb878")
  equal(virtsock.VM_WILDCARD, "00000000-0000-0000-0000-000000000000")
  if math.type then equal(math.type(virtsock.CID_ANY), "integer") end
end)

test("statuses_have_names", function()
  equal(core.status_name(core.OK), "ok")
  equal(core.status_name(core.E_REFUSED), "refused")
  equal(core.status_name(core.E_IN_USE), "in use")
end)

test("system", function()
  for _, scheme in ipairs(check.windows and { "tcp" } or { "tcp", "unix" }) do equal(virtsock.supported(scheme), true) end
  local ok, message, status = virtsock.supported("hvsock")
  if not ok then check.fails("unsupported", "", ok, message, status) end
  local cid
  cid, message, status = virtsock.local_cid()
  if cid then assert(cid >= 0 and cid <= 4294967295 and cid % 1 == 0) else assert(#message > 0 and #status > 0) end
  check.raises("scheme expected", virtsock.supported, "smoke")
  check.raises("scheme expected", virtsock.supported, nil)
end)

check.run()
