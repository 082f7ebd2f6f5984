"""Pretraining on several databases: weights, and each database's own preprocessing.

As ECG-JEPA does it: every sample draws a database by weight and then a record with replacement
(`biojepa.engine.plan.WeightedPlan`); the published recipes normalise each database with its own
constants, and remove the baseline of CODE-15 and St Petersburg. What differs: the filter sees the
window that was drawn, not the whole record (`biojepa prepare --highpass 0.5` filters whole
records, as published).

References
----------
Weimann & Conrad 2024, arXiv:2410.13867, and the constants in its code (MIT licence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from biojepa.data.cards import list_cards, load_card
from biojepa.data.mixed_records import MixedRecords, database_of
from biojepa.data.records import Records, StoreRecords
from biojepa.ecg.inputs import ECGInputs
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.preprocess import ECGPreprocess, Preprocessed
from biojepa.ecg.recipes import Recipe
from biojepa.errors import ConfigError

# the published code normalises CPSC-Extra with the constants of CPSC
CONSTANTS_OF = {"cpsc-extra": "cpsc"}


@dataclass
class MixedInputs(ECGInputs):
    """Recordings of several databases, each through its own preprocessing.

    Parameters
    ----------
    roads : sequence of ECGPreprocess
        One for each part of `records` (a `MixedRecords`), of the same leads and rate.
    """

    roads: Sequence[ECGPreprocess] = ()
    parts: list[ECGInputs] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Give every part its own inputs."""
        assert isinstance(self.records, MixedRecords)
        pairs = zip(self.records.parts, self.roads, strict=True)
        self.parts = [
            ECGInputs(part, road, self.on_missing, part.channels or self.channels, self.missing)
            for part, road in pairs
        ]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Preprocessed:
        """One record, or a piece of it, prepared."""
        part, inside = self._locate(index)
        return self.parts[part].read(inside, start, stop)

    def read_pieces(self, pieces: Sequence[tuple[int, slice]]) -> list[Preprocessed]:
        """Pieces of records, prepared; those of one database together."""
        places: dict[int, list[int]] = {}
        located = [self._locate(index) for index, _ in pieces]
        for place, (part, _) in enumerate(located):
            places.setdefault(part, []).append(place)
        found: dict[int, Preprocessed] = {}
        for part, own in places.items():
            wanted = [(located[place][1], pieces[place][1]) for place in own]
            found.update(zip(own, self.parts[part].read_pieces(wanted), strict=True))
        return [found[place] for place in range(len(pieces))]

    def _locate(self, index: int) -> tuple[int, int]:
        assert isinstance(self.records, MixedRecords)
        return self.records.locate(index)


def published_road(
    records: Records, *, leads: Sequence[str], rate_hz: float
) -> ECGPreprocess | None:
    """The published preprocessing of a database, if the store says which one it is.

    None if it does not, the database has no card or no constants, or its baseline was removed in
    another way than before the constants were computed.

    Parameters
    ----------
    records : Records
    leads : sequence of str
        Of the model.
    rate_hz : float
        Of the model, hertz.
    """
    name = database_of(records)
    name = CONSTANTS_OF.get(str(name), name)
    if name is None or name not in list_cards() or not isinstance(records, StoreRecords):
        return None
    card = load_card(name)
    norm = card.normalisation
    done_hz = records.store.recipe.get("highpass_hz")
    if norm is None or norm.std is None or card.leads is None:
        return None
    if done_hz not in (None, norm.highpass_hz):
        return None
    n = len(norm.std)
    mean = norm.mean or (0.0,) * n  # the card says so: within 0.02 of 0
    stats = LeadStats(card.leads[:n], mean[:n], norm.std)
    highpass_hz = None if done_hz is not None else norm.highpass_hz
    return ECGPreprocess.paper(stats, leads=leads, rate_hz=rate_hz, highpass_hz=highpass_hz)


def pooled_road(roads: Sequence[ECGPreprocess], weights: Sequence[float]) -> ECGPreprocess:
    """One preprocessing for recordings of any origin: constants of the mixture.

    The mean and spread of a sample that is drawn by the weights; no filter, since a user's
    recordings are not those of one database. The model's users get this one.

    Parameters
    ----------
    roads : sequence of ECGPreprocess
    weights : sequence of float
        Not negative; need not sum to 1.
    """
    first = roads[0]
    if all(road == first for road in roads) or first.normalise != "dataset":
        return first
    share = np.asarray(weights, dtype=np.float64)[:, None] / np.sum(weights)
    means, stds = (np.array([getattr(road, name) for road in roads]) for name in ("mean", "std"))
    mean = (share * means).sum(axis=0)
    std = np.sqrt((share * (stds**2 + means**2)).sum(axis=0) - mean**2)
    return replace(first, mean=tuple(mean.tolist()), std=tuple(std.tolist()), bandpass_hz=None)


def published_weights(records: MixedRecords, recipe: Recipe) -> tuple[float, ...] | None:
    """The recipe's weights of these databases; None if it has none, or does not know one."""
    names = [str(database_of(part)) for part in records.parts]
    if not recipe.datasets or any(name not in recipe.datasets for name in names):
        return None
    return tuple(recipe.datasets[name] for name in names)


def check_weights(records: Records, weights: Sequence[float] | None) -> None:
    """Refuse weights without several sets of records, or of another number.

    Raises
    ------
    ConfigError
    """
    if weights is None:
        return
    n_parts = len(records.parts) if isinstance(records, MixedRecords) else 1
    if n_parts == 1 or len(weights) != n_parts:
        raise ConfigError(
            f"expected one weight for each of several stores, got {len(weights)} weights for "
            f"{n_parts}: pass STORE1 STORE2 ... --weights W1,W2,..."
        )
