"""Rows T1 to T8: samples, records, masks, batches, workers, dtypes and devices that go wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA
from biojepa.ecg.masking import BlockSampler
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.engine.config import TrainConfig
from biojepa.engine.monitor import CollapseAlarm
from biojepa.engine.schedules import Constant
from biojepa.engine.target import Target
from biojepa.engine.train import train
from tests.engine.test_loader import Failing, loader
from tests.engine.test_monitor import Poisoned
from tests.engine.toys import ToySignals, toy_jepa
from tests.faults.cage import MB
from tests.faults.models import CONFIG, TRAIN
from tests.faults.rows import Row, fine

SHORT = replace(TRAIN, steps=9, diagnose_every=0)


def finite(module: torch.nn.Module) -> bool:
    """Whether every weight is, those of the momentum copy included."""
    return all(bool(v.isfinite().all()) for v in module.state_dict().values())


def poisoned(value: float) -> Callable[[Path], Callable]:
    """One record of a value that is no signal, among 48."""

    def call() -> dict:
        objective = toy_jepa()
        result = train(objective, Poisoned(value), SHORT, progress=False)
        return {"skipped": result.skipped, "finite": finite(objective)}

    return lambda root: call


def all_poisoned(root: Path) -> Callable:
    """Nothing but NaN."""
    data = ToySignals()
    data.values[:] = torch.nan
    config = replace(SHORT, max_skipped=4)
    return lambda: train(toy_jepa(), data, config, progress=False)


def ecgs(n: int = 4, *, seconds: float = 4, seed: int = 0) -> np.ndarray:
    """Records of three leads, 100 Hz, millivolt."""
    values = simulate_ecg(max(n, 2), rate_hz=100, duration_s=seconds, random_state=seed).values
    return np.ascontiguousarray(values[:n, [0, 1, 6]])


def fitted(X: Any, *, new: Any = None, **options: Any) -> dict:
    """Pretrain a tiny estimator on records and get features of them, or of new ones."""
    settings = {"steps": 3, "batch_size": 4} | options
    jepa = ECGJEPA(
        preset="tiny",
        fs=100,
        leads=("I", "II", "V1"),
        device="cpu",
        random_state=0,
        model=SMALL,
        **settings,
    )
    features = jepa.fit(X).transform(X if new is None else new)
    return {
        "finite": bool(np.isfinite(features).all()) and finite(jepa.jepa_),
        "shape": features.shape,
        "varies": bool(features.std(0).max() > 0),
    }


SMALL = {k: v for k, v in CONFIG.to_config().items() if k in ("dim", "depth", "heads")}
SMALL |= {"pred_dim": 8, "pred_depth": 1, "pred_heads": 2}


def spoiled_record(
    change: Callable[[np.ndarray], Any], **options: Any
) -> Callable[[Path], Callable]:
    """Four records, one of which is changed in place."""

    def make(root: Path) -> Callable:
        X = ecgs()
        change(X)
        return lambda: fitted(X, **options)

    return make


def prepared(change: Callable[[np.ndarray], Any]) -> Callable[[Path], Callable]:
    """What the model sees of a record that is changed in place."""

    def call() -> dict:
        (record,) = ecgs(1)
        change(record)
        seen = ECGPreprocess(leads=("I", "II", "V1"))(record, 100.0)
        return {
            "finite": bool(np.isfinite(seen.values).all() and np.isfinite(seen.log_scale).all()),
            "valid": seen.valid.tolist(),
        }

    return lambda root: call


def fill(array: np.ndarray, value: float) -> None:
    """Set every sample."""
    array[...] = value


def saturated(record: np.ndarray) -> None:
    """An amplifier at its limit, but for a few samples."""
    record[...] = 5.0
    record[:, ::50] = -5.0


def collapsing(root: Path) -> Callable:
    """A hundred times the learning rate."""
    config = replace(SHORT, steps=60, lr=0.3, final_lr=0.3, diagnose_every=5, stop_on_collapse=True)
    objective = toy_jepa(target=Target(momentum=Constant(0.5)))
    return lambda: train(objective, ToySignals(), config, progress=False)


class Same(ToySignals):
    """Every record is the same constant: a target that teaches nothing."""

    def fetch(self, indices, key):
        return torch.ones(len(indices), 3, 40)


def constant_target(root: Path) -> Callable:
    """The embeddings are one point."""
    config = replace(SHORT, steps=6, diagnose_every=1, collapse_patience=3)

    def call() -> dict:
        result = train(toy_jepa(), Same(), config, progress=False)
        return {"collapsed": result.collapsed, "alarm": [row["alarm"] for row in result.rows]}

    return call


def alarm(values: dict[str, float]) -> Callable[[Path], Callable]:
    """What an alarm of patience 2 says of three bad diagnostics in a row."""

    def call() -> list[bool]:
        bell = CollapseAlarm(2)
        return [bell.check(values, step) for step in range(3)]

    return lambda root: call


def masks(n_tokens: int, **options: Any) -> Callable[[Path], Callable]:
    """Least numbers of context and target tokens over a hundred batches."""

    def call() -> dict:
        sampler = BlockSampler(200).for_tokens(n_tokens) if not options else None
        sampler = sampler or BlockSampler(n_tokens, **options)
        context, target = [], []
        for seed in range(100):
            (plan,) = sampler(4, np.random.default_rng(seed))
            context.append(plan.context.shape[1])
            target.append(min(t.shape[1] for t in plan.targets))
        return {"context": min(context) >= 1, "target": min(target) >= 1}

    return lambda root: call


def batches(n: int, batch_size: int) -> Callable[[Path], Callable]:
    """So many records in batches of this size."""

    def call() -> dict:
        objective = toy_jepa()
        config = replace(SHORT, batch_size=batch_size, steps=4)
        result = train(objective, ToySignals(n), config, progress=False)
        return {"step": result.step, "skipped": result.skipped, "finite": finite(objective)}

    return lambda root: call


def as_kind(convert: Callable[[np.ndarray], np.ndarray], *, units: str = "mV") -> Row:
    """The same recordings in another memory layout or number type: the same features."""

    def make(root: Path) -> Callable:
        # whole microvolt, so that integers hold them
        plain = np.round(ecgs() * 1000).astype(np.float32)
        other = convert(plain if units == "uV" else plain / 1000)

        def call() -> float:
            settings: dict[str, Any] = {"preset": "tiny", "fs": 100, "leads": ("I", "II", "V1")}
            settings |= {"model": SMALL, "steps": 2, "batch_size": 4, "random_state": 0}
            jepa = ECGJEPA(**settings, device="cpu", units="uV").fit(plain)
            expected = jepa.transform(plain)
            before = other.copy()
            found = jepa.set_params(units=units).transform(other)
            assert np.array_equal(before, other)
            return float(np.abs(found - expected).max() / np.abs(expected).max()) < 1e-5

        return call

    return fine(make, "True")


def read_only(x: np.ndarray) -> np.ndarray:
    """An array that may not be written to."""
    x = x.copy()
    x.flags.writeable = False
    return x


ROWS: dict[str, Row] = {
    "T1-nan": fine(poisoned(float("nan")), "'skipped': 3, 'finite': True"),
    "T1-infinite": fine(poisoned(float("inf")), "'skipped': 3, 'finite': True"),
    "T1-1e25": fine(poisoned(1e25), "'finite': True"),
    "T1-nothing-else": Row(all_poisoned, "refused", "4 steps in a row"),
    **{
        f"T1-record-{value}": fine(
            spoiled_record(lambda X, v=value: X[1].__setitem__((0, 5), v)), "'finite': True"
        )
        for value in (np.nan, np.inf, -np.inf, 1e25)
    },
    "T2-flat-lead": fine(prepared(lambda x: fill(x[1], 0.3)), r"\[True, False, True\]"),
    "T2-zero-lead": fine(prepared(lambda x: fill(x[1], 0)), r"\[True, False, True\]"),
    "T2-zero-record": fine(prepared(lambda x: fill(x, 0)), r"\[False, False, False\]"),
    "T2-nan-lead": fine(prepared(lambda x: fill(x[2], np.nan)), r"\[True, True, False\]"),
    "T2-saturated": fine(prepared(saturated), "'finite': True"),
    "T2-zero-record-features": fine(spoiled_record(lambda X: fill(X[1], 0)), "'finite': True"),
    "T2-saturated-features": fine(spoiled_record(lambda X: saturated(X[1])), "'finite': True"),
    "T2-constant-dataset": fine(spoiled_record(lambda X: fill(X, 0.5)), "'finite': True"),
    "T3-learning-rate": Row(collapsing, "refused", "collapsing at step .*regulariser"),
    "T3-constant-target": fine(
        constant_target, r"True, 'alarm': \[0.0, 0.0, 1.0, 1.0", warned="CollapseWarning.*step 3"
    ),
    "T3-rank": fine(
        alarm({"rankme": 6.3, "std": 0.1, "dim": 64.0}), r"\[False, True, True\]", warned="RankMe"
    ),
    "T3-std": fine(
        alarm({"rankme": 60.0, "std": 0.009, "dim": 64.0}), r"\[False, True, True\]", warned="std"
    ),
    "T4-keep-99": fine(masks(20, keep=(0.9, 0.95), min_block=1), "True, 'target': True"),
    "T4-keep-all": Row(masks(20, keep=(0.99, 0.99), min_block=1), "refused", "keep"),
    "T4-keep-none": Row(masks(20, keep=(0.0, 0.0), min_block=1), "refused", "keep"),
    "T4-block-too-long": Row(masks(20, min_block=30), "refused", "block"),
    "T4-one-token": Row(masks(1), "refused", "two|2"),
    "T4-two-tokens": fine(masks(2), "True, 'target': True"),
    "T4-short-record": fine(
        lambda root: lambda: fitted(ecgs(seconds=1)[..., :30]), "'finite': True"
    ),
    "T4-one-channel": fine(lambda root: lambda: fitted_table(ecgs(6)[:, 0]), "'finite': True"),
    "T5-batch-of-one": fine(batches(48, 1), "'step': 4, 'skipped': 0, 'finite': True"),
    "T5-last-of-one": fine(batches(17, 16), "'step': 4, 'skipped': 0, 'finite': True"),
    "T5-smaller-than-a-batch": fine(batches(3, 16), "'step': 4, 'skipped': 0, 'finite': True"),
    "T5-none": Row(batches(0, 16), "refused", "record"),
    "T5-no-record": Row(lambda root: lambda: fitted(ecgs()[:0]), "refused", "at least 1 record"),
    "T5-one-record": Row(lambda root: lambda: fitted(ecgs(1)), "refused", "at least 2 records"),
    "T6-dies": Row(
        lambda root: lambda: list(loader(Failing("exit", 5), workers=1).iterate(0, 9)),
        "refused",
        r"worker died while reading step \d+, records \[.*\b5\b",
        memory=2048 * MB,
    ),
    "T6-raises": Row(
        lambda root: lambda: list(loader(Failing("ours", 5), workers=2).iterate(0, 9)),
        "refused",
        "^record 5: expected 12 leads",
        memory=2048 * MB,
    ),
    "T7-float64": as_kind(lambda x: x.astype(np.float64), units="uV"),
    "T7-float16": as_kind(lambda x: np.round(x).astype(np.float16), units="uV"),
    "T7-int16": as_kind(lambda x: x.astype(np.int16), units="uV"),
    "T7-int32": as_kind(lambda x: x.astype(np.int32), units="uV"),
    "T7-big-endian": as_kind(lambda x: x.astype(">f4"), units="uV"),
    "T7-big-endian-int": as_kind(lambda x: x.astype(">i2"), units="uV"),
    "T7-fortran": as_kind(np.asfortranarray, units="uV"),
    "T7-not-contiguous": as_kind(lambda x: np.repeat(x, 2, axis=2)[:, :, ::2], units="uV"),
    "T7-read-only": as_kind(read_only, units="uV"),
    "T7-millivolt": as_kind(lambda x: x.astype(np.float64)),
    "T8-cuda": Row(
        lambda root: lambda: fitted_on("cuda"), "refused", "device='cpu'|use cpu|'cpu'|cpu"
    ),
    "T8-mps": Row(lambda root: lambda: fitted_on("mps"), "refused", "cpu"),
    "T8-unknown": Row(lambda root: lambda: fitted_on("tpu"), "refused", "cpu"),
    "T8-loop": Row(
        lambda root: (
            lambda: train(
                toy_jepa(), ToySignals(), TrainConfig(steps=2, warmup_steps=1, device="cuda")
            )
        ),
        "refused",
        "cpu",
    ),
}


def fitted_table(X: np.ndarray) -> dict:
    """One nameless channel, records as rows."""
    jepa = ECGJEPA(preset="tiny", steps=2, batch_size=4, model=SMALL, device="cpu", random_state=0)
    features = jepa.fit(X).transform(X)
    return {"finite": bool(np.isfinite(features).all()), "shape": features.shape}


def fitted_on(device: str) -> Any:
    """A device that is not there."""
    jepa = ECGJEPA(preset="tiny", steps=2, fs=100, device=device, model=SMALL)
    return jepa.fit(ecgs()).transform(ecgs())


NEEDS_ABSENT = {"T8-cuda": torch.cuda.is_available, "T8-loop": torch.cuda.is_available}
NEEDS_ABSENT |= {"T8-mps": torch.backends.mps.is_available}


@pytest.mark.parametrize("row", ROWS)
def test_training_ends_as_the_catalogue_says(tmp_path, row) -> None:
    if row in NEEDS_ABSENT and NEEDS_ABSENT[row]():
        pytest.skip("the device is there")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ROWS[row].check(tmp_path)
