"""Rows C6 to C11: runs on full disks, stopped, resumed, run twice, and their checkpoints rotated.

C5 (fifty kills while saving) and C8 (killed and resumed bit for bit) are slow tests of their own:
see `test_coverage`.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biojepa.data.csv_safe import write_csv
from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA, official
from biojepa.ecg.inputs import ECGWindows
from biojepa.ecg.model import build_jepa
from biojepa.engine.checkpoint import (
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    rotate,
    save_checkpoint,
)
from biojepa.engine.optimiser import make_optimizer
from biojepa.engine.run import RunLock
from biojepa.engine.train import train
from tests.data.store_factory import write_store
from tests.engine.toys import ToySignals, toy_jepa
from tests.faults.models import CONFIG, TRAIN, load, put
from tests.faults.rows import Row, command, fine

LEADS = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
TINY = ["--preset", "tiny", "--steps", "4", "--batch-size", "4", "--device", "cpu"]
TINY += ["--fs", "100", "--leads", LEADS]


def records(root: Path) -> Path:
    """Eight recordings of 4 s in an array file."""
    values = simulate_ecg(8, rate_hz=100, duration_s=4, random_state=0).values
    np.save(root / "x.npy", values)
    return root / "x.npy"


def saving(kind: str, place: Path, root: Path) -> Callable[[], Any]:
    """What writes a model, checkpoint, published file, store or table over what is at a place."""
    if kind == "model":
        loaded = ECGJEPA.from_pretrained(root / kind)
        return lambda: loaded.save_pretrained(place)
    if kind == "published.pt":
        return lambda: official.save(build_jepa(CONFIG, seed=1), place)
    if kind == "store":
        return lambda: write_store(place, 8)
    if kind == "table.csv":
        return lambda: write_csv(place, ("a",), [("x" * 20,)] * 1000)
    objective = toy_jepa()
    optimizer = make_optimizer(objective, TRAIN)
    return lambda: save_checkpoint(place.parents[1], objective, optimizer, {"step": 3})


def place_of(kind: str, root: Path) -> Path:
    """Where it lies, with an older one of its kind already there."""
    if kind == "checkpoint":
        (root / "checkpoints").mkdir()
        return put(kind, root).rename(root / "checkpoints" / "step-00000003")
    if kind in ("model", "published.pt"):
        return put(kind, root)
    if kind == "table.csv":
        (root / kind).write_text("old")
    return root / kind


def on_a_full_disk(kind: str) -> Row:
    """Nothing larger than 2,000 bytes can be written; what was there still loads."""

    def make(root: Path) -> Callable:
        write = saving(kind, place_of(kind, root), root)

        def call() -> Any:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            return write()

        return call

    return Row(make, "refused", "root.*(bytes|large|full|written|space)", after=old_is_there(kind))


def old_is_there(kind: str) -> Callable[[Path], None]:
    """What was saved before loads, and nothing half-written lies beside it."""

    def after(root: Path) -> None:
        if kind == "checkpoint":
            assert load(kind, root / "checkpoints" / "step-00000003") == "step 3"
        elif kind == "table.csv":
            assert (root / kind).read_text() == "old"
        elif kind != "store":
            load(kind, root / kind)
        left = [p.name for p in root.rglob("*") if "tmp" in p.name or ".old" in p.name]
        assert left == []

    return after


def in_a_read_only_folder(kind: str) -> Row:
    """A folder that may not be written to, also by root."""

    def make(root: Path) -> Callable:
        place = place_of(kind, root)
        write = saving(kind, place.relative_to(root), root)
        place.parent.chmod(0o555)
        root.chmod(0o555)

        def call() -> Any:
            os.chdir(root)
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may write anywhere
            return write()

        return call

    return Row(make, "refused", "writ", after=old_is_there(kind))


def full_command(*argv: object) -> Row:
    """A command on a full disk ends with code 1 and says where it could not write."""

    def make(root: Path) -> Callable:
        records(root)

        def call() -> Any:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            return command(*argv)

        return call

    return Row(make, "returned", "'code': 1.*'err': 'biojepa: .*(out|run)")


def stopping(number: signal.Signals, at: int) -> Callable:
    """Sends the process a signal when the evaluation of a step is due."""

    def evaluate(objective: Any, step: int) -> dict[str, float]:
        if step == at:
            os.kill(os.getpid(), number)
        return {}

    return evaluate


def largest_difference(a: torch.nn.Module, b: torch.nn.Module) -> float:
    """Between any weight of two models."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((x.double() - y.double()).abs().max()) for x, y in pairs)


def stopped_and_resumed(number: signal.Signals) -> Row:
    """A run that a signal stops finishes its step, saves, and resumes to the same weights."""

    def make(root: Path) -> Callable:
        def call() -> dict:
            whole, part, rest = toy_jepa(), toy_jepa(), toy_jepa()
            train(whole, ToySignals(), TRAIN, progress=False)
            first = train(
                part,
                ToySignals(),
                TRAIN,
                root / "run",
                evaluate=stopping(number, 3),
                every=1,
                progress=False,
            )
            train(rest, ToySignals(), TRAIN, root / "run", resume=True, progress=False)
            return {
                "step": first.step,
                "signal": first.stopped_by,
                "difference": largest_difference(whole, rest),
            }

        return call

    return fine(make, rf"'step': 3, 'signal': {int(number)}, 'difference': 0\.0")


def stopped_command(number: signal.Signals, code: int) -> Row:
    """The same through the command line, with its exit code, and resumed by command."""

    def make(root: Path) -> Callable:
        path, calls, fetch = records(root), [], ECGWindows.fetch

        def stop(self: ECGWindows, indices: Any, key: Any) -> Any:
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), number)
            return fetch(self, indices, key)

        def call() -> dict:
            ECGWindows.fetch = stop  # type: ignore[method-assign] - the child's own
            first = command("pretrain", "ecg", path, "-o", root / "run", *TINY)
            second = command("resume", root / "run")
            return {"codes": [first["code"], second["code"]], "out": first["out"]}

        return call

    return fine(make, rf"'codes': \[{code}, 0\].*biojepa resume")


def locked_twice(root: Path) -> Callable:
    """A second process asks for a run directory that a live one holds."""

    def call() -> None:
        reader, writer = os.pipe()
        holder = os.fork()
        if holder == 0:
            with RunLock(root / "run"):
                os.write(writer, b"held")
                time.sleep(60)
        os.read(reader, 4)
        try:
            with RunLock(root / "run"):
                pass
        finally:
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)

    return call


def lock_of_the_dead(root: Path) -> Callable:
    """The process that held the lock was killed."""

    def call() -> str:
        holder = os.fork()
        if holder == 0:
            with RunLock(root / "run"):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(holder, 0)
        with RunLock(root / "run"):
            return (root / "run" / "lock").read_text().split()[1] + f" {os.getpid()}"

    return call


def resumed_with(match: str, *, must: str = "refused", **changes: Any) -> Row:
    """A run that is gone on with other settings, data or seed."""
    override = changes.pop("override", False)
    given = {"data": "aaaa", "model": {"dim": 16}} | changes.pop("settings", {})

    def make(root: Path) -> Callable:
        def call() -> str:
            short = replace(TRAIN, checkpoint_every=3)
            before = {"data": "aaaa", "model": {"dim": 16}}
            run = root / "run"
            train(toy_jepa(), ToySignals(), short, run, settings=before, progress=False)
            config = replace(short, **changes)
            result = train(
                toy_jepa(),
                ToySignals(),
                config,
                run,
                settings=given,
                resume=True,
                override=override,
                progress=False,
            )
            return f"step {result.step}"

        return call

    return Row(make, must, match)


def steps(run: Path) -> list[int]:
    """Steps of the checkpoints that are there, the latest first."""
    return [int(path.name.removeprefix("step-")) for path in checkpoints(run)]


def rotated(match: str, *, keep_last: int, best: int | None = None, damaged: bool = False) -> Row:
    """Four checkpoints; then the next is saved, as after a resume, and old ones are removed."""

    def make(root: Path) -> Callable:
        objective = toy_jepa()
        optimizer = make_optimizer(objective, TRAIN)
        for step in (2, 4, 6, 8):
            save_checkpoint(root, objective, optimizer, {"step": step})
        if damaged:
            (root / "checkpoints" / "step-00000008" / "model.safetensors").write_bytes(b"")

        def call() -> str:
            step = 7 if damaged else 8  # a run that resumed at 6, since 8 is damaged
            if damaged:
                save_checkpoint(root, objective, optimizer, {"step": step})
            rotate(root, keep_last=keep_last, best=best, saved=step)
            latest = latest_checkpoint(root)
            assert latest is not None
            load_checkpoint(latest, toy_jepa())
            return f"{steps(root)} loads {latest.name[-1]}"

        return call

    return fine(make, match)


ROWS: dict[str, Row] = {
    **{
        f"C6-full-{kind}": on_a_full_disk(kind)
        for kind in ("model", "checkpoint", "published.pt", "store", "table.csv")
    },
    **{
        f"C6-read-only-{kind}": in_a_read_only_folder(kind)
        for kind in ("model", "checkpoint", "published.pt", "table.csv")
    },
    "C6-full-pretrain": full_command("pretrain", "ecg", "x.npy", "-o", "run", *TINY),
    "C6-full-prepare": full_command(
        "prepare", "x.npy", "-o", "out", "--fs", "100", "--file-leads", LEADS
    ),
    "C6-no-folder": Row(
        lambda root: [
            (root / "out").write_text(""),
            records(root),
            lambda: command("pretrain", "ecg", "x.npy", "-o", "out/run", *TINY),
        ][-1],
        "returned",
        "'code': 1.*cannot use",
    ),
    "C7-sigterm": stopped_and_resumed(signal.SIGTERM),
    "C7-sigint": stopped_and_resumed(signal.SIGINT),
    "C7-sigterm-command": stopped_command(signal.SIGTERM, 143),
    "C7-sigint-command": stopped_command(signal.SIGINT, 130),
    "C9-in-use": Row(locked_twice, "refused", r"in use by process \d+ on "),
    "C9-dead-holder": fine(lock_of_the_dead, r"^(\d+) \1$"),
    "C10-rate": resumed_with(r"other settings \(lr: .*--override", lr=0.5),
    "C10-seed": resumed_with(r"seed: 0 -> 7", seed=7),
    "C10-data": resumed_with("data: 'aaaa' -> 'bbbb'", settings={"data": "bbbb"}),
    "C10-model": resumed_with("model: ", settings={"model": {"dim": 32}}),
    "C10-two": resumed_with("seed: .*data: ", seed=7, settings={"data": "bbbb"}),
    "C10-override": resumed_with("step 6", must="returned", seed=7, override=True),
    "C10-free": resumed_with("step 6", must="returned", log_every=1, keep_last=5),
    "C11-keep-last": rotated(r"\[8, 6\] loads 8", keep_last=2),
    "C11-keep-best": rotated(r"\[8, 4\] loads 8", keep_last=1, best=4),
    "C11-none-kept": rotated(r"\[8\] loads 8", keep_last=0),
    "C11-the-only-good-one": replace(
        rotated(r"\[8, 7\] loads 7", keep_last=1, damaged=True), warned="passed over"
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_run_ends_as_the_catalogue_says(tmp_path, row) -> None:
    ROWS[row].check(tmp_path)
