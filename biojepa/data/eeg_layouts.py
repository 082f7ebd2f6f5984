"""Recordings grouped by montage, since a batch and a store hold one.

Two recordings have the same montage if they have the same channels, in any order, and no channel
lies somewhere else: digitised caps differ by less than `OTHER_PLACE_M` from head to head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biojepa.data.montage import OTHER_PLACE_M, finite_place

Places = Mapping[str, Sequence[float]]


class Layouts:
    """The montages that were met, numbered in the order of their first recordings.

    Attributes
    ----------
    names : list of tuple of str
        Channels of each, in the order of its first recording.
    places : list of dict
        Positions by name, metres in MNE's head frame; of those channels that have one.
    """

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = []
        self.places: list[Places] = []

    def number(self, names: Sequence[str], places: Places) -> int:
        """The montage of a recording; a new number if it was not met before."""
        for k, (own, known) in enumerate(zip(self.names, self.places, strict=True)):
            if sorted(own) == sorted(names) and not _elsewhere(known, places):
                return k
        self.names.append(tuple(names))
        self.places.append({n: tuple(p) for n, p in places.items() if finite_place(p) is not None})
        return len(self.names) - 1

    def order(self, k: int, names: Sequence[str]) -> list[int]:
        """Where each channel of montage `k` stands among `names`."""
        at = {name: i for i, name in enumerate(names)}
        return [at[name] for name in self.names[k]]


def _elsewhere(known: Places, places: Places) -> bool:
    for name, place in known.items():
        here, there = finite_place(place), finite_place(places.get(name, ()))
        if here is not None and there is not None:
            if float(np.linalg.norm(here - there)) > OTHER_PLACE_M:
                return True
    return False
