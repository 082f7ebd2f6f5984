"""`biojepa benchmark ptbxl`: the table of baselines and JEPA rows on PTB-XL, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from biojepa.cli.console import say
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import names, option, parse
from biojepa.ecg.ptbxl import Task

MORE = """\
examples:
  biojepa benchmark ptbxl ptb-xl/ -o bench
  biojepa benchmark ptbxl ptb-xl/ -o bench --rows frozen,beats-lr --seeds 1
  biojepa benchmark ptbxl ptb-xl/ -o bench --pretrain more/ --label-efficiency
  biojepa benchmark ptbxl ptb-xl/ --recipe paper-xs --dry-run"""


@dataclass(frozen=True)
class Options:
    """Compare JEPA with its baselines on PTB-XL, or the part of it that is there.

    Writes report.html, results.csv and results.json into OUT, and keeps what was pretrained and
    scored there: stopped and started again, it goes on. Fewer than 2,000 records are judged out of
    fold (five folds by patient); all of PTB-XL by its published folds.
    """

    source: Annotated[Positional[str | None], option("SRC")] = None
    """Folder of PTB-XL, the one with ptbxl_database.csv."""
    out: Annotated[str | None, option("OUT", short="-o")] = None
    """Folder for the report and for what is kept."""
    task: Annotated[Task, option("TASK")] = "superdiagnostic"
    """all, diagnostic, subdiagnostic, superdiagnostic, form, rhythm, or superdiagnostic-single
    (also st-mem: records with exactly one superclass)."""
    rows: Annotated[str | None, option("NAMES")] = None
    """Rows or groups, separated by commas: chance, classical, frozen, ...; all by default."""
    seeds: Annotated[int, option("N")] = 3
    """Of pretraining and of training on labels."""
    pretrain: Annotated[str | None, option("SRC")] = None
    """Records to pretrain on (store, files, PTB-XL folder, npz); by default each training part."""
    recipe: Annotated[str, option("NAME")] = "small"
    """Preset of pretraining: small, tiny, paper-xs, paper-s or paper-b."""
    steps: Annotated[int | None, option("N")] = None
    """Of pretraining, in place of the preset's."""
    head_steps: Annotated[int | None, option("N")] = None
    """Of networks that are trained on labels."""
    rate: Annotated[Literal[100, 500] | None, option("HZ")] = None
    """Files of 100 or 500 hertz; by default 500 for the paper's presets, else 100."""
    without_label: Annotated[Literal["drop", "negative"], option("drop|negative")] = "drop"
    """Records without a label of the task: left out as published, or negative for all classes."""
    label_efficiency: Annotated[bool, option()] = False
    """Also 1 to 100 % of the labels (minutes)."""
    robustness: Annotated[bool, option()] = False
    """Also disturbed test records (minutes)."""
    allow_leakage: Annotated[bool, option()] = False
    """Go on although judged patients were seen in pretraining; the number is in the report."""
    dry_run: Annotated[bool, option()] = False
    """Print steps, hours and memory of the pretraining and stop."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "benchmark ptbxl", argv, more=MORE)
    if options.source is None:
        raise UsageError("expected SRC, the folder of PTB-XL; see --help")
    if options.out is None and not options.dry_run:
        raise UsageError("expected -o OUT, a folder for the report; see --help")
    if options.seeds < 1:
        raise UsageError(f"expected --seeds of 1 or more, got {options.seeds}")
    rows = names(options.rows, option="--rows")
    from biojepa.ecg.benchmark import BenchmarkSettings, run_benchmark
    from biojepa.ecg.benchmark_data import load_ptbxl, load_unlabelled

    rate = options.rate or (500 if options.recipe.startswith("paper") else 100)
    data = load_ptbxl(
        options.source, options.task, rate_hz=rate, without_label=options.without_label
    )
    more = None if options.pretrain is None else load_unlabelled(options.pretrain, rate_hz=rate)
    if options.dry_run:
        from biojepa.ecg.benchmark_cost import estimate_cost

        say(*estimate_cost(options.recipe, data, more, steps=options.steps).lines())
        return OK
    assert options.out is not None
    run_benchmark(
        data,
        Path(options.out),
        settings=BenchmarkSettings(
            rows=None if rows is None else tuple(rows),
            n_seeds=options.seeds,
            preset=options.recipe,
            steps=options.steps,
            head_steps=options.head_steps,
            label_efficiency=options.label_efficiency,
            robustness=options.robustness,
            allow_leakage=options.allow_leakage,
        ),
        pretraining=more,
        say=say,
    )
    return OK
