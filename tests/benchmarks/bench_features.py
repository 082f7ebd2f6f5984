"""Features of 10 s windows, ECG-JEPA ViT-XS: `python -m tests.benchmarks.bench_features`.

Ours is `extract_features`, what `transform` calls after preprocessing, in bf16 and float32;
against it `straightforward` in float32 on batches of the same size. 2 threads, mean and std.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.model import build_jepa
from biojepa.engine.masked import MaskedJEPA
from biojepa.estimators.features import extract_features
from tests.benchmarks.measure import alternate, bar, machine, ratio, report, seconds, threads_asked
from tests.benchmarks.straightforward import StraightforwardJEPA

RECORDS, BATCH, TARGET = 192, 64, 2.2
CONFIG = ECGModelConfig()


def ours(jepa: MaskedJEPA, records: list[np.ndarray], precision: str) -> np.ndarray:
    """Features as the estimator makes them."""
    return extract_features(
        jepa,
        records,
        window=CONFIG.n_times,
        shortest=2 * CONFIG.patch,
        pool="mean_std",
        layers=[-1],
        batch_size=BATCH,
        precision=precision,
    )


def plain(model: StraightforwardJEPA, records: list[np.ndarray]) -> np.ndarray:
    """Features of the straightforward form."""
    batches = [np.stack(records[i : i + BATCH]) for i in range(0, len(records), BATCH)]
    return np.concatenate([model.features(torch.from_numpy(b)).numpy() for b in batches])


def main() -> dict:
    """Measure and report."""
    threads_asked()
    jepa = build_jepa(CONFIG).eval()
    model = StraightforwardJEPA().eval()
    model.load_state_dict(jepa.state_dict())
    rng = np.random.default_rng(0)
    records = list(rng.standard_normal((RECORDS, 12, CONFIG.n_times), dtype=np.float32))
    exact = plain(model, records[:BATCH])
    error = {p: np.abs(ours(jepa, records[:BATCH], p) - exact).max() for p in ("fp32", "bf16")}
    sides: dict[str, Callable[[], float]] = {
        "straightforward fp32": lambda: seconds(lambda: plain(model, records)),
        "ours fp32": lambda: seconds(lambda: ours(jepa, records, "fp32")),
        "ours bf16": lambda: seconds(lambda: ours(jepa, records, "bf16")),
    }
    figures = alternate(sides)
    slow = figures["straightforward fp32"]
    ratios = {name: ratio(slow, figures[name]) for name in sides}
    rows = [["ViT-XS features, 10 s windows", "records/s", "ratio", "least", "largest"]]
    for name, found in ratios.items():
        speed = float(np.median([RECORDS / s for s in figures[name]]))
        rows.append([name, speed, found["median"], found["min"], found["max"]])
    value = bar(ratios["ours bf16"]["median"], TARGET, applies=machine()["amx_bf16"])
    result = {
        "records_per_s": {name: [RECORDS / s for s in figures[name]] for name in sides},
        "against_straightforward": ratios,
        "largest_difference": {name: float(value) for name, value in error.items()},
        "ratios": {"features XS, bf16, over straightforward": value},
    }
    return report("bench_features", "Features", rows, result)


if __name__ == "__main__":
    main()
