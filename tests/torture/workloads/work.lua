-- SPDX-License-Identifier: MIT
-- usage: work.lua ROUNDS
local last
for round = 1, tonumber(arg[1]) do
	local x, h = 7, {}
	for i = 1, 4000 do
		x = (x * 16807) % 2147483647
		local k = "k" .. string.format("%d", x % 397)
		h[k] = (h[k] or "") .. string.char(97 + x % 26)
	end
	local keys = {}
	for k in pairs(h) do keys[#keys + 1] = k end
	table.sort(keys)
	local parts = {}
	for _, k in ipairs(keys) do parts[#parts + 1] = k .. "=" .. h[k] end
	local s = table.concat(parts, ";")
	local _, n = s:gsub("a..?b", "X")
	local e = 0
	for i = 1, 200 do
		local good, err = pcall(function() if i % 2 == 1 then error({code = i}) end end)
		if not good then e = e + err.code end
	end
	local co = coroutine.wrap(function() for i = 1, 500 do coroutine.yield(i * i) end end)
	local c = 0
	for i = 1, 500 do c = c + co() end
	local function fib(k) if k < 2 then return k end return fib(k - 1) + fib(k - 2) end
	last = table.concat({#s, n, e, c, fib(16)}, ",")
	collectgarbage()
end
print(last)
os.exit(7)
