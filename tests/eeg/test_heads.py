"""The downstream networks against braindecode's with the same weights."""

from __future__ import annotations

import pytest
import torch

from biojepa.data.montage import standard_xyz
from biojepa.eeg.finetune import make_network
from biojepa.eeg.heads import SignalClassifierNet
from biojepa.eeg.model import build_jepa
from biojepa.eeg.network import import_braindecode, network_settings
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError
from tests.eeg.published import needs_eeg
from tests.eeg.test_model import NAMES, config

pytestmark = needs_eeg
PAPER = {"hidden": 2048, "n_times": 200}
THEIRS = {
    "pre-local": "SignalJEPA_PreLocal",
    "post-local": "SignalJEPA_PostLocal",
    "contextual": "SignalJEPA_Contextual",
}


def network(architecture, **changes) -> SignalClassifierNet:
    jepa = build_jepa(config(**(PAPER | changes)))
    return make_network(
        jepa, 3, n_times=200, n_channels=7, architecture=architecture, n_filters=4, seed=0
    ).eval()


@pytest.fixture
def x() -> Signals:
    values = 10 * torch.randn(5, 7, 200, generator=torch.Generator().manual_seed(0))
    return Signals(values, torch.from_numpy(standard_xyz(NAMES)).float())


def published_keys(net: SignalClassifierNet) -> dict[str, torch.Tensor]:
    """The weights under braindecode's names."""
    names = {
        "encoder.contextual.transformer.": "transformer.encoder.",
        "encoder.feature_encoder.": "feature_encoder.",
        "encoder.pos_encoder.": "pos_encoder.",
        "spatial.": "spatial_conv.1."
        if net.architecture == "pre-local"
        else "final_layer.spat_conv.",
        "linear.": "final_layer.1." if net.architecture == "pre-local" else "final_layer.linear.",
    }
    state = {}
    for key, value in net.state_dict().items():
        prefix = next(p for p in names if key.startswith(p))
        state[names[prefix] + key.removeprefix(prefix)] = value
    return state


@pytest.mark.parametrize("architecture", list(THEIRS))
def test_logits_are_those_of_braindecode(architecture, x):
    net = network(architecture)
    settings = network_settings(net.encoder.config) | {"n_outputs": 3, "n_times": 200}
    theirs = getattr(import_braindecode(), THEIRS[architecture])(**settings).eval()
    state = published_keys(net)
    wanted = theirs.state_dict()
    lacking = [k for k in wanted if k not in state]
    assert all(k.startswith("transformer.decoder.") for k in lacking)
    theirs.load_state_dict({k: v for k, v in state.items() if k in wanted}, strict=False)
    with torch.no_grad():
        assert torch.allclose(net(x), theirs(x.values), atol=1e-5)


def test_only_pre_local_sees_the_gain_of_a_channel(x):
    louder = x.values.clone()
    louder[:, 2] *= 5
    for architecture, sees in (("pre-local", True), ("post-local", False), ("contextual", False)):
        net = network(architecture)
        with torch.no_grad():
            moved = (net(x) - net(Signals(louder, x.positions))).abs().max()
        assert (float(moved) > 1e-2) == sees


def test_the_encoder_is_copied_with_the_weights_of_the_downstream_network():
    jepa = build_jepa(config())
    with torch.no_grad():
        for p in jepa.target_encoder.parameters():
            p += 1.0
    options = {"n_times": 152, "n_channels": 7, "architecture": "contextual", "n_filters": 2}
    net = make_network(jepa, 2, **options, seed=0)
    assert torch.equal(
        next(net.encoder.contextual.parameters()), next(jepa.target_encoder.parameters())
    )
    with torch.no_grad():
        next(net.encoder.contextual.parameters()).zero_()
    assert next(jepa.target_encoder.parameters()).abs().sum() > 0
    assert all(p.requires_grad for p in net.parameters())


def test_other_lengths_and_settings_are_refused(x):
    with pytest.raises(DataError, match="200 samples"):
        network("pre-local")(Signals(x.values[..., :180], x.positions))
    with pytest.raises(DataError, match="7 channels"):
        network("contextual")(Signals(x.values[:, :5]))
    encoder = build_jepa(config()).encoder
    with pytest.raises(ConfigError, match="architecture"):
        SignalClassifierNet(encoder, 2, n_times=152, n_channels=7, architecture="local")  # type: ignore
    with pytest.raises(ConfigError, match="a token needs"):
        SignalClassifierNet(encoder, 2, n_times=10, n_channels=7)
