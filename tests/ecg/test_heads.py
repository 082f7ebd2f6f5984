from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.model import build_jepa
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError
from tests.ecg.test_model import TINY, signals


def net(head: str = "attentive", **settings) -> ECGClassifierNet:
    torch.manual_seed(0)
    return ECGClassifierNet(build_jepa(TINY).encoder, 5, head=head, **settings).eval()


@pytest.mark.parametrize(
    ("head", "keys"),
    [
        (
            "attentive",
            {
                "attn_pool.query_token": (1, 1, 16),
                "attn_pool.cross_attention_block.q.weight": (16, 16),
                "attn_pool.cross_attention_block.kv.weight": (32, 16),
                "attn_pool.cross_attention_block.proj.weight": (5, 16),
            },
        ),
        ("register", {"fc.weight": (5, 16)}),
        ("mean", {"fc.weight": (5, 16)}),
    ],
)
def test_heads_have_the_published_keys(head, keys):
    state = net(head).state_dict()
    own = {k: tuple(v.shape) for k, v in state.items() if not k.startswith("encoder.")}
    assert own == keys


def test_the_register_head_is_a_linear_map_of_the_register():
    classifier, x = net("register"), signals()
    encoder = classifier.encoder
    register = encoder.contextualise(encoder.embed(x), registers=True)[:, 0]
    torch.testing.assert_close(classifier(x.values), register @ classifier.fc.weight.T)


def test_the_mean_head_is_a_linear_map_of_the_mean_token():
    classifier, x = net("mean"), signals()
    mean = classifier.encoder.contextualise(classifier.encoder.embed(x)).mean(dim=1)
    torch.testing.assert_close(classifier(x), mean @ classifier.fc.weight.T)


def test_the_attentive_head_sees_the_register_unless_told_not_to():
    x = signals()
    classifier = net()
    without = net(attend_registers=False)
    without.load_state_dict(classifier.state_dict())
    assert not torch.allclose(classifier(x), without(x))
    tokens = classifier.encoder.contextualise(classifier.encoder.embed(x))
    torch.testing.assert_close(without(x), classifier.attn_pool(tokens))


@pytest.mark.parametrize("head", ["attentive", "register", "mean"])
def test_padding_does_not_change_the_logits(head):
    classifier, x = net(head), signals()
    padded = torch.nn.functional.pad(x.values, (0, 60), value=7.0)
    valid = (torch.arange(260) < 200).expand(4, 3, 260)
    out = classifier(Signals(padded, valid=valid))
    torch.testing.assert_close(out, classifier(x), atol=1e-6, rtol=1e-4)


def test_a_frozen_encoder_gets_no_gradient_and_stays_in_eval_mode():
    encoder = build_jepa(replace(TINY, dropout=0.5)).encoder
    classifier = ECGClassifierNet(encoder, 2, frozen=True).train()
    assert not any(part.training for part in encoder.modules())
    assert classifier.attn_pool.training
    classifier(signals()).sum().backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert classifier.attn_pool.query_token.grad is not None
    tuned = ECGClassifierNet(encoder, 2).train()
    assert all(p.requires_grad for p in tuned.parameters())
    assert encoder.training


def test_record_logits_are_the_mean_over_crops_cut_by_hand():
    classifier, x = net(), signals(2, 230)
    crops = [x.values[..., start : start + 100] for start in (0, 50, 100)]
    wanted = torch.stack([classifier(crop) for crop in crops], dim=1)
    torch.testing.assert_close(classifier.crop_logits(x.values, crop=100, stride=50), wanted)
    mean = classifier.record_logits(x.values, crop=100, stride=50)
    torch.testing.assert_close(mean, wanted.mean(dim=1))


def test_a_record_shorter_than_a_crop_is_one_crop():
    classifier, x = net(), signals(2, 60)
    crops = classifier.crop_logits(x.values, crop=100, stride=50)
    torch.testing.assert_close(crops[:, 0], classifier(x))
    assert crops.shape == (2, 1, 5)


@pytest.mark.parametrize(("crop", "stride"), [(0, 5), (5, 0)])
def test_impossible_crops_are_refused(crop, stride):
    with pytest.raises(DataError, match="at least 1"):
        net().crop_logits(signals().values, crop=crop, stride=stride)


def test_impossible_heads_are_refused():
    with pytest.raises(ConfigError, match="head in"):
        net("linear")
    with pytest.raises(ConfigError, match="register"):
        ECGClassifierNet(build_jepa(replace(TINY, registers=0)).encoder, 2, head="register")
    with pytest.raises(ConfigError, match="n_classes"):
        ECGClassifierNet(build_jepa(TINY).encoder, 0)
