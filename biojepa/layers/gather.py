"""Keeping some tokens of a sequence. Shapes: B batch, N tokens, K kept, D width."""

from __future__ import annotations

from torch import Tensor


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Keep only some tokens of each sequence.

    Parameters
    ----------
    tokens : Tensor, shape (B, N, D) or (1, N, D)
        A batch of 1 is shared by all rows of `index`.
    index : LongTensor, shape (B, K)
        Positions to keep, 0 <= index < N, in any order.

    Returns
    -------
    Tensor, shape (B, K, D)
        In the order of `index`.

    Raises
    ------
    ValueError
        If B differs. Positions out of range are torch's own error.
    """
    if tokens.shape[0] == 1 and index.shape[0] != 1:
        return tokens[0][index]
    if tokens.shape[0] != index.shape[0]:
        raise ValueError(
            f"expected as many rows of positions as samples, got {tuple(index.shape)} "
            f"for tokens {tuple(tokens.shape)}"
        )
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
