"""Recordings in memory as numbered records: what MNE objects and files become.

Letters: C channels, T samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from biojepa.data.recording import Recording
from biojepa.errors import DataError, LeadError


class HeldRecordings:
    """Recordings in memory, of the same channels and of any lengths and rates.

    Parameters
    ----------
    recordings : sequence of Recording

    Raises
    ------
    DataError
        If there is none.
    LeadError
        If their channels differ.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        if not recordings:
            raise DataError("expected at least 1 recording, got 0")
        self.recordings = list(recordings)
        self.channels: tuple[str, ...] | None = self.recordings[0].channels
        for other in self.recordings[1:]:
            if other.channels != self.channels:
                differ = sorted(set(other.channels) ^ set(self.channels)) or ["another order"]
                raise LeadError(
                    f"expected recordings of the same channels, got {other.record_id or 'one'} "
                    f"that differs in {', '.join(differ)}: read them apart, or pick the common ones"
                )

    def __len__(self) -> int:
        return len(self.recordings)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate (hertz) of a record."""
        return self.recordings[index].n_times, self.recordings[index].rate_hz

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        return {(own.n_times, own.rate_hz) for own in self.recordings}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it."""
        own = self.recordings[index]
        return Recording(
            own.values[:, start:stop],
            own.channels,
            own.rate_hz,
            unit=own.unit,
            record_id=own.record_id,
        )

    def identity(self, index: int) -> str:
        """Id of the record, or a hash of its values."""
        own = self.recordings[index]
        return own.record_id or "sha256:" + hashlib.sha256(_bytes(own)).hexdigest()[:24]

    def fingerprint(self) -> str:
        """Hash of the values of all records."""
        total = hashlib.sha256(json.dumps(self.channels).encode())
        for own in self.recordings:
            total.update(json.dumps(own.rate_hz).encode() + _bytes(own))
        return total.hexdigest()


def _bytes(recording: Recording) -> bytes:
    return np.ascontiguousarray(recording.values, dtype="<f4").tobytes()
