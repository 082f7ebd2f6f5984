"""One line of progress: step, loss, RankMe, samples per second, time left."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


class ProgressLine:
    """A tqdm bar that is quiet when standard error is not a terminal.

    Parameters
    ----------
    total, start : int
        Steps of the run, and steps done before.
    wanted : bool
    force : bool or None
        True shows it without a terminal.
    """

    def __init__(self, total: int, start: int, wanted: bool, *, force: bool | None = None) -> None:
        quiet = not wanted or (not force and not sys.stderr.isatty())
        self.bar = tqdm(total=total, initial=start, unit="step", disable=quiet, leave=True)
        self.rankme: float | None = None

    def show(self, step: int, row: dict[str, Any]) -> None:
        """Move to a step and show what its row says."""
        self.rankme = row.get("rankme", self.rankme)
        shown = {"loss": f"{row['loss']:.4f}"}
        if self.rankme is not None:
            shown["RankMe"] = f"{self.rankme:.1f}"
        shown["samples/s"] = f"{row['samples_per_s']:.0f}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(step - self.bar.n)

    def close(self) -> None:
        """Leave the line as it is."""
        self.bar.close()
