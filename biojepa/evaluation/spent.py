"""Wall and processor time of a piece of work, so that a table can say what it took."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Time, seconds.

    Parameters
    ----------
    wall_s : float
        As a clock on the wall shows it; on a shared machine others' work is in it.
    cpu_s : float
        Of this process, summed over its threads.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0

    @classmethod
    def now(cls) -> Spent:
        """A point in time: two of them are subtracted."""
        return cls(time.perf_counter(), time.process_time())

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)
