-- SPDX-License-Identifier: MIT
-- Calls for coroutines, that look as if they blocked: each tries, and where it would have to wait lets `pause(object)` give the turn to
-- others until the object may be ready. What an object waits for it says itself: getfd() or pollfd(), events() "r", "w" or "rw", timeout().
local virtsock = require "virtsock"

return function(pause)
  local await = {}

  -- The handshake of a multiplexer, and further attempts (`wait`), are steps of the connection.
  function await.connect(address, options)
    options = options or {}
    options.timeout = 0
    local stream, message, status = virtsock.connect_start(address, options)
    if not stream then return nil, message, status end
    while true do
      local done, word, _, why = stream:connect()
      if done then return stream end
      if word ~= "timeout" then
        stream:close()
        return nil, why, word
      end
      pause(stream)
    end
  end

  function await.accept(listener)
    while true do
      local stream, word, _, message = listener:accept()
      if stream then
        stream:settimeout(0)
        return stream
      end
      if word ~= "timeout" then return nil, word, nil, message end
      pause(listener)
    end
  end

  function await.receive(stream, pattern)
    local partial = ""
    while true do
      local data, word, part, message = stream:receive(pattern, partial)
      if data or word ~= "timeout" then return data, word, part, message end
      partial = part
      pause(stream)
    end
  end

  function await.send(stream, data)
    local sent = 0
    while true do
      local last, word, part, message = stream:send(data, sent + 1)
      if last or word ~= "timeout" then return last, word, part, message end
      sent = part
      pause(stream)
    end
  end

  return await
end
