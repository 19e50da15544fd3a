-- SPDX-License-Identifier: MIT
--
-- Options: seconds, whole numbers, rules; what is misuse raises where the caller stands.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local check = require "check"
local virtsock, core = require "virtsock", require "virtsock.core"
local test, equal = check.test, check.equal

local function listen(options)
  local listener = assert(virtsock.listen(check.address(), options))
  listener:close()
end

test("options_that_are_good", function()
  listen(nil)
  listen {}
  listen { timeout = 0 }
  listen { timeout = 0.0001, backlog = 1 }
  listen { timeout = math.huge, linger = 1.5 }
  listen { timeout = -1, message_max = 65536 }
end)

test("options_that_are_misuse", function()
  local function bad(piece, options) check.raises(piece, virtsock.listen, check.address(), options) end
  bad("no option 'timout'", { timout = 1 })
  bad("no option '1'", { "timeout" })
  bad("table expected", 5)
  bad("table expected", "timeout=5")
  bad("seconds expected", { timeout = "5" })
  bad("seconds expected", { timeout = 0 / 0 })
  bad("too many", { timeout = 2 ^ 31 })
  bad("seconds expected", { wait = true })
  bad("whole number expected", { backlog = "8" })
  bad("whole number expected", { backlog = 1.5 })
  bad("whole number expected", { backlog = -1 })
  bad("whole number expected", { backlog = 0 / 0 })
  bad("whole number expected", { hyperv_suspend = "yes" })
  bad("BACKLOG", { backlog = 0 })
  bad("BACKLOG", { backlog = 2 ^ 40 })
  bad("", { backlog = 2 ^ 60 })
  bad("string expected", { allow = { 3 } })
  bad("without a NUL", { allow = "host\0" })
  bad("uid=N", { allow = "guest" })
  bad("uid=N", { allow = { "host", "" } })
end)

test("misuse_is_reported_where_the_caller_stands", function()
  check.raises("030_options.lua:", function() virtsock.listen(check.address(), { timout = 1 }) end)
  check.raises("030_options.lua:", function() virtsock.address(5) end)
end)

test("an_option_without_a_use", function()
  local options = check.hyperv and { buffer_min = 4096 } or { hyperv_suspend = true }
  check.fails("unsupported", "", virtsock.listen(check.address(), options))
end)

test("rules_admit_and_refuse", function()
  if not check.unix then check.skip("users are for UNIX sockets") end
  local text = check.address()
  local listener = assert(virtsock.listen(text, { allow = { "self" }, timeout = 5 }))
  local a = assert(virtsock.connect(text))
  local b = assert(listener:accept())
  equal(b:get("peer_uid") ~= nil, true)
  a:close()
  b:close()
  listener:close()
  listener = assert(virtsock.listen(text, { allow = "uid=4294967294", timeout = 0.05 }))
  a = assert(virtsock.connect(text, { timeout = 5 }))
  check.stops("timeout", nil, listener:accept())
  equal((select(2, a:receive(1))) ~= nil, true)
  a:close()
  listener:close()
  check.fails("unsupported", "", virtsock.listen(text, { allow = "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd" }))
end)

test("native_options", function()
  local options = core.options_new()
  equal(core.options_set(options, core.OPTION_WAIT, 5), true)
  check.fails("unsupported", "", core.options_set(options, 999, 1))
  check.fails("invalid", "", core.options_set(options, core.OPTION_BACKLOG, 0))
  check.raises("whole number expected", core.options_set, options, core.OPTION_WAIT, "5")
  check.raises("whole number expected", core.options_set, options, core.OPTION_WAIT, 3.7)
  check.raises("whole number expected", core.options_set, options, core.OPTION_WAIT, 2 ^ 53)
  check.raises("options expected", core.options_set, nil, core.OPTION_WAIT, 5)
  check.raises("options expected", core.options_set, core.address_vsock(3, 1), core.OPTION_WAIT, 5)
  check.raises("options or nil expected", core.listen, core.address_vsock(3, 1), 5)
end)

check.run()
