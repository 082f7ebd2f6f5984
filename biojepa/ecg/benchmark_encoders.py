"""Pretrained encoders of a benchmark: each made once per data, settings and seed, then kept.

A benchmark that was stopped finds its encoders again in the output folder; one of other data or
settings never does. Features are kept in memory by the content of the record, so that a record
that many rows, draws and folds ask for is encoded once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.records import ArrayRecords
from biojepa.ecg._encoder import fresh_model
from biojepa.ecg.benchmark_data import BenchmarkData, Unlabelled
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.mae import ECGMAE
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.files import read_json, write_text
from biojepa.evaluation.spent import Spent

Say = Callable[[str], None]
# what `python -m biojepa.ecg.small_budget --choose` fixed on other records; a test compares them
READING: dict[str, Any] = {"pool": "mean_std", "layer": "all"}
PROBE_C = 0.003
# ours: of the steps of a whole pretraining
CONTINUED_SHARE = 0.25
TRAIN_ONLY_SHARE = 0.5  # where there is an unlabelled set, of which this is the small sister


class FeatureMemo:
    """Features of records, computed once per content.

    Parameters
    ----------
    transform : callable
        `transform(X (n, leads, time)) -> (n, D)`, each record on its own.
    """

    def __init__(self, transform: Callable[[NDArray], NDArray]) -> None:
        self.transform = transform
        self.rows: dict[bytes, NDArray] = {}

    def __call__(self, X: NDArray) -> NDArray:
        """Features (n, D)."""
        keys = [hashlib.blake2b(np.ascontiguousarray(x).data, digest_size=16).digest() for x in X]
        new = [i for i, key in enumerate(keys) if key not in self.rows]
        if new:
            for i, row in zip(new, self.transform(X[new]), strict=True):
                self.rows[keys[i]] = row
        return np.stack([self.rows[key] for key in keys])


class Encoders:
    """Makes and keeps the encoders that rows ask for.

    Parameters
    ----------
    data : BenchmarkData
        Whose records the encoders will be used on.
    folder : Path
        Gets `pretrained/`.
    preset : str
        Of pretraining.
    steps : int or None
        In place of the preset's.
    pretraining : Unlabelled or None
        None: the training part of each split.
    say : callable
    """

    def __init__(
        self,
        data: BenchmarkData,
        folder: Path,
        *,
        preset: str = "small",
        steps: int | None = None,
        pretraining: Unlabelled | None = None,
        say: Say = print,
    ) -> None:
        self.data, self.folder, self.preset, self.steps = data, folder, preset, steps
        self.pretraining, self.say = pretraining, say
        self.spent = Spent()  # on pretraining by this object
        self._made: dict[str, ECGJEPA] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """All that the encoders depend on besides the training part and the seed; JSON-able."""
        recipe = get_recipe(self.preset)
        return {
            "model": recipe.model.to_config(),
            "train": asdict(recipe.train),
            "steps": self.steps,
            "pretraining": None if self.pretraining is None else self.pretraining.fingerprint,
        }

    def random(self, seed: int, X: NDArray) -> ECGJEPA:
        """The encoder before any training."""
        recipe = get_recipe(self.preset)
        # a recipe without settings of its own measures the leads of these records
        name = f"random-s{seed}-{_hash(X) if recipe.preprocess is None else ''}"
        if name not in self._made:
            records = ArrayRecords(X, fs=self.data.rate_hz, channels=self.data.leads, units="mV")
            estimator = ECGJEPA(preset=self.preset)
            estimator.take(fresh_model(records, recipe, on_missing="error", units="mV", seed=seed))
            self._made[name] = estimator
        return self._for_data(self._made[name])

    def pretrained(self, seed: int, X: NDArray) -> ECGJEPA:
        """Pretrained on the unlabelled set, or on the training part `X`."""
        return self._pretrained(seed, X)[0]

    def mae(self, seed: int, X: NDArray) -> ECGJEPA:
        """The matched masked autoencoder, pretrained on the same records."""
        return self._pretrained(seed, X, ECGMAE)[0]

    def train_only(self, seed: int, X: NDArray) -> ECGJEPA:
        """Pretrained on the training part alone, also where there is an unlabelled set."""
        estimator = self._new(seed)
        if self.pretraining is not None:
            estimator.set_params(steps=self._steps(TRAIN_ONLY_SHARE))
        return self._fit("jepa", seed, _hash(X), estimator, X)[0]

    def continued(self, seed: int, X: NDArray) -> ECGJEPA:
        """Pretrained, then continued on the training part."""
        _, folder = self._pretrained(seed, X)
        estimator = self._new(seed).set_params(init=folder, steps=self._steps(CONTINUED_SHARE))
        return self._fit("continued", seed, _hash(X) + folder.name, estimator, X)[0]

    def seconds_of(self, estimator: ECGJEPA) -> float:
        """How long the pretraining of one of these encoders took, seconds."""
        name = next(name for name, made in self._made.items() if made is estimator)
        return float(read_json(self.folder / "pretrained" / f"{name}.json")["wall_s"])

    def minutes(self) -> dict[str, float]:
        """Minutes of a pretraining of each kind in the folder, mean over seeds and splits."""
        notes = sorted((self.folder / "pretrained").glob("*.json"))
        spent: dict[str, list[float]] = {}
        for path in notes:
            spent.setdefault(path.name.partition("-")[0], []).append(read_json(path)["wall_s"])
        return {f"{kind} ({len(s)})": sum(s) / len(s) / 60 for kind, s in spent.items()}

    def total(self) -> Spent:
        """Spent on all pretraining in the folder."""
        notes = sorted((self.folder / "pretrained").glob("*.json"))
        found = (read_json(path) for path in notes)
        return sum((Spent(n["wall_s"], n["cpu_s"]) for n in found), Spent())

    def _pretrained(
        self, seed: int, X: NDArray, make: type[ECGJEPA] = ECGJEPA
    ) -> tuple[ECGJEPA, Path]:
        given, estimator = self.pretraining, self._new(seed, make)
        kind = "mae" if make is ECGMAE else "jepa"
        if given is None:
            return self._fit(kind, seed, _hash(X), estimator, X)
        estimator.set_params(fs=given.rate_hz, leads=given.leads, units=given.units)
        return self._fit(kind, seed, given.fingerprint, estimator, given.X)

    def _steps(self, share: float) -> int:
        return max(1, round(share * (self.steps or get_recipe(self.preset).train.steps)))

    def _new(self, seed: int, make: type[ECGJEPA] = ECGJEPA) -> ECGJEPA:
        return make(
            preset=self.preset,
            steps=self.steps,
            fs=self.data.rate_hz,
            leads=self.data.leads,
            random_state=seed,
        )

    def _fit(
        self, kind: str, seed: int, fingerprint: str, estimator: ECGJEPA, X: Any
    ) -> tuple[ECGJEPA, Path]:
        key = json.dumps([self.settings | {"pretraining": fingerprint}, kind, seed], sort_keys=True)
        name = f"{kind}-s{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        path = self.folder / "pretrained" / name
        if name not in self._made:
            if path.is_dir():
                self._made[name] = type(estimator).from_pretrained(path)
            else:
                began = Spent.now()
                self._made[name] = estimator.fit(X)
                spent = Spent.now() - began
                self.spent += spent
                note = asdict(spent) | {"n_records": estimator.training_["n_records"]}
                write_text(path.with_name(name + ".json"), json.dumps(note) + "\n")
                estimator.save_pretrained(path)
                self.say(
                    f"  {name}: pretrained on {note['n_records']:,} records, {spent.wall_s:.0f} s"
                )
        return self._for_data(self._made[name]), path

    def _for_data(self, estimator: ECGJEPA) -> ECGJEPA:
        return estimator.set_params(
            fs=self.data.rate_hz, leads=self.data.leads, units="mV", scale=True, **READING
        )


def _hash(X: NDArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(X, dtype="<f4").data).hexdigest()
