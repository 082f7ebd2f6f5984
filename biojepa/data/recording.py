"""One multichannel recording in memory, as every reader returns it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Recording:
    """A recording with everything needed to use it without asking again.

    Parameters
    ----------
    values : ndarray of float32, shape (n_channels, n_times)
        In `unit`. NaN marks samples that the file declares missing.
    channels : tuple of str
        Names as the field writes them (`"aVR"`, not `"AVR"`), in the order of `values`.
    rate_hz : float
        Samples per second, the same for all channels.
    unit : {"mV", "uV", "V", "adc", "arbitrary"}
        Readers of files that declare a unit convert to millivolt and set `"mV"`.
    record_id : str
        Name of the record, usually the file's stem.
    subject_id : str or None
        Patient or subject; None if the file does not say.
    labels : dict
        What the file says of itself (age, sex, diagnosis codes), JSON-able.
    source : str
        Path of the file, as given.
    sha256 : str
        Hash of the signal bytes on disk; empty if read from memory.
    notes : tuple of str
        What the reader had to pass over or repair, in sentences.
    """

    values: np.ndarray
    channels: tuple[str, ...]
    rate_hz: float
    unit: str = "mV"
    record_id: str = ""
    subject_id: str | None = None
    labels: dict = field(default_factory=dict)
    source: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()

    @property
    def n_times(self) -> int:
        """Samples per channel."""
        return self.values.shape[1]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.values.shape[1] / self.rate_hz
