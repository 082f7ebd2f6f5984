"""Signal-JEPA in the plainest form: braindecode's modules, every token computed, always.

FROZEN, like `straightforward`; `test_straightforward_eeg.py` holds it to the numbers of the engine.
Masked tokens stay in the batch behind padding masks, every token is asked of the predictor and the
masked ones are picked afterwards, the momentum copy computes the local features again. Float32,
AdamW that is not fused, one parameter after the other in the momentum update.

Shapes: B batch, C channels, T samples, N tokens, D width.

References
----------
Guetschel, Moreau & Tangermann 2024, arXiv:2403.11772; braindecode 1.8.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StraightforwardSJEPA(nn.Module):
    """Network, mask query and momentum copies."""

    def __init__(
        self,
        positions: dict[str, tuple[float, float, float]],
        n_times: int,
        *,
        depth: int,
        heads: int,
        pred_depth: int,
        hidden: int,
        dropout: float,
        norm_targets: bool,
    ) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from braindecode.models import SignalJEPA
        self.network = SignalJEPA(
            chs_info=[{"ch_name": name, "loc": torch.tensor(p)} for name, p in positions.items()],
            n_times=n_times,
            sfreq=128,
            transformer__num_encoder_layers=1,
            transformer__num_decoder_layers=1,
        )
        self.network.transformer = nn.Transformer(
            64, heads, depth, pred_depth, hidden, dropout, batch_first=True
        )
        self.mask_query = nn.Parameter(torch.zeros(64))
        self.norm_targets = norm_targets
        self.target = copy.deepcopy(self.network.transformer.encoder).requires_grad_(False)

    def forward(self, x: Tensor, masked: Tensor) -> Tensor:
        """Mean absolute error of the predicted tokens; `x` (B, C, T), `masked` (B, N)."""
        local = self.network.feature_encoder(x)
        places = self.network.pos_encoder(local)
        tokens = local + places
        context = self.network.transformer.encoder(tokens, src_key_padding_mask=masked)
        asked = (self.mask_query + places).expand(len(x), -1, -1)
        predicted = self.network.transformer.decoder(
            asked, context, tgt_key_padding_mask=~masked, memory_key_padding_mask=masked
        )
        with torch.no_grad():
            self.target.eval()
            wanted = self.target(self.network.feature_encoder(x) + places)
            if self.norm_targets:
                wanted = F.layer_norm(wanted, wanted.shape[-1:])
        return (predicted - wanted).abs()[masked].mean()

    @torch.no_grad()
    def move_target(self, momentum: float) -> None:
        """Target <- m target + (1 - m) encoder, one parameter after the other."""
        source = self.network.transformer.encoder.parameters()
        for own, target in zip(source, self.target.parameters(), strict=True):
            target.data = momentum * target.data + (1.0 - momentum) * own.data

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Mean and standard deviation over the tokens, (B, 2 D)."""
        tokens = self.network(x, return_features=True)["features"]
        return torch.cat([tokens.mean(dim=1), tokens.std(dim=1, unbiased=False)], dim=1)


def make_optimizer(model: nn.Module, lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW, not fused."""
    own = [p for p in model.parameters() if p.requires_grad]
    options: dict[str, Any] = {"fused": False, "foreach": False}
    return torch.optim.AdamW(own, lr=lr, weight_decay=decay, betas=(0.9, 0.98), **options)


def train_step(
    model: StraightforwardSJEPA,
    optimizer: torch.optim.AdamW,
    x: Tensor,
    masked: Tensor,
    momentum: float,
) -> float:
    """One step; returns the loss."""
    loss = model(x, masked)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    model.move_target(momentum)
    return loss.item()
