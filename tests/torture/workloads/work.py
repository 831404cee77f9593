# SPDX-License-Identifier: MIT
# usage: work.py ROUNDS: a bit of everything, the same output each time
import json, re, hashlib, collections, sys, threading, random, zlib, pickle, decimal


def work():
    random.seed(5)
    def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
    out = [fib(16)]
    d = {str(i): [i, {"a": i / 7, "b": [None, True, "x" * (i % 50)]}] for i in range(600)}
    s = json.dumps(d, sort_keys=True, indent=1)
    out.append(hashlib.sha256(s.encode()).hexdigest())
    assert json.loads(s) == json.loads(json.dumps(d))
    out.append(len(re.findall(r'"(\w+)":\s*(\d+)', s)))
    c = collections.Counter(random.choice("abcdef") for _ in range(5000))
    out.append(sorted(c.items()))
    out.append(zlib.crc32(zlib.compress(pickle.dumps(d))))
    out.append(str(sum(decimal.Decimal(1) / decimal.Decimal(i) for i in range(1, 300))))
    def g(n):
        try:
            if n == 0: raise ValueError("deep")
            g(n - 1)
        finally:
            pass
    try: g(200)
    except ValueError as e: out.append(str(e))
    r = [0] * 8
    def t(k):
        for i in range(2000): r[k] += i * k
    ts = [threading.Thread(target=t, args=(k,)) for k in range(8)]
    [x.start() for x in ts]; [x.join() for x in ts]
    out.append(r)
    def gen():
        for i in range(3000): yield i
    out.append(sum(gen()))
    return out


for i in range(int(sys.argv[1])):
    result = work()
print(result)
sys.exit(7)
