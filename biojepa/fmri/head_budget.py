"""Fixes the head that the fMRI benchmark fine-tunes with, on people whom no table scores.

    python -m biojepa.fmri.head_budget --data ../shared/data/fmri --out results/fmri

In both settings of `small_budget` (simulated people; ages of ABIDE) an encoder is pretrained once,
and networks are trained on it for age, in five folds. The head of the fine-tuned network with the
least error relative to the mean's, over settings, is the benchmark's; a test compares the two. The
frozen encoder under an attentive head stands beside them. Writes `head_budget.json`. The encoder
has seen the probed people of ABIDE, without their ages.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from biojepa.engine.files import write_text
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.regression import mean_absolute_error, pearson_r
from biojepa.evaluation.spent import Spent
from biojepa.fmri._predictor import Mode
from biojepa.fmri.benchmark_encoders import Encoders
from biojepa.fmri.benchmark_rows import HEAD_STEPS
from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.heads import Head
from biojepa.fmri.regressor import BrainRegressor
from biojepa.fmri.small_budget import out_of_fold, settings_of

Say = Callable[[str], None]
NETWORKS: tuple[tuple[Mode, Head], ...] = (
    ("attentive", "attentive"),
    ("finetune", "mean"),
    ("finetune", "connectivity"),
)
NOBODY = frozenset[str]()


def compare(root: Path, keep: Path, *, steps: int, pretraining: int | None, say: Say) -> list[Any]:
    """Error of age of each network, in both settings.

    Parameters
    ----------
    root : Path
        Of the real runs.
    keep : Path
        Gets the pretrained encoders.
    steps : int
        Of the training on labels.
    pretraining : int or None
        Steps of it, in place of the preset's.
    say : callable
    """
    rows = []
    for setting, (cohorts, probed) in settings_of(root).items():
        encoder = Encoders(cohorts, [NOBODY], keep, steps=pretraining, say=say).pretrained(
            0, NOBODY
        )
        age = probed.column("age").astype(float)
        mean = mean_absolute_error(age, np.full_like(age, age.mean()))
        for mode, head in NETWORKS:
            began = Spent.now()
            make = partial(_OnPlaces, probed, encoder, mode=mode, head=head, steps=steps)
            said = out_of_fold(make, np.arange(len(probed), dtype=float)[:, None], age, probed)
            error = mean_absolute_error(age, said)
            row: dict[str, Any] = {"setting": setting, "mode": mode, "head": head}
            row |= {"age_mae": error, "age_r": pearson_r(age, said), "relative": error / mean}
            rows.append(row | {"cpu_s": (Spent.now() - began).cpu_s})
            say(f"  {setting}, {mode}, {head}: {row['relative']:.3f} of the mean's error")
    return rows


def choose(rows: Sequence[dict[str, Any]]) -> str:
    """The head of fine-tuned networks with the least relative error, over settings."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        if row["mode"] == "finetune":
            errors.setdefault(row["head"], []).append(row["relative"])
    return min(errors, key=lambda head: float(np.mean(errors[head])))


class _OnPlaces:
    """A regressor of runs, by their places in a cohort (n, 1)."""

    def __init__(
        self, cohort: BrainCohort, encoder: Any, *, mode: Mode, head: Head, steps: int
    ) -> None:
        self.cohort = cohort
        frozen = FrozenEstimator(encoder)
        self.model = BrainRegressor(
            encoder=frozen, mode=mode, head=head, steps=steps, random_state=0
        )

    def fit(self, X: NDArray, y: NDArray) -> _OnPlaces:
        self.model.fit(self._runs(X), y)
        return self

    def predict(self, X: NDArray) -> NDArray:
        return self.model.predict(self._runs(X))

    def _runs(self, X: NDArray) -> list:
        return [self.cohort.runs[i] for i in X[:, 0].astype(int)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fmri"))
    parser.add_argument("--out", type=Path, default=Path("results/fmri"))
    parser.add_argument("--keep", type=Path, default=Path("runs/fmri_small_budget"))
    parser.add_argument("--steps", type=int, default=HEAD_STEPS, help="of the training on labels")
    parser.add_argument("--pretraining", type=int, help="steps of it, in place of the preset's")
    args = parser.parse_args(argv)

    def say(text: str) -> None:
        print(text, flush=True)

    source, began = code_state(), Spent.now()
    options: dict[str, Any] = {"steps": args.steps, "pretraining": args.pretraining}
    rows = compare(args.data, args.keep, **options, say=say)
    record = {
        "command": "python -m biojepa.fmri.head_budget",
        **source,
        **options,
        "spent": vars(Spent.now() - began),
        "rows": rows,
        "chosen": choose(rows),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "head_budget.json", json.dumps(record, indent=1) + "\n")
    say(f"chosen: {record['chosen']}")


if __name__ == "__main__":
    main()
