# SPDX-License-Identifier: MIT
# usage: work.rb ROUNDS
require 'digest'; require 'json'; require 'set'
last = nil
ARGV[0].to_i.times do
  x = 7
  h = Hash.new { |a, k| a[k] = +'' }
  2000.times { x = (x * 1103515245 + 12345) % 2147483648; h["k#{x % 397}"] << (97 + x % 26) }
  s = JSON.generate(h.sort.to_h)
  n = s.scan(/a.{1,3}b/).size
  e = (1..60).map { |i| begin; raise ArgumentError, i.to_s if i.odd?; 0; rescue ArgumentError => err; err.message.to_i; ensure; x += 1; end }
  c = catch(:done) { 50.times { |i| throw :done, i if i == 33 } }
  f = Fiber.new { 200.times { |i| Fiber.yield i * i } ; -1 }
  fs = 0
  200.times { fs += f.resume }
  t = 6.times.map { |k| Thread.new { (1..300).inject(:+) * k } }.map(&:value)
  b = (1..120).inject(:*).to_s.size
  last = [Digest::SHA256.hexdigest(s), n, e.sum, c, fs, t, b, `echo hi`].inspect
  GC.start
end
puts last
exit 7
