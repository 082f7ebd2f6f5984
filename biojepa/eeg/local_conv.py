"""Samples and tokens of the local encoder: a stack of strided convolutions over one channel."""

from __future__ import annotations

from collections.abc import Sequence

Conv = Sequence[tuple[int, int, int]]

# (filters, kernel, stride), as published: tokens of 1.1875 s every second at 128 Hz
CONV: tuple[tuple[int, int, int], ...] = ((8, 32, 8), (16, 2, 2), (32, 2, 2), (64, 2, 2)) + (
    (64, 2, 2),
)


def n_tokens_of(n_times: int, conv: Conv) -> int:
    """Tokens of one channel that `n_times` samples give; 0 or less if they are too few."""
    for _, kernel, stride in conv:
        n_times = (n_times - kernel) // stride + 1
    return n_times


def n_samples_of(n_tokens: int, conv: Conv) -> int:
    """The fewest samples that give `n_tokens` tokens of a channel."""
    for _, kernel, stride in reversed(conv):
        n_tokens = (n_tokens - 1) * stride + kernel
    return n_tokens
