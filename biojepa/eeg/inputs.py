"""From a user's EEG to what the model sees: places of channels, then the stored preprocessing.

Several montages are inputs of their own, side by side: a batch holds one of them.

Letters: n records, C channels, T samples at the model's rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from biojepa.data.eeg_records import EEGRecords, MixedEEG
from biojepa.data.montage import OnUnknown, Placed, Position, clean_name, place_channels
from biojepa.data.records import ArrayRecords
from biojepa.eeg.preprocess import EEGPreprocess, Prepared
from biojepa.engine.signals import Signals
from biojepa.errors import LeadError

P = TypeVar("P")
CHUNK = 256  # records prepared at once
NOWHERE: Position = (0.0, 0.0, 0.0)  # a channel without a name


class EEGInputs:
    """EEG as the model sees it.

    Parameters
    ----------
    source : EEGRecords
    preprocess : EEGPreprocess
    model : dict of str to (float, float, float)
        Channels of the model, metres; empty for a new one.
    on_unknown : {"error", "drop"}
    shortest : int
        Samples that a shorter record is padded to, with zeros at its end.
    window : int, optional
        Samples: what is continuous is cut into such pieces, each a record.

    Raises
    ------
    LeadError
        If a channel has no place.

    Notes
    -----
    `placed` is the report: which channels were found, and how.
    """

    def __init__(
        self,
        source: EEGRecords,
        preprocess: EEGPreprocess,
        *,
        model: dict[str, Position],
        on_unknown: OnUnknown = "error",
        shortest: int,
        window: int | None = None,
    ) -> None:
        self.source, self.preprocess = source, preprocess
        self.shortest = shortest
        self.window = window if source.continuous else None
        self.placed = _place(source, model, on_unknown)
        self.positions = torch.tensor(self.placed.positions, dtype=torch.float32)

    @property
    def parts(self) -> tuple[EEGInputs, ...]:
        """Itself alone; see `MixedInputs`."""
        return (self,)

    def rows_in_order(self, rows: Sequence[NDArray | list]) -> list:
        """The rows of all records; see `MixedInputs`."""
        return list(rows[0])

    def only(self, names: Sequence[str]) -> None:
        """Keep these channels, in this order.

        Raises
        ------
        LeadError
            If one is not there.
        """
        own = self.placed
        missing = [name for name in names if name not in own.names]
        if missing:
            raise LeadError(
                f"expected the channels of training, {', '.join(names)}; {', '.join(missing)} are "
                "missing: the spatial filters need every one of them"
            )
        rows = [own.names.index(name) for name in names]
        self.placed = replace(
            own,
            names=tuple(names),
            index=tuple(own.index[i] for i in rows),
            positions=tuple(own.positions[i] for i in rows),
        )
        self.positions = torch.tensor(self.placed.positions, dtype=torch.float32)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Prepared:
        """One record, or a piece of it, prepared."""
        record = self.source.records.read(index, start, stop)
        return self._pad(self._prepare(record.values, record.rate_hz))

    def iterate(self) -> Iterator[Prepared]:
        """All records in order; what is continuous, piece by piece."""
        records = self.source.records
        if isinstance(records, ArrayRecords) and isinstance(records.values, np.ndarray):
            for start in range(0, len(records), CHUNK):
                block = [records.read(i) for i in range(start, min(start + CHUNK, len(records)))]
                out = self._prepare(np.stack([r.values for r in block]), records.rate_hz)
                for values, valid in zip(out.values, out.valid, strict=True):
                    yield self._pad(Prepared(values, valid))
            return
        for index in range(len(records)):
            yield from self._cut(self.read(index))

    def n_rows(self) -> list[int]:
        """Of each record, how many pieces `iterate` makes of it."""
        counts = []
        for index in range(len(self.source.records)):
            n_times = self.preprocess.n_times_out(*self.source.records.length(index))
            counts.append(max(1, n_times // self.window) if self.window else 1)
        return counts

    def signals(self) -> Iterator[Signals]:
        """All records in order, each (C, T) with its positions."""
        for record in self.iterate():
            yield self.signal(record)

    def signal(self, record: Prepared) -> Signals:
        """One record with its positions, without batch axis."""
        valid = None if record.valid.all() else torch.from_numpy(record.valid)
        return Signals(torch.from_numpy(record.values), self.positions, valid)

    def _prepare(self, values: np.ndarray, rate_hz: float) -> Prepared:
        picked = values[..., list(self.placed.index), :]
        arbitrary = self.source.arbitrary
        microvolt = picked if arbitrary else np.multiply(picked, 1e3, dtype=np.float64)
        return self.preprocess(microvolt, rate_hz, arbitrary=arbitrary)

    def _pad(self, record: Prepared) -> Prepared:
        missing = self.shortest - record.values.shape[-1]
        if missing <= 0:
            return record
        return Prepared(np.pad(record.values, ((0, 0), (0, missing))), record.valid)

    def _cut(self, record: Prepared) -> Iterator[Prepared]:
        n_times, window = record.values.shape[-1], self.window
        if window is None or n_times <= window:
            yield record
            return
        for start in range(0, n_times - window + 1, window):
            yield Prepared(record.values[:, start : start + window], record.valid)


class MixedInputs:
    """Inputs of several montages.

    Parameters
    ----------
    parts : sequence of EEGInputs
    part_of : ndarray of int, shape (n,)
        Of each record in the user's order, the part that it is in.
    """

    def __init__(self, parts: Sequence[EEGInputs], part_of: NDArray[np.int_]) -> None:
        self.parts, self.part_of = tuple(parts), part_of

    @property
    def placed(self) -> Placed:
        """The report of all montages; an electrode of several stands in it once."""
        places: dict[str, Position] = {}
        for part in self.parts:
            for name, place in zip(part.placed.names, part.placed.positions, strict=True):
                places[_free_name(places, name, place)] = place
        how = {
            kind: tuple(dict.fromkeys(n for part in self.parts for n in getattr(part.placed, kind)))
            for kind in ("matched", "looked_up", "supplied", "dropped")
        }
        return Placed(tuple(places), (), tuple(places.values()), **how)

    def rows_in_order(self, rows: Sequence[NDArray | list]) -> list:
        """The rows of all records in the user's order, from those of each part."""
        ends = [np.cumsum([0, *part.n_rows()]) for part in self.parts]
        inside = [0] * len(self.parts)
        found: list = []
        for part in self.part_of:
            first, last = ends[part][inside[part] : inside[part] + 2]
            found += list(rows[part][first:last])
            inside[part] += 1
        return found


def open_inputs(
    source: EEGRecords | MixedEEG,
    preprocess: EEGPreprocess,
    *,
    model: dict[str, Position],
    on_unknown: OnUnknown = "error",
    shortest: int,
    window: int | None = None,
) -> EEGInputs | MixedInputs:
    """Inputs of one montage or several; parameters and errors as of `EEGInputs`."""
    parts = [
        EEGInputs(
            part,
            preprocess,
            model=model,
            on_unknown=on_unknown,
            shortest=shortest,
            window=window,
        )
        for part in source.parts
    ]
    return parts[0] if len(parts) == 1 else MixedInputs(parts, source.part_of)


def only_part(parts: Sequence[P]) -> P:
    """The one montage that a classifier is trained on.

    Raises
    ------
    LeadError
        If there are several; the message names the channels that all of them have.
    """
    if len(parts) == 1:
        return parts[0]
    own = [_names(part) for part in parts]
    common = [n for n in own[0] if all(n.lower() in {m.lower() for m in names} for names in own)]
    fix = "they share no channel: fit one classifier for each, or take SignalJEPA's features"
    if common:
        fix = (
            f"pick the {len(common)} that all records have, {', '.join(common)}, such as with "
            "epochs.pick([...]) of MNE; predictions pick them by themselves"
        )
    counts = ", ".join(str(len(names)) for names in own)
    raise LeadError(
        f"expected training records of the same channels, got {len(parts)} montages (of {counts} "
        f"channels): spatial filters belong to one; {fix}"
    )


def _names(part: object) -> tuple[str, ...]:
    """Channels of a montage, in the names of the 10-05 system where they are of it."""
    if isinstance(part, EEGInputs):
        return part.placed.names
    return tuple(clean_name(n) for n in getattr(part, "names", None) or ())


def _free_name(places: dict[str, Position], name: str, place: Position) -> str:
    """A name for an electrode among those of other montages: its own, or a numbered one.

    The same name at another place is another electrode: A1 of BioSemi's cap and the ear.
    """
    known, number = {n.lower(): n for n in places}, 1
    free = name
    while free.lower() in known and places[known[free.lower()]] != place:
        number += 1
        free = f"{name}#{number}"
    return known.get(free.lower(), free)


def _place(source: EEGRecords, model: dict[str, Position], on_unknown: OnUnknown) -> Placed:
    """Places of the source's channels; nameless ones are those of the model, if as many."""
    if source.names is not None:
        return place_channels(
            source.names, model=model, supplied=source.supplied, on_unknown=on_unknown
        )
    n_channels = source.records.read(0).values.shape[0]
    if len(model) == n_channels:
        names, places = tuple(model), tuple(model.values())
        return Placed(names, tuple(range(n_channels)), places, matched=names)
    if n_channels == 1 and not model:
        return Placed(("ch1",), (0,), (NOWHERE,), matched=("ch1",))
    wanted = f" (or the {len(model)} of the model: {', '.join(model)})" if model else ""
    raise LeadError(
        f"expected the names of {n_channels} channels{wanted}, got none: pass ch_names=[...] in "
        "the order of the array"
    )
