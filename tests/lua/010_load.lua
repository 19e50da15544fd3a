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
  local number = core.VERSION_NUMBER
  equal(("%d.%d.%d"):format(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256), virtsock.version)
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

-- What the language server and the reference are told, against what is there: { virtsock = names, Stream =, Listener =, Options =, fields = }.
local function told()
  local file = io.open(check.directory .. "../../bindings/lua/meta.lua")
  if not file then check.skip "its sources are not here" end
  local names, class = { virtsock = {}, Stream = {}, Listener = {}, Options = {} }, nil
  for line in file:lines() do
    class = line:match "^%-%-%-@class ([%w%.]+)" or class
    local field = line:match "^%-%-%-@field ([%w_]+)"
    local owner, name = line:match "^function (%a+)[.:]([%w_]+)%("
    if owner then names[owner][name] = true end
    if field and class == "virtsock" then names.virtsock[field] = true end
    if field and class == "virtsock.Options" then names.Options[field] = true end
  end
  file:close()
  return names
end

local function same_names(have, want, what)
  for name in pairs(have) do assert(want[name], what .. ": " .. name .. " is not told of") end
  for name in pairs(want) do assert(have[name] ~= nil, what .. ": there is no " .. name) end
end

test("meta_names_what_there_is", function()
  local names = told()
  same_names(virtsock, names.virtsock, "virtsock")
  local options = { timeout = true, allow = true }
  for name in pairs(core) do
    local option = name:match "^OPTION_(.*)"
    if option and option ~= "INTERRUPTIBLE" then options[option:lower()] = true end
  end
  same_names(options, names.Options, "options")
  if not check.ffi then
    same_names(core.stream, names.Stream, "streams")
    same_names(core.listener, names.Listener, "listeners")
  end
  local listener = assert(virtsock.listen(check.address()))
  local stream = assert(virtsock.connect(listener:address()))
  for name in pairs(names.Stream) do equal(type(stream[name]), "function", name) end
  for name in pairs(names.Listener) do equal(type(listener[name]), "function", name) end
  stream:close()
  listener:close()
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
