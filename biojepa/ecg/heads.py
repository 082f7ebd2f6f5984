"""ECG-JEPA's three classifier heads on an encoder, and logits averaged over crops.

Head "attentive" (A): one learned query attends to all tokens *including* the register; its output
projection is the classifier. This, on a frozen encoder, is what the publication calls linear. Head
"register" (B): a linear layer without bias on the first register. Head "mean" (C): the same on the
mean over tokens. Keys are those of the published classifier files.

Shapes: B batch, C leads, T samples, N tokens, K classes.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from biojepa.ecg.model import ECGEncoder
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError
from biojepa.layers.block import init_transformer
from biojepa.layers.pooling import AttentionPool, pool_tokens

Head = Literal["attentive", "register", "mean"]


class CropAveraged(nn.Module):
    """A network of crops that answers for whole records: logits are averaged over crops.

    Attributes
    ----------
    frozen : bool
        Whether only a head is trained.
    """

    frozen: bool = False

    def crop_logits(self, values: Tensor, *, crop: int, stride: int) -> Tensor:
        """Logits of evenly spaced crops of whole records.

        Parameters
        ----------
        values : Tensor, shape (B, C, T)
        crop, stride : int
            Samples; as published 2.5 s and 1.25 s, seven crops of a 10 s record. A record shorter
            than `crop` is one crop; samples after the last whole crop are not seen.

        Returns
        -------
        Tensor, shape (B, n_crops, K)

        Raises
        ------
        DataError
            If `values` has another shape, or `crop` or `stride` is below 1.
        """
        if values.ndim != 3 or crop < 1 or stride < 1:
            raise DataError(
                "expected values (records, leads, times) and crop and stride of at least 1 "
                f"sample, got shape {tuple(values.shape)}, crop {crop} and stride {stride}"
            )
        crops = values.unfold(2, min(crop, values.shape[2]), stride).transpose(1, 2)
        return self(crops.flatten(0, 1)).unflatten(0, crops.shape[:2])

    def record_logits(self, values: Tensor, *, crop: int, stride: int) -> Tensor:
        """Mean over the crops of `crop_logits`, (B, K): logits are averaged, not probabilities."""
        return self.crop_logits(values, crop=crop, stride=stride).mean(dim=1)


class ECGClassifierNet(CropAveraged):
    """An encoder and a head that give one logit per class.

    Parameters
    ----------
    encoder : ECGEncoder
        Not copied.
    n_classes : int
    head : {"attentive", "register", "mean"}
    frozen : bool
        Train the head only; the encoder then stays in eval mode also after `.train()`.
    attend_registers : bool
        Whether the attentive head attends to the registers too.

    Raises
    ------
    ConfigError
        If the head is unknown, or needs a register that the encoder does not have.

    Notes
    -----
    The head is drawn from torch's global generator (`keyed_torch_rng` keys it).
    """

    def __init__(
        self,
        encoder: ECGEncoder,
        n_classes: int,
        *,
        head: Head = "attentive",
        frozen: bool = False,
        attend_registers: bool = True,
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ConfigError(f"expected head in {get_args(Head)}, got {head!r}")
        if n_classes < 1:
            raise ConfigError(f"expected n_classes >= 1, got {n_classes}")
        if head == "register" and encoder.registers is None:
            raise ConfigError(
                "expected an encoder with a register for head='register', got one without: use "
                "head='attentive' or 'mean', or an encoder of a config with registers=1"
            )
        self.encoder = encoder
        self.head: Head = head
        self.n_classes, self.frozen = n_classes, frozen
        self.registers = head == "register" or (head == "attentive" and attend_registers)
        dim = encoder.config.dim
        if head == "attentive":
            self.attn_pool = AttentionPool(dim, encoder.config.heads, n_classes)
            init_transformer(self.attn_pool, depth=encoder.config.depth)
        else:
            self.fc = nn.Linear(dim, n_classes, bias=False)
            init_transformer(self.fc, depth=encoder.config.depth)
        encoder.requires_grad_(not frozen)
        self.train()

    def train(self, mode: bool = True) -> ECGClassifierNet:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, x: Tensor | Signals) -> Tensor:
        """Logits.

        Parameters
        ----------
        x : Tensor (B, C, T) or Signals
            Normalised values of any length of at least one patch.

        Returns
        -------
        Tensor, shape (B, K)

        Raises
        ------
        LeadError, DataError
            As `ECGEncoder.embed`.
        """
        signals = x if isinstance(x, Signals) else Signals(x)
        valid = self.encoder.token_valid(signals)
        tokens = self.encoder.contextualise(
            self.encoder.embed(signals), valid=valid, registers=self.registers
        )
        if self.head == "register":
            return self.fc(tokens[:, 0])
        if self.head == "mean":
            return self.fc(pool_tokens(tokens, pool="mean", valid=valid))
        if valid is not None:
            R = tokens.shape[1] - valid.shape[1]
            valid = nn.functional.pad(valid, (R, 0), value=True)
        return self.attn_pool(tokens, valid)
