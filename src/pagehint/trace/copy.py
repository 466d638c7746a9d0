"""A bundle made of another one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pagehint.trace.bundle import Trace
from pagehint.trace.meta import Meta
from pagehint.trace.snapshot import END, KPAGEFLAGS, LOOK, START, TEXTS
from pagehint.trace.writer import TraceWriter

__all__ = ["copy_bundle"]


@contextmanager
def copy_bundle(trace: Trace, output: Path) -> Iterator[tuple[TraceWriter, Meta]]:
    """A writer of `output` that has the recording's events, marks and snapshots, and its Meta: without what a host saw.

    O(events). Raises InputError.
    """
    with TraceWriter(output) as writer:
        for time, text in trace.mark_texts:
            writer.add_mark(time, text)
        looks = sorted(path for path in trace.path.iterdir() if LOOK.fullmatch(path.name) and path.is_dir())
        folders = [trace.path / START, *looks]
        folders += [trace.path / END] if trace.final_snapshot is not None else []
        for folder in folders:
            files = {each: path for each in TEXTS if (path := folder / f"{each}.txt").exists()}
            if (path := folder / KPAGEFLAGS).exists():
                files["kpageflags"] = path
            if files:
                writer.add_snapshot(files, folder.name)
        for batch in trace.batches():
            writer.add_events(batch)
        yield writer, trace.meta
