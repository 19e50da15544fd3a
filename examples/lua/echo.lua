-- SPDX-License-Identifier: MIT
-- What the schedulers beside this file run: `serve ADDRESS` sends each guest's lines back, `ask ADDRESS [COUNT]` is that many guests, who are
-- all there at once before the first one leaves. A scheduler has connect, receive, send, spawn(f), run(), which may look at `done`,
-- and accept, or serve(listener, f) of its own.
local virtsock = require "virtsock"

local function accept_all(scheduler, listener, guest)
  scheduler.spawn(function()
    while true do
      local stream = assert(scheduler.accept(listener))
      scheduler.spawn(function() guest(stream) end)
    end
  end)
end

local function serve(scheduler, address)
  local listener = assert(virtsock.listen(address, { timeout = 0 }))
  print("listening on " .. tostring(listener:address()))
  io.stdout:flush()
  local function guest(stream)
    local line = scheduler.receive(stream, "*L")
    while line and scheduler.send(stream, line) do line = scheduler.receive(stream, "*L") end
    stream:close()
  end
  if scheduler.serve then scheduler.serve(listener, guest) else accept_all(scheduler, listener, guest) end
end

local function ask(scheduler, address, count)
  local streams, right = {}, 0
  for i = 1, count do
    scheduler.spawn(function()
      local stream = assert(scheduler.connect(address, { wait = 20 }))
      assert(scheduler.send(stream, ("guest %d\n"):format(i)))
      assert(scheduler.receive(stream, "*l") == "guest " .. i, "another guest's line")
      streams[#streams + 1] = stream
      if #streams < count then return end
      for _, one in ipairs(streams) do
        if scheduler.send(one, "bye\n") and scheduler.receive(one, "*l") == "bye" then right = right + 1 end
        one:close()
      end
      print(("%d guests at once, %d answered"):format(count, right))
      scheduler.done = true
    end)
  end
end

return function(scheduler)
  if arg[1] == "serve" and arg[2] then
    serve(scheduler, arg[2])
  elseif arg[1] == "ask" and arg[2] then
    ask(scheduler, arg[2], tonumber(arg[3] or 100))
  else
    io.stderr:write(("usage: lua %s serve ADDRESS\n       lua %s ask ADDRESS [COUNT]\n"):format(arg[0], arg[0]))
    os.exit(2)
  end
  scheduler.run()
end
