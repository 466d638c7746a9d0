"""The command as a process of its own, with its screen, its files and its status: forked off one that has loaded the
package, where each would load it anew, which takes longer than most of what the tests have it do.
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

COMMAND = (sys.executable, "-m", "pagehint")
_SERVER = Path(__file__).with_name("command_server.py")


def pagehint(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """What the command printed, and its status."""
    done = said(*arguments, **more)
    texts = [text.decode().replace("\r\n", "\n") for text in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)


def said(
    *arguments: object,
    width: int = 100,
    given: bytes = b"",
    cwd: Path | None = None,
    limits: Mapping[int, int] = MappingProxyType({}),
) -> subprocess.CompletedProcess[bytes]:
    """The same, in bytes; `given` is on its standard input, and `limits` are its own, by the numbers of `resource`."""
    words = [str(argument) for argument in arguments]
    standard = [os.memfd_create(name) for name in ("given", "printed", "said")]
    try:
        os.pwrite(standard[0], given, 0)
        request = {
            "arguments": words,
            "environment": {**os.environ, "COLUMNS": str(width)},
            "cwd": str(cwd or Path.cwd()),
            "limits": list(limits.items()),
        }
        server = _server()
        socket.send_fds(server, [json.dumps(request).encode()], standard)
        status = int(server.recv(16))
        printed = [os.pread(each, os.fstat(each).st_size, 0) for each in standard[1:]]
    finally:
        for each in standard:
            os.close(each)
    return subprocess.CompletedProcess(words, status, *printed)


@functools.cache
def _server() -> socket.socket:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([sys.executable, str(_SERVER)], stdin=theirs.fileno())
    theirs.close()

    def end() -> None:
        mine.close()
        process.wait()

    atexit.register(end)
    return mine
