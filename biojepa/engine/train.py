"""The one training loop of the package, on Lightning Fabric.

A run is a pure function of (data, config, seed): the same with any number of loader workers, equal
to rounding with any number of processes, and bit-exact when resumed. See `objective` for the order
of one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biojepa.engine.checkpoint import latest_checkpoint, load_checkpoint, rotate, save_checkpoint
from biojepa.engine.config import TrainConfig, changed_settings
from biojepa.engine.devices import make_fabric
from biojepa.engine.distributed import barrier, from_rank_zero
from biojepa.engine.forward import ForwardPass, Micro
from biojepa.engine.loader import DataSource, StepLoader
from biojepa.engine.monitor import BestScore, CollapseAlarm, FiniteGuard, stop_on_signals
from biojepa.engine.objective import Objective
from biojepa.engine.optimiser import (
    clip,
    clip_groups,
    make_optimizer,
    norms_of_groups,
    set_rates,
)
from biojepa.engine.plan import ShuffledPlan, StepPlan
from biojepa.engine.progress import ProgressLine
from biojepa.engine.randomness import (
    BatchKey,
    keyed_torch_rng,
    seed_global_torch,
    torch_generator,
    torch_seed,
)
from biojepa.engine.run import MetricsLog, RunLock, as_stored, read_settings, write_settings
from biojepa.engine.signals import move
from biojepa.engine.step import StepInfo
from biojepa.engine.totals import global_counts, global_parts
from biojepa.errors import ConfigError, MissingDependencyError, RunError

Evaluate = Callable[[Objective, int], dict[str, float]]


@dataclass
class TrainResult:
    """How a run ended.

    Parameters
    ----------
    step : int
        Steps done.
    stopped_by : int or None
        Number of the signal that stopped it early.
    exhausted : bool
        Whether patience stopped it.
    skipped : int
        Non-finite steps.
    collapsed : bool
        Whether the collapse alarm was on at the end.
    best : BestScore
    rows : list of dict
        The logged metrics of this call.
    seconds : float
    """

    step: int = 0
    stopped_by: int | None = None
    exhausted: bool = False
    skipped: int = 0
    collapsed: bool = False
    best: BestScore = field(default_factory=BestScore)
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def train(
    objective: Objective,
    data: DataSource,
    config: TrainConfig,
    out: Path | str | None = None,
    *,
    plan: StepPlan | None = None,
    evaluate: Evaluate | None = None,
    every: int = 100,
    monitor: str | None = None,
    mode: str = "max",
    patience: int | None = None,
    settings: dict[str, Any] | None = None,
    resume: bool = False,
    override: bool = False,
    progress: bool | None = None,
) -> TrainResult:
    """Train an objective in place.

    Parameters
    ----------
    objective : Objective
    data : DataSource
        Numbered records with `fetch(indices, key)`.
    config : TrainConfig
    out : path, optional
        Run directory for settings, metrics and checkpoints; without it nothing is written.
    plan : StepPlan, optional
        Which records a step sees; shuffled epochs by default.
    evaluate : callable (objective, step) -> dict of float, optional
        Called every `every` steps and at the end; its values are logged.
    monitor : str, optional
        The evaluated value by which the best checkpoint is kept; None keeps the last only.
    mode : {"max", "min"}
    patience : int, optional
        Evaluations without improvement before stopping.
    settings : dict, optional
        What else makes the run what it is (model, data fingerprint); stored and compared.
    resume : bool
        Go on from the latest valid checkpoint in `out`, if there is one.
    override : bool
        Resume in spite of changed settings.
    progress : bool, optional
        Show the progress line; by default if standard error is a terminal.

    Returns
    -------
    TrainResult

    Raises
    ------
    RunError
        If the directory is in use, holds another run, or is not writable.
    CheckpointError
        If no checkpoint can be read.
    TrainingError
        If steps stay non-finite, a loader worker dies, or the alarm is set to stop.
    DeviceError, ConfigError
        If device or settings are impossible.
    """
    if (monitor is not None and evaluate is None) or (patience is not None and monitor is None):
        raise ConfigError("expected evaluate= with monitor=, and monitor= with patience=")
    fabric = make_fabric(config)
    fabric.launch()
    run = None if out is None else Path(out)
    lead = fabric.global_rank == 0
    with (
        RunLock(run) if run is not None and lead else nullcontext(),
        keyed_torch_rng(config.seed, "train"),
        stop_on_signals(run is not None) as request,
        ExitStack() as stack,
    ):
        part: Any
        for part in objective.modules():
            if getattr(part, "compile_unit", False):
                part.recompute = config.recompute
                if config.compile:
                    part.compile()
        network = ForwardPass(objective)
        module = fabric.setup_module(network)
        # sharding replaces the parameters, so the optimiser comes after the model
        optimizer = make_optimizer(objective, config)
        plan = plan or ShuffledPlan(len(data), config.batch_size, config.seed)
        loader = StepLoader(
            data,
            objective.collator(),
            plan,
            seed=config.seed,
            accumulate=config.accumulate,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            workers=config.workers,
        )
        guard = FiniteGuard(config.max_skipped)
        alarm = CollapseAlarm(config.collapse_patience, config.stop_on_collapse)
        best = BestScore(mode, patience)
        start = 0
        if run is not None:
            latest = _open_run(run, config, settings, resume=resume, override=override, lead=lead)
            if latest is not None:
                state = load_checkpoint(latest, objective, optimizer)
                start = state["step"]
                guard.skipped, guard.in_a_row = state["skipped"], state["skipped_in_a_row"]
                alarm.bad = state["alarm"]
                best = BestScore(**state["best"])
                best.mode, best.patience = mode, patience
        log = MetricsLog(run / "metrics.csv", resume_step=start) if run and lead else None
        line = ProgressLine(config.steps, start, lead and progress is not False, force=progress)
        events = _tensorboard(run) if config.tensorboard and run and lead else None
        result = TrainResult(step=start, best=best, skipped=guard.skipped)
        watched = _watched_batch(data, objective, config, plan) if config.diagnose_every else None
        seen, tick, began = 0, time.perf_counter(), time.perf_counter()

        def save(step: int) -> None:
            if run is None:
                return
            state = {
                "step": step,
                "config": asdict(config),
                "skipped": guard.skipped,
                "skipped_in_a_row": guard.in_a_row,
                "alarm": alarm.bad,
                "best": best.state(),
                "world_size": fabric.world_size,
            }
            save_checkpoint(run, objective, optimizer, state)
            if lead:
                rotate(
                    run,
                    keep_last=config.keep_last,
                    best=best.step if best.value is not None else None,
                    saved=step,
                )

        objective.train()
        stop = start if best.exhausted else config.steps
        steps = stack.enter_context(closing(loader.iterate(start, stop)))
        for step, batches in enumerate(steps, start):
            info = StepInfo(step, config.steps, plan.steps_per_epoch, accumulate=config.accumulate)
            lr, decay = set_rates(optimizer, config, step)
            objective.before_step(info)
            counts = global_counts(objective, batches, fabric.device)
            sums: dict[str, torch.Tensor] = {}
            values: list[torch.Tensor] = []
            for micro, batch in enumerate(batches):
                batch = move(batch, fabric.device)
                info = StepInfo(step, config.steps, plan.steps_per_epoch, micro, config.accumulate)
                objective.before_forward(info)
                seed_global_torch(torch_seed(config.seed, "drop", step, micro, fabric.global_rank))
                rng = torch_generator(config.seed, "forward", step, micro, device=fabric.device)
                last = micro == config.accumulate - 1
                work = Micro(batch, rng, counts, config.accumulate)
                with fabric.no_backward_sync(module, enabled=not last):
                    fabric.backward(module(work))
                values.append(work.value)
                for name, share in work.parts.items():
                    sums[name] = sums[name] + share if name in sums else share
                seen += len(batch)
            loss = sum(values[1:], values[0])
            groups = clip_groups(optimizer, step)
            norms = norms_of_groups(groups)
            if guard.accept(loss, norms, step):
                clip(groups, norms, config.clip)
                optimizer.step()
                objective.after_step(info)
            optimizer.zero_grad(set_to_none=True)

            done = step + 1
            row: dict[str, float] = {}
            improved = False
            if watched is not None and (done % config.diagnose_every == 0 or done == config.steps):
                rng = torch_generator(config.seed, "diagnose", done)
                with network.whole(), torch.no_grad():
                    row |= objective.diagnose(move(watched, fabric.device), rng)
                result.collapsed = alarm.check(row, done)
                row["alarm"] = float(result.collapsed)
            if evaluate is not None and (done % every == 0 or done == config.steps):
                with network.whole():
                    scores = evaluate(objective, done)
                row |= scores
                if monitor is not None:
                    improved = best.update(_monitored(scores, monitor), done)
            asked = request.agreed()
            ended = best.exhausted or done == config.steps
            # a stop by signal logs no row of its own: the resumed run has the same metrics
            if row or ended or done % config.log_every == 0:
                now = time.perf_counter()
                speed, seen, tick = seen * fabric.world_size / (now - tick), 0, now
                parts = global_parts({"total": loss, **sums})
                row = {
                    "step": done,
                    "loss": parts.pop("total"),
                    **{f"loss_{name}": value for name, value in parts.items()},
                    "lr": lr,
                    "weight_decay": decay,
                    **{
                        f"momentum_{name}": copy.momentum(info)
                        for name, copy in objective.momentum_copies().items()
                    },
                    "grad_norm": float(norms.norm()),
                    "skipped": guard.skipped,
                    **row,
                    "samples_per_s": round(speed, 2),
                    "seconds": round(now - began, 3),
                }
                result.rows.append(row)
                if log is not None:
                    log.write(row)
                if events is not None:
                    for name, value in row.items():
                        events.add_scalar(name, value, done)
                line.show(done, row)
            result.step = done
            # after the row: a checkpoint never knows a step that the metrics lack
            if asked or ended or improved or done % config.checkpoint_every == 0:
                save(done)
            if asked or ended:
                break
        line.close()
        if events is not None:
            events.close()
        result.stopped_by = request.signal
        result.exhausted = best.exhausted
        result.skipped = guard.skipped
        result.seconds = time.perf_counter() - began
        barrier()
    return result


def _open_run(
    run: Path,
    config: TrainConfig,
    settings: dict[str, Any] | None,
    *,
    resume: bool,
    override: bool,
    lead: bool,
) -> Path | None:
    """Compare or write the run's settings; return the checkpoint to go on from, if any."""
    latest = latest_checkpoint(run)
    if latest is not None and not resume:
        raise RunError(
            f"{run} already holds a run: resume it (`biojepa resume {run}`), or give another "
            "directory"
        )
    if latest is not None and not override:
        before = read_settings(run)
        changes = changed_settings(before.get("train", {}), config)
        stored = {k: v for k, v in before.items() if k != "train"}
        given = as_stored(settings or {})
        for key in sorted(stored.keys() | given.keys()):
            old, new = stored.get(key), given.get(key)
            if old != new:
                changes.append(f"{key}: {_short(old)} -> {_short(new)}")
        if changes:
            raise RunError(
                f"{run} was started with other settings ({'; '.join(changes)}): take them back, "
                "or pass --override (override=True) to go on with the new ones"
            )
    barrier()
    if lead and (latest is None or override):
        write_settings(run, {"train": asdict(config), **(settings or {})})
    return latest


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _watched_batch(
    data: DataSource, objective: Objective, config: TrainConfig, plan: StepPlan
) -> Any:
    """The batch that diagnostics are computed on: the same records and masks over the run."""
    indices = plan.watched(config.diagnose_records)
    key = BatchKey(config.seed ^ 0x5EED, 0, np.arange(len(indices)), len(indices))
    return objective.collator()(data.fetch(indices, key), key)


def _monitored(scores: dict[str, float], monitor: str) -> float:
    """The score that decides, as rank 0 has it: all ranks keep and stop alike."""
    if monitor not in scores:
        raise ConfigError(f"expected monitor to be one of {sorted(scores)}, got {monitor!r}")
    return from_rank_zero(float(scores[monitor]))


def _tensorboard(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "tensorboard=True needs TensorBoard: pip install tensorboard"
        ) from error
    return SummaryWriter(str(run / "tensorboard"))
