"""Checkpoints: everything comes back, damage is noticed, the only good one stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from biojepa.engine import TrainConfig
from biojepa.engine.checkpoint import (
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    load_weights,
    rotate,
    save_checkpoint,
)
from biojepa.engine.files import read_json, sha256, write_folder
from biojepa.engine.optimiser import make_optimizer
from biojepa.errors import CheckpointError, DamagedCheckpointWarning, RunError
from tests.engine.toys import MultiCrops, TwoTargets

ROOT = Path(__file__).resolve().parents[2]
CONFIG = TrainConfig(device="cpu")


def trained(seed: int = 0) -> tuple[TwoTargets, torch.optim.Optimizer]:
    objective = TwoTargets()
    optimizer = make_optimizer(objective, CONFIG)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(2):
        for parameter in objective.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=rng)
        optimizer.step()
    return objective, optimizer


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(k == n and torch.equal(v, w) for (k, v), (n, w) in pairs)


def test_weights_copies_optimiser_and_state_come_back(tmp_path) -> None:
    objective, optimizer = trained()
    folder = save_checkpoint(tmp_path, objective, optimizer, {"step": 7, "best": None})
    names = {"model", "optimizer", "fast", "slow"}
    assert {p.stem for p in folder.glob("*.safetensors")} == names
    other, fresh = TwoTargets(), None
    fresh = make_optimizer(other, CONFIG)
    state = load_checkpoint(folder, other, fresh)
    assert (state["step"], state["best"]) == (7, None)
    assert same(objective, other)
    for p, q in zip(objective.parameters(), other.parameters(), strict=True):
        assert optimizer.state.get(p, {}).keys() == fresh.state.get(q, {}).keys()
        for kind, value in optimizer.state.get(p, {}).items():
            assert torch.equal(value, fresh.state[q][kind])


def test_buffers_are_part_of_a_checkpoint(tmp_path) -> None:
    objective = MultiCrops()
    objective.centre.fill_(3.0)
    folder = save_checkpoint(tmp_path, objective, make_optimizer(objective, CONFIG), {"step": 1})
    other = MultiCrops()
    load_checkpoint(folder, other)
    assert other.centre.tolist() == [3.0] * 6


def reseal(folder: Path) -> None:
    """Make the hashes right again after an edit."""
    files = sorted(p for p in folder.iterdir() if p.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text("".join(f"{sha256(p)}  {p.name}\n" for p in files))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w.pop("heads.0.bias"), "lacks 'heads.0.bias'"),
        (lambda w: w.update(extra=torch.ones(1)), "unexpected key 'extra'"),
        (lambda w: w.update({"heads.0.bias": torch.ones(3)}), r"'heads.0.bias' has shape \(3,\)"),
        (lambda w: w["heads.0.bias"].fill_(torch.nan), "'heads.0.bias' holds NaN"),
        (lambda w: w["heads.0.bias"].fill_(torch.inf), "'heads.0.bias' holds NaN"),
    ],
)
def test_weights_of_another_model_are_refused_by_name_and_change_nothing(
    tmp_path, edit, message
) -> None:
    objective, optimizer = trained()
    folder = save_checkpoint(tmp_path, objective, optimizer, {"step": 1})
    weights = {
        k: v.clone()
        for k, v in objective.state_dict().items()
        if k.split(".")[0] not in ("fast", "slow")
    }
    edit(weights)
    save_file(weights, folder / "model.safetensors")
    reseal(folder)
    other = TwoTargets()
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder, other)
    assert same(other, TwoTargets())


def test_a_missing_momentum_copy_is_an_error(tmp_path) -> None:
    objective, optimizer = trained()
    folder = save_checkpoint(tmp_path, objective, optimizer, {"step": 1})
    (folder / "slow.safetensors").unlink()
    with pytest.raises(CheckpointError, match="slow.safetensors"):
        load_checkpoint(folder, TwoTargets())


def test_a_newer_format_is_an_error(tmp_path) -> None:
    objective, optimizer = trained()
    folder = save_checkpoint(tmp_path, objective, optimizer, {"step": 1})
    state = read_json(folder / "state.json") | {"format": 99}
    write_folder(folder, {}, {"state.json": state})
    with pytest.raises(CheckpointError, match="format 99"):
        load_checkpoint(folder, TwoTargets())


def test_optimiser_state_of_another_model_is_refused(tmp_path) -> None:
    objective, optimizer = trained()
    folder = save_checkpoint(tmp_path, objective, optimizer, {"step": 1})
    save_file({"exp_avg/other.weight": torch.ones(2)}, folder / "optimizer.safetensors")
    reseal(folder)
    other = TwoTargets()
    with pytest.raises(CheckpointError, match="unexpected 'other.weight'"):
        load_checkpoint(folder, other, make_optimizer(other, CONFIG))


def fake(run: Path, *steps: int) -> None:
    for step in steps:
        write_folder(run / "checkpoints" / f"step-{step:08d}", {}, {"state.json": {"step": step}})


def steps_in(run: Path) -> list[int]:
    return [int(p.name[5:]) for p in checkpoints(run)]


def test_rotation_keeps_the_last_ones_and_the_best(tmp_path) -> None:
    fake(tmp_path, 10, 20, 30, 40)
    rotate(tmp_path, keep_last=2, best=10)
    assert steps_in(tmp_path) == [40, 30, 10]
    rotate(tmp_path, keep_last=1, best=None)
    assert steps_in(tmp_path) == [40]
    rotate(tmp_path, keep_last=0, best=None)
    assert steps_in(tmp_path) == [40]


def test_leavings_of_killed_saves_are_not_counted_and_are_removed(tmp_path) -> None:
    fake(tmp_path, 10)
    stale = tmp_path / "checkpoints" / ".tmp-step-00000020-123"
    stale.mkdir()
    assert steps_in(tmp_path) == [10]
    assert latest_checkpoint(tmp_path).name == "step-00000010"
    rotate(tmp_path, keep_last=2, best=None)
    assert not stale.exists()


def test_a_damaged_latest_is_passed_over_with_a_warning(tmp_path) -> None:
    fake(tmp_path, 10, 20)
    (tmp_path / "checkpoints" / "step-00000020" / "state.json").write_text("{}")
    with pytest.warns(DamagedCheckpointWarning, match="step-00000020"):
        assert latest_checkpoint(tmp_path).name == "step-00000010"


def test_only_damaged_checkpoints_are_an_error_and_none_is_none(tmp_path) -> None:
    assert latest_checkpoint(tmp_path) is None
    fake(tmp_path, 10)
    (tmp_path / "checkpoints" / "step-00000010" / "SHA256SUMS").unlink()
    with (
        pytest.warns(DamagedCheckpointWarning),
        pytest.raises(CheckpointError, match="every checkpoint"),
    ):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_that_cannot_be_written_is_a_run_error(tmp_path) -> None:
    objective, optimizer = trained()
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(RunError, match="cannot write"):
        save_checkpoint(tmp_path, objective, optimizer, {"step": 1})


def test_weights_may_be_loaded_into_tied_parameters() -> None:
    tied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    tied[1].weight = tied[0].weight
    load_weights(tied, {k: torch.ones_like(v) for k, v in tied.state_dict().items()}, where="x")
    assert tied[0].weight.tolist() == [[1, 1], [1, 1]]


KILLS = """
import os, random, signal, sys, time, torch
from pathlib import Path
from biojepa.engine.checkpoint import *
from tests.engine.test_checkpoint import CONFIG, TwoTargets, make_optimizer, same, trained

torch.set_num_threads(1)
objective, optimizer = trained()
run, wait = Path(sys.argv[1]), random.Random(0)


def save_for_ever() -> None:
    step = int(checkpoints(run)[0].name[5:]) if checkpoints(run) else 0
    while True:
        step += 1
        save_checkpoint(run, objective, optimizer, {"step": step})
        rotate(run, keep_last=2, best=None)


half_written = 0
for kill in range(50):
    child = os.fork()
    if child == 0:
        save_for_ever()
    time.sleep(wait.uniform(0.02, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    half_written += any((run / "checkpoints").glob(".tmp-*"))
    if checkpoints(run):
        latest = latest_checkpoint(run)  # would warn, an error here, if it passed one over
        assert latest == checkpoints(run)[0]
        other = TwoTargets()
        load_checkpoint(latest, other, make_optimizer(other, CONFIG))
        assert same(objective, other)
print(half_written, checkpoints(run)[0].name[5:])
"""


@pytest.mark.slow
def test_after_fifty_kills_while_saving_a_checkpoint_always_loads(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", KILLS, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    half_written, step = map(int, done.stdout.split())
    assert half_written > 5  # the kills did hit saves
    assert step > 5
