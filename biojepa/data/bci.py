"""Recordings of a brain-computer interface: continuous runs with marked trials, and trials of them.

Runs of all sources are brought to one rate and band before trials are cut, so that filters have no
edges inside a trial. Trials of one run stand on one side of a split; the parts of a single long run
are blocks that follow each other in time.

Letters: n trials, C channels, T samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biojepa.data.conditioning import filtered, resampled
from biojepa.errors import DataError

RATE_HZ = 128.0  # of Signal-JEPA; of all rows of a benchmark
BAND_HZ = (0.5, 45.0)  # below both lines, above the second harmonic of the fastest flicker here


@dataclass(frozen=True)
class BCIRun:
    """A continuous recording with the starts of its trials.

    Parameters
    ----------
    subject, name : str
    values : ndarray of float32, shape (C, T)
        Microvolt, or arbitrary.
    onsets : ndarray of int, shape (n,)
        Samples, ascending.
    labels : tuple of str
        Of each trial.
    """

    subject: str
    name: str
    values: NDArray[np.float32]
    onsets: NDArray[np.int64]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class BCIRecordings:
    """Runs of some people on the same channels.

    Parameters
    ----------
    title : str
    runs : tuple of BCIRun
    channels : tuple of str
    units : {"uV", "arbitrary"}
    sha256 : mapping of file to str
        Of the files that were read.
    rate_hz : float
    simulated : bool
    """

    title: str
    runs: tuple[BCIRun, ...]
    channels: tuple[str, ...]
    units: str = "uV"
    sha256: Mapping[str, str] | None = None
    rate_hz: float = RATE_HZ
    simulated: bool = False

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of all runs, sorted."""
        return tuple(sorted({run.subject for run in self.runs}))

    def pick(self, channels: Iterable[str]) -> BCIRecordings:
        """The same with these channels only.

        Raises
        ------
        DataError
            If one is not there.
        """
        names = tuple(channels)
        missing = [name for name in names if name not in self.channels]
        if missing or not names:
            raise DataError(
                f"expected channels of {', '.join(self.channels)}, got {', '.join(missing)}"
            )
        rows = [self.channels.index(name) for name in names]
        runs = tuple(
            BCIRun(r.subject, r.name, r.values[rows], r.onsets, r.labels) for r in self.runs
        )
        return BCIRecordings(
            self.title, runs, names, self.units, self.sha256, self.rate_hz, self.simulated
        )

    def pieces(self, seconds: float) -> dict[str, NDArray[np.float32]]:
        """Each person's recordings cut into pieces (n, C, T), for pretraining without labels."""
        n_times = round(seconds * self.rate_hz)
        found: dict[str, list[NDArray[np.float32]]] = {}
        for run in self.runs:
            count = run.values.shape[1] // n_times
            whole = run.values[:, : count * n_times].reshape(len(self.channels), count, n_times)
            found.setdefault(run.subject, []).append(whole.transpose(1, 0, 2))
        return {subject: np.concatenate(parts) for subject, parts in found.items()}


@dataclass(frozen=True)
class Trials:
    """Labelled trials.

    Parameters
    ----------
    X : ndarray of float32, shape (n, C, T)
    y : ndarray of int, shape (n,)
        Index into `classes`.
    subject, block : ndarray of str, shape (n,)
        Trials of one subject's block stand on one side of a split.
    classes : tuple of str
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    subject: NDArray[np.str_]
    block: NDArray[np.str_]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def fingerprint(self) -> str:
        """Hash of signals, labels, subjects, blocks and class names."""
        total = hashlib.sha256("\n".join(self.classes).encode())
        total.update(np.ascontiguousarray(self.X, dtype="<f4").tobytes())
        total.update(np.ascontiguousarray(self.y, dtype="<i8").tobytes())
        total.update("\n".join([*self.subject.tolist(), *self.block.tolist()]).encode())
        return total.hexdigest()


def condition(values: NDArray, rate_hz: float) -> NDArray[np.float32]:
    """A whole run (C, T) at the common rate and band."""
    x = resampled(np.asarray(values, dtype=np.float64), rate_hz, RATE_HZ, "poly")
    return filtered(x, BAND_HZ, RATE_HZ).astype(np.float32)


def cut_trials(
    recordings: BCIRecordings,
    classes: Mapping[str, Iterable[str]],
    *,
    start_s: float,
    n_times: int,
    n_blocks: int = 1,
) -> Trials:
    """Cut trials of the named classes.

    Parameters
    ----------
    recordings : BCIRecordings
    classes : mapping of class to labels of the runs
        Trials of other labels are left out, as are those beyond the end of a run.
    start_s : float
        After the onset, seconds.
    n_times : int
        Samples of a trial.
    n_blocks : int
        Parts that each run is divided into, in the order of time.

    Returns
    -------
    Trials

    Raises
    ------
    DataError
        If a class has no trial.
    """
    code = {label: k for k, labels in enumerate(classes.values()) for label in labels}
    first = round(start_s * recordings.rate_hz)
    X, y, subject, block = [], [], [], []
    for run in recordings.runs:
        usable = [
            (int(onset) + first, code[label])
            for onset, label in zip(run.onsets, run.labels, strict=True)
            if label in code and 0 <= onset + first <= run.values.shape[1] - n_times
        ]
        for number, (start, k) in enumerate(usable):
            X.append(run.values[:, start : start + n_times])
            y.append(k)
            subject.append(run.subject)
            part = number * n_blocks // len(usable)
            block.append(run.name if n_blocks == 1 else f"{run.name}/{part + 1}")
    names = tuple(classes)
    absent = [name for k, name in enumerate(names) if k not in y]
    if absent:
        raise DataError(f"{recordings.title}: expected trials of {', '.join(absent)}, got none")
    return Trials(np.stack(X), np.array(y), np.array(subject), np.array(block), names)


def file_hashes(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """SHA-256 of files, by their path under a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
