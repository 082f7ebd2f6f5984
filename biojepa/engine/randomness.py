"""Counter-based randomness: every draw is a pure function of (seed, purpose, step).

A generator is made anew for each purpose and step and fills a table for the whole global batch,
so that a sample's draw depends on its position in the global batch and not on the rank, the
worker, or what was drawn before. Nothing has to be saved to resume.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


def numpy_generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Generator of one purpose at one place of a run.

    Parameters
    ----------
    seed : int
        Of the run.
    purpose : str
        What is drawn: `"mask"`, `"crop"`, `"order"`, ...
    *counters : int
        Step, micro-batch, epoch, rank: whatever the draw may depend on; always as many for one
        purpose, since a missing counter and a last 0 give the same generator.
    """
    return np.random.Generator(np.random.Philox(_sequence(seed, purpose, counters)))


def torch_seed(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for torch, made as `numpy_generator` makes its key."""
    low, high = _sequence(seed, purpose, counters).generate_state(2, np.uint32)
    return int(low) | (int(high) & 0x7FFFFFFF) << 32


def torch_generator(
    seed: int, purpose: str, *counters: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Torch generator of one purpose at one place of a run, on a device."""
    return torch.Generator(device=device).manual_seed(torch_seed(seed, purpose, *counters))


@dataclass(frozen=True)
class BatchKey:
    """Where a batch stands in the run; the source of its draws.

    Parameters
    ----------
    seed, step : int
        Of the run, and the optimiser step.
    rows : ndarray of int, shape (B,)
        Positions of these samples in the global batch of the step.
    size : int
        Samples in the global batch of the step, over all ranks and micro-batches.
    """

    seed: int
    step: int
    rows: np.ndarray
    size: int

    def generator(self, purpose: str) -> np.random.Generator:
        """Generator to fill a table for the whole global batch; take `[key.rows]` of it.

        What the batch shares is drawn first, on every rank alike.
        """
        return numpy_generator(self.seed, purpose, self.step)


@contextmanager
def keyed_torch_rng(seed: int, purpose: str, *counters: int) -> Iterator[None]:
    """Run torch's global draws (initialisation, dropout) from a key; then restore the caller's."""
    cuda = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        with torch.random.fork_rng(devices=cuda):
            seed_global_torch(torch_seed(seed, purpose, *counters))
            yield
    finally:
        if mps is not None:
            torch.mps.set_rng_state(mps)


def seed_global_torch(seed: int) -> None:
    """Seed torch's global generators of the CPU and of the device in use."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def _sequence(seed: int, purpose: str, counters: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
