"""What watches a run: the non-finite guard, the collapse alarm, and signals to stop.

A falling loss is no sign of progress: the published recipes spend their first steps in a collapse
phase in which the loss falls and the features get worse. RankMe tells the two apart.
"""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from torch import Tensor

from biojepa.engine.distributed import agree_any
from biojepa.errors import CollapseWarning, ConfigError, TrainingError

RANK_SHARE = 0.10  # of the width: users_faults_evaluation, row T3
LEAST_STD = 0.01  # of L2-normalised embeddings: the same row


@dataclass
class FiniteGuard:
    """Skip a step whose loss or gradients are not finite; give up after too many in a row.

    Parameters
    ----------
    limit : int
    skipped, in_a_row : int
        Counters, saved with the run.
    """

    limit: int
    skipped: int = 0
    in_a_row: int = 0

    def accept(self, loss: Tensor, norms: Tensor, step: int) -> bool:
        """Whether the step may be taken; all ranks get the same answer.

        Parameters
        ----------
        loss : Tensor, scalar
        norms : Tensor, shape (n_groups,)
            Norms of the gradients, not finite where any of them is not.
        step : int

        Raises
        ------
        TrainingError
            After `limit` skipped steps in a row.
        """
        finite = math.isfinite(norms.sum().to(loss.device) + loss.detach())
        if not agree_any(not finite):
            self.in_a_row = 0
            return True
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.limit:
            raise TrainingError(
                f"the loss or the gradients were not finite in {self.in_a_row} steps in a row, "
                f"last at step {step}: lower the learning rate, check the scale of the input "
                "(units=), or look for damaged records with `biojepa doctor`"
            )
        return False


@dataclass
class CollapseAlarm:
    """Warn when the embeddings occupy almost no dimensions for some checks in a row.

    Parameters
    ----------
    patience : int
        Checks in a row before the alarm.
    stop : bool
        Raise instead of warning.
    bad : int
        Counter, saved with the run.
    """

    patience: int
    stop: bool = False
    bad: int = 0

    def check(self, values: dict[str, float], step: int) -> bool:
        """Look at one set of diagnostics; True when the alarm is on.

        Raises
        ------
        TrainingError
            If `stop` is set and the alarm goes on.
        """
        if "rankme" not in values or "std" not in values:
            return False
        low_rank = values["rankme"] < RANK_SHARE * values.get("dim", 0.0)
        self.bad = self.bad + 1 if low_rank or values["std"] < LEAST_STD else 0
        if self.bad < self.patience:
            return False
        message = (
            f"the embeddings are collapsing at step {step}: RankMe {values['rankme']:.1f} of "
            f"{values.get('dim', 0):.0f}, std {values['std']:.4f}, {self.bad} checks in a row; "
            "add a regulariser ('vicreg' or 'sigreg'), lower the learning rate, or start with a "
            "lower momentum"
        )
        if self.stop:
            raise TrainingError(message)
        if self.bad == self.patience:
            warnings.warn(message, CollapseWarning, stacklevel=3)
        return True


@dataclass
class BestScore:
    """The best evaluation so far, and how long ago it was.

    Parameters
    ----------
    mode : {"max", "min"}
    patience : int or None
        Evaluations without improvement after which training stops; None never stops.
    value : float or None
    step : int
    waited : int
    """

    mode: str = "max"
    patience: int | None = None
    value: float | None = None
    step: int = 0
    waited: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ConfigError(f"expected mode 'max' or 'min', got {self.mode!r}")

    def update(self, value: float, step: int) -> bool:
        """Take a new score; True if it is the best, which NaN never is."""
        sign = 1.0 if self.mode == "max" else -1.0
        better = self.value is None or sign * value > sign * self.value
        if better and math.isfinite(value):
            self.value, self.step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict:
        """For the checkpoint."""
        return asdict(self)


class StopRequest:
    """Which signal asked to stop, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def agreed(self) -> bool:
        """Whether any rank was asked; all ranks get the same answer."""
        return agree_any(self.signal is not None)


@contextmanager
def stop_on_signals(active: bool) -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a request that the loop answers after its step.

    Parameters
    ----------
    active : bool
        Only then, and only in the main thread, handlers are set; they are restored at the end.
    """
    request = StopRequest()
    if not active or threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, _frame: object) -> None:
        request.signal = number

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
