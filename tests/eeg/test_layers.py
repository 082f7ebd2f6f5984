"""torch's transformer layers give the same whatever kernel runs them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from biojepa.eeg._layers import decoder_layer, encoder_layer


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def dtype(request) -> torch.dtype:
    return request.param


@pytest.mark.parametrize("padded", [False, True])
def test_encoder_layers_give_what_torch_gives(dtype, padded):
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True).to(dtype)
    x, other = (draw(3, 7, 16).to(dtype).requires_grad_() for _ in range(2))
    valid = torch.ones(3, 7, dtype=torch.bool)
    if padded:
        valid[0, 4:] = valid[2, 1:] = False
    found = encoder_layer(layer, x, valid=valid if padded else None)
    expected = layer(other, src_key_padding_mask=~valid if padded else None)
    near = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 0.06}
    torch.testing.assert_close(found, expected, **near)
    found[valid].square().sum().backward()
    expected[valid].square().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(
        x.grad, other.grad, rtol=0, atol=1e-4 if near["atol"] < 1 / 99 else 0.3
    )


def test_decoder_layers_give_what_torch_gives(dtype):
    layer = nn.TransformerDecoderLayer(16, 4, 32, 0.0, batch_first=True).to(dtype)
    x, memory = draw(3, 5, 16).to(dtype), draw(3, 7, 16, seed=1).to(dtype)
    valid, seen = torch.ones(3, 5, dtype=torch.bool), torch.ones(3, 7, dtype=torch.bool)
    valid[1, 3:] = seen[0, 2:] = False
    found = decoder_layer(layer, x, memory, valid=valid, memory_valid=seen)
    masks = {"tgt_key_padding_mask": ~valid, "memory_key_padding_mask": ~seen}
    atol = 1e-5 if dtype == torch.float32 else 0.06
    torch.testing.assert_close(found, layer(x, memory, **masks), rtol=0, atol=atol)


def test_a_row_of_padding_alone_stays_finite():
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True)
    valid = torch.tensor([[True, True], [False, False]])
    assert encoder_layer(layer, draw(2, 2, 16), valid=valid).isfinite().all()


def test_dropout_works_in_training_only():
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.5, batch_first=True)
    x = draw(2, 5, 16)
    assert not torch.equal(encoder_layer(layer, x), encoder_layer(layer, x))
    layer.eval()
    assert torch.equal(encoder_layer(layer, x), encoder_layer(layer, x))
