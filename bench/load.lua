-- Requests for wrk, as they go over the wire. Arguments: a file with the requests, a zero byte between them, and a number.
-- They are sent in turn. Where a request has a byte of value 1, a number stands that no other request has.
-- The last line it prints is what was measured, as JSON.

local requests, number
local sent = 0

function init(arguments)
  requests = {}
  for text in io.open(arguments[1], "rb"):read("*a"):gmatch("[^%z]+") do
    local before, after = text:match("^(.-)\1(.*)$")
    table.insert(requests, { before or text, after })
  end
  number = tonumber(arguments[2])
end

function request()
  local one = requests[sent % #requests + 1]
  sent = sent + 1
  if one[2] then
    return one[1] .. string.format("%.0f", number + sent) .. one[2]
  end
  return one[1]
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '{"answers":%d,"bytes":%d,"seconds":%f,"failed":%d,"p50_ms":%f,"p99_ms":%f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
