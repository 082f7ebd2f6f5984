"""Attention: the two kernels agree, padding is not seen, half precision stays close."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers import attention
from biojepa.layers.attention import Attention, CrossAttention, attend, use_fused_kernel
from biojepa.layers.blockwise import blockwise_attention


def random_qkv(n_tokens: int = 7, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [
        torch.randn(3, 2, n_tokens, 8, generator=rng, dtype=dtype).requires_grad_()
        for _ in range(3)
    ]


def padding() -> torch.Tensor:
    return torch.arange(7) < torch.tensor([[7], [4], [1]])


def run(kernel: bool, valid: torch.Tensor | None, monkeypatch) -> list[torch.Tensor]:
    monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, **__: kernel)
    qkv = random_qkv()
    out = attend(*qkv, valid=valid)
    out.square().sum().backward()
    return [out.detach(), *[x.grad for x in qkv]]


@pytest.mark.parametrize("masked", [False, True])
def test_explicit_and_fused_attention_agree_in_value_and_gradient(masked, monkeypatch) -> None:
    valid = padding() if masked else None
    for a, b in zip(run(True, valid, monkeypatch), run(False, valid, monkeypatch), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-6)


def test_attention_by_hand_on_two_tokens() -> None:
    q = torch.tensor([[[[1.0], [0.0]]]])
    k, v = torch.tensor([[[[0.0], [1.0]]]]), torch.tensor([[[[2.0], [4.0]]]])
    e = torch.tensor(1.0).exp()
    first = (2 + 4 * e) / (1 + e)
    torch.testing.assert_close(attend(q, k, v).flatten(), torch.stack([first, torch.tensor(3.0)]))


@pytest.mark.parametrize("kernel", [True, False])
def test_padded_keys_change_nothing_whatever_they_hold(kernel, monkeypatch) -> None:
    monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, **__: kernel)
    q, k, v = (x.detach() for x in random_qkv())
    out = attend(q, k, v, valid=padding())
    hidden = ~padding()[:, None, :, None].expand_as(k)
    other = attend(q, k.masked_fill(hidden, 50.0), v.masked_fill(hidden, -9.0), valid=padding())
    assert torch.equal(out, other)
    alone = attend(q[1:2, :, :4], k[1:2, :, :4], v[1:2, :, :4])
    torch.testing.assert_close(out[1:2, :, :4], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", [True, False])
def test_a_record_without_a_valid_token_stays_finite(kernel, monkeypatch) -> None:
    monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, **__: kernel)
    layer = Attention(8, 2)
    valid = torch.tensor([[True, False], [False, False]])
    out = layer(torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(1)), valid)
    out[0].sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("grad", [True, False])
def test_bf16_attention_is_near_fp32_with_and_without_gradient(grad) -> None:
    layer = Attention(16, 2)
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    valid = torch.arange(9) < torch.tensor([[9], [5]])
    exact = layer(x, valid).detach()
    with torch.set_grad_enabled(grad), torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x, valid)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float().detach(), exact, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("tiles", [True, False])
def test_the_kernel_follows_device_precision_and_gradient(tiles, monkeypatch) -> None:
    monkeypatch.setattr(attention, "CPU_HAS_TILES", tiles)
    half = torch.bfloat16
    assert not use_fused_kernel("cpu", half, grad=True)
    assert use_fused_kernel("cpu", half, grad=False) == tiles
    for grad in (True, False):
        assert use_fused_kernel("cpu", torch.float32, grad=grad)
        assert use_fused_kernel("cuda", half, grad=grad)


@pytest.mark.parametrize(
    ("n_tokens", "grad", "kernel"),
    [(256, False, "explicit"), (257, False, "blocks"), (512, True, "explicit")]
    + [(513, True, "blocks")],
)
def test_long_sequences_in_half_precision_go_block_by_block(
    n_tokens, grad, kernel, monkeypatch
) -> None:
    monkeypatch.setattr(attention, "CPU_HAS_TILES", False)
    blocks: list[int] = []

    def watched(q, k, v, mask):
        blocks.append(q.shape[2])
        return blockwise_attention(q, k, v, mask)

    monkeypatch.setattr(attention, "blockwise_attention", watched)
    x = torch.randn(1, 1, n_tokens, 4, dtype=torch.bfloat16, requires_grad=grad)
    attend(x, x, x)
    assert blocks == ([n_tokens] if kernel == "blocks" else [])


def test_dropout_of_attention_weights_works_at_any_length(monkeypatch) -> None:
    monkeypatch.setattr(attention, "CPU_HAS_TILES", False)
    x = torch.randn(1, 1, 520, 4, dtype=torch.bfloat16, requires_grad=True)
    assert not torch.equal(attend(x, x, x, dropout=0.5), attend(x, x, x))


def test_attention_equals_torch_multihead_attention_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.data.copy_(ours.qkv.weight)
    theirs.in_proj_bias.data.copy_(ours.qkv.bias)
    theirs.out_proj.load_state_dict(ours.proj.state_dict())
    x = torch.randn(2, 7, 12)
    valid = torch.arange(7) < torch.tensor([[7], [3]])
    expected = theirs(x, x, x, key_padding_mask=~valid, need_weights=False)[0]
    torch.testing.assert_close(ours(x, valid), expected, rtol=0, atol=1e-6)


def test_cross_attention_equals_self_attention_on_its_own_tokens() -> None:
    torch.manual_seed(0)
    own, cross = Attention(8, 2), CrossAttention(8, 2)
    weight, bias = own.qkv.weight.data, own.qkv.bias.data
    cross.q.load_state_dict({"weight": weight[:8], "bias": bias[:8]})
    cross.kv.load_state_dict({"weight": weight[8:], "bias": bias[8:]})
    cross.proj.load_state_dict(own.proj.state_dict())
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(cross(x, x), own(x), rtol=0, atol=1e-6)
    assert CrossAttention(8, 2, out_dim=3)(x[:, :1], x).shape == (2, 1, 3)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="10 and 3"):
        Attention(10, 3)
