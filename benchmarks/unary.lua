-- The closed unary loop for wrk: one request built per credential beforehand, one drawn at random each time.
-- wrk ... -- BODY_FILE [KEYS_FILE]

local requests = {}

function init(args)
  local body = io.open(args[1]):read("*a")
  local keys = { "sk-bench" }
  if args[2] then
    keys = {}
    for key in io.lines(args[2]) do keys[#keys + 1] = key end
  end
  for index, key in ipairs(keys) do
    requests[index] = wrk.format("POST", "/v1/chat/completions", {
      ["Content-Type"] = "application/json",
      ["Authorization"] = "Bearer " .. key,
    }, body)
  end
  math.randomseed(1)
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency, _)
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
