"""Patch embeddings. Shapes: B batch, C channels, T samples, N tokens, D width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed1d(nn.Module):
    """Cut a multichannel signal into patches of all channels and project each linearly.

    The weight has the layout of a Conv1d with stride equal to its kernel, `proj.weight`
    (D, C, patch); it is applied as one matrix product, which is faster on CPU.

    Parameters
    ----------
    channels, patch, dim : int
        Channels of the signal, samples per patch, width of a token.
    bias : bool
    """

    def __init__(self, channels: int, patch: int, dim: int, *, bias: bool = True) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv1d(channels, dim, patch, stride=patch, bias=bias)

    def forward(self, values: Tensor) -> Tensor:
        """Embed `values` (B, C, T) to (B, T // patch, D); a rest shorter than a patch is cut.

        Raises
        ------
        ValueError
            If the signal has other channels than the layer or is shorter than a patch.
        """
        _, C, T = values.shape
        if self.proj.in_channels != C or self.patch > T:
            raise ValueError(
                f"expected ({self.proj.in_channels} channels, at least {self.patch} samples), "
                f"got {C} channels and {T} samples"
            )
        patches = cut_patches(values, self.patch)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def cut_patches(values: Tensor, patch: int) -> Tensor:
    """Patches of time of all channels, (B, T // patch, C * patch); a shorter rest is cut."""
    B, C, T = values.shape
    N = T // patch
    return values[..., : N * patch].view(B, C, N, patch).transpose(1, 2).reshape(B, N, -1)
