"""Readings of a frozen Brain-JEPA that keep the regions apart.

The mean over all tokens loses what tells people apart: which regions behave alike. Two readings of
runs of one atlas keep it:

- "region": the mean over time of each region's tokens, R x D numbers a layer;
- "connectivity": the correlation of the regions' token sequences (`token_connectivity`),
  R (R - 1) / 2 numbers a layer. With untrained weights it is close to functional connectivity:
  random weights are the control that matters here.

Letters: n runs, R regions, t time patches, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.features import windows_of
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.pretrain import MIN_PATCHES
from biojepa.fmri.token_connectivity import centred, token_connectivity

Reading = Literal["region", "connectivity"]


def region_features(
    encoder: BrainJEPA, X: Any, *, reading: Reading = "connectivity", layers: Sequence[int] = (-1,)
) -> NDArray[np.float32]:
    """Features of runs of one atlas, region by region.

    Parameters
    ----------
    encoder : BrainJEPA
        Fitted.
    X
        Runs, as in `BrainJEPA.transform`.
    reading : {"region", "connectivity"}
    layers : sequence of int
        Blocks whose outputs are read; put side by side.

    Returns
    -------
    ndarray of float32, shape (n, D R L) or (n, R (R - 1) / 2 L)
        Zero for regions that are flat or missing.

    Raises
    ------
    ConfigError
        If the reading is unknown, or there is no layer.
    DataError
        If runs are of several atlases.
    """
    if reading not in get_args(Reading) or not len(layers):
        raise ConfigError(
            f"expected reading in {get_args(Reading)} and a layer, got {reading!r} and {layers}"
        )
    inputs = encoder._inputs(X)
    places = np.unique(inputs.groups())
    if len(places) > 1:
        raise DataError(
            f"expected runs of one atlas for reading={reading!r}, got {len(places)}: regions of "
            "different atlases are different features"
        )
    positions = inputs.positions(int(places[0]))
    network, config = encoder.jepa_.downstream_encoder, encoder.model_config_
    rows = []
    encoder.jepa_.eval()
    with torch.inference_mode():
        for run in inputs.iterate():
            parts = []
            for s in windows_of(encoder._piece(run), config.n_times, MIN_PATCHES * config.patch):
                x = s.batched()
                x = Signals(x.values, positions, x.valid)
                outputs = network.hidden(
                    encoder.jepa_.embedder.embed(x), network.token_valid(x), layers=list(layers)
                )
                R = x.values.shape[1]
                tokens = torch.stack([out[0].view(R, -1, config.dim) for out in outputs])
                parts.append(centred(tokens) if reading == "connectivity" else tokens)
            rows.append(_read(torch.cat(parts, dim=2), torch.from_numpy(run.valid), reading))
    return np.stack(rows)


def _read(tokens: Tensor, valid: Tensor, reading: Reading) -> NDArray[np.float32]:
    """One run's features from tokens (L, R, t, D)."""
    if reading == "region":
        own = (tokens * valid[None, :, None, None]).mean(dim=2)
    else:
        own = token_connectivity(tokens, valid[None, :, None])
    return own.reshape(-1).numpy().astype(np.float32)
