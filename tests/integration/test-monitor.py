#!/usr/bin/env python3
# The keys of --monitor, on a terminal of the test's own.   usage: test-monitor.py UTRACE TRACEES
#
# Each step types something and reads the pictures until one shows what it must.
import os
import pty
import re
import select
import signal
import sys
import time

PATIENCE = 60  # seconds until a picture that does not come is a failure

number = failures = 0


def ok(good, what, remark=""):
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {what}", flush=True)
    if not good:
        for line in remark.splitlines():
            print("# " + line, flush=True)


class Monitor:
    """A run on a terminal: what it shows now is in the last picture."""

    def __init__(self, *command):
        self.seen = ""
        self.status = None
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(command[0], list(command))

    def read(self, seconds):
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:  # nobody has it open any more
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def pictures(self):
        return [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", p).replace("\r", "") for p in self.seen.split("\x1b[H")[1:]]

    def type(self, keys):
        self.seen = ""
        os.write(self.terminal, keys.encode())

    def shows(self, pattern, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if any(re.search(pattern, p, re.MULTILINE) for p in self.pictures()):
                ok(True, what)
                return
            if not self.read(1):
                break
        ok(False, what, "not seen: " + pattern + "\n" + (self.pictures() or [self.seen])[-1])

    def end(self):
        """what came after the last picture"""
        while self.read(PATIENCE):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.pictures()[-1] if self.pictures() else self.seen


def test_keys(utrace):
    m = Monitor(utrace, "run", "--monitor", "-Gnumber=7", "-e", """
        global number = 3, low = -4, text = "first", array, values
        probe begin { low = 10 text = "second" array["a"] = 5 values <<< 9 }
        probe timer.ms(10) { number++ if (number < 200) printf("line %d\\n", number) }
        probe timer.ms(15) { array["b"] = values <<< 1 }
        probe end { println("it was ", text) }""")
    m.shows(r"^ +0 on +1 .*begin$", "a probe and how often it ran")
    m.type("h")
    m.shows(r"^t  switch a probe off", "h: the keys")
    m.type(" ")
    m.shows(r"^globals", "... until the next")
    m.type("s")
    m.shows(r"probes by hits", "s: sorted by hits")
    m.shows(r"timer\.ms\(10\)\n(.*\n)*.*begin$", "... the busiest first")
    m.type("ssss")
    m.shows(r"probes by name", "... and by the other columns")
    m.type("s")
    m.shows(r"probes as in the script", "... and back")
    m.shows(r"^line 199$", "the newest output")
    m.type("uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu")
    m.shows(r"output\nline 8$", "u: the first output")
    m.type("\x1b[6~" * 40)
    m.shows(r"^line 199$", "page down: the last")
    m.type("t1\r")
    m.shows(r"^ +1 off +[0-9]", "t: a probe is off")
    m.type("r")
    m.shows(r"^number=7$", "r: the value of -G; what would count it is off")
    m.shows(r"^low=-4$", "... that of the declaration")
    m.shows(r'^text="first"$', "... a text")
    m.shows(r"^array\[\]: 1 entries$", "... an array holds only what came since")
    m.type("t1\r")
    m.shows(r"^ +1 on +[0-9]", "t: on again")
    m.shows(r"^number=[89]|^number=[1-9][0-9]", "... and it counts on")
    m.type("t99\r")
    m.shows(r"^ +1 on +[0-9]", "an index that no probe has changes nothing")
    m.type("t1\x1b")
    m.shows(r"^ +1 on +[0-9]", "nor does what another key ends")
    m.type("p")
    m.shows(r"\(held\)", "p: the picture is held")
    m.type("q")
    ok("it was first" in m.end(), "q ends the run, with its end probes")
    ok(m.status == 0, "... with its status")


def test_target(utrace, counter):
    """probes inside a program: an entry and a return with a saved value"""
    for mode in "auto", "ptrace":
        m = Monitor(utrace, "run", "--monitor", f"--mode={mode}", "-c", f"{counter} 1 1000000000000", "-e", """
            global entries, returns, wrong
            probe process.function("leaf") { entries++ }
            probe process.function("leaf").return { returns++ if (@entry(long_arg(1)) != @entry(long_arg(1))) wrong++ }
            probe end { println("wrong ", wrong) }""")
        m.shows(r"^ +1 on +[1-9].*\.return$", f"{mode}: a return probe runs")
        m.type("t0\rt1\r")
        m.shows(r"^ +0 off(.*\n)+ +1 off", "... and is switched off, with that of the entry")
        m.type("r")
        m.shows(r"^entries=0\n(.*\n)*returns=0$", "... so that nothing is counted any more")
        m.type("t1\r")
        m.shows(r"^entries=0\n(.*\n)*returns=[1-9]", "... on again: only it counts")
        os.kill(int(re.search(r"target (\d+)", m.pictures()[-1])[1]), signal.SIGTERM)
        ok("wrong 0" in m.end(), "... and the values of entries are the right ones")


def main():
    utrace, tracees = sys.argv[1:]
    os.environ["TERM"] = "xterm"
    signal.alarm(600)
    test_keys(utrace)
    test_target(utrace, os.path.join(os.path.realpath(tracees), "counter"))
    print(f"1..{number}")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
