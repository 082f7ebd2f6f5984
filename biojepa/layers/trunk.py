"""The stack of transformer blocks of an encoder, run over all tokens or some of them.

Shapes: B batch, N tokens, K kept tokens, R registers, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biojepa.errors import ConfigError
from biojepa.layers.gather import gather_tokens


class Trunk(nn.Module):
    """What encoders share: dropping tokens, running blocks, reading out any block.

    A subclass sets the three attributes; their names are those of the published checkpoints.

    Attributes
    ----------
    blocks : nn.ModuleList of Block
    norm : nn.LayerNorm
        After the last block, and after any block that is read out.
    registers : nn.Parameter, shape (1, R, D), or None
        Tokens without position that go before the others.
    """

    blocks: nn.ModuleList
    norm: nn.LayerNorm
    registers: nn.Parameter | None

    def contextualise(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        valid: Tensor | None = None,
        last: int = 1,
        layer: int = -1,
        *,
        registers: bool = False,
        only: Tensor | None = None,
    ) -> Tensor:
        """Run the transformer over all or some tokens.

        Parameters
        ----------
        tokens : Tensor, shape (B, N, D)
            Of `embed`.
        keep : LongTensor, shape (B, K), optional
            Tokens that are seen; the others are dropped before the blocks.
        valid : BoolTensor, shape (B, K), optional
            Of the kept tokens: those that may be attended to.
        last : int
            Mean over the outputs of so many blocks, ending with `layer`, before the final norm.
        layer : int
            The block to stop after, from 0, or from the end if negative.
        registers : bool
            Keep the R registers at the start of the output.
        only : LongTensor, shape (B, M), optional
            Tokens whose output is wanted: the last block computes no others (`last=1`).

        Returns
        -------
        Tensor, shape (B, K, D), (B, R + K, D) or (B, M, D)

        Raises
        ------
        ConfigError
            If there are no such blocks.
        """
        stop = self._block(layer)
        if not 1 <= last <= stop + 1:
            raise ConfigError(f"expected last of 1 to {stop + 1} blocks, got {last}")
        if keep is not None:
            tokens = gather_tokens(tokens, keep)
        x, valid = self._enter(tokens, valid)
        total: Tensor | None = None
        for i, block in enumerate(self.blocks[: stop + 1]):
            if only is not None and i == stop:
                return self.norm(block(x, valid, only + self._n_registers))
            x = block(x, valid)
            if last > 1 and i > stop - last:
                total = x if total is None else total + x
        x = self.norm(x if total is None else total / last)
        return x if registers else x[:, self._n_registers :]

    def hidden(
        self,
        tokens: Tensor,
        valid: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        registers: bool = False,
    ) -> list[Tensor]:
        """The outputs of several blocks in one pass.

        Parameters
        ----------
        tokens, valid, registers
            As in `contextualise`.
        layers : sequence of int, optional
            Blocks, in the order of the result; all by default.

        Returns
        -------
        list of Tensor
            Each equal to `contextualise(tokens, valid=valid, layer=i)`.
        """
        wanted = range(len(self.blocks)) if layers is None else [self._block(i) for i in layers]
        x, valid = self._enter(tokens, valid)
        outputs: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = block(x, valid)
            if i in wanted:
                out = self.norm(x)
                outputs[i] = out if registers else out[:, self._n_registers :]
        return [outputs[i] for i in wanted]

    @property
    def _n_registers(self) -> int:
        return 0 if self.registers is None else self.registers.shape[1]

    def _enter(self, tokens: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens and their validity as the blocks take them: registers first."""
        if self.registers is None:
            return tokens, valid
        registers = self.registers.expand(len(tokens), -1, -1).to(tokens.dtype)
        if valid is not None:
            valid = torch.cat([valid.new_ones(registers.shape[:2]), valid], dim=1)
        return torch.cat([registers, tokens], dim=1), valid

    def _block(self, layer: int) -> int:
        depth = len(self.blocks)
        if not -depth <= layer < depth:
            raise ConfigError(f"expected a layer of {-depth} to {depth - 1}, got {layer}")
        return layer % depth
