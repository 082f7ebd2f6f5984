"""A published Brain-JEPA checkpoint as a fitted model, which estimators can start from."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError, ConfigError, DataError
from biojepa.fmri import official
from biojepa.fmri.atlas import Atlas
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import model_gradients
from biojepa.fmri.preprocess import BrainPreprocess, Normalise
from biojepa.fmri.pretrain import Pretrained
from biojepa.fmri.recipes import get_recipe


def published_encoder(
    path: str | PathLike,
    *,
    gradients: ArrayLike | str | PathLike | None,
    heads: int | None,
    regions: Sequence[str] | None,
    normalise: Normalise,
) -> tuple[Pretrained, dict[str, Any]]:
    """The model, and how features are read off it; see `BrainJEPA.from_published`.

    Raises
    ------
    CheckpointError, ConfigError, DataError
    """
    if normalise == "robust":
        raise ConfigError(
            "expected normalise 'region', 'global' or 'none', got 'robust': the statistics of the "
            "published scaling were not released"
        )
    jepa = official.load(Path(path), gradients=gradients, heads=heads)
    if not isinstance(jepa, MaskedJEPA):
        raise CheckpointError(
            f"{path}: expected a pretraining checkpoint, got a network with a head: read it with "
            "biojepa.fmri.official.load"
        )
    config: BrainModelConfig = jepa.encoder.config
    names = tuple(regions or ())
    if names and len(set(names)) != config.n_regions:
        raise DataError(
            f"expected a name for each of {config.n_regions} regions, got {len(set(names))}: name "
            "them in the order of the gradients"
        )
    recipe = get_recipe("paper")
    # the published frames are the nearest ones; a filter does no harm
    preprocess = BrainPreprocess(tr_s=recipe.tr_s, normalise=normalise, clip=recipe.clip)
    training: dict[str, Any] = {
        "n_records": 0,
        "fingerprint": "",
        "ids": [],
        "source": "published checkpoint: the file does not say what it has seen",
    }
    atlas = Atlas(names, model_gradients(jepa).numpy())
    fitted = Pretrained(jepa, config, preprocess, (atlas,), TrainResult(), training)
    return fitted, {"preset": recipe.name, "pool": "mean_std", "layer": [-1]}
