"""A small residual network over time, for supervised baselines.

Three short convolutions in place of one long one at the entry, two convolutions a block, mean
pooling in the shortcut when the length is halved, the last batch norm of a block starting at zero,
mean and maximum over time at the end. Ours, small on purpose: for hundreds of records.

Shapes: B batch, C channels, T samples, W width, K outputs.

References
----------
He et al. 2016, arXiv:1512.03385. He et al. 2019, arXiv:1812.01187 (entry, shortcut, zero start).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ResNet1d(nn.Module):
    """Residual network of one dimension.

    Parameters
    ----------
    channels : int
        Of the signal.
    n_outputs : int
    widths : sequence of int
        Channels of each stage; each halves the length.
    blocks : int
        Residual blocks a stage.
    kernel : int
        Odd; samples.
    dropout : float
        Before the last layer.

    Raises
    ------
    ValueError
        If the kernel is even, or there is no stage or block.
    """

    def __init__(
        self,
        channels: int,
        n_outputs: int,
        *,
        widths: Sequence[int] = (32, 64, 96, 128),
        blocks: int = 1,
        kernel: int = 7,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or not widths or blocks < 1:
            raise ValueError(
                f"expected an odd kernel, a stage and a block, got {kernel}, {widths}, {blocks}"
            )
        first = widths[0]
        self.entry = nn.Sequential(
            # millivolts or z-scores alike, without a constant of a dataset
            nn.BatchNorm1d(channels),
            _convolution(channels, first, 5, stride=2),
            nn.ReLU(),
            _convolution(first, first, 5),
            nn.ReLU(),
            _convolution(first, first, 5),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        width = first
        for wanted in widths:
            for i in range(blocks):
                stages.append(ResidualBlock(width, wanted, kernel, stride=2 if i == 0 else 1))
                width = wanted
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, n_outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Outputs (B, K) of signals (B, C, T) of any length."""
        x = self.stages(self.entry(values))
        return self.head(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut.

    Parameters
    ----------
    channels, width : int
        In and out.
    kernel, stride : int
    """

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.path = nn.Sequential(
            _convolution(channels, width, kernel, stride=stride),
            nn.ReLU(),
            _convolution(width, width, kernel, scale=0.0),
        )
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if channels != width:
            shortcut.append(_convolution(channels, width, 1))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, channels, T) to (B, width, ceil(T / stride))."""
        return torch.relu(self.path(x) + self.shortcut(x))


def _convolution(
    channels: int, width: int, kernel: int, *, stride: int = 1, scale: float = 1.0
) -> nn.Sequential:
    """Convolution of the same length (over the stride) and batch norm that starts at `scale`."""
    convolution = nn.Conv1d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    norm = nn.BatchNorm1d(width)
    nn.init.constant_(norm.weight, scale)
    return nn.Sequential(convolution, norm)
