"""Trials and blocks as runs of their own, with their trial type as label.

The response of blood follows an event by some seconds: a piece begins and ends so much later than
its event. Frames that scrubbing left out are missing in the pieces too; where a kept frame stood in
the image is in the run's labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from biojepa.data.recording import Recording
from biojepa.errors import DataError
from biojepa.fmri.bids import Event
from biojepa.fmri.cohort import BrainCohort

DELAY_S = 4.0  # ours: the response to a short event is largest after 4 to 6 s
LEAST_FRAMES = 2  # a piece of one frame has no time


def cut_events(
    run: Recording,
    *,
    delay_s: float = DELAY_S,
    window_s: float | None = None,
    trial_types: Sequence[str] | None = None,
) -> list[Recording]:
    """One recording for each event of a run.

    Parameters
    ----------
    run : Recording
        With `labels["events"]`, as `bids.with_bids` gives them.
    delay_s : float
        From an event to its piece, seconds.
    window_s : float, optional
        Length of every piece, seconds; by default the event's duration.
    trial_types : sequence of str, optional
        Which events; all by default.

    Returns
    -------
    list of Recording
        With `labels` `trial_type`, `onset` and the run's own; their ids are `<run>#000`, ... by
        the place of the event. Events with fewer than two frames in the run are left out.

    Raises
    ------
    DataError
        If the run has no events, or no piece is long enough.
    """
    events = [Event(**event) for event in run.labels.get("events", ())]
    if not events:
        raise DataError(
            f"expected a run with events, {run.record_id or 'this one'} has none: read it with its "
            "_events.tsv"
        )
    shared = {k: v for k, v in run.labels.items() if k not in ("events", "frames", "n_frames")}
    frames = np.asarray(run.labels.get("frames", np.arange(run.n_times)))
    pieces = []
    for place, event in enumerate(events):
        length_s = event.duration if window_s is None else window_s
        if (trial_types is not None and event.trial_type not in trial_types) or length_s is None:
            continue
        start_s = event.onset + delay_s
        times_s = (frames + 1e-6) / run.rate_hz  # a frame at an edge is in, whatever the rounding
        kept = (times_s >= start_s) & (times_s < start_s + length_s)
        if kept.sum() < LEAST_FRAMES:
            continue
        pieces.append(
            replace(
                run,
                values=run.values[:, kept],
                record_id=f"{run.record_id}#{place:03d}",
                labels=shared | {"trial_type": event.trial_type, "onset": event.onset},
            )
        )
    if not pieces:
        raise DataError(
            f"{run.record_id or 'run'}: no event of {len(events)} has {LEAST_FRAMES} frames: give "
            "window_s= (seconds) for events without a duration, and check trial_types="
        )
    return pieces


def trial_cohort(
    runs: Iterable[Recording],
    *,
    name: str,
    title: str,
    delay_s: float = DELAY_S,
    window_s: float | None = None,
    trial_types: Sequence[str] | None = None,
) -> BrainCohort:
    """The pieces of several runs as a cohort, whose table has `trial_type`, `run` and `onset`.

    Parameters
    ----------
    runs : iterable of Recording
        Of one atlas, such as those of a `SignalStore`.
    name, title : str
        See `BrainCohort`.
    delay_s, window_s, trial_types
        See `cut_events`.

    Raises
    ------
    DataError
        As `cut_events`.
    """
    pieces = [
        (run.record_id, piece)
        for run in runs
        for piece in cut_events(run, delay_s=delay_s, window_s=window_s, trial_types=trial_types)
    ]
    table = pd.DataFrame(
        {
            "trial_type": [piece.labels["trial_type"] for _, piece in pieces],
            "run": [run for run, _ in pieces],
            "onset": [piece.labels["onset"] for _, piece in pieces],
        }
    )
    return BrainCohort(name, title, tuple(piece for _, piece in pieces), table)
