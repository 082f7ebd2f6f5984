"""Networks that predict from runs: an encoder and one of three heads.

"mean" is the published head: the mean over all tokens, LayerNorm, one linear layer. "attentive" is
one learned query that attends to all tokens, after a LayerNorm. "connectivity" is one linear layer
on the correlations of the regions' tokens; ours, since it is mostly how regions go together that
tells people apart, and a mean over tokens has lost that. It starts as ridge regression on the
frozen encoder and is trained from there (Kumar et al.). Tokens of flat regions and of padding count
in none.

Shapes: B batch, R regions, T frames, n time patches, N = R n tokens, D width, F = R (R - 1) / 2
pairs of regions, K outputs.

References
----------
Kumar et al. 2022, Fine-tuning can distort pretrained features and underperform out-of-distribution,
arXiv:2202.10054 (first the linear probe, then all weights).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError
from biojepa.fmri.model import BrainEncoder
from biojepa.fmri.token_connectivity import centred, token_connectivity
from biojepa.layers.block import init_transformer
from biojepa.layers.pooling import AttentionPool, pool_tokens

Head = Literal["attentive", "mean", "connectivity"]


class LinearOnPairs(nn.Module):
    """One linear layer on standardised numbers of pairs of regions, all F together of size 1.

    Parameters
    ----------
    n_pairs, n_outputs : int
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_pairs: int, n_outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(n_pairs, n_outputs)
        self.register_buffer("mean", torch.zeros(n_pairs))
        self.register_buffer("scale", torch.ones(n_pairs))

    def forward(self, pairs: Tensor) -> Tensor:
        """Outputs (B, K) of pairs (B, F)."""
        size = max(1, pairs.shape[1]) ** 0.5  # so that a step of a learning rate moves outputs so
        return self.fc((pairs - self.mean) / (self.scale * size))

    @torch.no_grad()
    def start(self, mean: NDArray, scale: NDArray, coef: NDArray, intercept: NDArray) -> None:
        """Begin as a linear model of standardised features: coef (K, F), intercept (K,)."""
        for own, given in (
            (self.mean, mean),
            (self.scale, scale),
            (self.fc.weight, coef * max(1, coef.shape[1]) ** 0.5),
            (self.fc.bias, intercept),
        ):
            own.copy_(torch.as_tensor(given))


class BrainNet(nn.Module):
    """An encoder and a head.

    Parameters
    ----------
    encoder : BrainEncoder
        Not copied.
    n_outputs : int
    head : {"attentive", "mean", "connectivity"}
    frozen : bool
        Train the head only; the encoder then stays in eval mode also after `.train()`.

    Raises
    ------
    ConfigError
        If there are no pairs of regions for `head="connectivity"`.
    """

    def __init__(
        self, encoder: BrainEncoder, n_outputs: int, *, head: Head = "mean", frozen: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: Head = head
        self.n_outputs, self.frozen = n_outputs, frozen
        config = encoder.config
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        if head == "attentive":
            self.pool = AttentionPool(config.dim, config.heads, n_outputs)
            init_transformer(self.pool, depth=None)
        elif head == "connectivity":
            R = config.n_regions
            if R < 2:
                raise ConfigError("expected 2 or more regions for head='connectivity', got 1")
            self.pairs = LinearOnPairs(R * (R - 1) // 2, n_outputs)
        else:
            self.fc = nn.Linear(config.dim, n_outputs)
            init_transformer(self.fc, depth=None)
        encoder.requires_grad_(not frozen)
        self.train()

    def train(self, mode: bool = True) -> BrainNet:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, x: Signals) -> Tensor:
        """Outputs (B, K) for runs (B, R, T)."""
        if self.head == "connectivity":
            return self.pairs(self.read_pairs(x))
        valid = self.encoder.token_valid(x)
        tokens = self.encoder.contextualise(self.encoder.embed(x), valid=valid)
        if self.head == "attentive":
            return self.pool(self.norm(tokens), valid)
        return self.fc(self.norm(pool_tokens(tokens, pool="mean", valid=valid)))

    def read_pairs(self, x: Signals) -> Tensor:
        """Fisher z of the correlations of the regions' tokens, (B, F)."""
        seen = self.encoder.token_valid(x)
        tokens = self.encoder.contextualise(self.encoder.embed(x), valid=seen)
        B, R = x.values.shape[:2]
        tokens = tokens.float().view(B, R, -1, tokens.shape[-1])
        valid = None if seen is None else seen.view(B, R, -1)
        return token_connectivity(centred(tokens, valid), valid)


def make_net(
    encoder: BrainEncoder,
    gradients: ArrayLike,
    n_outputs: int,
    *,
    head: Head,
    frozen: bool,
    drop_path: float,
    seed: int,
) -> BrainNet:
    """A network on a copy of an encoder, for the atlas of these gradients, with a fresh head."""
    table = torch.as_tensor(gradients, dtype=torch.float32)
    config = replace(encoder.config, n_regions=len(table), drop_path=drop_path)
    with keyed_torch_rng(seed, "head"):
        own = BrainEncoder(config)
        state = {k: v for k, v in encoder.state_dict().items() if k != "positions.gradients"}
        own.load_state_dict(state | {"positions.gradients": table})
        return BrainNet(own, n_outputs, head=head, frozen=frozen)
