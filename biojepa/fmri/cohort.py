"""People with runs of one atlas, and what is known of them: what the fMRI benchmark is run on.

Letters: n runs, R regions, T frames.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biojepa.data.recording import Recording
from biojepa.errors import DataError


@dataclass(frozen=True, eq=False)
class BrainCohort:
    """Runs of one atlas, one a subject or several, and a table of the subjects.

    Parameters
    ----------
    name : str
        Short, for files.
    title : str
        For people.
    runs : tuple of Recording
        Values (R, T) in any unit; `subject_id` is set.
    table : DataFrame
        One row a run, in their order; columns such as `age` (years), `sex`, `site`; NaN or None
        where unknown.
    simulated : bool
    """

    name: str
    title: str
    runs: tuple[Recording, ...]
    table: pd.DataFrame
    simulated: bool = False

    def __post_init__(self) -> None:
        if len(self.table) != len(self.runs):
            raise DataError(f"expected a row a run, got {len(self.table)} for {len(self.runs)}")
        if any(run.subject_id is None for run in self.runs):
            raise DataError(f"expected the subject of every run of {self.name}, got runs without")
        if len({len(run.values) for run in self.runs}) != 1:
            raise DataError(f"expected runs of one atlas in {self.name}, got several")

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Subject of each run, shape (n,)."""
        return np.array([str(run.subject_id) for run in self.runs])

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions; empty if they have none."""
        return self.runs[0].channels

    def column(self, name: str) -> NDArray:
        """A column of the table, shape (n,).

        Raises
        ------
        DataError
            If there is none of this name.
        """
        if name not in self.table:
            known = ", ".join(map(str, self.table))
            raise DataError(f"expected a column {name!r} of {self.name}, it has {known}")
        return self.table[name].to_numpy()

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> BrainCohort:
        """Some of the runs."""
        places = [int(i) for i in rows]
        table = self.table.iloc[places].reset_index(drop=True)
        runs = tuple(self.runs[i] for i in places)
        return BrainCohort(self.name, self.title, runs, table, self.simulated)

    def fingerprint(self) -> str:
        """Hash of series, repetition times, subjects and table."""
        total = hashlib.sha256(self.table.to_csv(index=False).encode())
        for run in self.runs:
            head = [run.subject_id, run.rate_hz, list(run.channels), list(run.values.shape)]
            total.update(json.dumps(head).encode())
            total.update(np.ascontiguousarray(run.values, dtype="<f4").tobytes())
        return total.hexdigest()
