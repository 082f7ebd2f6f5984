"""Pretrained encoders of the fMRI benchmark, one for each set of people that it must not have seen.

Pretraining is on all runs of all cohorts (several atlases, repetition times and lengths; a batch
holds one atlas) but those of the held-out people. Encoders are kept in the output folder by all
that they depend on, so that a benchmark that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.recording import Recording
from biojepa.engine.files import read_json, write_text
from biojepa.engine.train import TrainResult
from biojepa.errors import LeakageError
from biojepa.evaluation.spent import Spent
from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.model import build_jepa
from biojepa.fmri.pretrain import Pretrained, new_model
from biojepa.fmri.recipes import get_recipe
from biojepa.fmri.records import SeriesRecords
from biojepa.fmri.region_features import Reading, region_features

Say = Callable[[str], None]
NOTHING: dict[str, Any] = {"n_records": 0, "fingerprint": "", "ids": []}


class Encoders:
    """Makes and keeps the encoders that rows ask for, and their features of whole cohorts.

    Parameters
    ----------
    cohorts : mapping of name to BrainCohort
        All of whose runs are pretrained on.
    held : sequence of frozenset of str
        Sets of subjects, one a pretraining.
    folder : Path
        Gets `pretrained/`.
    preset : str
    steps : int or None
        In place of the preset's.
    model : dict or None
        Settings in place of the preset's.
    transductive : bool
        There is one encoder, for everybody.
    say : callable
    """

    def __init__(
        self,
        cohorts: Mapping[str, BrainCohort],
        held: Sequence[frozenset[str]],
        folder: Path,
        *,
        preset: str = "small",
        steps: int | None = None,
        model: dict[str, Any] | None = None,
        transductive: bool = False,
        say: Say = print,
    ) -> None:
        self.cohorts, self.held, self.folder = dict(cohorts), list(held), folder
        self.preset, self.steps, self.model, self.say = preset, steps, model, say
        self.transductive = transductive
        self.spent = Spent()  # on pretraining by this object
        self.data = {name: cohort.fingerprint() for name, cohort in self.cohorts.items()}
        self._made: dict[str, BrainJEPA] = {}
        self._features: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """All that the encoders depend on besides seed and held-out people; JSON-able."""
        recipe = get_recipe(self.preset)
        return {
            "model": recipe.model.to_config() | (self.model or {}),
            "train": asdict(recipe.train),
            "steps": self.steps,
            "data": self.data,
        }

    def without(self, outside: frozenset[str]) -> frozenset[str]:
        """The held-out set that these people lie in.

        Raises
        ------
        LeakageError
            If there is none: no encoder would be free of them.
        """
        for held in self.held:
            if outside <= held or self.transductive:
                return held
        raise LeakageError(
            f"expected the {len(outside)} judged people within one held-out set of pretraining, "
            "got none: pass their set in held="
        )

    def runs(self, held: frozenset[str]) -> list[Recording]:
        """Runs of everyone else."""
        found: list[Recording] = []
        for cohort in self.cohorts.values():
            found += [run for run in cohort.runs if run.subject_id not in held]
        return found

    def pretrained(self, seed: int, held: frozenset[str]) -> BrainJEPA:
        """Pretrained on the runs of everyone else."""
        name = self._name("jepa", seed, held)
        path = self.folder / "pretrained" / name
        if name not in self._made:
            if path.is_dir():
                self._made[name] = BrainJEPA.from_pretrained(path)
            else:
                runs, began = self.runs(held), Spent.now()
                estimator = BrainJEPA(
                    preset=self.preset, steps=self.steps, model=self.model, random_state=seed
                )
                self._made[name] = estimator.fit(runs)
                spent = Spent.now() - began
                self.spent += spent
                last = estimator.history_[-1] if estimator.history_ else {}
                note = asdict(spent) | {"n_runs": len(runs), "held_out": len(held)}
                note |= {k: last[k] for k in ("step", "loss", "rankme") if k in last}
                write_text(path.with_name(name + ".json"), json.dumps(note) + "\n")
                estimator.save_pretrained(path)
                self.say(
                    f"  {name}: {len(runs):,} runs without {len(held)} people, "
                    f"{spent.wall_s:.0f} s ({spent.cpu_s:.0f} s of processor time)"
                )
        return self._made[name]

    def random(self, seed: int, held: frozenset[str]) -> BrainJEPA:
        """The same model, with gradients of the same runs, before any training."""
        name = self._name("random", seed, held)
        if name not in self._made:
            recipe = get_recipe(self.preset)
            config, preprocess, atlases = new_model(
                SeriesRecords(self.runs(held)), recipe, model=self.model
            )
            jepa = build_jepa(config, gradients=atlases[0].gradients, seed=seed)
            estimator = BrainJEPA(preset=self.preset)
            estimator.take(Pretrained(jepa, config, preprocess, atlases, TrainResult(), NOTHING))
            self._made[name] = estimator
        return self._made[name]

    def features(
        self,
        kind: str,
        seed: int,
        held: frozenset[str],
        cohort: BrainCohort,
        *,
        reading: Reading | None,
        layers: tuple[int, ...],
    ) -> NDArray[np.float64]:
        """Features (n, D) of all runs of a cohort, computed once.

        Parameters
        ----------
        kind : {"jepa", "random"}
        seed : int
        held : frozenset of str
        cohort : BrainCohort
        reading : {"region", "connectivity"} or None
            None is the mean and spread over all tokens, as published heads read (but for the
            spread).
        layers : tuple of int
        """
        key = (kind, seed, held, cohort.name, reading, layers)
        if key not in self._features:
            encoder = self.pretrained(seed, held) if kind == "jepa" else self.random(seed, held)
            runs = list(cohort.runs)
            if reading is None:
                own = encoder.set_params(pool="mean_std", layer=list(layers)).transform(runs)
            else:
                own = region_features(encoder, runs, reading=reading, layers=layers)
            self._features[key] = own.astype(np.float64)
        return self._features[key]

    def total(self) -> Spent:
        """Spent on all pretraining in the folder."""
        notes = [read_json(p) for p in sorted((self.folder / "pretrained").glob("jepa-*.json"))]
        return sum((Spent(n["wall_s"], n["cpu_s"]) for n in notes), Spent())

    def _name(self, kind: str, seed: int, held: frozenset[str]) -> str:
        text = json.dumps([self.settings, sorted(held), seed], sort_keys=True)
        return f"{kind}-s{seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
