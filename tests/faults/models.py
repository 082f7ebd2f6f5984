"""A tiny model folder, checkpoint and published file to damage, made once a session."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biojepa.ecg import ECGJEPA, official
from biojepa.ecg._encoder_file import write_encoder
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.model import build_jepa
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import Pretrained
from biojepa.engine.checkpoint import load_checkpoint, save_checkpoint
from biojepa.engine.config import TrainConfig
from biojepa.engine.files import SUMS, read_json, read_tensors, sha256, write_folder
from biojepa.engine.optimiser import make_optimizer
from biojepa.engine.train import TrainResult
from tests.engine.toys import ToySignals, toy_jepa

LEADS = ("I", "II", "V1")
CONFIG = ECGModelConfig(
    leads=LEADS,
    rate_hz=100.0,
    n_times=200,
    patch=10,
    dim=16,
    depth=1,
    heads=2,
    pred_dim=8,
    pred_depth=1,
    pred_heads=2,
    keep=(0.3, 0.5),
    min_block=2,
)
OPTIONS = {"preset": "tiny", "pool": "mean", "layer": [-1], "shifts": 1, "scale": False}
TRAIN = TrainConfig(steps=6, batch_size=16, warmup_steps=2, device="cpu", diagnose_every=0)


@functools.cache
def _made(kind: str) -> Path:
    """What is copied by the three functions below."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    if kind == "model":
        preprocess = ECGPreprocess(leads=LEADS)
        seen = {"n_records": 2, "fingerprint": "0" * 64, "ids": ["a", "b"]}
        jepa = build_jepa(CONFIG, seed=0)
        write_encoder(
            folder / kind, Pretrained(jepa, CONFIG, preprocess, TrainResult(), seen), OPTIONS
        )
    elif kind == "published.pt":
        official.save(build_jepa(CONFIG, seed=0), folder / kind)
    else:
        objective = toy_jepa()
        optimizer = make_optimizer(objective, TRAIN)
        objective(objective.collator()(ToySignals().values[:4], _key()), torch.Generator())
        saved = save_checkpoint(folder, objective, optimizer, {"step": 3})
        saved.rename(folder / kind)
    return folder / kind


def _key() -> Any:
    import numpy as np

    from biojepa.engine.randomness import BatchKey

    return BatchKey(0, 0, np.arange(4), 4)


def put(kind: str, root: Path) -> Path:
    """Copy the "model", the "checkpoint" or the "published.pt" into a folder."""
    made, place = _made(kind), root / kind
    if made.is_dir():
        shutil.copytree(made, place)
    else:
        shutil.copy(made, place)
    return place


def load(kind: str, path: Path, *, verify: bool = True) -> str:
    """Load what `put` has put there; says what it is."""
    if kind == "model":
        return str(ECGJEPA.from_pretrained(path, verify=verify).model_config_.leads)
    if kind == "published.pt":
        return type(official.load(path)).__name__
    objective = toy_jepa()
    state = load_checkpoint(path, objective, make_optimizer(objective, TRAIN))
    return f"step {state['step']}"


def rewrite(
    folder: Path,
    *,
    weights: Callable[[dict[str, Tensor]], Any] | None = None,
    texts: Callable[[dict[str, Any]], Any] | None = None,
) -> None:
    """Change tensors or settings of a folder and make its hashes agree."""
    tensors = {p.stem: read_tensors(p) for p in folder.glob("*.safetensors")}
    settings = {p.name: read_json(p) for p in folder.glob("*.json")}
    if weights is not None:
        weights(tensors["model"])
    if texts is not None:
        texts(settings)
    write_folder(folder, tensors, settings)


def rehash(folder: Path) -> None:
    """Make SHA256SUMS agree with whatever lies in the folder."""
    names = sorted(p.name for p in folder.iterdir() if p.name != SUMS)
    (folder / SUMS).write_text("".join(f"{sha256(folder / n)}  {n}\n" for n in names))


def set_json(path: Path, **changes: Any) -> None:
    """Change a JSON file on its own."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
