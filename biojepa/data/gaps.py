"""Missing samples (NaN) in a recording: how many are too many, and what is said of the rest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import FormatError, PlausibilityWarning

MAX_MISSING = 0.5  # of a lead; spec of bad input, row W12


def check_gaps(
    values: NDArray[np.float32], channels: Sequence[str], *, where: str, expected: bool = False
) -> str:
    """Refuse leads that are mostly missing; warn of smaller gaps.

    Parameters
    ----------
    values : ndarray, shape (n_channels, n_times)
        NaN where a sample is missing.
    channels : sequence of str
    where : str
        The file, for the messages.
    expected : bool
        Gaps are known of these files: neither refuse nor warn.

    Returns
    -------
    str
        A sentence about the gaps, for `Recording.notes`; empty if there are none.

    Raises
    ------
    FormatError
        If more than half of a lead is missing.

    Warns
    -----
    PlausibilityWarning
        If some samples are missing.
    """
    fraction = np.isnan(values).mean(axis=-1)
    bad = [f"{c} ({f:.0%})" for c, f in zip(channels, fraction, strict=True) if f > MAX_MISSING]
    if bad and not expected:
        raise FormatError(
            f"{where}: more than {MAX_MISSING:.0%} of the samples are missing in {', '.join(bad)}; "
            "expected mostly complete leads: leave the file or the lead out"
        )
    gaps = [f"{c} ({f:.2%})" for c, f in zip(channels, fraction, strict=True) if f > 0]
    if not gaps:
        return ""
    note = f"missing samples in {', '.join(gaps)} are NaN"
    if not expected:
        warnings.warn(f"{where}: {note}", PlausibilityWarning, stacklevel=3)
    return note
