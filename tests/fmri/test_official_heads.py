"""Published files of fine-tuned networks and linear probes, built by hand with their key names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError
from biojepa.fmri import BrainClassifier, official
from biojepa.fmri.heads import BrainNet
from tests.fmri.cohort import simulate_runs
from tests.fmri.published import HEADS, content, downstream, reference, write


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return reference()


@pytest.fixture
def x(arrays) -> Signals:
    return Signals(torch.from_numpy(arrays["x"][:, 0]))


def by_hand(given: dict, tokens: np.ndarray) -> np.ndarray:
    """Mean over all tokens, LayerNorm, (BatchNorm of a probe at test,) linear layer."""
    model = {k: v.double().numpy() for k, v in given["model"].items()}
    z = tokens.astype(np.float64).mean(axis=1)
    z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-6)
    z = z * model["fc_norm.weight"] + model["fc_norm.bias"]
    where = "head"
    if "head.1.weight" in model:
        z = (z - model["head.0.running_mean"]) / np.sqrt(model["head.0.running_var"] + 1e-6)
        where = "head.1"
    return z @ model[f"{where}.weight"].T + model[f"{where}.bias"]


def load(given, path, arrays) -> BrainNet:
    return official.load(write(given, path), gradients=arrays["gradient"], heads=HEADS)


@pytest.mark.parametrize("probe", [False, True])
def test_a_head_gives_the_numbers_that_its_published_form_gives(arrays, x, tmp_path, probe) -> None:
    given = downstream(probe=probe)
    net = load(given, tmp_path / "a.pth", arrays)
    assert (net.n_outputs, net.frozen, net.training) == (3, probe, False)
    with torch.no_grad():
        outputs = net(x).numpy()
    tokens = official.load(
        write(content(), tmp_path / "b.pt"), gradients=arrays["gradient"], heads=HEADS
    ).encode(x)
    np.testing.assert_allclose(outputs, by_hand(given, tokens.numpy()), atol=2e-5)


@pytest.mark.parametrize("probe", [False, True])
def test_a_network_written_and_read_again_is_the_same(arrays, x, tmp_path, probe) -> None:
    given = downstream(probe=probe)
    net = load(given, tmp_path / "a.pth", arrays)
    official.save(net, tmp_path / "b.pth", epoch=49)
    written = torch.load(tmp_path / "b.pth", weights_only=True)
    assert written["model"].keys() == given["model"].keys()
    assert given.keys() < written.keys()
    if not probe:
        for name, value in given["model"].items():
            torch.testing.assert_close(written["model"][name], value, atol=1e-6, rtol=0)
    again = official.load(tmp_path / "b.pth")  # gradients and heads are in the files
    assert again.frozen is probe
    with torch.no_grad():
        torch.testing.assert_close(again(x), net(x), atol=1e-6, rtol=0)


def test_a_fine_tuned_classifier_is_written_as_published(tmp_path) -> None:
    runs, y = simulate_runs(8, n_regions=12)
    classifier = BrainClassifier(preset="tiny", tr=2.0, mode="finetune", steps=2, random_state=0)
    net = classifier.fit(runs, y).network_
    official.save(net, tmp_path / "own.pth")
    again = official.load(tmp_path / "own.pth")
    for name, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    with pytest.raises(ConfigError, match="'finetune' or 'probe' for a BrainNet"):
        official.save(net, tmp_path / "own.pth", layout="pretraining")
    attentive = BrainNet(net.encoder, 2, head="attentive")
    with pytest.raises(ConfigError, match="expected a network with head 'mean'"):
        official.save(attentive, tmp_path / "own.pth")


def damage(kind: str, *, probe: bool) -> dict:
    given = downstream(probe=probe)
    model, where = given["model"], "head.1" if probe else "head"
    if kind == "missing":
        del model[f"{where}.bias"]
    elif kind == "missing in the encoder":
        del model["encoder.blocks.1.attn.qkv.bias"]
    elif kind == "no norm":
        del model["fc_norm.weight"]
    elif kind == "extra":
        model["head.2.weight"] = torch.zeros(3, 3)
    elif kind == "extra in the encoder":
        model["encoder.cls_token"] = torch.zeros(1, 1, 32)
    elif kind == "nan":
        model[f"{where}.weight"][0, 0] = float("nan")
    elif kind == "width":
        model[f"{where}.weight"] = torch.zeros(3, 31)
    elif kind == "outputs":
        model[f"{where}.bias"] = torch.zeros(4)
    elif kind == "a list":
        given["model"] = [1, 2]
    elif kind == "variance":
        model["head.0.running_var"][2] = -1.0
    elif kind == "no scaling":
        del model["head.0.running_mean"]
    return given


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"missing head\.(1\.)?bias, unexpected none"),
        ("missing in the encoder", r"missing blocks\.1\.attn\.qkv\.bias"),
        ("no norm", r"missing fc_norm\.weight"),
        ("extra", r"unexpected head\.2\.weight"),
        ("extra in the encoder", "unexpected cls_token"),
        ("nan", r"head\.(1\.)?weight holds NaN"),
        ("width", "expected a head of the encoder's width 32|expected head.0 of"),
        ("outputs", "expected a head of the encoder's width 32|expected head.0 of"),
        ("a list", "expected a dict model"),
    ],
)
@pytest.mark.parametrize("probe", [False, True])
def test_a_damaged_file_is_refused_by_name(arrays, tmp_path, kind, message, probe) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load(damage(kind, probe=probe), tmp_path / "damaged.pth", arrays)
    assert "damaged.pth" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("variance", "variances below 0"), ("no scaling", r"missing head\.0\.running_mean")],
)
def test_the_scaling_of_a_probe_must_be_whole(arrays, tmp_path, kind, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(damage(kind, probe=True), tmp_path / "damaged.pth", arrays)
