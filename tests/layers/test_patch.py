"""Patch embedding: the convolution it stands for."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers.patch import PatchEmbed1d


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_times", [20, 23])
def test_patches_equal_the_strided_convolution(bias, n_times) -> None:
    torch.manual_seed(0)
    layer = PatchEmbed1d(3, 5, 8, bias=bias)
    values = torch.randn(2, 3, n_times)
    expected = layer.proj(values).transpose(1, 2)
    torch.testing.assert_close(layer(values), expected, rtol=0, atol=1e-6)


def test_memory_order_does_not_matter() -> None:
    torch.manual_seed(0)
    layer = PatchEmbed1d(3, 5, 8)
    values = torch.randn(2, 20, 3).transpose(1, 2)
    torch.testing.assert_close(layer(values), layer(values.contiguous()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 20), (1, 3, 4)])
def test_other_channels_or_a_short_signal_are_refused(shape) -> None:
    with pytest.raises(ValueError, match="expected \\(3 channels, at least 5 samples\\)"):
        PatchEmbed1d(3, 5, 8)(torch.zeros(shape))
