"""Loads pagehint, and forks a process for each command that it is asked for: see `command`, which asks."""

import json
import os
import resource
import socket
import sys

import cyclopts  # noqa: F401
import pyarrow.compute
import pyarrow.parquet  # noqa: F401
import rich.console  # noqa: F401

import pagehint.cli.app
import pagehint.cli.main


def become(message: bytes, standard: list[int]) -> None:
    """In the child: what was asked for, where it was."""
    request = json.loads(message)
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, most in request["limits"]:
        resource.setrlimit(number, (most, most))
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]


def main() -> None:
    for name in pagehint.__all__:
        getattr(pagehint, name)
    requests = socket.socket(fileno=os.dup(0))
    while True:
        message, standard, *_ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            requests.close()
            become(message, standard)
            pagehint.cli.main.main()
            return
        for each in standard:
            os.close(each)
        requests.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


if __name__ == "__main__":
    main()
