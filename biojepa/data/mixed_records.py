"""Several sets of records under one numbering, such as ten databases in ten stores."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from biojepa.data.recording import Recording
from biojepa.data.records import Records, StoreRecords
from biojepa.errors import ConfigError


class MixedRecords:
    """Records of several parts, one part after the other.

    Parameters
    ----------
    parts : sequence of Records
        Each with its own rates, lengths and channels.
    names : sequence of str
        Of the parts; an id of a record is `name:id`, since parts may use the same ids.

    Attributes
    ----------
    channels : tuple of str or None
        Of the first part; every record names its own.
    sizes : tuple of int
        Records of each part.

    Raises
    ------
    ConfigError
        If there are no parts, or two have one name.
    """

    def __init__(self, parts: Sequence[Records], names: Sequence[str]) -> None:
        if not parts or len(set(names)) != len(parts):
            raise ConfigError(
                f"expected a name of its own for each of {len(parts)} sets of records, got "
                f"{', '.join(names)}"
            )
        self.parts, self.names = tuple(parts), tuple(names)
        self.sizes = tuple(len(part) for part in parts)
        self.channels = parts[0].channels
        self._ends = list(accumulate(self.sizes))

    def __len__(self) -> int:
        return self._ends[-1]

    def locate(self, index: int) -> tuple[int, int]:
        """The part of a record, and its index there."""
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate of a record."""
        part, inside = self.locate(index)
        return self.parts[part].length(inside)

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        return set().union(*(part.lengths() for part in self.parts))

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it."""
        part, inside = self.locate(index)
        return self.parts[part].read(inside, start, stop)

    def identity(self, index: int) -> str:
        """Name of the part and id of the record."""
        part, inside = self.locate(index)
        return f"{self.names[part]}:{self.parts[part].identity(inside)}"

    def fingerprint(self) -> str:
        """Hash over the names and fingerprints of the parts, in order."""
        found = [[n, p.fingerprint()] for n, p in zip(self.names, self.parts, strict=True)]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def database_of(records: Records) -> str | None:
    """Name of the public database that a store was prepared from; None for anything else."""
    if not isinstance(records, StoreRecords):
        return None
    note = records.store.recipe.get("database")
    name = note.get("name") if isinstance(note, dict) else None
    return name if isinstance(name, str) else None


def part_names(parts: Sequence[Records]) -> list[str]:
    """A name for each part: that of its database, or of its folder; numbered if it is taken."""
    names: list[str] = []
    for number, part in enumerate(parts, start=1):
        folder = part.store.path.name if isinstance(part, StoreRecords) else "records"
        name = database_of(part) or folder
        names.append(f"{name}#{number}" if name in names else name)
    return names
