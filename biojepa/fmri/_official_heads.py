"""Published layouts of Brain-JEPA with a head, to and from `BrainNet`.

`model` of such a file holds `encoder.*` and `fc_norm.*`, and

    head.*                    of a fine-tuned network
    head.0.*, head.1.*        of a linear probe: a BatchNorm without weights, and the linear layer

The BatchNorm of a trained probe is a fixed scaling of each feature; it is made part of the linear
layer, so that the network gives the same numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.torch_file import check_weights
from biojepa.errors import CheckpointError, ConfigError
from biojepa.fmri._official_weights import State, check_keys, published
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.heads import BrainNet
from biojepa.fmri.model import BrainEncoder

BATCH_NORM_EPS = 1e-6  # of the published probe; it is not in the file
_COUNT = "head.0.num_batches_tracked"  # a whole number, of no use at test
_FINETUNED = {"fc.weight": "head.weight", "fc.bias": "head.bias"}
_PROBE = {"fc.weight": "head.1.weight", "fc.bias": "head.1.bias"}
_NORM = {"norm.weight": "fc_norm.weight", "norm.bias": "fc_norm.bias"}
_SCALING = ("head.0.running_mean", "head.0.running_var")


def split_model(content: dict[str, Any], path: Path) -> tuple[State, State, bool]:
    """The encoder's weights as published, the head's under our names, and whether it is a probe's.

    Raises
    ------
    CheckpointError
        If `model` is no dict of finite weights, or has another head; the weights are named.
    """
    model = content["model"]
    if not isinstance(model, dict):
        raise CheckpointError(f"{path}: expected a dict model, got {type(model).__name__}")
    state = {str(k).removeprefix("module."): v for k, v in model.items()}
    state.pop(_COUNT, None)
    check_weights(state, path)
    encoder = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    head = {k: v for k, v in state.items() if not k.startswith("encoder.")}
    probe = any(k.startswith(("head.0.", "head.1.")) for k in head)
    names = _NORM | (_PROBE if probe else _FINETUNED)
    check_keys(head, {*names.values(), *(_SCALING if probe else ())}, f"{path} (head)")
    own = {ours: head[theirs] for ours, theirs in names.items()}
    if probe:
        mean, variance = (head[name] for name in _SCALING)
        own |= _folded(own, mean, variance, path)
    return encoder, own, probe


def make_net(
    encoder: BrainEncoder, head: State, path: Path, *, frozen: bool, seed: int
) -> BrainNet:
    """The network of an encoder and the weights of `split_model`.

    Raises
    ------
    CheckpointError
        If the weights are of another width.
    """
    weight, dim = head["fc.weight"], encoder.config.dim
    shapes = {name: tuple(value.shape) for name, value in head.items()}
    K = len(weight) if weight.ndim == 2 else 0
    wanted = {"norm.weight": (dim,), "norm.bias": (dim,), "fc.weight": (K, dim), "fc.bias": (K,)}
    if not K or shapes != wanted:
        raise CheckpointError(
            f"{path}: expected a head of the encoder's width {dim}, fc_norm ({dim},) and a linear "
            f"layer (outputs, {dim}), got {shapes}"
        )
    with keyed_torch_rng(seed, "head"):
        net = BrainNet(encoder, K, frozen=frozen)
    net.load_state_dict(head, strict=False)
    return net


def published_model(net: BrainNet, config: BrainModelConfig, *, probe: bool) -> State:
    """`model` of a published file.

    Raises
    ------
    ConfigError
        If the network has another head than the published one.
    """
    if net.head != "mean":
        raise ConfigError(
            f"expected a network with head 'mean', which the published layouts have, got "
            f"{net.head!r}: use save_pretrained of the estimator"
        )
    state = {f"encoder.{k}": v for k, v in published(net.encoder, "encoder", config).items()}
    own = net.state_dict()
    for ours, theirs in (_NORM | (_PROBE if probe else _FINETUNED)).items():
        state[theirs] = own[ours].detach().cpu().clone()
    if probe:  # a BatchNorm that changes nothing
        mean, variance = _SCALING
        state[mean] = torch.zeros(config.dim)
        state[variance] = torch.full((config.dim,), 1.0 - BATCH_NORM_EPS)
        state[_COUNT] = torch.tensor(0)
    return state


def _folded(own: State, mean: Tensor, variance: Tensor, path: Path) -> State:
    """The linear layer with the BatchNorm before it."""
    weight, bias = own["fc.weight"], own["fc.bias"]
    widths = {weight.shape[1:], mean.shape, variance.shape}
    if weight.ndim != 2 or len(widths) > 1 or bias.shape != weight.shape[:1]:
        shapes = [tuple(x.shape) for x in (mean, variance, weight, bias)]
        raise CheckpointError(
            f"{path}: expected head.0 of means and variances (D,), head.1 of weights (outputs, D) "
            f"and bias (outputs,), got {shapes}"
        )
    if bool((variance < 0).any()):
        raise CheckpointError(f"{path}: head.0.running_var holds variances below 0")
    scale = (variance.double() + BATCH_NORM_EPS).rsqrt()
    folded = weight.double() * scale
    return {
        "fc.weight": folded.to(weight),
        "fc.bias": (bias.double() - folded @ mean.double()).to(bias),
    }
