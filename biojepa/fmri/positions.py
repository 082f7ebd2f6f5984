"""Where a token stands: half of its position is time, half the region's place in the brain.

The time half is a fixed sine-cosine code of the time patch. The region half is a linear map of the
region's connectivity gradients, scaled to [-1, 1] by the smallest and largest value over all
regions and features. The scaling is part of the graph and of every forward pass: adding or leaving
out regions moves all of them. Token index = region x n_time + time patch.

`kind="learned"` and `kind="none"` are the controls that the gradients have to beat.

Shapes: R regions, G gradients, n time patches, D width.

References
----------
Dong et al. 2024, Brain-JEPA: brain dynamics foundation model with gradient positioning and
spatiotemporal masking, arXiv:2409.19407, Sec. 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biojepa.errors import DataError
from biojepa.layers.positions import sincos_1d


class BrainPositions(nn.Module):
    """Position table of all tokens of a run.

    Parameters
    ----------
    dim : int
        Width of a token, divisible by 4.
    n_regions, n_gradients : int
    kind : {"gradients", "learned", "none"}
        What the region half is made of.

    Attributes
    ----------
    gradients : Tensor, shape (R, G)
        A buffer, saved with the weights; zeros until `set_gradients`.
    """

    gradients: Tensor

    def __init__(
        self, dim: int, n_regions: int, n_gradients: int, *, kind: str = "gradients"
    ) -> None:
        super().__init__()
        self.dim, self.n_regions, self.kind = dim, n_regions, kind
        if kind == "gradients":
            self.proj = nn.Linear(n_gradients, dim // 2)
        elif kind == "learned":
            self.table = nn.Parameter(0.02 * torch.randn(n_regions, dim // 2))
        self.register_buffer("gradients", torch.zeros(n_regions, n_gradients))

    def set_gradients(self, gradients: Tensor) -> None:
        """Take the gradients (R, G) of the model's own atlas.

        Raises
        ------
        DataError
            If they have another shape.
        """
        if gradients.shape != self.gradients.shape:
            raise DataError(
                f"expected gradients of shape {tuple(self.gradients.shape)} (regions, gradients), "
                f"got {tuple(gradients.shape)}: fit BrainGradients on this atlas with as many "
                "components"
            )
        self.gradients.copy_(gradients)

    def forward(self, gradients: Tensor | None, n_tokens: int | None) -> Tensor:
        """Positions of all tokens.

        Parameters
        ----------
        gradients : Tensor, shape (R', G), or None
            Of another atlas than the model's own.
        n_tokens : int
            R' x n.

        Returns
        -------
        Tensor, shape (1, R' n, D)

        Raises
        ------
        DataError
            If the tokens are not so many for each region.
        """
        own = self.gradients if gradients is None else gradients.to(self.gradients)
        R = own.shape[0]
        n = (n_tokens or 0) // R
        if not n or n * R != n_tokens:
            raise DataError(
                f"expected a multiple of {R} tokens ({R} regions), got {n_tokens}: the runs are "
                "of another atlas than these gradients"
            )
        time = sincos_1d(n, self.dim // 2, order="concatenated").to(self.gradients)
        place = self._regions(own)
        table = torch.cat(
            [time.expand(R, n, -1), place[:, None].expand(R, n, -1)], dim=-1
        )  # the time half first, as in the published weights
        return table.reshape(1, R * n, self.dim)

    def _regions(self, gradients: Tensor) -> Tensor:
        """The region half, (R', D / 2)."""
        if self.kind == "gradients":
            place = self.proj(gradients)
            low, high = place.min(), place.max()
            return (place - low) / (high - low).clamp(min=1e-12) * 2.0 - 1.0
        if self.kind == "none":
            return gradients.new_zeros(len(gradients), self.dim // 2)
        if len(gradients) != self.n_regions:
            raise DataError(
                f"expected {self.n_regions} regions, got {len(gradients)}: learned positions serve "
                "their own atlas only; use a model with gradient positions"
            )
        return self.table
