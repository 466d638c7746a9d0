"""What the processes of test_shared.py run: importable by processes that are spawned."""

from multiprocessing.connection import Connection

import numpy as np

from pagehint.arena import Handle


def child_reads_and_writes(handle: Handle, pipe: Connection) -> None:
    array = np.frombuffer(handle.open(), np.uint32)
    pipe.send(int(array.sum()))
    array[:] = 7
    pipe.send("written")
    pipe.recv()


def child_holds(pipe: Connection) -> None:
    """Opens what it is sent, and tells what it finds whenever it is asked, until told to drop it."""
    view = pipe.recv().open()
    pipe.send("open")
    while pipe.recv() == "look":
        pipe.send((bytes(view[:4]), bytes(view[-4:]), view.readonly))
    view.release()
    pipe.send("dropped")
    pipe.recv()
