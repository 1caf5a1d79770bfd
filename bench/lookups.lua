-- The load of lookups.py for wrk. Arguments: the kind of load, how many names there are, the query as JSON text.
-- The last line it prints is what was measured, as JSON.

local kind, names, query
local asked = 0

function init(arguments)
  kind, names, query = arguments[1], tonumber(arguments[2]), arguments[3]
  if kind ~= "floor" then
    wrk.method = "POST"
    wrk.headers["content-type"] = "application/json"
  end
end

function request()
  local name = string.format("artifact-%04d", kind == "repeated" and 0 or asked % names)
  asked = asked + 1
  if kind == "floor" then
    return wrk.format(nil, "/" .. name)
  end
  return wrk.format(nil, "/graphql", nil, '{"query":' .. query .. ',"variables":{"n":"' .. name .. '"}}')
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '{"answers":%d,"seconds":%f,"failed":%d,"p50_ms":%f,"p99_ms":%f}\n',
    summary.requests, summary.duration / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
