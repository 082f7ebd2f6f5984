"""Runs as child processes: several of them equal one, and kills leave no trace.

All of them go through `tests/engine/run_toy.py`.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from biojepa.engine.checkpoint import checkpoints, load_checkpoint
from biojepa.engine.files import read_tensors
from tests.engine.toys import TOYS, toy_jepa

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300


def command(out: Path, *options: object) -> list[str]:
    return [sys.executable, "-m", "tests.engine.run_toy", str(out), *map(str, options)]


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MASTER_ADDR", "MASTER_PORT")}
    return kept | {"OMP_NUM_THREADS": "1"}


def start(*arguments: object, torchrun: int = 0) -> subprocess.Popen:
    words = command(*arguments)  # type: ignore[arg-type]
    if torchrun:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(torchrun)]
        words = [words[0], *launcher, "--master_port", str(port), *words[1:]]
    return subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
    )


def finish(*children: subprocess.Popen, expect: tuple[int, ...] = ()) -> None:
    """Wait for the ends; all exit codes must be as expected."""
    try:
        errors = [child.communicate(timeout=TIMEOUT_S)[1] for child in children]
    finally:
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
    codes = tuple(child.returncode for child in children)
    assert codes == (expect or (0,) * len(children)), "\n".join(e[-4000:] for e in errors)


def tensors(run_dir: Path) -> dict[str, torch.Tensor]:
    """Everything in the last checkpoint: weights, optimiser, momentum copies."""
    return {
        f"{path.stem}/{key}": value
        for path in sorted(checkpoints(run_dir)[0].glob("*.safetensors"))
        for key, value in read_tensors(path).items()
    }


def logged(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{k: v for k, v in r.items() if k not in ("samples_per_s", "seconds")} for r in rows]


def largest_difference(a: Path, b: Path) -> float:
    left, right = tensors(a), tensors(b)
    assert left.keys() == right.keys()
    return max(float((left[k].double() - right[k].double()).abs().max()) for k in left)


def assert_bit_equal(a: Path, b: Path) -> None:
    left, right = tensors(a), tensors(b)
    assert left.keys() == right.keys()
    assert [k for k in left if not torch.equal(left[k], right[k])] == []
    assert logged(a) == logged(b)


CASES = [["--toy", toy] for toy in sorted(TOYS)] + [
    ["--ragged"],
    ["--ragged", "--accumulate", "2"],
    ["--ragged", "--regulariser", "vicreg"],
    ["--regulariser", "sigreg"],
]


@pytest.mark.parametrize("options", CASES, ids=" ".join)
def test_two_processes_equal_one_with_the_same_global_batch(tmp_path, options) -> None:
    finish(
        start(tmp_path / "one", "--double", *options),
        start(tmp_path / "two", "--double", "--devices", 2, *options),
    )
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-10
    for a, b in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-10)


def test_two_processes_equal_one_in_single_precision(tmp_path) -> None:
    finish(start(tmp_path / "one", "--ragged"), start(tmp_path / "two", "--ragged", "--devices", 2))
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-5
    for a, b in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-6)


def test_two_processes_of_torchrun_equal_one(tmp_path) -> None:
    finish(
        start(tmp_path / "one", "--double", "--ragged"),
        start(tmp_path / "two", "--double", "--ragged", "--devices", 2, torchrun=2),
    )
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-10


def test_sharded_processes_equal_one_and_their_checkpoint_loads_in_one(tmp_path) -> None:
    finish(
        start(tmp_path / "one", "--steps", 3),
        start(tmp_path / "two", "--steps", 3, "--devices", 2, "--strategy", "fsdp"),
    )
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= 1e-5
    objective = toy_jepa()
    assert load_checkpoint(checkpoints(tmp_path / "two")[0], objective)["step"] == 3
    for name, value in objective.state_dict().items():
        part, _, key = name.partition(".")
        stem = f"{part}/{key}" if part == "target_encoder" else f"model/{name}"
        assert torch.equal(value, tensors(tmp_path / "two")[stem])


def test_a_sharded_run_resumes_bit_for_bit(tmp_path) -> None:
    options = ["--steps", 6, "--checkpoint-every", 3, "--devices", 2, "--strategy", "fsdp"]
    finish(
        start(tmp_path / "whole", *options),
        start(tmp_path / "parts", *options, "--kill-at", 5),
        expect=(0, -signal.SIGKILL),
    )
    finish(start(tmp_path / "parts", *options, "--resume"))
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    ("kill_at", "options"),
    [
        (1, []),  # in the warm-up, before any checkpoint
        (7, ["--workers", 2]),
        (9, ["--accumulate", 2, "--toy", "two_targets"]),  # at an epoch's edge
    ],
    ids=["warm-up", "workers", "accumulation"],
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, devices, kill_at, options) -> None:
    every = ["--steps", 12, "--checkpoint-every", 2, "--devices", devices, *options]
    finish(
        start(tmp_path / "whole", *every),
        start(tmp_path / "parts", *every, "--kill-at", kill_at),
        expect=(0, -signal.SIGKILL),
    )
    finish(start(tmp_path / "parts", *every, "--resume"))
    assert_bit_equal(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("devices", [1, 2])
def test_sigterm_to_all_processes_saves_exits_143_and_resumes_bit_for_bit(
    tmp_path, devices
) -> None:
    options = ["--steps", 200, "--workers", 1, "--devices", devices]
    parts, whole = tmp_path / "parts", start(tmp_path / "whole", *options)
    child = start(parts, *options)
    deadline = time.monotonic() + TIMEOUT_S
    while not (parts / "metrics.csv").is_file() or len(logged(parts)) < 20:
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGTERM)  # as a terminal or a scheduler does: to all of them
    finish(child, expect=(143,))
    stopped = int(checkpoints(parts)[0].name[5:])
    assert 20 <= stopped < 200
    finish(whole, start(parts, *options, "--resume"))
    assert_bit_equal(tmp_path / "whole", parts)
