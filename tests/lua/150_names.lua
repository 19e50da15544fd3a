-- SPDX-License-Identifier: MIT
--
-- Names of VMs: hostile ones are values like any other, and what this system says to them. Services: what is refused everywhere.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock = require "virtsock"
local test, equal = check.test, check.equal

local vectors = os.getenv "VIRTSOCK_TEST_VECTORS" or check.directory .. "../vectors"
local service = "00000050-facb-11e6-bd58-64006a7986d3"
local windows = package.config:sub(1, 1) == "\\"

local function unescape(s)
  return (s:gsub("\\(.)(%x?%x?)", function(kind, hex)
    if kind == "x" then return string.char(tonumber(hex, 16)) end
    return "\\" .. hex
  end))
end

local function each(verdict, call)
  local rows = 0
  for line in io.lines(vectors .. "/names.tsv") do
    local name, what, text = line:match("^([^#\t][^\t]*)\t(%l+)\t(.*)$")
    if what == verdict then
      call(unescape(name), text)
      rows = rows + 1
    end
  end
  return rows
end

test("hostile_names", function()
  local rows = each("ok", function(name, text)
    local address = assert(virtsock.address { vm = name, port = 80 })
    equal(tostring(address), "hvsock://" .. text .. "/" .. service)
    equal(address.vm, name)
    equal(virtsock.address(tostring(address)), address)
  end)
  assert(rows > 70, "too few names: " .. rows)
end)

test("no_names", function()
  local rows = each("invalid", function(name, text)
    check.fails("invalid", "hvsock", virtsock.address { vm = name, port = 80 })
    check.fails("invalid", "hvsock", virtsock.address("hvsock://" .. text .. "/80"))
  end)
  assert(rows > 10, "too few names: " .. rows)
end)

test("names_are_looked_up_on_windows", function()
  if windows then check.skip "Windows looks names up" end
  check.fails("unsupported", "virtsock resolve", virtsock.resolve "hvsock://My%20VM/80")
  check.fails("unsupported", "virtsock resolve", virtsock.resolve "hvsock://wsl/80")
  check.fails("unsupported", "virtsock resolve", virtsock.connect "hvsock://My%20VM/80")
end)

test("a_service_is_a_guid_or_a_port", function()
  for _, bad in ipairs { "", "x", "5000x", "-1", "2147483648", "any", " 80", "80/x" } do
    check.fails("invalid", "register", virtsock.service_register(bad, "name"))
    check.fails("invalid", "unregister", virtsock.service_unregister(bad))
  end
end)

test("the_name_of_a_service_is_text", function()
  for _, bad in ipairs { "", "a\nb", "\127", "Gr\246\223e", ("x"):rep(256) } do
    check.fails("invalid", "name", virtsock.service_register("80", bad))
  end
  if windows then check.skip "Windows registers services" end
  check.fails("unsupported", "Windows", virtsock.service_register("80", ("x"):rep(255)))
end)

check.run()
