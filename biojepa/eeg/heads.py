"""Signal-JEPA's three downstream networks.

Each has V spatial filters, new and without non-linearity, and a linear layer on what is left:

- `"pre-local"`: the filters mix the raw channels, the local encoder sees V virtual channels;
- `"post-local"`: the local encoder sees each channel, the filters mix its tokens;
- `"contextual"`: the same behind the contextual encoder.

The linear layer takes all tokens side by side, so that records have one length. In the paper
pre-local is clearly the best; the other two cannot see the power of single channels, to which the
local encoder is blind.

Shapes: B batch, C channels, T samples, S steps of time, V filters, D width, K classes.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772; braindecode 1.8 (BSD-3).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from biojepa.eeg.model import SignalEncoder
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError

Architecture = Literal["pre-local", "post-local", "contextual"]


class SignalClassifierNet(nn.Module):
    """An encoder, spatial filters and a linear layer.

    Parameters
    ----------
    encoder : SignalEncoder
        Not copied.
    n_classes : int
    n_times : int
        Samples of every record.
    n_channels : int
        Of every record.
    architecture : {"pre-local", "post-local", "contextual"}
    n_filters : int
        Spatial filters, 4 in braindecode; the paper does not say.

    Raises
    ------
    ConfigError
        If a setting cannot be used.

    Notes
    -----
    The new layers are drawn from torch's global generator (`keyed_torch_rng` keys it).
    """

    def __init__(
        self,
        encoder: SignalEncoder,
        n_classes: int,
        *,
        n_times: int,
        n_channels: int,
        architecture: Architecture = "pre-local",
        n_filters: int = 4,
    ) -> None:
        super().__init__()
        if architecture not in get_args(Architecture):
            raise ConfigError(
                f"expected architecture in {get_args(Architecture)}, got {architecture!r}"
            )
        steps = encoder.config.tokens_of(n_times)
        if min(n_classes, n_filters, n_channels, steps) < 1:
            raise ConfigError(
                "expected at least 1 class, filter, channel and token, got "
                f"{n_classes}, {n_filters}, {n_channels} and {steps} (a token needs "
                f"{encoder.config.samples_of(1)} samples)"
            )
        self.encoder = encoder
        self.architecture: Architecture = architecture
        self.n_classes, self.n_times, self.n_channels = n_classes, n_times, n_channels
        self.n_filters = n_filters
        if architecture == "pre-local":
            self.spatial: nn.Module = nn.Conv2d(1, n_filters, (n_channels, 1))
        else:
            self.spatial = nn.Conv3d(1, n_filters, (n_channels, 1, 1))
        self.linear = nn.Linear(n_filters * steps * encoder.config.dim, n_classes)

    def spatial_filters(self) -> NDArray[np.float32]:
        """Weight of each channel in each filter, shape (C, V).

        Before the local encoder they are of the channels' voltages; behind an encoder, of its
        tokens of each channel.
        """
        weight = self.spatial.weight
        assert isinstance(weight, Tensor)
        return weight.detach().cpu().float().reshape(self.n_filters, -1).T.numpy().copy()

    def forward(self, x: Signals) -> Tensor:
        """Logits.

        Parameters
        ----------
        x : Signals
            Values (B, C, T), microvolt; `positions` for the contextual network.

        Returns
        -------
        Tensor, shape (B, K)

        Raises
        ------
        DataError
            If the shape is not that of the training records.
        """
        if x.values.shape[1:] != (self.n_channels, self.n_times):
            raise DataError(
                f"expected records of {self.n_channels} channels and {self.n_times} samples at the "
                f"model's rate, got shape {tuple(x.values.shape)}"
            )
        if self.architecture == "pre-local":
            values = x.values
            if x.valid is not None:
                values = values.masked_fill(~x.valid[..., None], 0.0)
            virtual = self.spatial(values[:, None])[:, :, 0]
            return self.linear(self.encoder.local_tokens(virtual).flatten(1))
        if self.architecture == "post-local":
            tokens = self.encoder.local_features(x)
        else:
            tokens = self.encoder.embed(x)
            tokens = self.encoder.contextualise(tokens, valid=self.encoder.token_valid(x))
        tokens = tokens.unflatten(1, (self.n_channels, -1))
        return self.linear(self.spatial(tokens[:, None]).flatten(1))
