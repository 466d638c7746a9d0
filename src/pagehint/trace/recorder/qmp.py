"""QEMU's QMP socket."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pagehint.errors import InputError

__all__ = ["Qmp", "socket_address"]

_TIMEOUT = 20.0
_LONGEST = 1 << 20
_LONGEST_ADDRESS = 107


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A Unix socket's path as the kernel takes it, of 107 bytes at the most: a longer one by its open folder."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Qmp:
    """A connection to QEMU's QMP socket, of 20 s at the most; a context manager. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._got = b""
        self._until = time.monotonic() + _TIMEOUT
        try:
            self._greet()
        except BaseException:
            self._socket.close()
            raise

    def _greet(self) -> None:
        try:
            self._socket.settimeout(_TIMEOUT)
            with socket_address(self._path) as address:
                self._socket.connect(address)
            greeting = self._read()
        except OSError as error:
            hint = f"is it QEMU's -qmp unix:{self._path},server=on?"
            raise InputError(f"{self._path}: {error.strerror or error}: {hint}") from None
        if "QMP" not in greeting:
            raise InputError(f"{self._path}: no QMP socket: it greets with {str(greeting)[:60]}")
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    # However it is split, or many others come before it: the next answer is there by then, or none is.
    def _read(self) -> dict[str, Any]:
        while b"\n" not in self._got and len(self._got) < _LONGEST:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
            data = self._socket.recv(1 << 16)
            if not data:
                break
            self._got += data
        line, _, self._got = self._got.partition(b"\n")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InputError(f"{self._path}: no QMP socket: it says {line[:60]!r}")
        return value

    @property
    def pid(self) -> int:
        """QEMU's process: who listens at the socket."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def execute(self, command: str, **arguments: Any) -> Any:
        """Execute a command; returns what QEMU does."""
        try:
            self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            while True:
                answer = self._read()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    said = answer["error"]
                    said = said.get("desc", said) if isinstance(said, dict) else said
                    raise InputError(f"{self._path}: {command}: {str(said)[:200]}")
        except OSError as error:
            raise InputError(f"{self._path}: {command}: {error}") from None

    def human(self, line: str) -> str:
        """What a command of QEMU's monitor prints."""
        return str(self.execute("human-monitor-command", **{"command-line": line}))
