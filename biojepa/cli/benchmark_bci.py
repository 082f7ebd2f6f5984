"""`biojepa benchmark bci`: baselines and Signal-JEPA on brain-computer interfaces, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from biojepa.cli.console import say
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import names, option, parse

MORE = """\
examples:
  biojepa benchmark bci eegmmidb/ --paradigm mi -o bench --quick
  biojepa benchmark bci ssvep_exoskeleton/ --paradigm ssvep -o bench
  biojepa benchmark bci muse_erp/ --paradigm erp --encoder my_model -o bench
  biojepa benchmark bci --paradigm mi --dataset BNCI2014_001 -o bench
  biojepa benchmark bci --paradigm erp --simulated --quick -o bench"""


@dataclass(frozen=True)
class Options:
    """Compare Signal-JEPA with the usual baselines, within and across subjects.

    Writes report.html, results.csv and results.json into OUT, and keeps what was pretrained and
    scored there: stopped and started again, it goes on. Each subject is judged with an encoder
    pretrained on the others.
    """

    source: Annotated[Positional[str | None], option("SRC")] = None
    """Folder of recordings laid out as published: EEGMMIDB (mi), Muse visual ERP (erp), SSVEP
    exoskeleton (ssvep)."""
    paradigm: Annotated[Literal["mi", "erp", "ssvep"] | None, option("KIND")] = None
    """mi (motor imagery), erp (rare targets) or ssvep (flickering lights)."""
    out: Annotated[str | None, option("OUT", short="-o")] = None
    """Folder for the report and for what is kept."""
    dataset: Annotated[str | None, option("NAME")] = None
    """In place of SRC: a dataset of MOABB, downloaded on first use (extra moabb)."""
    simulated: Annotated[bool, option()] = False
    """In place of SRC: simulated runs, to try it out."""
    quick: Annotated[bool, option()] = False
    """One seed in place of --seeds."""
    seeds: Annotated[int, option("N")] = 5
    """Of pretraining and of training on labels."""
    jobs: Annotated[int, option("N")] = 1
    """Processes; the results are the same with any number."""
    rows: Annotated[str | None, option("NAMES")] = None
    """Rows or kinds (chance, classical, supervised, random, jepa), separated by commas."""
    subjects: Annotated[int | None, option("N")] = None
    """The first so many of a MOABB dataset."""
    encoder: Annotated[str | None, option("MODEL")] = None
    """A model folder or shipped name in place of pretraining on the other subjects."""
    preset: Annotated[str, option("NAME")] = "small"
    """small (default), tiny (to try things out) or paper (a GPU)."""
    steps: Annotated[int | None, option("N")] = None
    """Of pretraining."""
    head_steps: Annotated[int | None, option("N")] = None
    """Of networks that are trained on labels."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "benchmark bci", argv, more=MORE)
    if options.paradigm is None:
        raise UsageError("expected --paradigm mi, erp or ssvep; see --help")
    given = [options.source is not None, options.dataset is not None, options.simulated]
    if sum(given) != 1:
        raise UsageError(
            "expected one of SRC (a folder of recordings), --dataset NAME and --simulated, got "
            f"{sum(given)}; see --help"
        )
    if options.out is None:
        raise UsageError("expected -o OUT, a folder for the report; see --help")
    if options.seeds < 1:
        raise UsageError(f"expected --seeds of 1 or more, got {options.seeds}")
    if options.jobs < 1:
        raise UsageError(f"expected --jobs of 1 or more, got {options.jobs}")
    rows = names(options.rows, option="--rows")
    from biojepa.eeg.benchmark import BCISettings, run_bci_benchmark
    from biojepa.eeg.benchmark_data import load_folder, load_moabb, load_simulated

    if options.source is not None:
        data = load_folder(options.paradigm, Path(options.source))
    elif options.dataset is not None:
        data = load_moabb(options.paradigm, options.dataset, n_subjects=options.subjects)
    else:
        data = load_simulated(options.paradigm)
    plain = BCISettings()
    run_bci_benchmark(
        data,
        Path(options.out),
        settings=BCISettings(
            rows=None if rows is None else tuple(rows),
            n_seeds=1 if options.quick else options.seeds,
            preset=options.preset,
            steps=options.steps or plain.steps,
            head_steps=options.head_steps or plain.head_steps,
            encoder=None if options.encoder is None else Path(options.encoder),
        ),
        jobs=options.jobs,
        say=say,
    )
    return OK
