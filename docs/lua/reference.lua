-- SPDX-License-Identifier: MIT
-- The reference of the Lua module by ldoc: lua docs/lua/reference.lua OUTPUT. ldoc does not read the language server's annotations, so it is
-- given bindings/lua/meta.lua in its own words: @param becomes @tparam, @return @treturn, a class a @type with its @fields.
local output = arg[1]
if not output or output:find "^%-" then
  io.stderr:write "usage: lua docs/lua/reference.lua OUTPUT\n"
  os.exit(output == "--help" and 0 or 2)
end
local here = arg[0]:match "^.*/" or "./"

local function type_of(text)
  local kind, rest = text:match "^(fun%b():?%s*%S+)%s*(.*)$"
  if not kind then kind, rest = text:match "^(%S+)%s*(.*)$" end
  kind = kind:find "^fun" and "function" or kind:gsub("virtsock%.", ""):gsub("\"", ""):gsub("^(.*)%?$", "?%1")
  return kind, rest
end

local words = {}
function words.param(text)
  local name, optional, rest = text:match "^([%w_]+)(%??)%s+(.*)$"
  local kind, about = type_of(rest)
  return ("-- @tparam%s %s %s %s"):format(optional == "?" and "[opt]" or "", kind, name, about)
end
function words.field(text)
  local name, optional, rest = text:match "^([%w_]+)(%??)%s+(.*)$"
  local kind, about = type_of(rest)
  return ("-- @field %s `%s` %s%s"):format(name, kind, about, optional == "?" and " (or nil)" or "")
end
words["return"] = function(text)
  local kind, about = type_of(text)
  return ("-- @treturn %s %s"):format(kind, about)
end
function words.class(text)
  if text == "virtsock" then return "-- @table constants" end
  return (text == "virtsock.Stream" or text == "virtsock.Listener") and "-- @type " .. text:match "%a+$" or "-- @table " .. text:match "%a+$"
end

local lines = {}
for line in io.lines(here .. "../../bindings/lua/meta.lua") do
  local tag, text = line:match "^%-%-%-@(%a+)%s*(.*)$"
  if words[tag] then
    line = words[tag](text)
    if tag == "class" and text == "virtsock" then lines[#lines + 1] = "--- Constants." end
  elseif tag or line:find "^local %u" then
    line = ""
  end
  lines[#lines + 1] = line
end
os.execute(("mkdir -p '%s'"):format(output))
local source = assert(io.open(output .. "/virtsock.lua", "w"))
source:write(table.concat(lines, "\n"), "\n")
source:close()
local ldoc = "ldoc --quiet --fatalwarnings --project virtsock --title 'virtsock for Lua' --format backtick --dir '%s' '%s/virtsock.lua'"
local done = os.execute(ldoc:format(output, output))
os.exit((done == true or done == 0) and 0 or 1)
