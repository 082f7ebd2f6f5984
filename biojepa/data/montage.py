"""Electrode names and positions: the channel contract of EEG.

A channel is found by name, case-insensitively, (1) among the channels of a model, (2) in the 10-05
system, (3) among positions that the user supplies; a supplied position far from the place of the
name is believed instead of it, since other systems use the same names. What has none of these is
an error, or is dropped and reported; nothing is padded with zeros, and no position is NaN.

Positions are metres in the frame of MNE's template montage (`colin27_1005`, once `standard_1005`),
which is that of the published Signal-JEPA. Digitised positions come in MNE's head frame and are
moved into it. One head radius is the median distance of the template's positions from its origin.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import ConfigError, LeadError
from biojepa.extras import require

OnUnknown = Literal["error", "drop"]
Position = tuple[float, float, float]

# MNE 1.13.2, head_size=1; pinned, since another unit moves channels over the edge of a block
HEAD_RADII_PER_METRE = 10.308338134927817
SAME_PLACE_M = 1e-4  # ours: two electrodes closer than 0.1 mm are one
OTHER_PLACE_M = 0.05  # ours: caps and heads differ by less; a name so far off is another system's
OFF_HEAD_M = 0.3  # ours: no electrode is further from the middle of a head
_TEMPLATES = ("colin27_1005", "standard_1005")  # the same positions before and after MNE 1.13
_PREFIX = re.compile(r"^(?:eeg|e\.e\.g\.)[\s:_-]+", re.IGNORECASE)
# a common reference after the name; two scalp electrodes are a bipolar derivation without a place
_REFERENCE = re.compile(r"\s*[-_/]\s*(?:ref\d*|le|ar|avg?|car|lm|a[12]|m[12])$", re.IGNORECASE)


def clean_name(name: str) -> str:
    """A channel name without what files put around it.

    `"EEG Fp1-REF"`, `"Fp1."` and `" FP1 "` give `"Fp1"` or `"FP1"`; `"Fp1-F7"` stays as it is.
    """
    text = _PREFIX.sub("", str(name).strip())
    return _REFERENCE.sub("", text.strip(" .")).strip(" .")


def reference_of_name(name: str) -> str:
    """The common reference that a name ends in, such as `"LE"` of `"EEG C3-LE"`; else empty."""
    found = _REFERENCE.search(_PREFIX.sub("", str(name).strip()).strip(" ."))
    return found[0].strip(" -_/").upper() if found else ""


@dataclass(frozen=True)
class Placed:
    """Channels that have a place, and a report of how each was found.

    Parameters
    ----------
    names : tuple of str
        Canonical names of the channels that are kept.
    index : tuple of int
        Where each stands in the input.
    positions : tuple of (float, float, float)
        Metres, in the frame of the template.
    matched, looked_up, supplied, dropped : tuple of str
        How the input's channels were found: in the model, in the 10-05 system, by a supplied
        position, or not at all.
    """

    names: tuple[str, ...]
    index: tuple[int, ...]
    positions: tuple[Position, ...]
    matched: tuple[str, ...] = ()
    looked_up: tuple[str, ...] = ()
    supplied: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.names)} of {len(self.names) + len(self.dropped)} channels used"]
        for kind in ("matched", "looked_up", "supplied", "dropped"):
            names = getattr(self, kind)
            if names:
                lines.append(f"  {kind.replace('_', ' ')} ({len(names)}): {', '.join(names)}")
        return "\n".join(lines)


def place_channels(
    names: Sequence[str],
    *,
    model: Mapping[str, Position] | None = None,
    supplied: Mapping[str, Sequence[float]] | None = None,
    on_unknown: OnUnknown = "error",
) -> Placed:
    """Find each channel's place.

    Parameters
    ----------
    names : sequence of str
        As in the recording.
    model : mapping of str to (float, float, float), optional
        Channels of a model, metres in the frame of the template.
    supplied : mapping of str to (float, float, float), optional
        Digitised positions, metres in MNE's head frame; zeros, NaN and what is 0.3 m or more from
        the middle of the head count as none.
    on_unknown : {"error", "drop"}
        What to do with a channel that has no place.

    Returns
    -------
    Placed

    Raises
    ------
    LeadError
        If a channel has no place, two are the same electrode, or none is left.
    ConfigError
        If `on_unknown` is unknown.
    """
    if on_unknown not in ("error", "drop"):
        raise ConfigError(f"expected on_unknown 'error' or 'drop', got {on_unknown!r}")
    own = {_key(name): (name, place) for name, place in (model or {}).items()}
    given = {_key(k): finite_place(v) for k, v in (supplied or {}).items()}
    found: dict[str, list[str]] = {k: [] for k in ("matched", "looked_up", "supplied", "dropped")}
    kept: list[tuple[str, int, Position]] = []
    for i, name in enumerate(names):
        key = _key(name)
        xyz = given.get(key)
        own_place = None if xyz is None else (clean_name(name), _from_head(xyz))
        if key in own and _agree(own[key], own_place):
            how, place = "matched", own[key]
        elif key in template_positions() and _agree(template_positions()[key], own_place):
            how, place = "looked_up", template_positions()[key]
        elif own_place is not None:
            how, place = "supplied", own_place
        else:
            found["dropped"].append(str(name))
            continue
        found[how].append(place[0])
        kept.append((place[0], i, place[1]))
    lost = found["dropped"]
    if not names:
        raise LeadError("expected at least one channel, got none")
    if lost and (on_unknown == "error" or not kept):
        raise LeadError(
            f"expected EEG channels with a known place (of the model, the 10-05 system, or "
            f"supplied), got {', '.join(lost)}: rename them, supply their positions (a montage of "
            "the recording), or pass on_unknown='drop'; bipolar derivations have no place"
        )
    _refuse_twins(kept, names)
    return Placed(
        tuple(name for name, _, _ in kept),
        tuple(i for _, i, _ in kept),
        tuple(place for _, _, place in kept),
        **{k: tuple(v) for k, v in found.items()},
    )


@lru_cache(maxsize=1)
def template_positions() -> dict[str, tuple[str, Position]]:
    """The 10-05 system: lower-case name -> (name, xyz in metres); with T3, M1 and other aliases.

    Raises
    ------
    MissingDependencyError
        If MNE is not installed.
    """
    where = _template().get_positions()["ch_pos"]
    return {n.lower(): (n, (float(x), float(y), float(z))) for n, (x, y, z) in where.items()}


def standard_xyz(names: Sequence[str]) -> NDArray[np.float64]:
    """Positions of 10-05 names, (C, 3), metres.

    Raises
    ------
    LeadError
        If a name is not in the system.
    """
    return np.array(place_channels(names).positions)


def finite_place(xyz: Sequence[float]) -> NDArray[np.float64] | None:
    """A position as an array (3,), metres; None for zeros, NaN, too few numbers, or off any head.

    Some files hold millimetres where metres belong, which puts an electrode 100 m away.
    """
    place = np.asarray(xyz, dtype=np.float64)[:3]
    if place.shape != (3,) or not np.isfinite(place).all() or not place.any():
        return None
    return place if np.linalg.norm(place) < OFF_HEAD_M else None


def in_head_frame(xyz: Position) -> Position:
    """A position of the template's frame in MNE's head frame, both in metres."""
    to_head = _native_to_head()
    x, y, z = to_head[:3, :3] @ np.asarray(xyz) + to_head[:3, 3]
    return float(x), float(y), float(z)


def _agree(named: tuple[str, Position], supplied: tuple[str, Position] | None) -> bool:
    """Whether a supplied position can be that of the electrode of this name.

    BioSemi's A1 lies at the vertex, the A1 of the 10-05 system at the ear.
    """
    if supplied is None or not any(named[1]):
        return True
    return float(np.linalg.norm(np.subtract(named[1], supplied[1]))) < OTHER_PLACE_M


def _from_head(xyz: NDArray[np.float64]) -> Position:
    """From MNE's head frame into that of the template."""
    native_to_head = _native_to_head()
    x, y, z = native_to_head[:3, :3].T @ (xyz - native_to_head[:3, 3])
    return float(x), float(y), float(z)


@lru_cache(maxsize=1)
def _native_to_head() -> NDArray[np.float64]:
    mne = require("mne", "eeg", why="to place EEG electrodes")
    return np.asarray(mne.channels.compute_native_head_t(_template())["trans"])


@lru_cache(maxsize=1)
def _template():  # type: ignore[no-untyped-def]  # noqa: ANN202
    mne = require("mne", "eeg", why="to look EEG channels up in the 10-05 system")
    known = mne.channels.get_builtin_montages()
    name = next((n for n in _TEMPLATES if n in known), _TEMPLATES[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old name, where it is on its way out
        return mne.channels.make_standard_montage(name)


def _key(name: str) -> str:
    return clean_name(name).lower()


def _refuse_twins(kept: Sequence[tuple[str, int, Position]], names: Sequence[str]) -> None:
    """Raise LeadError if two channels are one electrode."""
    xyz = np.array([place for _, _, place in kept])
    near = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1) < SAME_PLACE_M
    twins = np.argwhere(np.triu(near, k=1))
    if len(twins):
        a, b = (names[kept[i][1]] for i in twins[0])
        raise LeadError(
            f"expected every channel at a place of its own, got {a} and {b} at the same one: drop "
            "one of them, or correct their positions"
        )
