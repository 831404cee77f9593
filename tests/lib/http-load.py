"""Requests of one file from a server on this machine, each compared with the file.
usage: http-load.py PORT FILE COUNT"""
import sys
import urllib.request

port, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
want = open(path, "rb").read()
good = 0
for _ in range(count):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path.split('/')[-1]}") as answer:
        good += answer.read() == want
print(f"{good} of {count}")
