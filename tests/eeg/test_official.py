"""braindecode's layouts: in, out, and what is refused."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from biojepa.eeg import official
from biojepa.eeg._official_heads import CLASSES
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.finetune import make_network
from biojepa.eeg.model import build_jepa
from biojepa.eeg.network import import_braindecode, network_settings
from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError
from tests.eeg.published import TINY, arrays, needs_eeg
from tests.eeg.test_model import config

pytestmark = needs_eeg


@pytest.fixture
def x() -> torch.Tensor:
    return torch.from_numpy(arrays()["x"])


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return load_file(TINY)


def theirs(folder):
    """The folder, loaded by braindecode itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_braindecode().SignalJEPA.from_pretrained(folder).eval()


def test_what_we_write_braindecode_reads(tmp_path, x, capsys):
    jepa = official.load(TINY)
    official.save(jepa, tmp_path / "model")
    network = theirs(tmp_path / "model")
    with torch.no_grad():
        assert torch.allclose(network(x), jepa.encode(Signals(x)), atol=1e-5)


def test_what_we_write_we_read_and_it_holds_the_published_keys(tmp_path, x, state):
    official.save(official.load(TINY), tmp_path / "model")
    written = load_file(tmp_path / "model" / "model.safetensors")
    assert written.keys() == state.keys()
    assert all(torch.equal(written[k], state[k]) for k in state)
    again = official.load(tmp_path / "model")
    assert again.encoder.config.heads == 2
    assert again.encoder.config.channels == ("Fz", "C3", "Cz", "C4", "Pz", "Oz")


def test_the_published_folder_of_62_channels_loads_strictly(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = import_braindecode().SignalJEPA(
            sfreq=128, n_times=300, channel_embedding="pretrain_aligned"
        )
        network.eval().save_pretrained(tmp_path / "hub")
    jepa = official.load(tmp_path / "hub")
    assert jepa.encoder.config.channels == official.LEE2019_62
    x = torch.randn(2, 62, 300, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(x), jepa.encode(Signals(x)), atol=1e-5)
    bare = {k: v for k, v in network.state_dict().items() if "pos_encoder_spat" not in k}
    save_file(bare, tmp_path / "bare.safetensors")
    without = official.load(tmp_path / "bare.safetensors", ch_names=["Cz", "Oz"])
    assert without.encoder.config.channels == ("Cz", "Oz")
    assert official.load(tmp_path / "bare.safetensors").encoder.config.channels[0] == "Fp1"
    torch.save(network.state_dict(), tmp_path / "signal-jepa_16s-60.pth")
    old = official.load(tmp_path / "signal-jepa_16s-60.pth")
    with torch.no_grad():
        assert torch.allclose(network(x), old.encode(Signals(x)), atol=1e-5)


def test_the_table_may_be_left_out(tmp_path, state):
    official.save(official.load(TINY), tmp_path / "model", layout="without-chans")
    written = load_file(tmp_path / "model" / "model.safetensors")
    assert state.keys() - written.keys() == {"pos_encoder.pos_encoder_spat.weight"}
    assert official.load(tmp_path / "model").encoder.config.channels[-1] == "Oz"


def test_the_momentum_copy_starts_as_the_encoder_and_is_what_is_written(tmp_path):
    jepa = official.load(TINY)
    source = jepa.encoder.contextual.state_dict()
    assert all(torch.equal(v, source[k]) for k, v in jepa.target_encoder.state_dict().items())
    with torch.no_grad():
        for p in jepa.target_encoder.parameters():
            p += 1.0
    official.save(jepa, tmp_path / "model")
    again = official.load(tmp_path / "model")
    for a, b in zip(again.encoder.contextual.parameters(), source.values(), strict=True):
        assert torch.allclose(a, b + 1.0)


def test_settings_that_the_weights_cannot_say_may_be_given(tmp_path, x, state):
    save_file(state, tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match="ch_names"):
        official.load(tmp_path / "alone.safetensors")
    names = ["Fz", "C3", "Cz", "C4", "Pz", "Oz"]
    jepa = official.load(
        tmp_path / "alone.safetensors", settings={"transformer__nhead": 2}, ch_names=names
    )
    with torch.no_grad():
        assert np.abs(jepa.encode(Signals(x)).numpy() - arrays()["out"]).max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("transformer.decoder.norm.weight"), "missing"),
        (lambda s: s.update(extra=torch.zeros(2)), "unexpected"),
        (lambda s: s.update({"transformer.encoder.norm.weight": torch.zeros(3)}), "shape"),
        (lambda s: s.update({"transformer.encoder.norm.weight": torch.full((16,), np.nan)}), "NaN"),
        (lambda s: s.update({"final_layer.linear.weight": torch.zeros(2, 2)}), "unexpected"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("feature")], "Signal-JEPA"),
        (lambda s: s.update({"spatial_conv.1.weight": torch.zeros(4, 1, 6, 1)}), "linear layer"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, state, change, said):
    change(state)
    save_file(state, tmp_path / "tiny.safetensors")
    shutil.copy(TINY.with_suffix(".json"), tmp_path / "tiny.json")
    with pytest.raises(CheckpointError, match=said):
        official.load(tmp_path / "tiny.safetensors")


@pytest.mark.parametrize("cut", [0, 1, 1000, 400_000])
def test_a_cut_file_is_refused(tmp_path, cut):
    (tmp_path / "cut.safetensors").write_bytes(TINY.read_bytes()[:cut])
    with pytest.raises(CheckpointError):
        official.load(tmp_path / "cut.safetensors")


def test_settings_that_do_not_fit_are_refused(tmp_path, state):
    said = json.loads(TINY.with_suffix(".json").read_text(encoding="utf-8"))
    said["config"]["transformer__nhead"] = 3
    save_file(state, tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.json").write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(CheckpointError, match="settings"):
        official.load(tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.json").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(CheckpointError):
        official.load(tmp_path / "tiny.safetensors")


def test_sizes_that_braindecode_cannot_have_are_not_written(tmp_path):
    with pytest.raises(ConfigError, match="2048"):
        official.save(build_jepa(config()), tmp_path / "model")
    with pytest.raises(ConfigError, match="layout"):
        official.save(official.load(TINY), tmp_path / "model", layout="other")  # type: ignore
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with pytest.raises(CheckpointError, match="other files"):
        official.save(official.load(TINY), tmp_path / "full")


def test_the_arguments_of_braindecode_are_those_of_the_config():
    settings = network_settings(config())
    assert settings["transformer__num_encoder_layers"] == 3
    assert isinstance(EEGModelConfig(("Cz",), ((0.0, 0.0, 0.1),)).conv[0], tuple)


@pytest.mark.parametrize("architecture", ["pre-local", "post-local", "contextual"])
def test_downstream_networks_go_to_braindecode_and_come_back(tmp_path, architecture):
    jepa = build_jepa(config(hidden=2048, n_times=200))
    options = {"n_times": 200, "n_channels": 7, "n_filters": 3, "seed": 0}
    net = make_network(jepa, 2, architecture=architecture, **options).eval()
    official.save(net, tmp_path / "net")
    values = torch.randn(4, 7, 200, generator=torch.Generator().manual_seed(0))
    x = Signals(values, jepa.encoder.xyz)
    again = official.load(tmp_path / "net")
    with torch.no_grad():
        assert torch.allclose(again(x), net(x), atol=1e-6)
    assert again.architecture == architecture
    if architecture != "contextual":  # braindecode's needs the decoder, which is not used, as well
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cls = getattr(import_braindecode(), CLASSES[architecture])
            network = cls.from_pretrained(tmp_path / "net").eval()
        with torch.no_grad():
            assert torch.allclose(network(values), net(x), atol=1e-5)
    (tmp_path / "net" / "config.json").unlink()
    with pytest.raises(CheckpointError):
        official.load(tmp_path / "net")
