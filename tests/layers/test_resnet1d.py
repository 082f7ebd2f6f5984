"""The residual network over time: shapes, zero start, who sees what."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers.resnet1d import ResidualBlock, ResNet1d


@pytest.mark.parametrize("n_times", [33, 250, 1001])
def test_signals_of_any_length_give_one_row_each(n_times: int) -> None:
    network = ResNet1d(8, 5, widths=(8, 12)).eval()
    assert network(torch.randn(3, 8, n_times)).shape == (3, 5)


def test_a_block_starts_as_its_shortcut() -> None:
    block = ResidualBlock(6, 6, 7).eval()
    x = torch.randn(2, 6, 40)
    torch.testing.assert_close(block(x), torch.relu(x))
    halved = ResidualBlock(6, 6, 7, stride=2).eval()
    torch.testing.assert_close(halved(x), torch.relu(x.view(2, 6, 20, 2).mean(-1)))


def test_records_do_not_see_each_other_in_eval_mode() -> None:
    network = ResNet1d(2, 3, widths=(4,)).eval()
    x = torch.randn(4, 2, 100)
    torch.testing.assert_close(network(x)[:1], network(x[:1]), atol=1e-5, rtol=1e-4)


def test_every_weight_learns() -> None:
    network = ResNet1d(2, 3, widths=(4, 6))
    for block in network.stages:  # past the zero start
        torch.nn.init.ones_(block.path[2][1].weight)
    network(torch.randn(4, 2, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        ResNet1d(2, 3, kernel=4)
