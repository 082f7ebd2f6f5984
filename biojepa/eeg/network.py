"""The network of Signal-JEPA: braindecode's, with the sizes of a config; and its position codes.

braindecode (1.8) has the local encoder, the table of channels and the two transformers, but calls
the decoder nowhere and has neither masks nor targets: those are in `model`.

Letters: C channels, S steps of time.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biojepa.eeg.config import EEGModelConfig
from biojepa.extras import require


def build_network(config: EEGModelConfig) -> Any:
    """A `SignalJEPA` of braindecode of these settings, drawn from torch's global generator."""
    # the transformer is made below; this one is thrown away and kept small
    settings = network_settings(config) | {
        "transformer__num_encoder_layers": 1,
        "transformer__num_decoder_layers": 1,
    }
    network = import_braindecode().SignalJEPA(**settings)
    known = [any(place) for place in config.positions]
    with torch.no_grad():
        network.pos_encoder.pos_encoder_spat.weight[~torch.tensor(known)] = 0.0
    # braindecode's is this with torch's hidden width and dropout
    network.transformer = nn.Transformer(
        config.dim,
        config.heads,
        config.depth,
        config.pred_depth,
        config.hidden,
        config.dropout,
        batch_first=True,
    )
    return network


def network_settings(config: EEGModelConfig) -> dict[str, Any]:
    """Arguments of braindecode's `SignalJEPA` for a config; it has none for `hidden`, `dropout`."""
    # braindecode scales by the largest coordinate, which must not be zero
    known = any(any(place) for place in config.positions)
    places = config.positions if known else ((0.0, 0.0, 1.0),) * len(config.positions)
    return {
        "sfreq": config.rate_hz,
        "n_times": config.n_times,
        "chs_info": [
            {"ch_name": name, "loc": np.array(place)}  # of a list it makes this, with a warning
            for name, place in zip(config.channels, places, strict=True)
        ],
        "feature_encoder__conv_layers_spec": config.conv,
        "pos_encoder__spat_dim": config.spat_dim,
        "pos_encoder__time_dim": config.time_dim,
        "pos_encoder__sfreq_features": config.features_hz,
        "transformer__d_model": config.dim,
        "transformer__num_encoder_layers": config.depth,
        "transformer__num_decoder_layers": config.pred_depth,
        "transformer__nhead": config.heads,
    }


def import_braindecode() -> Any:
    """`braindecode.models`, without the warnings of its import.

    Raises
    ------
    MissingDependencyError
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages: nothing there concerns the user
        return require("braindecode.models", "eeg", why="to build a Signal-JEPA")


def place_code(xyz: Tensor, largest: float, spat_dim: int) -> Tensor:
    """What a row of the table of channels starts from.

    Parameters
    ----------
    xyz : Tensor, shape (C, 3)
    largest : float
        Largest absolute coordinate of the table's channels, in the unit of `xyz`; 0 gives zeros.
    spat_dim : int
        A third for each coordinate, sines and cosines in turn.

    Returns
    -------
    Tensor, shape (C, spat_dim)
    """
    if not largest:
        return xyz.new_zeros(len(xyz), spat_dim)
    width = spat_dim // 3
    k = torch.arange(0, width, 2, device=xyz.device, dtype=xyz.dtype)
    angle = (xyz / (10 * largest))[..., None] * torch.exp(2 * math.pi * (1 - k / width))
    code = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(len(xyz), spat_dim)
    return code * xyz.any(dim=1, keepdim=True)


def time_code(steps: int, config: EEGModelConfig) -> Tensor:
    """Fixed code (S, time_dim) of the steps of time: sines and cosines in turn."""
    longest = int(600.0 * config.features_hz)  # braindecode's: ten minutes
    k = torch.arange(0, config.time_dim, 2)
    angle = torch.arange(steps)[:, None] * torch.exp(k * (-math.log(longest) / config.time_dim))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(steps, config.time_dim)
