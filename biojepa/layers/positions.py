"""Fixed sine-cosine positions.

ECG-JEPA interleaves sine and cosine; I-JEPA concatenates them. Mixing the two up is silent, so
the order is a required word.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_1d(n_tokens: int, dim: int, *, order: str) -> Tensor:
    """Position table of a one-dimensional sequence.

    Frequencies are `10000 ** (-2 i / dim)` for i = 0 .. dim/2 - 1.

    Parameters
    ----------
    n_tokens, dim : int
        `dim` must be even.
    order : {"interleaved", "concatenated"}
        Channel 2i is the sine and 2i+1 the cosine, or all sines come first.

    Returns
    -------
    Tensor of float32, shape (n_tokens, dim)

    Raises
    ------
    ValueError
        If `dim` is odd or `order` unknown.
    """
    if dim % 2:
        raise ValueError(f"expected an even width for sine-cosine positions, got {dim}")
    i = torch.arange(dim // 2, dtype=torch.float64)
    angle = torch.arange(n_tokens, dtype=torch.float64)[:, None] * 10000.0 ** (-2 * i / dim)
    if order == "interleaved":
        table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    elif order == "concatenated":
        table = torch.cat([angle.sin(), angle.cos()], dim=-1)
    else:
        raise ValueError(f"expected order 'interleaved' or 'concatenated', got {order!r}")
    return table.float()
