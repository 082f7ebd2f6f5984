"""Rows T2, T4, T5 and T7 for EEG: records, windows, batches and arrays that go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.eeg import SignalJEPA
from tests.eeg.published import needs_eeg
from tests.eeg.toys import waves
from tests.faults.cage import MB
from tests.faults.rows import Row, fine

pytestmark = needs_eeg
CAP = ("Fp1", "C3", "Cz", "Oz")


def fitted(X: Any, new: Any = None, *, names: Any = CAP, **options: Any) -> dict[str, Any]:
    """Pretrain on arrays for two steps, and what the weights and features are like."""
    settings = {"steps": 2, "batch_size": 4} | options
    jepa = SignalJEPA(preset="tiny", sfreq=128, ch_names=names, random_state=0, **settings).fit(X)
    out = jepa.transform(X if new is None else new)
    weights = all(bool(v.isfinite().all()) for v in jepa.jepa_.state_dict().values())
    return {"finite": weights and bool(np.isfinite(out).all()), "shape": list(out.shape)}


def eeg(n: int = 8, n_times: int = 300) -> np.ndarray:
    """Microvolts of four channels."""
    return waves(n, CAP, n_times=n_times)


def trained(change: Callable[[np.ndarray], Any], **options: Any) -> Callable[[Path], Callable]:
    """Pretrain on records that were changed."""
    return lambda root: lambda: fitted(change(eeg()), **options)


def with_(index: Any, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Records in which one place has another value."""

    def change(X: np.ndarray) -> np.ndarray:
        X[index] = value
        return X

    return change


def clipped(X: np.ndarray) -> np.ndarray:
    """An amplifier at its limits for half of the time."""
    return np.clip(X, -1, 1)


def same(kind: Callable[[np.ndarray], Any]) -> Callable[[Path], Callable]:
    """Features of the same numbers in another form, against those of float64."""

    def call() -> bool:
        X = np.round(eeg()).astype(np.float64)
        jepa = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=CAP, random_state=0).fit(X)
        return bool(np.abs(jepa.transform(kind(X)) - jepa.transform(X)).max() <= 1e-5)

    return lambda root: call


def read_only(X: np.ndarray) -> np.ndarray:
    """An array that nobody may write to."""
    X.flags.writeable = False
    return X


ROWS: dict[str, Row] = {
    "T2-eeg-flat-channel": fine(trained(with_(np.s_[:, 1], 3.0)), "'finite': True"),
    "T2-eeg-record-of-zeros": fine(trained(with_(2, 0.0)), "'finite': True"),
    "T2-eeg-all-zeros": fine(trained(with_(np.s_[:], 0.0)), "'finite': True"),
    "T2-eeg-all-missing": fine(trained(with_(3, np.nan)), "'finite': True"),
    "T2-eeg-infinite": fine(trained(with_(np.s_[0, 0, 5], np.inf)), "'finite': True"),
    "T2-eeg-huge": fine(trained(with_(np.s_[0, 0, 5], 1e25)), "'finite': True"),
    "T2-eeg-saturated": fine(trained(clipped), "'finite': True"),
    "T4-eeg-one-channel": fine(
        trained(lambda X: X[:, :1], names=("Cz",), batch_size=2), "'finite': True"
    ),
    "T4-eeg-two-channels": fine(
        trained(lambda X: X[:, :2], names=("Fp1", "Oz"), model={"radius": 5.0}), "'finite': True"
    ),
    "T4-eeg-shorter-than-a-token": fine(trained(lambda X: X[..., :90]), "'finite': True"),
    "T4-eeg-ratio": fine(
        trained(np.array, model={"masks": "space-time", "mask_ratio": 0.999}), "'finite': True"
    ),
    "T4-eeg-ratio-of-all": Row(
        trained(np.array, model={"masks": "space-time", "mask_ratio": 1.0}), match="mask_ratio"
    ),
    "T5-eeg-batch-of-one": fine(trained(np.array, batch_size=1), "'finite': True"),
    "T5-eeg-fewer-than-a-batch": fine(trained(lambda X: X[:3], batch_size=16), "'finite': True"),
    "T5-eeg-none": Row(trained(lambda X: X[:0]), match="at least 1 record"),
    "T5-eeg-no-samples": Row(trained(lambda X: X[..., :0]), match="at least 1 record"),
    "T7-eeg-float32": fine(same(lambda X: X.astype(np.float32)), "True"),
    "T7-eeg-float16": fine(same(lambda X: X.astype(np.float16)), "True"),
    "T7-eeg-int16": fine(same(lambda X: X.astype(np.int16)), "True"),
    "T7-eeg-big-endian": fine(same(lambda X: X.astype(">f8")), "True"),
    "T7-eeg-fortran": fine(same(np.asfortranarray), "True"),
    "T7-eeg-strided": fine(same(lambda X: np.repeat(X, 2, axis=-1)[..., ::2]), "True"),
    "T7-eeg-read-only": fine(same(read_only), "True"),
    "T7-eeg-list": fine(same(list), "True"),
    "T7-eeg-text": Row(trained(lambda X: X.astype(str)), match="real numbers|dtype"),
    "T7-eeg-complex": Row(trained(lambda X: X.astype(complex)), match="real numbers|dtype"),
    "T7-eeg-two-axes-swapped": Row(trained(lambda X: X.transpose(0, 2, 1)), match="4 channels"),
}


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    """Networks and templates are loaded here, so that no child does it for each row anew."""
    fitted(eeg(4))


@pytest.mark.parametrize("row", ROWS)
def test_eeg_arrays_that_are_odd_train_finitely_or_say_what_is_wrong(tmp_path, row) -> None:
    replace(ROWS[row], memory=512 * MB).check(tmp_path)
