"""What only a GPU can show: `pytest -m gpu` on a machine with CUDA or MPS."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.engine import TrainConfig, train
from biojepa.engine.checkpoint import checkpoints
from biojepa.engine.files import read_tensors
from tests.engine.toys import TOYS, ToySignals, toy_jepa

DEVICE = next(
    (
        name
        for name, there in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
        )
        if there
    ),
    None,
)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE is None, reason="this machine has no CUDA or MPS device"),
]
ROOT = Path(__file__).resolve().parents[2]
ON_GPU = TrainConfig(
    steps=5, batch_size=16, warmup_steps=2, log_every=1, diagnose_every=4, device=DEVICE or "cpu"
)


def trained(config: TrainConfig, toy: str = "masked", out=None, **options):
    objective = TOYS[toy]()
    result = train(objective, ToySignals(), config, out, progress=False, **options)
    return {k: v.cpu() for k, v in objective.state_dict().items()}, result


@pytest.mark.parametrize("toy", sorted(TOYS))
def test_five_steps_on_the_gpu_are_near_those_on_the_cpu(toy) -> None:
    here, result = trained(ON_GPU, toy)
    there, reference = trained(replace(ON_GPU, device="cpu"), toy)
    for key, value in there.items():
        torch.testing.assert_close(here[key], value, rtol=0, atol=1e-4)
    for a, b in zip(result.rows, reference.rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


def test_auto_takes_the_gpu() -> None:
    objective = toy_jepa()
    train(objective, ToySignals(), replace(ON_GPU, device="auto"), progress=False)
    assert next(objective.parameters()).device.type == DEVICE


def test_a_run_on_the_gpu_resumes_bit_for_bit(tmp_path) -> None:
    config = replace(ON_GPU, steps=8, checkpoint_every=4, keep_last=2)
    trained(config, out=tmp_path / "whole")

    def stop(_objective, step: int) -> dict[str, float]:
        if step == 6:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        trained(config, out=tmp_path / "parts", evaluate=stop, every=1)
    trained(config, out=tmp_path / "parts", resume=True)
    for path in checkpoints(tmp_path / "whole")[0].glob("*.safetensors"):
        other = read_tensors(checkpoints(tmp_path / "parts")[0] / path.name)
        assert all(torch.equal(value, other[key]) for key, value in read_tensors(path).items())


def test_the_callers_generator_on_the_gpu_is_left_alone() -> None:
    def state() -> torch.Tensor:
        return torch.cuda.get_rng_state() if DEVICE == "cuda" else torch.mps.get_rng_state()

    torch.zeros(1, device=DEVICE)
    before = state()
    trained(ON_GPU)
    assert torch.equal(state(), before)


def test_bf16_learns_on_the_gpu() -> None:
    config = replace(ON_GPU, steps=60, lr=3e-3, precision="bf16-mixed", diagnose_every=0)
    losses = [row["loss"] for row in trained(config)[1].rows]
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])


@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_train_as_the_others_on_the_gpu() -> None:
    plain, _ = trained(ON_GPU)
    compiled, _ = trained(replace(ON_GPU, compile=True))
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, rtol=0, atol=1e-4)


def test_ddp_on_every_cuda_device_equals_one(tmp_path) -> None:
    n = torch.cuda.device_count() if DEVICE == "cuda" else 0
    if n < 2:
        pytest.skip(f"expected two CUDA devices, this machine has {n}")
    code = """
import sys
from dataclasses import replace
from biojepa.engine import train
from tests.engine.test_gpu import ON_GPU
from tests.engine.toys import ToySignals, toy_jepa
config = replace(ON_GPU, devices=int(sys.argv[2]), diagnose_every=0)
train(toy_jepa(), ToySignals(), config, sys.argv[1], progress=False)
"""
    script = tmp_path / "run.py"
    script.write_text(code)
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / str(devices)), str(devices)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
    one, two = (
        read_tensors(checkpoints(tmp_path / name)[0] / "model.safetensors") for name in ("1", "2")
    )
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=1e-5)
