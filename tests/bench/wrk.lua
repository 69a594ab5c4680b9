-- Posts prepared requests, each with a fresh message id, and prints one line of figures. The file
-- holds either a template with @ID@, or whole requests divided by NUL.
local requests, number = {}, 0
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local template = file:read("*a")
  file:close()
  local headers = {["Content-Type"] = "text/xml; charset=utf-8", ["SOAPAction"] = '""'}
  if template:find("@ID@", 1, true) then
    for n = 1, tonumber(args[2]) do
      local body = template:gsub("@ID@", args[3] .. "-" .. id .. "-" .. n)
      requests[n] = wrk.format("POST", nil, headers, body)
    end
  else
    for body in template:gmatch("[^%z]+") do
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
    end
  end
end

function request()
  number = number + 1
  if requests[number] == nil then wrk.thread:stop() return requests[1] end
  return requests[number]
end

function done(summary, latency)
  io.write(string.format("FIGURES %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
