"""What the BCI benchmark is run on: public recordings, MOABB datasets, simulated runs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.bci import RATE_HZ, BCIRecordings, Trials, cut_trials
from biojepa.data.bci_folders import read_eegmmidb, read_muse, read_ssvep_exoskeleton
from biojepa.data.simulate_bci import FLICKER_HZ, Paradigm, simulate_bci
from biojepa.errors import ConfigError, DataError, MissingDependencyError
from biojepa.evaluation.subjects import Metric
from biojepa.extras import require

# samples that give 3, 1 and 4 tokens of a second, and where a trial starts, seconds
N_TIMES = {"mi": 408, "erp": 152, "ssvep": 536}
START_S = {"mi": 0.5, "erp": 0.0, "ssvep": 0.8}
METRIC: dict[str, Metric] = {"mi": "accuracy", "erp": "auc", "ssvep": "accuracy"}
N_BLOCKS = 4  # of a run, where a subject has one only
PIECE_S = 8.4  # of pretraining: windows of 4.2 s are drawn from it
# over the motor cortex: a third of EEGMMIDB's channels, so that the table takes minutes
MOTOR = tuple(f"{row}{n}" for row in ("FC", "C", "CP") for n in (5, 3, 1, "z", 2, 4, 6))
_READ = {"mi": read_eegmmidb, "erp": read_muse, "ssvep": read_ssvep_exoskeleton}
_MOABB = {"mi": "LeftRightImagery", "erp": "P300", "ssvep": "SSVEP"}


@dataclass(frozen=True)
class BCITask:
    """Classes to tell apart.

    Parameters
    ----------
    name : str
    trials : Trials
    hertz : tuple of float
        Frequency of each class of an SSVEP task.
    """

    name: str
    trials: Trials
    hertz: tuple[float, ...] = ()


@dataclass(frozen=True)
class BCIData:
    """Tasks of the same people, and their recordings without labels.

    Parameters
    ----------
    title : str
    paradigm : {"mi", "erp", "ssvep"}
    tasks : tuple of BCITask
    unlabelled : mapping of subject to ndarray of float32, shape (n, C, T)
    channels : tuple of str
    units : {"uV", "arbitrary"}
    blocks : str
        What a block of trials is: a run, a session, a stretch of time.
    sha256 : mapping of file to str
        Empty if nothing was read from files of known names.
    rate_hz : float
    simulated : bool
    """

    title: str
    paradigm: Paradigm
    tasks: tuple[BCITask, ...]
    unlabelled: Mapping[str, NDArray[np.float32]]
    channels: tuple[str, ...]
    units: str = "uV"
    blocks: str = "run"
    sha256: Mapping[str, str] = field(default_factory=dict)
    rate_hz: float = RATE_HZ
    simulated: bool = False

    @property
    def metric(self) -> Metric:
        """Accuracy, or the area under the curve for rare targets."""
        return METRIC[self.paradigm]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.unlabelled))

    def fingerprint(self) -> str:
        """Hash of all trials and of what is pretrained on."""
        total = hashlib.sha256("\n".join([self.units, *self.channels]).encode())
        for task in self.tasks:
            total.update(task.trials.fingerprint().encode())
        for name in self.subjects:
            total.update(np.ascontiguousarray(self.unlabelled[name], dtype="<f4").tobytes())
        return total.hexdigest()


def load_folder(paradigm: Paradigm, root: Path) -> BCIData:
    """Public recordings laid out as `biojepa.data.bci_folders` says.

    Raises
    ------
    DataError, FormatError
        If they are not there, or damaged.
    """
    recordings = _READ[paradigm](root)
    if paradigm == "mi":
        recordings = recordings.pick(MOTOR)
    return from_recordings(paradigm, recordings)


def load_simulated(paradigm: Paradigm, *, n_subjects: int = 4, random_state: int = 0) -> BCIData:
    """Simulated runs of `biojepa.data.simulate_bci`."""
    n_runs, n_trials = {"mi": (3, 16), "erp": (3, 60), "ssvep": (1, 24)}[paradigm]
    recordings = simulate_bci(
        paradigm,
        n_subjects=n_subjects,
        n_runs=n_runs,
        n_trials=n_trials,
        random_state=random_state,
    )
    return from_recordings(paradigm, recordings)


def from_recordings(paradigm: Paradigm, recordings: BCIRecordings) -> BCIData:
    """The tasks of a paradigm, cut from continuous runs.

    Raises
    ------
    DataError
        If a class has no trial.
    """
    one_run = len(recordings.runs) == len(recordings.subjects)
    known: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
        "mi": {
            "left vs right": {"left": ("left",), "right": ("right",)},
            "rest vs imagery": {"rest": ("rest",), "imagery": ("left", "right")},
        },
        "erp": {"target vs non-target": {k: (k,) for k in ("non-target", "target")}},
        "ssvep": {"frequency": {f"{f} Hz": (f"{f} Hz",) for f in FLICKER_HZ}},
    }
    cut = {
        name: cut_trials(
            recordings,
            classes,
            start_s=START_S[paradigm],
            n_times=N_TIMES[paradigm],
            n_blocks=N_BLOCKS if one_run else 1,
        )
        for name, classes in known[paradigm].items()
    }
    hertz = tuple(map(float, FLICKER_HZ)) if paradigm == "ssvep" else ()
    return BCIData(
        title=recordings.title,
        paradigm=paradigm,
        tasks=tuple(BCITask(name, trials, hertz) for name, trials in cut.items()),
        unlabelled=recordings.pieces(PIECE_S),
        channels=recordings.channels,
        units=recordings.units,
        blocks="stretch of time" if one_run else "run",
        sha256=recordings.sha256 or {},
        simulated=recordings.simulated,
    )


def load_moabb(paradigm: Paradigm, name: str, *, n_subjects: int | None = None) -> BCIData:
    """A dataset of MOABB, downloaded by MOABB on its first use.

    Parameters
    ----------
    paradigm : {"mi", "erp", "ssvep"}
    name : str
        Of its class, such as `"BNCI2014_001"`.
    n_subjects : int, optional
        The first so many.

    Raises
    ------
    MissingDependencyError
        If MOABB is not installed.
    ConfigError
        If it has no such dataset, or one of another paradigm.
    DataError
        If it cannot be downloaded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MOABB's own imports
        datasets = require("moabb.datasets", "moabb", why=f"to get the dataset {name}")
        paradigms = require("moabb.paradigms", "moabb", why=f"to get the dataset {name}")
    if not hasattr(datasets, name):
        raise ConfigError(
            f"expected the name of a dataset of MOABB, such as BNCI2014_001, got {name!r}"
        )
    dataset = getattr(datasets, name)()
    # MOABB's end point is inclusive: one sample more than is kept
    n_times = N_TIMES[paradigm]
    start = START_S[paradigm]
    options = {"tmin": start, "tmax": start + n_times / RATE_HZ, "resample": RATE_HZ}
    own = getattr(paradigms, _MOABB[paradigm])
    if paradigm == "ssvep":
        reader = own(fmin=0.5, fmax=45, n_classes=None, **options)
    else:
        reader = own(fmin=0.5, fmax=45, **options)
    if not reader.is_valid(dataset):
        raise ConfigError(f"{name} has no {paradigm} trials: expected another dataset or paradigm")
    return from_moabb(paradigm, dataset, reader, n_subjects=n_subjects)


def from_moabb(
    paradigm: Paradigm, dataset: Any, reader: Any, *, n_subjects: int | None = None
) -> BCIData:
    """Trials of a MOABB dataset through one of its paradigms.

    Raises
    ------
    DataError
        If it cannot be downloaded.
    """
    name = type(dataset).__name__
    subjects = list(dataset.subject_list)[:n_subjects]
    try:
        epochs, labels, meta = reader.get_data(dataset, subjects=subjects, return_epochs=True)
    except (OSError, MissingDependencyError) as error:
        raise DataError(
            f"{name} could not be loaded: {error}. It takes a network on first use; without one, "
            "pass a folder of recordings or --simulated"
        ) from error
    X = np.asarray(epochs.get_data(copy=True), dtype=np.float64)[..., : N_TIMES[paradigm]] * 1e6
    classes = tuple(sorted(set(map(str, labels))))
    if paradigm == "erp":
        classes = tuple(sorted(classes, key=lambda c: c.lower() == "target"))
    subject = np.array([str(s) for s in meta["subject"]])
    sessions = meta.groupby("subject")["session"].nunique().min()
    kind = "session" if sessions > 1 else "run"
    trials = Trials(
        X.astype(np.float32),
        np.array([classes.index(str(label)) for label in labels]),
        subject,
        np.array([str(block) for block in meta[kind]]),
        classes,
    )
    hertz = tuple(float(c.split()[0]) for c in classes) if paradigm == "ssvep" else ()
    return BCIData(
        title=name,
        paradigm=paradigm,
        tasks=(BCITask(" vs ".join(classes)[:60], trials, hertz),),
        unlabelled={s: trials.X[subject == s] for s in np.unique(subject).tolist()},
        channels=tuple(epochs.ch_names),
        blocks=kind,
    )
