"""Checkpoints of a run: what is needed to go on as if nothing had happened.

    checkpoints/step-00001200/{model,optimizer,<each momentum copy>}.safetensors
                              state.json  SHA256SUMS

safetensors and JSON only. A checkpoint appears at once (see `files`), its hashes are verified when
it is read, and a damaged one is passed over for the one before.
"""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from biojepa.engine.distributed import agree_any, rank
from biojepa.engine.files import check_folder, read_json, read_tensors, write_folder
from biojepa.engine.objective import Objective
from biojepa.errors import CheckpointError, DamagedCheckpointWarning, RunError

FORMAT = 1
NAME = re.compile(r"step-(\d{8})")


def save_checkpoint(
    run: Path, objective: Objective, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write the checkpoint of `state["step"]`; all ranks call it, rank 0 writes.

    Parameters
    ----------
    run : Path
    objective : Objective
    optimizer : Optimizer
        Over parameters of `objective`.
    state : dict
        JSON-able; `step` is the number of steps done.

    Returns
    -------
    Path
        Of the checkpoint.

    Raises
    ------
    RunError
        If the disk is full or not writable; earlier checkpoints are untouched.
    """
    folder = run / "checkpoints" / f"step-{state['step']:08d}"
    copies = objective.momentum_copies()
    weights = {k: whole_tensor(v) for k, v in objective.state_dict().items()}
    tensors: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    tensors |= {name: {} for name in copies}
    for key, value in weights.items():
        head, _, tail = key.partition(".")
        if head in copies:
            tensors[head][tail] = value
        else:
            tensors["model"][key] = value
    for key, value in _optimizer_state(objective, optimizer).items():
        tensors["optimizer"][key] = whole_tensor(value)
    failure = None
    if rank() == 0:
        try:
            write_folder(folder, tensors, {"state.json": {"format": FORMAT, **state}})
        except RunError as error:
            failure = error
    if agree_any(failure is not None):  # no rank waits for one that has given up
        raise failure or RunError(f"rank 0 could not write {folder}: see its message")
    return folder


def load_checkpoint(
    folder: Path, objective: Objective, optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """Put a checkpoint's weights and optimiser state in place, and return its state.

    Raises
    ------
    CheckpointError
        If it is damaged, or of another model; the message names the first key.
    """
    check_folder(folder)
    state = read_json(folder / "state.json")
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has format {state.get('format')}, this version reads {FORMAT}: use the "
            "version of biojepa that wrote it"
        )
    if type(state.get("step")) is not int or state["step"] < 0:
        raise CheckpointError(f"{folder} is damaged: state.json holds no number of steps")
    weights = read_tensors(folder / "model.safetensors")
    for name in objective.momentum_copies():
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{folder} is of another model: it has no momentum copy {name!r}")
        copy = read_tensors(path)
        weights |= {f"{name}.{key}": value for key, value in copy.items()}
    load_weights(objective, weights, where=str(folder))
    if optimizer is not None:
        _load_optimizer(objective, optimizer, read_tensors(folder / "optimizer.safetensors"))
    return state


def load_weights(module: nn.Module, weights: dict[str, Tensor], *, where: str) -> None:
    """Copy weights in place: every key, every shape, nothing left over, all finite, or none.

    Raises
    ------
    CheckpointError
        Naming the first key that is missing, unexpected, of another shape or not finite.
    """
    own = module.state_dict()
    for kind, keys in (
        ("lacks", own.keys() - weights.keys()),
        ("has the unexpected key", weights.keys() - own.keys()),
    ):
        if keys:
            raise CheckpointError(
                f"{where} is of another model: it {kind} {min(keys)!r} ({len(keys)} such keys); "
                "build the model with the settings it was trained with"
            )
    for key, value in weights.items():
        if own[key].shape != value.shape:
            raise CheckpointError(
                f"{where} is of another model: {key!r} has shape {tuple(value.shape)}, "
                f"expected {tuple(own[key].shape)}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{where} is damaged: {key!r} holds NaN or infinity")
    with torch.no_grad():
        for key, value in weights.items():
            _copy_into(own[key], value)


def checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run, the latest first; half-written ones are not listed."""
    folder = run / "checkpoints"
    found = [p for p in folder.iterdir() if NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found, reverse=True)


def latest_checkpoint(run: Path) -> Path | None:
    """The latest checkpoint whose hashes are right; damaged ones are passed over with a warning.

    Raises
    ------
    CheckpointError
        If there are checkpoints and all of them are damaged.
    """
    found = checkpoints(run)
    for folder in found:
        try:
            check_folder(folder)
        except CheckpointError as error:
            warnings.warn(f"passed over: {error}", DamagedCheckpointWarning, stacklevel=2)
        else:
            return folder
    if found:
        raise CheckpointError(f"every checkpoint in {run / 'checkpoints'} is damaged")
    return None


def rotate(run: Path, *, keep_last: int, best: int | None, saved: int | None = None) -> None:
    """Remove old checkpoints and the leavings of killed saves; never the best or the last one.

    Parameters
    ----------
    run : Path
    keep_last : int
    best : int or None
        Step of the best one.
    saved : int, optional
        Step of the one just written. Later ones were passed over as damaged when the run was
        resumed: they count for nothing, and stay until they are written again.
    """
    found = checkpoints(run)
    if saved is not None:
        found = [folder for folder in found if folder.name <= f"step-{saved:08d}"]
    for folder in found[max(1, keep_last) :]:
        if best is None or folder.name != f"step-{best:08d}":
            shutil.rmtree(folder, ignore_errors=True)
    for stale in (run / "checkpoints").glob(".*-step-*"):
        shutil.rmtree(stale, ignore_errors=True)


def whole_tensor(value: Tensor) -> Tensor:
    """The full tensor of one that FSDP2 shards; others as they are. All ranks call it."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _optimizer_state(objective: Objective, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state as `<kind>/<parameter name>`."""
    names = {id(p): name for name, p in objective.named_parameters()}
    flat = {}
    for parameter, state in optimizer.state.items():
        for kind, value in state.items():
            flat[f"{kind}/{names[id(parameter)]}"] = torch.as_tensor(value)
    return flat


def _load_optimizer(
    objective: Objective, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]
) -> None:
    """Put optimiser state in place, each part where the optimiser would keep it."""
    parameters = dict(objective.named_parameters())
    optimizer.state.clear()
    for key, value in flat.items():
        kind, _, name = key.partition("/")
        if name not in parameters:
            raise CheckpointError(f"the optimiser state is of another model: unexpected {name!r}")
        parameter = parameters[name]
        state = optimizer.state[parameter]
        if value.shape == parameter.shape and kind != "step":
            state[kind] = torch.zeros_like(parameter, requires_grad=False)
            _copy_into(state[kind], value)
        else:
            fused = bool(optimizer.defaults.get("fused"))
            state[kind] = value.to(parameter.device) if fused else value.clone()


def _copy_into(place: Any, value: Tensor) -> None:
    """Copy a full tensor into a tensor that may be sharded."""
    if hasattr(place, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(place.device), place.device_mesh, place.placements)
    place.detach().copy_(value)
