"""What `biojepa doctor` says of a file: what it holds, what to look at, and what to do next."""

from __future__ import annotations

import re
import shlex
from typing import Any

from biojepa.cli.console import shorten, table
from biojepa.cli.errors import option_hints

NAN_SHARE, CLIPPED_SHARE = 0.01, 0.01  # ours: more than this is worth a look at the recording
_UNIT = re.compile(r"pass unit='(\w+)'")


def file_report(seen: dict[str, Any]) -> list[str]:
    """Lines on one file.

    Parameters
    ----------
    seen : dict
        From `biojepa.data.describe.describe_file`.
    """
    path = str(seen["path"])
    if not seen["readable"]:
        return [path, *table([("cannot be used:", _problem(seen)), *_next(seen)])]
    heights = [h for h in seen["peak_to_peak"].values() if h is not None]
    rows = [
        ("format", seen["format"]),
        (
            "holds",
            f"{seen['n_records']:,} recordings; what follows is of the first"
            if seen["n_records"] > 1
            else "1 recording",
        ),
        ("leads", shorten(seen["leads"]) or "not named"),
        ("rate", f"{seen['rate_hz']:g} Hz"),
        ("length", f"{seen['duration_s']:.1f} s ({seen['n_times']:,} samples)"),
        ("unit", seen["unit"]),
        (
            "signal",
            f"{_figure(min(heights))} to {_figure(max(heights))} {seen['unit']} peak to peak, "
            "by lead"
            if heights
            else "no finite sample",
        ),
        ("scale", "looks wrong" if seen["problem"] else seen["scale"]),
        *_look_at(seen),
    ]
    told = (text.removeprefix(f"{path}: ") for text in [*seen["notes"], *seen["warnings"]])
    rows += [("note", note) for note in dict.fromkeys(told)]
    if seen["problem"]:
        rows.append(("problem", _problem(seen)))
    return [path, *table([*rows, *_next(seen)])]


def eeg_report(seen: dict[str, Any]) -> list[str]:
    """Lines on one EEG file.

    Parameters
    ----------
    seen : dict
        From `biojepa.data.describe_eeg.describe_eeg`.
    """
    path = str(seen["path"])
    if not seen["readable"]:
        return [path, *table([("cannot be used:", _problem(seen))])]
    low, high = seen["spread"]
    rows = [
        ("holds", f"EEG of {len(seen['channels'])} channels: {shorten(seen['channels'])}"),
        ("rate", f"{seen['rate_hz']:g} Hz"),
        ("length", f"{seen['duration_s']:.1f} s ({seen['n_times']:,} samples)"),
        ("spread", f"{low:.3g} to {high:.3g} {seen['unit']} a channel"),
        ("places", "; ".join(shorten(line.strip().split(", ")) for line in seen["placed"])),
    ]
    rows += [(name.replace("_", " "), str(value)) for name, value in seen["facts"].items()]
    if seen["subject"]:
        rows.append(("subject", seen["subject"]))
    if seen["nan_fraction"] > NAN_SHARE:
        rows.append(("look at", f"missing samples: {seen['nan_fraction']:.0%}"))
    if seen["flat"]:
        rows.append(("look at", f"flat channels: {shorten(seen['flat'])}"))
    rows += [("note", note) for note in seen["warnings"]]
    if seen["problem"]:
        rows.append(("problem", _problem(seen)))
    elif seen["unplaced"]:
        drop = f"{shorten(seen['unplaced'])} have no known place: --on-unknown drop leaves them out"
        rows.append(("next", drop))
    return [path, *table(rows)]


def closing(n_usable: int, *, eeg: bool = False) -> list[str]:
    """What can be done with files that can be used."""
    if not n_usable:
        return []
    return [
        "next: biojepa embed MODEL FILES... -o features.csv   (features of a trained model)",
        f"  or: biojepa prepare {'eeg FILES...' if eeg else 'FILES...    '} -o my_store       "
        "(to pretrain on them)",
    ]


def _look_at(seen: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, text, limit in (
        ("nan_fraction", "missing samples", NAN_SHARE),
        ("saturated_fraction", "clipped at the top or bottom", CLIPPED_SHARE),
    ):
        high = {k: v for k, v in seen[name].items() if v is not None and v > limit}
        if high:
            parts = ", ".join(f"{lead} {share:.0%}" for lead, share in high.items())
            rows.append(("look at", f"{text}: {parts}"))
    if seen["flat_leads"]:
        rows.append(("look at", f"flat leads: {', '.join(seen['flat_leads'])}"))
    return rows or [("check", "no missing samples, no flat lead, no clipping")]


def _figure(value: float) -> str:
    """Three digits, without an exponent for large numbers."""
    return f"{float(f'{value:.3g}'):,g}"


def _next(seen: dict[str, Any]) -> list[tuple[str, str]]:
    """What a user would do about it."""
    if seen["problem"]:
        unit = _UNIT.search(seen["problem"])
        if unit is None:
            return []
        command = f"biojepa doctor {shlex.quote(str(seen['path']))} --units {unit[1]}"
        return [("next", command)]
    rows = []
    if seen["derived_leads"]:
        rows.append(f"{', '.join(seen['derived_leads'])} are computed from the limb leads here")
    if seen["missing_leads"]:
        rows.append(
            f"{', '.join(seen['missing_leads'])} are not there: for a model that wants them, "
            "--on-missing drop masks them"
        )
    if seen["other_channels"]:
        others = shorten(seen["other_channels"])
        rows.append(f"{others} are not standard leads: models leave them out")
    if seen["flat_leads"]:
        rows.append("flat leads are masked in features and training")
    return [("next", row) for row in rows]


def _problem(seen: dict[str, Any]) -> str:
    """The sentence without the path, which stands above, and the options that it means."""
    text = str(seen["problem"]).removeprefix(f"{seen['path']}: ")
    return "; ".join([text, *option_hints(text)])
