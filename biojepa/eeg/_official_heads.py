"""Published layouts of the three downstream networks, to and from `SignalClassifierNet`.

    spatial_conv.1.*, final_layer.1.*                     pre-local
    final_layer.spat_conv.*, final_layer.linear.*         post-local and contextual

Only the contextual network has `transformer.*`; the decoder that it carries is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from biojepa.eeg.finetune import make_network
from biojepa.eeg.heads import Architecture, SignalClassifierNet
from biojepa.engine.masked import MaskedJEPA
from biojepa.errors import CheckpointError

State = dict[str, Tensor]

CLASSES = {
    "pre-local": "SignalJEPA_PreLocal",
    "post-local": "SignalJEPA_PostLocal",
    "contextual": "SignalJEPA_Contextual",
}
_SPATIAL = {"pre-local": "spatial_conv.1.", "post-local": "final_layer.spat_conv."}
_LINEAR = {"pre-local": "final_layer.1.", "post-local": "final_layer.linear."}


def architecture_of(state: Mapping[str, Tensor]) -> Architecture | None:
    """Which downstream network the weights are of; None for those of pretraining."""
    if "spatial_conv.1.weight" in state:
        return "pre-local"
    if "final_layer.spat_conv.weight" not in state:
        return None
    contextual = any(key.startswith("transformer.encoder.") for key in state)
    return "contextual" if contextual else "post-local"


def head_keys(architecture: Architecture) -> dict[str, str]:
    """Published prefix of each of our new layers."""
    kind = "pre-local" if architecture == "pre-local" else "post-local"
    return {"spatial.": _SPATIAL[kind], "linear.": _LINEAR[kind]}


def split_head(state: State, architecture: Architecture) -> tuple[State, State]:
    """The encoder's weights as published, and the new layers' under our names."""
    names = head_keys(architecture)
    head = {
        ours + key.removeprefix(theirs): value
        for ours, theirs in names.items()
        for key, value in state.items()
        if key.startswith(theirs)
    }
    rest = {k: v for k, v in state.items() if not k.startswith(tuple(names.values()))}
    return rest, head


def build_classifier(
    jepa: MaskedJEPA, head: State, architecture: Architecture, where: str
) -> SignalClassifierNet:
    """The network of a published file, from its encoder and the weights of its new layers.

    Raises
    ------
    CheckpointError
        If the weights are not those of a downstream network, or of another window.
    """
    spatial, linear = head.get("spatial.weight"), head.get("linear.weight")
    if spatial is None or linear is None or spatial.ndim < 4 or linear.ndim != 2:
        raise CheckpointError(f"{where}: expected a spatial and a linear layer, got {sorted(head)}")
    config = jepa.encoder.config
    network = make_network(
        jepa,
        len(linear),
        n_times=config.n_times,
        n_channels=spatial.shape[2],
        architecture=architecture,
        n_filters=len(spatial),
        seed=0,
    )
    own = network.state_dict()
    for key, value in head.items():
        if key not in own or own[key].shape != value.shape:
            want = tuple(own[key].shape) if key in own else None
            raise CheckpointError(
                f"{where}: expected {key} of shape {want} for windows of {config.n_times} samples, "
                f"got {tuple(value.shape)}: pass settings={{'n_times': ...}}"
            )
    missing = [k for k in own if k.startswith(("spatial.", "linear.")) and k not in head]
    if missing:
        raise CheckpointError(f"{where}: expected {missing}, they are missing")
    network.load_state_dict(head, strict=False)
    return network.eval()


def published_state(network: SignalClassifierNet) -> State:
    """The weights that braindecode's class of this architecture has, under its names."""
    names = head_keys(network.architecture) | {"encoder.feature_encoder.": "feature_encoder."}
    if network.architecture == "contextual":
        names |= {
            "encoder.pos_encoder.": "pos_encoder.",
            "encoder.contextual.transformer.": "transformer.encoder.",
        }
    state = {}
    for key, value in network.state_dict().items():
        prefix = next((p for p in names if key.startswith(p)), None)
        if prefix is not None:
            state[names[prefix] + key.removeprefix(prefix)] = value.detach()
    return state


def published_settings(network: SignalClassifierNet, settings: dict[str, Any]) -> dict[str, Any]:
    """Arguments of braindecode's class of this architecture."""
    return settings | {
        "n_outputs": network.n_classes,
        "n_times": network.n_times,
        "n_spat_filters": network.n_filters,
    }
