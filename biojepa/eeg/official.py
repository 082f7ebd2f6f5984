"""Published Signal-JEPA weights, to and from our modules.

braindecode's layouts: a folder (or Hub id) of `config.json` and `model.safetensors`, or a file of
weights alone. `signal-jepa` has a table of 62 channels, `signal-jepa_without-chans` has none. Our
parts hold the published keys:

    feature_encoder.*, pos_encoder.*    encoder.(the same)
    transformer.encoder.*               encoder.contextual.transformer.*, and target_encoder's
    transformer.decoder.*               predictor.transformer.*

The downstream networks are in `_official_heads`. The mask query and the momentum copy are in no
published file: the query starts at zero, the copy as the encoder. What a file does not say is taken
as published, masks and targets as the defaults of `EEGModelConfig`.

References
----------
braindecode 1.8 (BSD-3) and its weights (MIT): huggingface.co/braindecode/signal-jepa.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from biojepa.data.montage import place_channels
from biojepa.eeg._official_heads import (
    CLASSES,
    architecture_of,
    build_classifier,
    published_settings,
    published_state,
    split_head,
)
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.heads import SignalClassifierNet
from biojepa.eeg.local_conv import CONV, n_samples_of
from biojepa.eeg.model import SignalEncoder, build_jepa
from biojepa.eeg.network import import_braindecode, network_settings
from biojepa.engine.files import read_json, read_tensors, write_folder
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.torch_file import check_weights, read_torch_file
from biojepa.errors import BiojepaError, CheckpointError, ConfigError
from biojepa.estimators.saved import locate_model

__all__ = ["LEE2019_62", "load", "save"]

Layout = Literal["full", "without-chans"]
State = dict[str, Tensor]

# rows of the published table: the EEG channels of Lee2019, in its order
LEE2019_62 = tuple(
    """
    Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 TP9 CP5 CP1 CP2 CP6 TP10 P7 P3 Pz P4 P8
    PO9 O1 Oz O2 PO10 FC3 FC4 C5 C1 C2 C6 CP3 CPz CP4 P1 P2 POz FT9 FTT9h TTP7h TP7 TPP9h FT10
    FTT10h TPP8h TP8 TPP10h F9 F10 AF7 AF3 AF4 AF8 PO3 PO4
    """.split()
)
_TABLE = "pos_encoder.pos_encoder_spat.weight"
_PARTS = (
    ("transformer.encoder.", "encoder.contextual.transformer."),
    ("transformer.decoder.", "predictor.transformer."),
    ("feature_encoder.", "encoder.feature_encoder."),
    ("pos_encoder.", "encoder.pos_encoder."),
)


def load(
    path: Path | str,
    *,
    settings: Mapping[str, Any] | None = None,
    ch_names: Sequence[str] | None = None,
    seed: int = 0,
) -> MaskedJEPA | SignalClassifierNet:
    """Load published weights.

    Parameters
    ----------
    path : path or str
        Folder of `config.json` and weights, a file of weights (`.safetensors`, `.pth`; a `.json`
        of the same stem may hold `config` and `channels`), or a Hub id.
    settings : mapping, optional
        Arguments of braindecode's `SignalJEPA` that the file does not come with.
    ch_names : sequence of str, optional
        Rows of the table of channels; of a file without a table, those of a fresh one. By default
        those of the config, or the published 62.
    seed : int
        For what the file does not have.

    Returns
    -------
    MaskedJEPA or SignalClassifierNet
        In eval mode, on the CPU. What a downstream file does not have of an encoder is fresh.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile, of another kind, or does not hold what its own
        config describes.
    """
    state, said = _read(path)
    said |= dict(settings or {})
    architecture = architecture_of(state)
    if architecture is None:
        return _load_jepa(state, said, ch_names, path, seed)
    state, head = split_head(state, architecture)
    jepa = _load_jepa(state, said, ch_names, path, seed, whole=False)
    return build_classifier(jepa, head, architecture, str(path))


def _load_jepa(
    state: State,
    said: Mapping[str, Any],
    ch_names: Sequence[str] | None,
    path: Path | str,
    seed: int,
    *,
    whole: bool = True,
) -> MaskedJEPA:
    """A Signal-JEPA of these weights; only if not `whole` may the transformers be missing."""
    config = _config(state, said, ch_names, str(path))
    try:
        jepa = build_jepa(config, seed=seed)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its settings cannot be used: {error}") from error
    own = jepa.state_dict()
    found = {_ours(key): value for key, value in state.items()}
    extra = sorted(key for key in state if _ours(key) not in own)
    fresh: tuple[str, ...] = ("predictor.mask_query", "target_encoder.", f"encoder.{_TABLE}")
    if not whole:
        stacks = ("encoder.", "decoder.")
        lacking = [s for s in stacks if not any(k.startswith("transformer." + s) for k in state)]
        fresh += tuple(_ours(f"transformer.{stack}") for stack in lacking)
    missing = sorted(k for k in own if k not in found and not k.startswith(fresh))
    if extra or missing:
        raise CheckpointError(
            f"{path}: the weights are not those of a Signal-JEPA: missing {missing[:4]}, "
            f"unexpected {extra[:4]}"
        )
    for key, value in found.items():
        if own[key].shape != value.shape:
            raise CheckpointError(
                f"{path}: expected {key} of shape {tuple(own[key].shape)}, got {tuple(value.shape)}"
            )
    jepa.load_state_dict(found, strict=False)
    jepa.target_encoder.load_state_dict(jepa.encoder.contextual.state_dict())
    return jepa.eval()


def save(
    model: MaskedJEPA | SignalClassifierNet, path: Path | str, *, layout: Layout = "full"
) -> None:
    """Write a folder that `from_pretrained` of braindecode's class of this network reads.

    Parameters
    ----------
    model : MaskedJEPA or SignalClassifierNet
        With a `SignalEncoder`. Of a MaskedJEPA the downstream contextual encoder is written; the
        mask query and the settings of masks and targets are not, which
        `SignalJEPA.save_pretrained` keeps.
    path : path
        Written at once or not at all.
    layout : {"full", "without-chans"}
        With or without the table of channels.

    Raises
    ------
    ConfigError
        If the model is no Signal-JEPA, or of a size that braindecode cannot have.
    CheckpointError
        If the folder holds other files.
    RunError
        If the folder cannot be written.
    """
    encoder = model.encoder
    if not isinstance(encoder, SignalEncoder) or layout not in ("full", "without-chans"):
        raise ConfigError(
            f"expected a Signal-JEPA and layout 'full' or 'without-chans', got a "
            f"{type(encoder).__name__} and {layout!r}"
        )
    if encoder.config.hidden != 2048:
        raise ConfigError(
            f"expected hidden=2048, the only width that braindecode has, got "
            f"{encoder.config.hidden}: use save_pretrained"
        )
    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not (path / "config.json").is_file():
        raise CheckpointError(f"{path} holds other files: give a new folder for the model")
    settings, name = network_settings(encoder.config), "SignalJEPA"
    if isinstance(model, SignalClassifierNet):
        state, name = published_state(model), CLASSES[model.architecture]
        settings = published_settings(model, settings)
    else:
        state = {}
        names = {ours: theirs for theirs, ours in _PARTS}
        for key, value in model.export_state().items():
            prefix = next((p for p in names if key.startswith(p)), None)
            if prefix is not None:
                state[names[prefix] + key.removeprefix(prefix)] = value
    if layout == "without-chans":
        state.pop(_TABLE, None)
    config = getattr(import_braindecode(), name)(**settings).get_config()
    write_folder(path, {"model": state}, {"config.json": config})


def _read(path: Path | str) -> tuple[State, dict[str, Any]]:
    """Weights, and the settings beside them."""
    given = Path(path)
    if given.suffix in (".pth", ".pt", ".bin"):
        state = read_torch_file(given, of="Signal-JEPA")
        check_weights(state, given)
        return state, _beside(given)
    if given.suffix == ".safetensors":
        state = read_tensors(given)
        check_weights(state, given)
        return state, _beside(given)
    folder = given if given.is_dir() else locate_model(path)
    weights = folder / "model.safetensors"
    state = read_tensors(weights)
    check_weights(state, weights)
    return state, read_json(folder / "config.json")


def _beside(path: Path) -> dict[str, Any]:
    """Settings in a JSON file of the same stem, or `config.json` in the same folder."""
    own = path.with_suffix(".json")
    if not own.is_file():
        own = path.with_name("config.json")
        return read_json(own) if own.is_file() else {}
    content = read_json(own)
    config = content.get("config", content)
    if not isinstance(config, dict):
        raise CheckpointError(f"{own}: expected an object config, got {type(config).__name__}")
    return config | {k: content[k] for k in ("channels",) if k in content}


def _config(
    state: State, said: Mapping[str, Any], ch_names: Sequence[str] | None, where: str
) -> EEGModelConfig:
    """What the weights say, and what they cannot from the settings or as published."""
    kernels = [state.get(f"feature_encoder.{i}.0.weight") for i in range(1, 64)]
    weights = [w for w in kernels if w is not None]
    if not weights or any(w.ndim != 3 for w in weights):
        raise CheckpointError(
            f"{where}: expected the weights of a Signal-JEPA, got {list(state)[:3]}"
        )
    spec = said.get("feature_encoder__conv_layers_spec") or CONV
    try:
        strides = [int(layer[2]) for layer in spec][: len(weights)]
        conv = tuple(
            (int(w.shape[0]), int(w.shape[2]), stride)
            for w, stride in zip(weights, strides, strict=True)
        )
        table = state.get(_TABLE)
        dim = conv[-1][0]
        spat_dim = int(said.get("pos_encoder__spat_dim") or 30) if table is None else table.shape[1]
        names, places = _channels(said, ch_names, None if table is None else len(table))
        n_times = said.get("n_times") or n_samples_of(16, conv)
        hidden = state.get("transformer.encoder.layers.0.linear1.weight")
        return EEGModelConfig(
            channels=names,
            positions=places,
            rate_hz=float(said.get("sfreq") or 128.0),
            n_times=int(n_times),
            conv=conv,
            features_hz=float(said.get("pos_encoder__sfreq_features") or 1.0),
            spat_dim=spat_dim,
            time_dim=dim - spat_dim,
            dim=dim,
            depth=_depth(state, "encoder") or int(said.get("transformer__num_encoder_layers") or 8),
            heads=int(said.get("transformer__nhead") or 8),
            pred_depth=_depth(state, "decoder")
            or int(said.get("transformer__num_decoder_layers") or 4),
            hidden=2048 if hidden is None else len(hidden),
        )
    except CheckpointError:
        raise
    except (BiojepaError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{where}: its settings cannot be used: {error}") from error


def _channels(
    said: Mapping[str, Any], ch_names: Sequence[str] | None, n_rows: int | None
) -> tuple[tuple[str, ...], tuple[tuple[float, float, float], ...]]:
    """Names and places of the rows of the table."""
    names = list(ch_names or said.get("channels") or ())
    if not names and said.get("channel_embedding") != "pretrain_aligned" and said.get("chs_info"):
        names = [str(channel["ch_name"]) for channel in said["chs_info"]]
    if not names and n_rows in (None, len(LEE2019_62)):
        names = list(LEE2019_62)
    if n_rows is not None and len(names) != n_rows:
        raise ConfigError(
            f"expected the names of the table's {n_rows} channels, got {len(names)}: pass ch_names="
        )
    placed = place_channels(names)
    return placed.names, placed.positions


def _depth(state: State, stack: str) -> int:
    found = (re.match(rf"transformer\.{stack}\.layers\.(\d+)\.", key) for key in state)
    return len({match.group(1) for match in found if match})


def _ours(key: str) -> str:
    """Our name of a published key."""
    for theirs, ours in _PARTS:
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key
