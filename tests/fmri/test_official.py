"""Published Brain-JEPA files: both layouts, round trips, damage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError, DataError, FormatError
from biojepa.fmri import official
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import build_jepa
from tests.fmri.published import HEADS, content, reference, write


@pytest.fixture(scope="module")
def gradients() -> np.ndarray:
    return reference()["gradient"][0]


@pytest.fixture
def x() -> Signals:
    return Signals(torch.from_numpy(reference()["x"][:, 0]))


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    own, other = a.state_dict(), b.state_dict()
    return own.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in own.items())


def test_a_saved_file_loads_back_alike_with_its_gradients_beside_it(gradients, tmp_path) -> None:
    jepa = official.load(write(content(), tmp_path / "a.pth.tar"), gradients=gradients, heads=HEADS)
    official.save(jepa, tmp_path / "b.pth.tar", epoch=7)
    assert official.gradients_path(tmp_path / "b.pth.tar").is_file()
    again = official.load(tmp_path / "b.pth.tar")
    assert equal(jepa, again)
    assert again.encoder.config == jepa.encoder.config


def test_a_saved_file_has_the_published_keys_and_values(gradients, tmp_path) -> None:
    given = content()
    jepa = official.load(write(given, tmp_path / "a.pth.tar"), gradients=gradients, heads=HEADS)
    official.save(jepa, tmp_path / "b.pth.tar")
    written = torch.load(tmp_path / "b.pth.tar", weights_only=True)
    for part in ("encoder", "predictor", "target_encoder"):
        assert written[part].keys() == given[part].keys()
        for name, value in given[part].items():
            torch.testing.assert_close(written[part][name], value, atol=1e-6, rtol=0)


def test_the_safetensors_conversion_is_the_same_model(gradients, tmp_path) -> None:
    given = content()
    flat = {
        f"{part}.{name.removeprefix('module.')}": value
        for part in ("encoder", "predictor", "target_encoder")
        for name, value in given[part].items()
    }
    save_file(flat, tmp_path / "brainjepa.safetensors")
    one = official.load(tmp_path / "brainjepa.safetensors", gradients=gradients, heads=HEADS)
    other = official.load(write(given, tmp_path / "a.pt"), gradients=gradients, heads=HEADS)
    assert equal(one, other)


def test_the_table_may_be_a_file_of_any_name(gradients, x, tmp_path) -> None:
    path = write(content(), tmp_path / "a.pt")
    np.savetxt(tmp_path / "gradient_mapping.csv", gradients, delimiter=",")
    jepa = official.load(path, gradients=tmp_path / "gradient_mapping.csv", heads=HEADS)
    assert torch.isfinite(jepa.encode(x)).all()


def test_a_file_with_the_target_encoder_alone_gives_features(gradients, x, tmp_path) -> None:
    given = {"target_encoder": content()["target_encoder"]}
    jepa = official.load(write(given, tmp_path / "a.pt"), gradients=gradients, heads=HEADS)
    whole = official.load(write(content(), tmp_path / "b.pt"), gradients=gradients, heads=HEADS)
    assert torch.equal(jepa.encode(x), whole.encode(x))


def test_our_small_models_can_be_written_and_read(tmp_path) -> None:
    config = BrainModelConfig(
        n_regions=5, n_times=24, patch=8, n_gradients=2, dim=16, depth=1, heads=4
    )
    config = BrainModelConfig.from_config(
        config.to_config() | {"pred_dim": 8, "pred_depth": 1, "pred_heads": 2, "loss": "mse"}
    )
    jepa = build_jepa(config, gradients=np.eye(5)[:, :2])
    official.save(jepa, tmp_path / "own.pt")
    again = official.load(tmp_path / "own.pt")
    assert again.encoder.config == config
    assert equal(again, jepa)


def test_positions_of_another_kind_are_not_written(tmp_path) -> None:
    config = BrainModelConfig(
        n_regions=5, n_times=32, dim=16, depth=1, heads=4, region_positions="learned"
    )
    with pytest.raises(ConfigError, match="gradient positions"):
        official.save(build_jepa(config), tmp_path / "own.pt")


def test_what_is_missing_is_asked_for(gradients, tmp_path) -> None:
    path = write(content(), tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="expected the gradients of the atlas"):
        official.load(path, heads=HEADS)
    with pytest.raises(ConfigError, match="expected heads="):
        official.load(path, gradients=gradients)
    with pytest.raises(DataError, match="30 columns"):
        official.load(path, gradients=gradients[:, :29], heads=HEADS)
    with pytest.raises(CheckpointError, match="gradients of this model's atlas"):
        official.load(path, gradients=np.concatenate([gradients, gradients]), heads=HEADS)
    with pytest.raises(FormatError, match="found no file"):
        official.load(path, gradients=tmp_path / "none.csv", heads=HEADS)
    (tmp_path / "words.csv").write_text("roi,gradient\nV1,0.1\n")
    with pytest.raises(FormatError, match="no header"):
        official.load(path, gradients=tmp_path / "words.csv", heads=HEADS)


def damage(kind: str) -> dict:
    given = content()
    encoder = given["target_encoder"]
    if kind == "no target encoder":
        del given["target_encoder"]
    elif kind == "missing key":
        del encoder["module.blocks.1.attn.qkv.bias"]
    elif kind == "extra key":
        encoder["module.cls_token"] = torch.zeros(1, 1, 32)
    elif kind == "nan":
        encoder["module.norm.bias"][3] = float("nan")
    elif kind == "plain positions":
        for name in [n for n in encoder if "predictor_pos_embed_proj" in n]:
            del encoder[name]
    elif kind == "no weights":
        given["target_encoder"] = {"module.norm.bias": torch.zeros(32)}
    elif kind == "settings":
        given["biojepa"] = {"observe": 5}
    elif kind == "a list":
        given["encoder"] = [1, 2]
    return given


@pytest.mark.parametrize(
    "kind",
    ["no target encoder", "missing key", "extra key", "nan", "plain positions", "no weights"]
    + ["settings", "a list"],
)
def test_a_damaged_file_is_refused_by_name(gradients, tmp_path, kind) -> None:
    path = write(damage(kind), tmp_path / "damaged.pt")
    with pytest.raises(CheckpointError, match=r"damaged\.pt"):
        official.load(path, gradients=gradients, heads=HEADS)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_refused(gradients, tmp_path, share) -> None:
    path = write(content(), tmp_path / "cut.pt")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cut\.pt"):
        official.load(path, gradients=gradients, heads=HEADS)


def test_a_file_that_would_run_code_is_refused(gradients, tmp_path) -> None:
    class Marker:
        def __reduce__(self):
            return (open, (str(tmp_path / "marker"), "w"))

    path = write({"target_encoder": Marker()}, tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        official.load(path, gradients=gradients, heads=HEADS)
    assert not (tmp_path / "marker").exists()
