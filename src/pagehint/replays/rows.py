"""Replays as rows of Arrow tables: for Spark, Ray and whatever else maps tables to tables."""

import types
from typing import get_args, get_type_hints

import pyarrow as pa

from pagehint.errors import InputError
from pagehint.replays.plan import plans_of
from pagehint.replays.recording import recording_of
from pagehint.replays.run import Totals, vars_of
from pagehint.replays.study import Ground, Task, ground_of
from pagehint.units import shown

__all__ = ["TOTALS_SCHEMA", "replay_rows"]

_TYPES = {int: pa.int64(), float: pa.float64()}
_WANTED = ("recording", "design", "settings")


def _arrow_type(hint: object) -> pa.DataType:
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next(_TYPES[kind] for kind in kinds if kind in _TYPES)


TOTALS_SCHEMA = pa.schema([(name, _arrow_type(hint)) for name, hint in get_type_hints(Totals).items()])
"""The columns that ``replay_rows`` adds."""


def replay_rows(rows: pa.Table, ground: Ground | None = None) -> pa.Table:
    """The rows and their totals: each ``recording`` (a path or URL) replayed with its ``design`` and ``settings``.

    ``settings`` is a struct, or a map of texts; what is null in it, or not there, is as the recorded guest had it, or
    the design's default. Other columns stay as they are. The rows are replayed one after the other, in this thread:
    what calls this has others. A process opens each recording once as long as its rows are next to each other. Raises
    InputError.
    """
    if not isinstance(rows, pa.Table):
        raise InputError(f"rows {shown(rows)}: expected a pyarrow Table")
    for name in _WANTED:
        if (found := rows.column_names.count(name)) != 1:
            raise InputError(f"rows have {found or 'no'} column {name!r}: expected one each of {', '.join(_WANTED)}")
    kind = rows.schema.field("settings").type
    if not (pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_null(kind)):
        raise InputError(f"rows have settings of type {kind}: expected a struct, or a map of texts")
    taken = [name for name in rows.column_names if name in TOTALS_SCHEMA.names]
    if taken:
        raise InputError(f"rows have a column {taken[0]!r} already: rename it")
    shared = ground_of(ground)
    found = [
        vars_of(_task(row["recording"], row["design"], dict(row["settings"] or {}), shared).run_once().totals)
        for row in rows.select(_WANTED).to_pylist()
    ]
    totals = pa.Table.from_pylist(found, TOTALS_SCHEMA)
    for name in TOTALS_SCHEMA.names:
        rows = rows.append_column(TOTALS_SCHEMA.field(name), totals.column(name))
    return rows


def _task(recording: str, design: str, settings: dict[str, object], ground: Ground) -> Task:
    opened = recording_of(recording)
    given = {name: [value] for name, value in settings.items() if value is not None}
    (plan,) = plans_of(opened, [design], given)
    return Task(opened, plan, ground)
