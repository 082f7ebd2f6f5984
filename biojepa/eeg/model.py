"""Signal-JEPA: braindecode's network, and what turns it into a pretraining objective.

One token is one channel during about a second. A local encoder of convolutions, the same for all
channels, makes tokens; the place of the channel (a trained table) and the time are added; a
transformer relates the tokens that are seen. The predictor is a transformer decoder of the same
width: a learned query plus the place and time of each hidden token attends to the seen ones.
Targets come from a momentum copy of the *contextual* encoder on all tokens; the local features are
computed once, by the trained network, for both.

Channels of a batch come as positions (C, 3): one that is a row of the table takes that row, any
other the value that the row would have started from. Key names are braindecode's, behind the
prefixes of the parts (see `official`).

Shapes: B batch, C channels, T samples, S steps of time, N = C S tokens, K kept, M asked, D width.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772; braindecode 1.8 (BSD-3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biojepa.eeg._layers import decoder_layer, encoder_layer
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.network import build_network, place_code, time_code
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.regularisers import named_regulariser
from biojepa.engine.schedules import Linear
from biojepa.engine.signals import Signals
from biojepa.engine.target import Target
from biojepa.errors import ConfigError, DataError, LeadError
from biojepa.layers.gather import gather_tokens

SAME_PLACE_M = 1e-5  # rows are found by their own positions, which differ by rounding only


class ContextEncoder(nn.Module):
    """The transformer over tokens that are seen.

    Parameters
    ----------
    transformer : nn.TransformerEncoder
        Post-norm, batch first.
    """

    def __init__(self, transformer: nn.TransformerEncoder) -> None:
        super().__init__()
        self.transformer = transformer

    def contextualise(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        valid: Tensor | None = None,
        last: int = 1,
        layer: int = -1,
    ) -> Tensor:
        """Run the transformer over all or some tokens.

        Parameters
        ----------
        tokens : Tensor, shape (B, N, D)
        keep : LongTensor, shape (B, K), optional
            Tokens that are seen; the others are dropped before the first layer.
        valid : BoolTensor, shape (B, K), optional
            Of the kept tokens: those that may be attended to.
        last : int
            Mean over the outputs of so many layers, ending with `layer`. More than one leaves the
            final norm out, as do layers before the last.
        layer : int
            The layer to stop after, from 0, or from the end if negative.

        Returns
        -------
        Tensor, shape (B, K, D)

        Raises
        ------
        ConfigError
            If there are no such layers.
        """
        layers = self.transformer.layers
        stop = _layer(layer, len(layers))
        if not 1 <= last <= stop + 1:
            raise ConfigError(f"expected last of 1 to {stop + 1} layers, got {last}")
        x = tokens if keep is None else gather_tokens(tokens, keep)
        outputs = []
        for block in layers[: stop + 1]:
            x = encoder_layer(block, x, valid=valid)
            outputs.append(x)
        if last > 1:
            return torch.stack(outputs[-last:]).mean(dim=0)
        return self._out(x, stop)

    def hidden(
        self,
        tokens: Tensor,
        valid: Tensor | None = None,
        *,
        layers: Sequence[int],
        registers: bool = False,
    ) -> list[Tensor]:
        """The outputs of several layers in one pass, each as `contextualise(layer=i)` gives it.

        Raises
        ------
        ConfigError
            If there are no such layers, or registers are asked for, of which there are none.
        """
        if registers:
            raise ConfigError("expected pool 'mean' or 'mean_std': Signal-JEPA has no register")
        wanted = [_layer(i, len(self.transformer.layers)) for i in layers]
        x, outputs = tokens, {}
        for i, block in enumerate(self.transformer.layers[: max(wanted) + 1]):
            x = encoder_layer(block, x, valid=valid)
            if i in wanted:
                outputs[i] = self._out(x, i)
        return [outputs[i] for i in wanted]

    def _out(self, x: Tensor, i: int) -> Tensor:
        """Output of layer `i`: the final norm belongs to the last one."""
        norm = self.transformer.norm
        return x if norm is None or i + 1 < len(self.transformer.layers) else norm(x)


class SignalEncoder(nn.Module):
    """Local encoder, positions and contextual encoder.

    Parameters
    ----------
    config : EEGModelConfig
        Kept as `config`.
    network : nn.Module, optional
        braindecode's `SignalJEPA`, whose parts are taken; a fresh one by default.
    """

    xyz: Tensor

    def __init__(self, config: EEGModelConfig, *, network: Any = None) -> None:
        super().__init__()
        network = build_network(config) if network is None else network
        self.config = config
        self.feature_encoder = network.feature_encoder
        self.pos_encoder = network.pos_encoder
        self.contextual = ContextEncoder(network.transformer.encoder)
        self.register_buffer("xyz", torch.tensor(config.positions), persistent=False)

    def embed(self, x: Signals) -> Tensor:
        """Local features plus their positions, before any token is dropped.

        Parameters
        ----------
        x : Signals
            Values (B, C, T), microvolt; `positions` (C, 3), metres, or None for the channels of
            the table. What is not `valid`, (B, C) or (B, C, T), counts as zero, whatever it holds.

        Returns
        -------
        Tensor, shape (B, C S, D)

        Raises
        ------
        LeadError
            If the number of channels is not that of the positions.
        DataError
            If the window is shorter than a token.
        """
        local = self.local_features(x)
        return local + self.positions(x.positions, local.shape[1]).to(local.dtype)

    def local_features(self, x: Signals) -> Tensor:
        """Local features (B, C S, D) without positions."""
        values = x.values
        n_channels = len(self.xyz) if x.positions is None else x.positions.shape[-2]
        if values.ndim != 3 or values.shape[1] != n_channels:
            raise LeadError(
                f"expected (records, {n_channels} channels, times), got shape "
                f"{tuple(values.shape)}: give the positions of these channels"
            )
        least = self.config.samples_of(1)
        if values.shape[2] < least:
            raise DataError(
                f"expected at least {least} samples (one token), got {values.shape[2]}: use longer "
                "recordings"
            )
        if x.valid is not None:
            there = x.valid[..., None] if x.valid.ndim == 2 else x.valid
            values = values.masked_fill(~there, 0.0)
        return self.local_tokens(values)

    def local_tokens(self, values: Tensor) -> Tensor:
        """Local features (B, C S, D) of values (B, C, T) of any number of channels."""
        B, C, T = values.shape
        # the outer parts of braindecode's encoder only reshape, for a fixed number of channels
        local = values.reshape(B * C, 1, T)
        for block in list(self.feature_encoder)[1:-1]:
            local = block(local)
        return local.transpose(1, 2).reshape(B, -1, local.shape[1])

    def positions(self, xyz: Tensor | None, n_tokens: int) -> Tensor:
        """Place and time of each token, (1, N, D).

        Parameters
        ----------
        xyz : Tensor, shape (C, 3), or None
            Metres; None for the channels of the table.
        n_tokens : int
            C S.
        """
        table = self.pos_encoder.pos_encoder_spat.weight
        place = table if xyz is None else self._places(xyz.to(table))
        steps = n_tokens // len(place)
        time = time_code(steps, self.config).to(table)
        place = place[:, None].expand(-1, steps, -1)
        time = time.expand(len(place), -1, -1)
        return torch.cat([place, time], dim=-1).reshape(1, n_tokens, -1)

    def token_valid(self, x: Signals) -> Tensor | None:
        """Which tokens hold anything, (B, N), or None if all do.

        Tokens of channels that are not `valid` do not; a record without a valid channel counts as
        a record of zeros.
        """
        if x.valid is None or bool(x.valid.all()):
            return None
        channels = x.valid if x.valid.ndim == 2 else x.valid.any(dim=2)
        there = channels | ~channels.any(dim=1, keepdim=True)
        return there.repeat_interleave(self.config.tokens_of(x.values.shape[2]), dim=1)

    def contextualise(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        valid: Tensor | None = None,
        last: int = 1,
        layer: int = -1,
    ) -> Tensor:
        """Run the contextual encoder; see `ContextEncoder.contextualise`."""
        return self.contextual.contextualise(tokens, keep, valid, last, layer)

    def hidden(
        self,
        tokens: Tensor,
        valid: Tensor | None = None,
        *,
        layers: Sequence[int],
        registers: bool = False,
    ) -> list[Tensor]:
        """The outputs of several layers; see `ContextEncoder.hidden`."""
        return self.contextual.hidden(tokens, valid, layers=layers, registers=registers)

    def _places(self, xyz: Tensor) -> Tensor:
        """Codes (C, spat_dim) of places: rows of the table, or what they would start from."""
        table = self.pos_encoder.pos_encoder_spat.weight
        distance = torch.cdist(xyz, self.xyz.to(xyz), compute_mode="donot_use_mm_for_euclid_dist")
        near, row = distance.min(dim=1)
        fresh = place_code(xyz, float(self.xyz.abs().max()), self.config.spat_dim)
        return torch.where((near < SAME_PLACE_M)[:, None], table[row], fresh)


class SignalPredictor(nn.Module):
    """The transformer decoder that predicts hidden tokens from seen ones.

    Parameters
    ----------
    transformer : nn.TransformerDecoder
    encoder : SignalEncoder
        Whose positions the queries share; not a part of this module.

    Notes
    -----
    The learned query is ours: the published network has none. It starts at zero.
    """

    takes_positions = True

    def __init__(self, transformer: nn.TransformerDecoder, encoder: SignalEncoder) -> None:
        super().__init__()
        self.transformer = transformer
        self.mask_query = nn.Parameter(torch.zeros(encoder.config.dim))
        self._encoder = (encoder,)  # in a tuple, so that it is not registered a second time

    def forward(
        self,
        context: Tensor,
        context_index: Tensor,
        target_index: Tensor,
        kind: int = 0,
        *,
        context_valid: Tensor | None = None,
        target_valid: Tensor | None = None,
        positions: Tensor | None = None,
        n_tokens: int | None = None,
    ) -> Tensor:
        """Predict the tokens at `target_index`.

        Parameters
        ----------
        context : Tensor, shape (B, K, D)
        context_index : LongTensor, shape (B, K)
            Not needed: places and times are in the context already.
        target_index : LongTensor, shape (B, M)
        kind : int
            There is one query.
        context_valid, target_valid : BoolTensor, shapes (B, K) and (B, M), optional
        positions : Tensor, shape (C, 3), optional
        n_tokens : int
            N.

        Returns
        -------
        Tensor, shape (B, M, D)
        """
        if n_tokens is None:
            raise ConfigError("expected n_tokens, the tokens of a whole record, got None")
        (encoder,) = self._encoder
        where = encoder.positions(positions, n_tokens)
        x = (self.mask_query + gather_tokens(where, target_index)).to(context.dtype)
        for block in self.transformer.layers:
            x = decoder_layer(block, x, context, valid=target_valid, memory_valid=context_valid)
        return x if self.transformer.norm is None else self.transformer.norm(x)


def build_jepa(config: EEGModelConfig, *, seed: int = 0) -> MaskedJEPA:
    """Assemble a Signal-JEPA with fresh weights.

    Parameters
    ----------
    config : EEGModelConfig
    seed : int
        Of the initialisation; the caller's random state is left alone.

    Returns
    -------
    MaskedJEPA

    Raises
    ------
    ConfigError
        If the mask settings do not fit the window.
    MissingDependencyError
        If braindecode is not installed.
    """
    sampler = config.sampler()
    with keyed_torch_rng(seed, "init"):
        network = build_network(config)
        encoder = SignalEncoder(config, network=network)
        predictor = SignalPredictor(network.transformer.decoder, encoder)
    target = Target(
        of="contextual",
        norm=config.target_norm,
        layers=config.target_layers,
        momentum=Linear(config.momentum_start, config.momentum_end),
    )
    return MaskedJEPA(
        encoder,
        predictor,
        sampler,
        target=target,
        loss=config.loss,
        average=config.average,
        regulariser=named_regulariser(config.regulariser, config.regulariser_weight),
        downstream=config.downstream,
    )


def _layer(layer: int, depth: int) -> int:
    if not -depth <= layer < depth:
        raise ConfigError(f"expected a layer of {-depth} to {depth - 1}, got {layer}")
    return layer % depth
