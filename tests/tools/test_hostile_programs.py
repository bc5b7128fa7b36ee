"""Programs that want out, on, or up: each must end in a named result in time, see no secret, and leave the sandbox as it found it.

Against both sandboxes. A program's table says how it may end in either; "done" is among them only where what it did was harmless.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from thinkery.tools.python import Result, Sandbox, lacking, run

SECONDS = 0.3
SECRET = "open-sesame-7731"
E, L, U, D = "error", "limit", "unsupported", "done"

# name: (program, how it may end in monty, how in CPython)
PROGRAMS = {
    # without end
    "loop": ("while True: pass", L, L),
    "loop that catches all": ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", L, L),
    "loop in finally": ("try:\n  1 / 0\nfinally:\n  while True: pass", L, L),
    "loop in C": ("sum(x for x in iter(int, 1))", L + U, L),
    "endless range": ("sum(range(10 ** 12))", L, L),
    "endless string search": ("'a' * 10 ** 6 in ('a' * (10 ** 6 - 1) + 'b') * 50", L + D, L + D),
    "sleep": ("import time\ntime.sleep(10 ** 6)", D, D),
    "wait for the clock": ("import time\nt = time.time()\nwhile time.time() < t + 1: pass", L, L),
    "wait for input": ("while True:\n  try:\n    input()\n  except Exception: pass", L + U, L),
    "regular expression bomb": ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", L + E + D, L),
    "regular expression bomb with alternatives": ("import re\nre.match('(a|aa|a)*c', 'a' * 60)", L + E + D, L),
    "sorting with a hostile key": ("def key(x):\n  while True: pass\nsorted([2, 1], key=key)", L, L),
    "printing an object that never ends": ("class A:\n  def __repr__(self):\n    while True: pass\nA()", L + D, L),
    "an endless generator": ("def g():\n  while True: yield 1\nlist(g())", U, L),
    "recursion without stack": ("f = lambda: None\nwhile f is not None: f = (lambda g: lambda: g)(f)", L, L),
    # memory
    "a list": ("x = [0] * 10 ** 10", L, L),
    "a string that doubles": ("x = 'x'\nwhile True: x += x", L, L),
    "a string of enormous length": ("'x' * 10 ** 11", L, L),
    "bytes": ("bytearray(10 ** 11)", L + U, L),
    "a list in itself, grown": ("x = []\nwhile True: x.append([x] * 1000)", L, L),
    "a dict that grows": ("d = {}\nwhile True: d[len(d)] = 'x' * 1000", L, L),
    "a product": ("import itertools\nlist(itertools.product(range(1000), repeat=10))", L + U, L),
    "huge powers": ("9 ** 9 ** 9", L, L),
    "huge shifts": ("1 << 10 ** 12", L, L),
    "huge factorials": ("import math\nmath.factorial(10 ** 8)", L, L),
    "squares": ("x = 3\nwhile True: x = x * x", L, L),
    "a huge number as text": ("str(10 ** 5000)", E + D, E),
    "a format that pads": ("'%*d' % (10 ** 11, 1)", L + E + U, L + E),
    "an f-string that pads": ("f'{1:>{10 ** 11}}'", L + E + U, L + E),
    "joined": ("'x'.join(['y' * 10 ** 6] * 10 ** 6)", L, L),
    "replaced": ("'a' * 10 ** 6\nx = 'a' * 10 ** 6\nx.replace('a', x)", L, L),
    "a zip bomb": ("import zlib\nx = zlib.compress(b'0' * 10 ** 8)\nfor _ in range(200): y = zlib.decompress(x) * 20", U, L),
    "a bomb of entities": ("x = 'lol'\nfor _ in range(60): x = x * 10\nlen(x)", L, L),
    # depth
    "recursion": ("def f(): return f()\nf()", L, L),
    "recursion, mutual": ("def f(): return g()\ndef g(): return f()\nf()", L, L),
    "recursion with the limit raised": ("import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x): return [f(x)]\nf(1)", U + E, L + E),
    "recursion in C": ("import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n  def __repr__(s): return repr(s)\nrepr(A())", U + E, L + E),
    "nested lists": ("x = []\nfor _ in range(10 ** 5): x = [x]\nrepr(x)", L + D + E, L),
    "nested brackets": ("[" * 5000 + "]" * 5000, E + L, E + L),
    "nested calls": ("(" * 150 + "1" + ")" * 150, E + D, D),
    "a sum of many terms": ("+".join(["1"] * 20_000), E + D + L, E + D + L),
    "json of great depth": ("import json\njson.loads('[' * 10 ** 5)", E + L, E + L),
    # output
    "printing": ("while True: print('x' * 1000)", L, L),
    "printing little": ("while True: print()", L, L),
    "one enormous line": ("print('x' * 10 ** 7)", L, L),
    "writing beside print": ("import os\nwhile True: os.write(1, b'x' * 1000)", U, L),
    "an enormous value": ("'x' * 10 ** 7", D, D),
    "an enormous error": ("raise ValueError('x' * 10 ** 7)", E, E),
    "an error that cannot be said": ("class A(Exception):\n  def __str__(s): return s.missing\nraise A()", U, E),
    "no text": ("chr(0xd800)", E + D, D),
    "NULs and escapes": ("print('\\x00\\x1b[2J\\u202e')", D, D),
    # ending things
    "exit": ("exit()", E, E),
    "sys.exit": ("import sys\nsys.exit(0)", E, E),
    "os._exit": ("import os\nos._exit(0)", U, E),
    "abort": ("import os\nos.abort()", U, E),
    "a crash": ("import ctypes\nctypes.string_at(0)", U, E),
    "SIGKILL to itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", U + E, U),
    "SIGKILL to the parent": ("import os\nos.kill(os.getppid(), 9)", U + E, U),
    "SIGKILL to all": ("import os\nos.kill(-1, 9)", U + E, U),
    "SIGSTOP by an alarm": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nwhile True: pass", U, E + L),
    "signals ignored": ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", U, L),
    "a signal by way of a pipe": (
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 8, os.getppid())\nfcntl.fcntl(r, 10, 9)\n"
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)\nos.write(w, b'x')\nwhile True: pass",
        U,
        L,
    ),
    "the parent's limits": ("import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))", U, U),
    # processes and threads
    "fork": ("import os\nos.fork()", U, U),
    "fork bomb": ("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", U, L),
    "fork by ctypes": ("import ctypes\n[ctypes.CDLL(None).fork() for _ in range(100)] == [-1] * 100 or fail", U, D),
    "shell": ("import os\nprint(os.popen('cat /etc/passwd').read())", U, U),
    "subprocess": ("import subprocess\nsubprocess.run(['ls', '/'])", U, U),
    "system by ctypes": ("import ctypes\nctypes.CDLL(None).system(b'kill -9 -1') == 0 and fail", U, D),
    "exec": ("import os\nos.execv('/usr/bin/env', ['env'])", U, U),
    "processes": ("import multiprocessing as m\nm.Process(target=print).start()", U, U),
    "threads": (
        "import threading\ndef f():\n  while True: pass\nfor _ in range(10 ** 5): threading.Thread(target=f).start()",
        U,
        L + E,
    ),
    "a thread that outlives its program": (
        "import threading\ndef f():\n  while True: pass\nthreading.Thread(target=f).start()",
        U,
        D + L,
    ),
    # the machine
    "a file": ("print(open('/etc/passwd').read())", E, E),
    "the environment": ("import os\nprint(dict(os.environ))", E + D + U, D),
    "another's environment": ("print(open('/proc/self/environ').read())", E, E),
    "the parent's memory": ("import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').read(1)", U + E, E),
    "a folder": ("import os\nprint(os.listdir('/root'))", E + U, E + D),
    "walking": ("import os\nfor a, b, c in os.walk('/'):\n  if '.ssh' in b: fail", U + E + D, L + D),
    "pathlib": ("import pathlib\nprint(pathlib.Path('/etc/shadow').read_text())", E, E),
    "writing": ("open('/tmp/mark', 'w').write('x')", E, E + U),
    "writing to memory files": ("open('/dev/shm/mark', 'w').write('x')", E, U),
    "memory files": ("import os\nos.memfd_create('x')", U, U),
    "a terminal": ("print(open('/dev/tty').read())", E, E),
    "a disk": ("import os\nos.mknod('/dev/sda')", U + E, U + E),
    "mounting": ("import ctypes\nctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, b'') == 0 and fail", U, D),
    "another namespace": ("import ctypes\nctypes.CDLL(None).unshare(0x10000000) == 0 and fail", U, D),
    "tracing": ("import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0 and fail", U, D),
    "many files": ("import os\nx = [os.open('/dev/null', 0) for _ in range(10 ** 6)]", U, E),
    "a socket": ("import socket\nsocket.socket()", U, U),
    "the web": ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')", U, U + E),
    "a raw system call": ("import ctypes\nctypes.CDLL(None).syscall(41, 2, 1, 0) == -1 or fail", U, D),
    # the interpreter
    "eval of nothing good": ('eval(\'__import__("os").system("id")\')', E + U, D + U),
    "the class ladder": ("().__class__.__bases__[0].__subclasses__()", E + U, D),
    "the frame above": ("import sys\nprint(sys._getframe(5).f_globals)", U + E, E + D),
    "what the collector knows": ("import gc\nprint([o for o in gc.get_objects() if isinstance(o, dict) and 'SECRET' in o])", U, D),
    "built-ins replaced": ("import builtins\nbuiltins.repr = builtins.str = builtins.len = builtins.isinstance = None", U + E, D + E),
    "exit replaced": ("import json, os\nos._exit = os.write = json.dumps = None", U + E, D),
    "modules gone": ("import sys\nsys.modules.clear()", U + E + D, D),
    "output closed": ("import sys\nsys.stdout.close()", U + E + D, D),
    "a pickle": ("import pickle\npickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")", U, D + U),
    "a hostile answer": ('import os\nos.write(4, b\'{"ended": "broken"}\')\nos._exit(0)', U, E),
    "an answer of depth": ("import os\nos.write(4, b'[' * 500000)\nos._exit(0)", U, E),
    "an answer without end": ("import os\nwhile True: os.write(4, b'x' * 1000)", U, L),
    "all pipes closed": ("import os\nos.closerange(0, 64)", U + E, E),
    "code too long": ("pass\n" * 100_000, L, L),
    "no code": ("\x00", E, E),
    "no characters": ("\ud800", E, E),
    "invisible characters": ("x = 1\u202e\u2066 # \u2069", E, E),
}
ENDINGS = {name: {"monty": monty, "cpython": cpython} for name, (_, monty, cpython) in PROGRAMS.items()}


@pytest.fixture(autouse=True, scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What no program may see: a file, and a variable of the environment that the sandboxes are started in."""
    place = tmp_path_factory.mktemp("secret") / "secret.txt"
    place.write_text(SECRET)
    os.environ["THINKERY_TEST_SECRET"] = SECRET
    return place


@pytest.fixture(params=["monty", "cpython"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Either, where it is."""
    if request.param == "cpython" and lacking():
        pytest.skip(f"no CPython in a jail here: {lacking()}")
    return request.param


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_ends_in_a_named_result(name: str, sandbox: Sandbox) -> None:
    began = time.monotonic()
    endings = ENDINGS[name][sandbox]
    found = run(PROGRAMS[name][0], seconds=SECONDS if L in endings else 10.0, sandbox=sandbox)
    assert time.monotonic() - began < 20
    assert found.ended in endings, found
    assert bool(found.error) == (found.ended != "done")
    assert "'fail'" not in found.error
    for text in (found.output, found.value or "", found.error):
        assert SECRET not in text and "root:x:0" not in text
        assert len(text) <= 100_000
        text.encode()
    assert run("1 + 1", sandbox=sandbox) == Result("done", "2")


def test_a_secret_on_the_machine_is_out_of_reach(sandbox: Sandbox, secret: Path) -> None:
    for code in (f"open({str(secret)!r}).read()", f"open({str(secret)!r}, 'w').write('')", f"import os\nos.remove({str(secret)!r})"):
        assert run(code, sandbox=sandbox).ended in ("error", "unsupported")
    assert secret.read_text() == SECRET


def test_nothing_is_left_running(sandbox: Sandbox) -> None:
    """Jails hold their two processes (bubblewrap's and the server), and no program."""
    for code in (PROGRAMS["fork bomb"][0], PROGRAMS["threads"][0]):
        run(code, seconds=SECONDS, sandbox=sandbox)
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if readable(p)]
    servers = [line for line in lines if b"jailed.py" in line and not line.startswith(b"bwrap")]
    jails = [line for line in lines if line.startswith(b"bwrap")]
    assert len(servers) * 2 == len(jails)


def readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
