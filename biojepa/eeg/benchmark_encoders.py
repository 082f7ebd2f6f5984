"""The pretrained encoders of the BCI benchmark: one a judged subject, who is never in its data.

They are kept in the output folder, so that tasks and evaluations share them and a benchmark that
was stopped goes on.
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
from sklearn.frozen import FrozenEstimator

from biojepa.eeg.benchmark_data import BCIData
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.files import read_json, write_text
from biojepa.errors import DataError, LeakageError
from biojepa.evaluation.spent import Spent

CONTINUED_SHARE = 0.25  # ours: of the steps of pretraining


class FoldEncoders:
    """Encoders by judged subject.

    Parameters
    ----------
    data : BCIData
    folder : Path
        What is pretrained is kept in its `pretrained/`.
    preset : str
    steps : int or None
        Of pretraining, in place of the preset's.
    given : Path or None
        A model folder or shipped name to use instead of pretraining on the other subjects.
    say : callable

    Attributes
    ----------
    spent : Spent
        On pretraining since this object was made.

    Raises
    ------
    LeakageError
        If the given model has seen a subject who is judged.
    """

    def __init__(
        self,
        data: BCIData,
        folder: Path,
        *,
        preset: str,
        steps: int | None,
        given: Path | None,
        say: Callable[[str], None],
    ) -> None:
        self.data, self.folder, self.preset, self.say = data, folder, preset, say
        self.steps = steps or get_recipe(preset).train.steps
        self.given = given
        self.spent = Spent()
        self._made: dict[str, SignalJEPA] = {}
        self._given: SignalJEPA | None = None
        if given is not None:
            self._given = SignalJEPA.from_pretrained(given)
            self._refuse_seen(self._given)

    @property
    def settings(self) -> dict[str, Any]:
        """What all encoders depend on; JSON-able."""
        given = None if self._given is None else _weights_hash(self._given)
        return {"preset": self.preset, "steps": self.steps, "encoder": given}

    @property
    def overlap(self) -> str:
        """What pretraining has seen of the judged subjects, in words."""
        if self._given is None:
            return (
                "each subject is judged with an encoder pretrained on the recordings of the others "
                "alone"
            )
        seen = self._given.training_
        ids = f"{len(seen['ids']):,} known recordings" if seen.get("ids") else "unknown recordings"
        return f"the encoder {self.given} was pretrained on {ids}, none of a judged subject"

    def pretrained(self, seed: int, subject: str) -> FrozenEstimator:
        """Pretrained without this subject.

        Raises
        ------
        DataError
            If there is nobody else, and no model was given.
        """
        if self._given is not None:
            return FrozenEstimator(self._given)
        others = [self.data.unlabelled[s] for s in self.data.subjects if s != subject]
        if not others:
            raise DataError(
                f"there is nobody but {subject} to pretrain on: pass the encoder of other "
                "recordings"
            )
        return FrozenEstimator(
            self._fit("pretrained", seed, subject, np.concatenate(others), self._new(seed))[0]
        )

    def continued(self, seed: int, subject: str) -> FrozenEstimator:
        """The same, trained on with the subject's own recordings, without labels: transductive.

        Raises
        ------
        DataError
            See `pretrained`.
        """
        before = self.given
        if before is None:
            self.pretrained(seed, subject)
            before = self._path("pretrained", seed, subject)
        estimator = self._new(seed).set_params(
            init=before, steps=max(1, round(CONTINUED_SHARE * self.steps))
        )
        X = self.data.unlabelled[subject]
        return FrozenEstimator(self._fit("continued", seed, subject, X, estimator)[0])

    def times(self) -> dict[str, Spent]:
        """Spent on each kind of encoder of these settings in the folder, summed."""
        total: dict[str, Spent] = {}
        for path in sorted((self.folder / "pretrained").glob("*.json")):
            kind = path.name.partition("-")[0]
            note = read_json(path)
            if note["settings"] != self.settings:
                continue
            spent = Spent(note["wall_s"], note["cpu_s"])
            total[kind] = total.get(kind, Spent()) + spent
        return total

    def _new(self, seed: int) -> SignalJEPA:
        data = self.data
        return SignalJEPA(
            preset=self.preset,
            steps=self.steps,
            sfreq=data.rate_hz,
            ch_names=list(data.channels),
            units=data.units,
            random_state=seed,
        )

    def _path(self, kind: str, seed: int, subject: str) -> Path:
        key = json.dumps([self.settings, self.data.fingerprint(), kind, seed, subject])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return self.folder / "pretrained" / f"{kind}-{subject}-s{seed}-{digest}"

    def _fit(
        self, kind: str, seed: int, subject: str, X: NDArray, estimator: SignalJEPA
    ) -> tuple[SignalJEPA, Path]:
        path = self._path(kind, seed, subject)
        if path.name not in self._made:
            if path.is_dir():
                self._made[path.name] = SignalJEPA.from_pretrained(path)
            else:
                began = Spent.now()
                self._made[path.name] = estimator.fit(X)
                spent = Spent.now() - began
                self.spent += spent
                estimator.save_pretrained(path)
                note = asdict(spent) | {"n_records": len(X), "settings": self.settings}
                write_text(path.with_name(path.name + ".json"), json.dumps(note) + "\n")
                self.say(f"  {path.name}: {len(X):,} pieces, {spent.wall_s:.0f} s")
        return self._made[path.name], path

    def _refuse_seen(self, model: SignalJEPA) -> None:
        ids = [str(name) for name in model.training_.get("ids", ())]
        seen = [s for s in self.data.subjects if any(name.startswith(s) for name in ids)]
        if seen and not self.data.simulated:
            raise LeakageError(
                f"expected an encoder that has seen no judged subject, {self.given} has seen "
                f"{', '.join(seen[:5])}: leave it out, and each subject gets one of their own"
            )


def _weights_hash(estimator: SignalJEPA) -> str:
    total = hashlib.sha256()
    for name, value in sorted(estimator.jepa_.export_state().items()):
        total.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return total.hexdigest()
