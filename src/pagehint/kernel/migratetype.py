"""Migratetypes: what kind of pages a pageblock, or a free list, holds (docs/spec/1, section 1)."""

import enum

__all__ = ["MIGRATE_TYPES", "Migratetype"]


class Migratetype(enum.IntEnum):
    """What kind of pages a pageblock, or a free list, holds (docs/spec/1, section 1)."""

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    ISOLATE = 4


MIGRATE_TYPES = len(Migratetype)
