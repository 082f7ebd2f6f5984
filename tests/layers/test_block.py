"""The transformer block against references, its initialisation and stochastic depth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from biojepa.layers.block import Block, DropPath, init_transformer
from biojepa.layers.gather import gather_tokens


def reference(block: Block, x: torch.Tensor) -> torch.Tensor:
    """The block's formula with torch's own attention."""
    dim = x.shape[-1]
    attention = nn.MultiheadAttention(dim, block.attn.heads, batch_first=True)
    attention.in_proj_weight.data.copy_(block.attn.qkv.weight)
    attention.in_proj_bias.data.copy_(block.attn.qkv.bias)
    attention.out_proj.load_state_dict(block.attn.proj.state_dict())
    h = nn.functional.layer_norm(x, (dim,), block.norm1.weight, block.norm1.bias, 1e-6)
    x = x + block.attn_ls(attention(h, h, h, need_weights=False)[0])
    h = nn.functional.layer_norm(x, (dim,), block.norm2.weight, block.norm2.bias, 1e-6)
    h = h @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
    h = 0.5 * h * (1 + torch.erf(h / math.sqrt(2)))
    return x + block.mlp_ls(h @ block.mlp.fc2.weight.T + block.mlp.fc2.bias)


@pytest.mark.parametrize("layer_scale", [0.0, 0.3])
def test_the_block_equals_its_formula_with_torch_attention(layer_scale) -> None:
    torch.manual_seed(0)
    block = Block(12, 3, layer_scale=layer_scale).eval()
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(block(x), reference(block, x), rtol=0, atol=2e-6)


def test_hidden_layers_made_again_change_no_value_and_no_gradient() -> None:
    torch.manual_seed(0)
    block = Block(12, 3, dropout=0.2)
    x = torch.randn(2, 5, 12)
    found = []
    for block.recompute in (False, True):
        torch.manual_seed(1)
        block.zero_grad()
        out = block(x)
        out.square().sum().backward()
        found.append([out.detach(), *[p.grad.clone() for p in block.parameters()]])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_only_some_tokens_come_out_as_they_would_among_all(qkv_bias) -> None:
    torch.manual_seed(0)
    block = Block(12, 3, qkv_bias=qkv_bias).eval()
    x, only = torch.randn(2, 5, 12), torch.tensor([[4, 1], [0, 2]])
    valid = torch.tensor([[True, True, True, False, True], [True] * 5])
    expected = gather_tokens(block(x, valid), only)
    torch.testing.assert_close(block(x, valid, only), expected, rtol=0, atol=1e-6)


def test_the_block_equals_timm_with_the_same_weights() -> None:
    vit = pytest.importorskip("timm.models.vision_transformer", reason="timm is not installed")
    torch.manual_seed(0)
    block = Block(12, 3, norm_eps=1e-6).eval()
    theirs = vit.Block(12, 3, qkv_bias=True, norm_layer=lambda d: nn.LayerNorm(d, eps=1e-6)).eval()
    theirs.load_state_dict(block.state_dict())
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(block(x), theirs(x), rtol=0, atol=1e-5)


def test_no_bias_means_no_bias_anywhere_and_norm_bias_brings_only_those_of_norms() -> None:
    names = dict(Block(8, 2, bias=False, qkv_bias=False).named_parameters())
    assert not [n for n in names if n.endswith("bias")]
    early = dict(Block(8, 2, bias=False, qkv_bias=False, norm_bias=True).named_parameters())
    assert [n for n in early if n.endswith("bias")] == ["norm1.bias", "norm2.bias"]


def test_initial_weights_have_the_stated_spread_and_residual_scale() -> None:
    torch.manual_seed(0)
    blocks = nn.ModuleList(Block(128, 4, qkv_bias=True) for _ in range(3))
    init_transformer(blocks, depth=8)
    for block in blocks:
        assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert block.attn.proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.03)
        assert block.mlp.fc2.weight.std().item() == pytest.approx(0.02 / 4, rel=0.03)
        assert not block.attn.qkv.bias.any()
        assert not block.norm1.bias.any()
        assert (block.norm2.weight == 1).all()


def test_tokens_are_initialised_by_name() -> None:
    torch.manual_seed(0)
    holder = nn.Module()
    holder.mask_token = nn.Parameter(torch.zeros(1, 1, 5000))
    holder.other = nn.Parameter(torch.zeros(3))
    init_transformer(holder, depth=1)
    assert holder.mask_token.std().item() == pytest.approx(0.02, rel=0.05)
    assert not holder.other.any()


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25)
    out = layer(torch.ones(4000, 2, 3))
    per_sample = out.flatten(1)
    assert ((per_sample == 0).all(1) | (per_sample == 1 / 0.75).all(1)).all()
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(layer.eval()(torch.ones(2, 3)), torch.ones(2, 3))
