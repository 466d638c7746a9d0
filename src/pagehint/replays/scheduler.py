"""A Dask scheduler's workers, for the runs of a study."""

import re
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from importlib.metadata import version

from pagehint.errors import InputError, printable
from pagehint.units import check_kind

__all__ = ["scheduler"]

_ADDRESS = re.compile(r"(tcp|tls)://\S+:\d{1,5}")
_ANSWERS_WITHIN = "5s"


@contextmanager
def scheduler(address: str) -> Iterator[Executor]:
    """An executor on the workers of the scheduler at ``tcp://HOST:PORT``, for ``study``, ``sweep`` and ``fleet``.

    Workers open recordings by themselves: at the same path, or by a URL. What a worker was at when it died is done by
    another. Raises InputError: without Dask, workers or a scheduler, or where four workers in a row die of one run.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise InputError("a scheduler needs Dask: pip install 'pagehint[dask]'") from None
    check_kind("address", address, str, "that of a Dask scheduler, such as tcp://10.0.0.1:8786")
    where = printable(address)
    if not _ADDRESS.fullmatch(address):
        raise InputError(f"{where[:80]}: expected the address of a Dask scheduler, such as tcp://10.0.0.1:8786")
    try:
        client = Client(address, timeout=_ANSWERS_WITHIN, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: no Dask scheduler answers: {printable(str(error))}") from None
    with client:
        _check_workers(where, client.run(_version))
        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            died = f"{error.allowed_failures + 1} workers died of one run"
            raise InputError(f"{where}: {died}: start workers with more memory") from None
        except CancelledError:
            raise InputError(f"{where}: the scheduler is gone, and the runs with it: start it again") from None


def _version() -> str:
    return version("pagehint")


def _check_workers(where: str, versions: dict[str, str]) -> None:
    if not versions:
        raise InputError(f"{where}: has no workers: start some, `dask worker {where}`")
    for worker, its in versions.items():
        if its != _version():
            raise InputError(f"{where}: {worker} has pagehint {its}, this is {_version()}: install the same")
