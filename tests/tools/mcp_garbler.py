"""Stands between a server of tools and who attached it, and breaks what it answers to calls at random: for `test_fuzz_more`, started as a program."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

SERVER = Path(__file__).with_name("mcp_server.py")


def garbled(line: bytes, draw: random.Random) -> bytes:
    """The line cut, with another byte, with a value of another kind, as another's answer, twice, or none."""
    at = draw.randrange(len(line))
    ways = (line[:at], line[:at] + bytes([draw.randrange(256)]) + line[at + 1 :], b"", line, line + b"\n" + line, b"[" * 9999, b"null", b"\xff\xfe",
            line.replace(b'"content"', b'"contents"'), line.replace(b'"text"', b"7"), line.replace(b'"id":', b'"id":9'), line.replace(b'"42"', b"null"))  # fmt: skip
    return draw.choice(ways)


def main() -> None:
    draw = random.Random(13)
    with subprocess.Popen([sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None

        def forward() -> None:
            for line in sys.stdin.buffer:
                child.stdin.write(line)
                child.stdin.flush()
            child.stdin.close()

        threading.Thread(target=forward, daemon=True).start()
        for line in child.stdout:
            sys.stdout.buffer.write(garbled(line[:-1], draw) + b"\n" if b'"content"' in line else line)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
