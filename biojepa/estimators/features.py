"""From windows of a record to one feature vector: encode, pool tokens, average windows.

Letters: C channels, T samples, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biojepa.data.crops import pad_to, window_starts
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError
from biojepa.layers.pooling import POOLS, pool_tokens

Prepared = np.ndarray | tuple[np.ndarray, np.ndarray]
PRECISIONS = ("fp32", "bf16")
# ours, not measured by a committed command: a patch that is a good part of a beat sees each beat
# from another side under another placement of the grid
LONG_PATCH_S = 0.1
LEAST_BATCH = 4  # ours: batches of 1 to 3 differed by 3e-7 on 2 threads, larger ones by 0


def check_pool(pool: str, precision: str) -> None:
    """Refuse unknown names.

    Raises
    ------
    ConfigError
    """
    if pool not in POOLS:
        raise ConfigError(f"expected pool in {POOLS}, got {pool!r}")
    if precision not in PRECISIONS:
        raise ConfigError(f"expected precision in {PRECISIONS}, got {precision!r}")


def feature_width(dim: int, *, pool: str, layers: Sequence[int]) -> int:
    """Length of a feature vector."""
    return dim * len(layers) * (2 if pool == "mean_std" else 1)


def extract_features(
    jepa: MaskedJEPA,
    records: Iterable[Prepared],
    *,
    window: int,
    shortest: int,
    pool: str,
    layers: Sequence[int],
    patch: int = 1,
    shifts: int = 1,
    batch_size: int = 64,
    precision: str = "fp32",
    device: str = "cpu",
    positions: Tensor | None = None,
) -> np.ndarray:
    """Features of prepared records; a long record is the mean over its windows.

    Parameters
    ----------
    jepa : MaskedJEPA
        In eval mode, on `device`.
    records : iterable of ndarray, shape (C, T), or of pairs of it and a bool ndarray (C,)
        T may differ. The second says which channels hold anything.
    window : int
        Samples; the last window of a record ends with the record.
    shortest : int
        Samples that a shorter record is padded to.
    pool : {"mean", "mean_std", "register"}
    layers : sequence of int
        Blocks whose features are put side by side.
    patch : int
        Samples of a token; what does not fill one at the end of a record is no window of its own.
    shifts : int
        Mean over so many placements of the grid of patches on the record: a patch that is a good
        part of a beat sees each beat from another side. A record is read this many times.
    batch_size : int
        Windows that go through the network together.
    precision : {"fp32", "bf16"}
    device : str
    positions : Tensor, optional
        Of the channels, for encoders that take them.

    Returns
    -------
    ndarray of float32, shape (n_records, n_features)
    """
    sums: list[np.ndarray] = []
    counts: list[int] = []
    waiting: dict[tuple[int, bool], list[tuple[int, Signals]]] = {}

    def run(batch: list[tuple[int, Signals]]) -> None:
        # kernels round otherwise for one or two rows: a record gets the same answer alone
        rows = [s for _, s in batch] + [batch[0][1]] * (LEAST_BATCH - len(batch))
        values = torch.stack([s.values for s in rows])
        valid = None
        if rows[0].valid is not None:
            valid = torch.stack([s.valid for s in rows if s.valid is not None])
        x = Signals(values, positions, valid).to(device)
        pooled = _pooled(jepa, x, pool, layers, precision)
        pooled = pooled[: len(batch)]
        for (index, _), row in zip(batch, pooled.cpu().numpy(), strict=True):
            sums[index] = sums[index] + row

    with torch.inference_mode():
        for index, record in enumerate(records):
            sums.append(np.zeros((), np.float64))
            counts.append(0)
            for signals in shifted_windows(record, window, shortest, patch=patch, shifts=shifts):
                counts[index] += 1
                kind = signals.values.shape[-1], signals.valid is None
                group = waiting.setdefault(kind, [])
                group.append((index, signals))
                if len(group) == batch_size:
                    run(group)
                    group.clear()
        for group in waiting.values():
            if group:
                run(group)
    return np.stack([s / c for s, c in zip(sums, counts, strict=True)]).astype(np.float32)


def windows_of(record: Prepared, window: int, shortest: int) -> Iterator[Signals]:
    """Windows of one record, without overlap but for the last; a short record is one window.

    Yields
    ------
    Signals
        Values (C, T) without batch axis; `valid` (C, T) only where a record was padded or lacks
        channels.
    """
    record, channels = record if isinstance(record, tuple) else (record, None)
    if channels is not None and channels.all():
        channels = None
    n_times = record.shape[-1]
    if n_times < shortest:
        values, there = pad_to(record, shortest)
        padded = np.array(np.broadcast_to(there, values.shape))
        if channels is not None:
            padded &= channels[:, None]
        yield Signals(torch.from_numpy(values), valid=torch.from_numpy(padded))
        return
    starts = [0]
    if n_times > window:
        starts = window_starts(n_times, window, window).tolist()
        if starts[-1] + window < n_times:
            starts.append(n_times - window)
    for start in starts:
        piece = torch.from_numpy(np.ascontiguousarray(record[:, start : start + window]))
        valid = None
        if channels is not None:
            valid = torch.from_numpy(channels)[:, None].expand(piece.shape)
        yield Signals(piece, valid=valid)


def shifted_windows(
    record: Prepared, window: int, shortest: int, *, patch: int = 1, shifts: int = 1
) -> Iterator[Signals]:
    """Windows of a record under several placements of the grid of patches.

    Yields
    ------
    Signals
        `windows_of` the record from sample 0, then from fractions of a patch on, as long as
        `shortest` samples remain.
    """
    values, channels = record if isinstance(record, tuple) else (record, None)
    for k in range(shifts):
        piece = values[..., k * patch // shifts :]
        if k and piece.shape[-1] < shortest:
            return
        if window < piece.shape[-1] < window + patch:
            piece = piece[..., :window]
        yield from windows_of(piece if channels is None else (piece, channels), window, shortest)


def layer_numbers(layer: int | Sequence[int] | str, depth: int) -> list[int]:
    """Numbers of the blocks that `layer` names, "all" being all `depth` of them.

    Raises
    ------
    ConfigError
        If it names none.
    """
    if isinstance(layer, str):
        if layer != "all":
            raise ConfigError(f"expected layer 'all' or numbers of blocks, got {layer!r}")
        return list(range(depth))
    layers = [layer] if isinstance(layer, int | np.integer) else list(layer)
    if not layers:
        raise ConfigError("expected at least one layer, got none")
    return [int(i) for i in layers]


def grid_shifts(shifts: int | None, patch_s: float) -> int:
    """How many placements of the patch grid features are averaged over.

    Parameters
    ----------
    shifts : int or None
        None: 4 for patches of `LONG_PATCH_S` or longer, else 1.
    patch_s : float
        Seconds of a patch.

    Raises
    ------
    ConfigError
        If `shifts` is below 1.
    """
    if shifts is None:
        return 4 if patch_s >= LONG_PATCH_S else 1
    if shifts < 1:
        raise ConfigError(f"expected shifts >= 1, got {shifts}")
    return int(shifts)


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """Bf16 autocast if asked for."""
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()


def _pooled(
    jepa: MaskedJEPA, x: Signals, pool: str, layers: Sequence[int], precision: str
) -> Tensor:
    network, embedder = jepa.downstream_encoder, jepa.embedder
    with autocast(x.values.device.type, precision):
        tokens = embedder.embed(x)
        valid = embedder.token_valid(x)
        outputs = network.hidden(tokens, valid, layers=layers, registers=pool == "register")
    parts = []
    for out in outputs:
        if pool == "register":
            n_registers = out.shape[1] - tokens.shape[1]
            parts.append(out[:, :n_registers].float().mean(dim=1))
        else:
            parts.append(pool_tokens(out.float(), pool=pool, valid=valid))
    return torch.cat(parts, dim=1)
