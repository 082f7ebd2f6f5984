"""Region series as numbered recordings: arrays of runs, recordings, stores, files.

Users have (time, region), the field's order; the model wants (region, time). Which axis is which is
never guessed from the shape of one run: a count of regions that is known (names, a fitted model) or
that is shared by all runs decides, and what contradicts it is an error that names the fix.

Letters: R regions, T frames, n runs.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from biojepa.data.recording import Recording
from biojepa.data.records import Records, StoreRecords
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError, DataError, PlausibilityWarning
from biojepa.fmri.preprocess import check_tr

Orientation = Literal["auto", "time-region", "region-time"]
MANY_REGIONS = 600  # ours: so many "regions" of a short run are more likely its frames


class SeriesRecords:
    """Runs in memory.

    Parameters
    ----------
    runs : list of Recording
        Values (R, T). Their `channels` name the regions; empty if nameless.
    """

    channels: tuple[str, ...] | None

    def __init__(self, runs: Sequence[Recording]) -> None:
        if not runs:
            raise DataError("expected at least 1 run, got 0")
        self.runs = list(runs)
        names = {run.channels for run in runs}
        self.channels = next(iter(names)) or None if len(names) == 1 else None

    def __len__(self) -> int:
        return len(self.runs)

    def length(self, index: int) -> tuple[int, float]:
        """Frames and rate (hertz) of a run."""
        return self.runs[index].n_times, self.runs[index].rate_hz

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (frames) and rates (hertz) that there are."""
        return {(run.n_times, run.rate_hz) for run in self.runs}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A run, or a piece of it, (R, T)."""
        run = self.runs[index]
        if start == 0 and stop is None:
            return run
        return Recording(run.values[:, start:stop], run.channels, run.rate_hz, run.unit)

    def identity(self, index: int) -> str:
        """Id of the run, or a hash of its values as float32."""
        run = self.runs[index]
        return run.record_id or "sha256:" + hashlib.sha256(_bytes(run)).hexdigest()[:24]

    def fingerprint(self) -> str:
        """Hash of the values, names and rates of all runs."""
        total = hashlib.sha256()
        for run in self.runs:
            total.update(json.dumps([run.rate_hz, run.channels]).encode())
            total.update(_bytes(run))
        return total.hexdigest()


def open_runs(
    X: Any,
    *,
    tr_s: float,
    regions: Sequence[str] | None,
    orientation: Orientation,
    known: Collection[int] = (),
) -> Records:
    """Open whatever a user passes as `X`.

    Parameters
    ----------
    X : list of arrays (T, R), array (n, T, R), list of Recording, SignalStore, or paths
        Runs may differ in length. Recordings, stores and images say their own repetition time.
    tr_s : float
        Repetition time of arrays, seconds.
    regions : sequence of str or None
        Names of the regions of arrays, in order.
    orientation : {"auto", "time-region", "region-time"}
        Of arrays.
    known : collection of int
        Numbers of regions that are right, of a fitted model.

    Returns
    -------
    Records

    Raises
    ------
    DataError
        If `X` is nothing of this, or its axes are the other way round.
    ConfigError
        If `orientation` is unknown.
    """
    if orientation not in get_args(Orientation):
        raise ConfigError(f"expected orientation in {get_args(Orientation)}, got {orientation!r}")
    if isinstance(X, str | PathLike) and (Path(X) / "manifest.json").is_file():
        X = SignalStore(X)
    if isinstance(X, SignalStore):
        return StoreRecords(X)
    if is_recordings(X):
        return SeriesRecords(X)
    if isinstance(X, str | PathLike) or (
        isinstance(X, list | tuple) and len(X) and isinstance(X[0], str | PathLike)
    ):
        from biojepa.fmri.files import open_paths  # which opens tables with this function

        return open_paths(X, tr_s=tr_s, regions=regions, orientation=orientation)
    check_tr(tr_s)
    arrays = _arrays(X)
    if regions is not None:
        known = {len(regions)}
    if orientation == "region-time":
        arrays = [a.T for a in arrays]
    _check_axes(arrays, orientation, known)
    names = tuple(regions) if regions is not None else ()
    if names and len(set(names)) != len(names):
        raise DataError("expected every region to be named once, got a name twice in regions=")
    return SeriesRecords([Recording(a.T, names, 1.0 / tr_s, unit="arbitrary") for a in arrays])


def is_recordings(X: Any) -> bool:
    """Whether X is a list of `Recording`."""
    return isinstance(X, list | tuple) and bool(len(X)) and isinstance(X[0], Recording)


def _arrays(X: Any) -> list[NDArray]:
    """Arrays of shape (T, R), real and not empty."""
    if isinstance(X, np.ndarray) and X.dtype != object and X.ndim != 3:
        raise DataError(
            f"expected an array of shape (runs, time, regions), got {X.shape}: pass one run as "
            "[run], a list of (time, regions) arrays"
        )
    if not isinstance(X, list | tuple | np.ndarray) or not len(X):
        raise DataError(
            "expected a list of arrays (time, regions), an array (runs, time, regions), a list of "
            f"Recording, a SignalStore or paths, got {type(X).__name__}"
            + ("" if isinstance(X, str) or not hasattr(X, "__len__") else f" of length {len(X)}")
        )
    arrays = [np.asarray(x) for x in X]
    for i, x in enumerate(arrays):
        if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fiu":
            raise DataError(
                f"expected real numbers of shape (time, regions), got {x.dtype} of shape {x.shape} "
                f"as run {i}"
            )
    return arrays


def _check_axes(
    arrays: Sequence[NDArray], orientation: Orientation, known: Collection[int]
) -> None:
    """Refuse what is the other way round, as far as it can be known."""
    turn = "time-region" if orientation == "region-time" else "region-time"
    if known:
        for i, x in enumerate(arrays):
            if x.shape[1] not in known:
                counts = " or ".join(map(str, sorted(known)))
                swapped = x.shape[0] in known
                fix = f"pass orientation={turn!r}"
                if not swapped:
                    fix = (
                        "for runs of another atlas pass its gradients= or orientation='time-region'"
                    )
                raise DataError(
                    f"expected runs of shape (time, {counts} regions), got {x.shape} as run {i}"
                    + (", the other way round" if swapped else "")
                    + f": {fix}"
                )
        return
    if orientation != "auto":
        return
    times, regions = ({x.shape[axis] for x in arrays} for axis in (0, 1))
    if len(regions) > 1 and len(times) == 1:
        raise DataError(
            f"expected runs of shape (time, regions) with the same regions, got {times.pop()} rows "
            f"in all and {min(regions)} to {max(regions)} columns: these look like (regions, "
            "time): pass orientation='region-time' (or 'time-region' if they are of several "
            "atlases)"
        )
    n_times, n_regions = max(times), max(regions)
    if n_regions > MANY_REGIONS and n_regions > 3 * n_times:
        warnings.warn(
            f"{n_times} frames of {n_regions} regions look like {n_times} regions the other way "
            "round: pass orientation='region-time' if so, 'time-region' if not",
            PlausibilityWarning,
            stacklevel=4,
        )


def _bytes(run: Recording) -> bytes:
    return np.ascontiguousarray(run.values, dtype="<f4").tobytes()
