"""Networks that predict from runs: an encoder and one of two heads.

"mean" is the published head: the mean over all tokens, LayerNorm, one linear layer. "attentive" is
one learned query that attends to all tokens, after a LayerNorm. Tokens of flat regions and of
padding count in neither.

Shapes: B batch, R regions, T frames, N tokens, K outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.fmri.model import BrainEncoder
from biojepa.layers.block import init_transformer
from biojepa.layers.pooling import AttentionPool, pool_tokens

Head = Literal["attentive", "mean"]


class BrainNet(nn.Module):
    """An encoder and a head.

    Parameters
    ----------
    encoder : BrainEncoder
        Not copied.
    n_outputs : int
    head : {"attentive", "mean"}
    frozen : bool
        Train the head only; the encoder then stays in eval mode also after `.train()`.
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
        valid = self.encoder.token_valid(x)
        tokens = self.encoder.contextualise(self.encoder.embed(x), valid=valid)
        if self.head == "attentive":
            return self.pool(self.norm(tokens), valid)
        return self.fc(self.norm(pool_tokens(tokens, pool="mean", valid=valid)))


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
