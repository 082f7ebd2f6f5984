"""The one loop: toys learn, runs stop and resume bit for bit, settings are guarded."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.engine import Losses, TrainConfig, TrainResult, train
from biojepa.engine.checkpoint import checkpoints, load_checkpoint
from biojepa.engine.files import read_tensors
from biojepa.engine.objective import ParamGroup
from biojepa.engine.optimiser import make_optimizer
from biojepa.engine.plan import GroupedPlan
from biojepa.errors import CheckpointError, ConfigError, DataError, DeviceError, RunError
from tests.engine.toys import TOYS, MultiCrops, ToySignals, ViewsAndActions, toy_jepa

ROOT = Path(__file__).resolve().parents[2]
SMALL = TrainConfig(
    steps=10, batch_size=16, warmup_steps=3, device="cpu", log_every=1, diagnose_every=4
)


def quiet(objective, config=SMALL, out=None, **options) -> TrainResult:
    return train(objective, ToySignals(), config, out, progress=False, **options)


@pytest.mark.parametrize("toy", sorted(TOYS))
def test_every_toy_learns_through_the_same_loop(toy) -> None:
    config = replace(SMALL, steps=60, lr=3e-3, diagnose_every=0)
    objective = TOYS[toy]()
    start = {k: v.clone() for k, v in objective.state_dict().items()}
    losses = [row["loss"] for row in quiet(objective, config).rows]
    blocks = np.mean(np.reshape(losses, (6, 10)), axis=1)
    # the centre of self-distillation first makes its targets harder: it falls from a peak
    assert blocks[-1] < 0.92 * (blocks.max() if toy == "multi_crops" else blocks[0])
    for name in objective.momentum_copies():
        moved = [k for k, v in objective.state_dict().items() if not torch.equal(v, start[k])]
        assert any(key.startswith(name) for key in moved)


def test_without_a_directory_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    quiet(toy_jepa())
    assert not list(tmp_path.iterdir())


def test_a_run_directory_holds_settings_metrics_and_checkpoints(tmp_path) -> None:
    result = quiet(toy_jepa(), replace(SMALL, checkpoint_every=4, keep_last=2), tmp_path)
    rows = logged(tmp_path)
    assert [int(row["step"]) for row in rows] == list(range(1, 11))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in result.rows]
    assert float(rows[3]["rankme"]) > 1
    assert rows[4]["rankme"] == ""
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000010", "step-00000008"]
    assert (tmp_path / "config.yaml").is_file()


# ---- stop and resume


def final(run: Path) -> dict[str, torch.Tensor]:
    folder = checkpoints(run)[0]
    return {
        f"{path.stem}/{key}": value
        for path in sorted(folder.glob("*.safetensors"))
        for key, value in read_tensors(path).items()
    }


def logged(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{k: v for k, v in r.items() if k not in ("samples_per_s", "seconds")} for r in rows]


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, optimiser, copies and logs, bit for bit."""
    left, right = final(a), final(b)
    assert left.keys() == right.keys()
    assert [k for k in left if not torch.equal(left[k], right[k])] == []
    assert logged(a) == logged(b)


def stop_at(step: int):
    """An evaluation that asks the process to stop, as a scheduler would."""

    def evaluate(_objective, done: int) -> dict[str, float]:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    return evaluate


@pytest.mark.parametrize(
    ("toy", "stop", "settings"),
    [
        ("masked", 2, {}),  # in the warm-up
        ("masked", 3, {"workers": 2}),  # 48 records / 16: an epoch's edge
        ("masked", 4, {"workers": 2, "accumulate": 2}),
        ("two_targets", 5, {"accumulate": 2, "clip": 0.1}),
        ("views_and_actions", 7, {"final_weight_decay": 0.1}),
        ("multi_crops", 1, {"accumulate": 2}),  # its head is still frozen
    ],
)
def test_a_stopped_and_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    tmp_path, toy, stop, settings
) -> None:
    def build():
        return toy_jepa(dropout=0.2) if toy == "masked" else TOYS[toy]()

    config = replace(SMALL, **settings)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quiet(build(), config, whole)
    first = quiet(build(), config, parts, evaluate=stop_at(stop), every=1)
    assert (first.step, first.stopped_by) == (stop, signal.SIGTERM)
    other = replace(config, workers=0, log_every=1, keep_last=1)
    second = quiet(build(), other, parts, resume=True)
    assert (second.step, second.stopped_by) == (10, None)
    assert_same_run(whole, parts)


def test_a_stop_between_logged_steps_leaves_no_row_of_its_own(tmp_path) -> None:
    config = replace(SMALL, log_every=4, diagnose_every=0)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quiet(toy_jepa(), config, whole)
    quiet(toy_jepa(), config, parts, evaluate=stop_at(6), every=1)
    quiet(toy_jepa(), config, parts, resume=True)
    assert [row["step"] for row in logged(parts)] == ["4", "8", "10"]
    assert_same_run(whole, parts)


def test_the_best_checkpoint_is_saved_after_its_row(tmp_path) -> None:
    scores = iter([0.1, 0.9])

    def evaluate(_objective, step: int) -> dict[str, float]:
        return {"auc": next(scores)}

    with pytest.raises(StopIteration):
        quiet(toy_jepa(), SMALL, tmp_path, evaluate=evaluate, every=3, monitor="auc")
    # what a kill would leave: the best checkpoint of step 6, and the rows up to it
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000006", "step-00000003"]
    assert logged(tmp_path)[5]["auc"] == "0.9"


def test_resume_without_a_checkpoint_starts_and_of_a_finished_run_does_nothing(tmp_path) -> None:
    assert quiet(toy_jepa(), SMALL, tmp_path, resume=True).step == 10
    before = final(tmp_path)
    again = quiet(toy_jepa(), SMALL, tmp_path, resume=True)
    assert (again.step, again.rows) == (10, [])
    assert all(torch.equal(before[k], v) for k, v in final(tmp_path).items())


def test_a_used_directory_is_refused_without_resume(tmp_path) -> None:
    quiet(toy_jepa(), SMALL, tmp_path)
    with pytest.raises(RunError, match="already holds a run"):
        quiet(toy_jepa(), SMALL, tmp_path)


def test_changed_settings_are_listed_and_can_be_overridden(tmp_path) -> None:
    settings = {"leads": ("I", "II"), "data": "abc"}
    quiet(toy_jepa(), replace(SMALL, steps=4), tmp_path, settings=settings)
    other = replace(SMALL, steps=6, lr=0.5)
    with pytest.raises(RunError) as caught:
        quiet(toy_jepa(), other, tmp_path, settings=settings | {"data": "xyz"}, resume=True)
    for part in ("steps: 4 -> 6", "lr: 0.001 -> 0.5", "data: 'abc' -> 'xyz'", "--override"):
        assert part in str(caught.value)
    assert "leads" not in str(caught.value)
    result = quiet(
        toy_jepa(),
        other,
        tmp_path,
        settings=settings | {"data": "xyz"},
        resume=True,
        override=True,
    )
    assert result.step == 6
    quiet(toy_jepa(), other, tmp_path, settings=settings | {"data": "xyz"}, resume=True)


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path) -> None:
    quiet(toy_jepa(), SMALL, tmp_path)
    with pytest.raises(CheckpointError, match="of another model"):
        quiet(ViewsAndActions(), SMALL, tmp_path, resume=True)


# ---- evaluation


def test_patience_stops_the_run_and_the_best_checkpoint_is_kept(tmp_path) -> None:
    scores = {2: 0.5, 4: 0.9, 6: 0.7, 8: 0.8}
    seen = []

    def evaluate(objective, step: int) -> dict[str, float]:
        seen.append((step, objective.training))
        return {"auc": scores[step]}

    config = replace(SMALL, steps=20, keep_last=1, checkpoint_every=1)
    options = {"evaluate": evaluate, "every": 2, "monitor": "auc", "patience": 2}
    result = quiet(toy_jepa(), config, tmp_path, **options)
    assert (result.step, result.exhausted, result.best.step) == (8, True, 4)
    assert seen == [(2, False), (4, False), (6, False), (8, False)]
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000008", "step-00000004"]
    assert [row["auc"] for row in result.rows if "auc" in row] == [0.5, 0.9, 0.7, 0.8]
    again = quiet(toy_jepa(), config, tmp_path, resume=True, **options)
    assert (again.step, again.exhausted) == (8, True)
    objective = toy_jepa()
    load_checkpoint(checkpoints(tmp_path)[1], objective)
    optimizer = make_optimizer(objective, config)
    assert optimizer.param_groups


def test_a_monitor_that_is_not_evaluated_is_refused() -> None:
    with pytest.raises(ConfigError, match="'auc', got 'acu'|got 'acu'"):
        quiet(toy_jepa(), evaluate=lambda *_: {"auc": 0.5}, every=2, monitor="acu")
    for options in ({"monitor": "auc"}, {"patience": 3}):
        with pytest.raises(ConfigError, match="monitor="):
            quiet(toy_jepa(), **options)


# ---- what a step does


def test_a_frozen_head_does_not_move_until_its_step() -> None:
    objective = MultiCrops()
    start = objective.head.weight.clone()
    quiet(objective, replace(SMALL, steps=2, warmup_steps=0, diagnose_every=0))
    assert torch.equal(objective.head.weight, start)
    objective = MultiCrops()
    quiet(objective, replace(SMALL, steps=3, warmup_steps=0, diagnose_every=0))
    assert not torch.equal(objective.head.weight, start)


class TwoScales(ViewsAndActions):
    """Two clip groups whose gradients differ a thousandfold."""

    norms: tuple[float, float] = (0.0, 0.0)

    def param_groups(self, recipe=None) -> list[ParamGroup]:
        return [
            ParamGroup(list(self.encoder.parameters())),
            ParamGroup(list(self.predictor.parameters()), clip_group="predictor", lr_scale=0.0),
        ]

    def forward(self, batch, rng) -> Losses:
        total, count = super().forward(batch, rng).parts["cosine"]
        return Losses({"cosine": (total * 1000, count)})

    def after_step(self, info) -> None:
        parts = self.encoder, self.predictor
        self.norms = tuple(
            float(torch.nn.utils.get_total_norm([p.grad for p in part.parameters()]))
            for part in parts
        )


def test_each_clip_group_is_clipped_by_itself_and_the_logged_norm_is_before() -> None:
    objective = TwoScales()
    start = objective.predictor[0].weight.clone()
    result = quiet(objective, replace(SMALL, clip=0.5, steps=1, diagnose_every=0))
    assert objective.norms == pytest.approx((0.5, 0.5), rel=1e-4)
    assert result.rows[0]["grad_norm"] > 10
    assert torch.equal(objective.predictor[0].weight, start)  # its lr_scale is 0


def test_accumulation_changes_nothing_but_rounding() -> None:
    runs = []
    for accumulate in (1, 4):
        objective = toy_jepa(dtype=torch.float64)
        config = replace(SMALL, accumulate=accumulate, precision="64-true", diagnose_every=0)
        train(objective, ToySignals(dtype=torch.float64), config, progress=False)
        runs.append(objective.state_dict())
    for key, value in runs[0].items():
        torch.testing.assert_close(runs[1][key], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [1, 3])
def test_few_records_train_and_none_is_an_error(n) -> None:
    assert train(toy_jepa(), ToySignals(n), SMALL, progress=False).step == 10
    with pytest.raises(DataError, match="at least 1 record"):
        train(toy_jepa(), ToySignals(0), SMALL, progress=False)


def test_mixed_layouts_are_grouped_also_for_diagnostics() -> None:
    class Mixed(ToySignals):
        def fetch(self, indices, key):
            lengths = {40 if i < 30 else 60 for i in indices}
            assert len(lengths) == 1
            return self.values[torch.as_tensor(indices)]

    plan = GroupedPlan([0] * 30 + [1] * 18, 16, seed=0)
    result = train(toy_jepa(), Mixed(), SMALL, plan=plan, progress=False)
    assert "rankme" in result.rows[3]


def test_bf16_on_the_cpu_learns_and_keeps_weights_in_fp32() -> None:
    objective = toy_jepa()
    config = replace(SMALL, steps=60, lr=3e-3, precision="bf16-mixed")
    losses = [row["loss"] for row in quiet(objective, config).rows]
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])
    assert {v.dtype for v in objective.state_dict().values()} == {torch.float32}


def test_a_device_that_is_absent_is_named_with_the_way_out() -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    if absent == "mps" and torch.backends.mps.is_available():
        pytest.skip("every device is here")
    with pytest.raises(DeviceError, match="use device='cpu'"):
        quiet(toy_jepa(), replace(SMALL, device=absent))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo looks at every tensor
def test_compiled_blocks_train_as_the_others() -> None:
    config = replace(SMALL, steps=2, warmup_steps=1, diagnose_every=0)
    plain, compiled = toy_jepa(), toy_jepa()
    quiet(plain, config)
    quiet(compiled, replace(config, compile=True))
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[key], value, rtol=0, atol=1e-5)


def test_an_error_with_workers_ends_the_process() -> None:
    code = """
import torch
from dataclasses import replace
from biojepa.engine import train
from tests.engine.test_train import SMALL, ToySignals, toy_jepa
data = ToySignals()
data.values[:] = torch.nan
train(toy_jepa(), data, replace(SMALL, workers=2, max_skipped=2), progress=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 1
    assert "TrainingError" in done.stderr
