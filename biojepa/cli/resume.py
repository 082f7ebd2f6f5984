"""`biojepa resume`: go on with a run, rebuilt from its own config.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from tyro.conf import Positional

from biojepa.cli.config_files import COMMAND_LINE, check_keys, split_options, with_settings
from biojepa.cli.errors import UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.sources import Source
from biojepa.cli.stored_runs import section_of, training_of
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.recipes import Recipe
from biojepa.engine.config import FREE_TO_CHANGE, TrainConfig
from biojepa.errors import ConfigError

MORE = """\
settings of the training:
  --train.NAME VALUE changes one. Those that cannot change the result
  (workers, device, log_every, checkpoint_every, keep_last, ...) are free;
  others need --override, as in
    biojepa resume my_run --override --train.steps 4000"""


@dataclass(frozen=True)
class Options:
    """Go on with a run that was stopped or killed, from its last checkpoint.

    The result is the same, bit for bit, as if it had never been stopped. The recordings are
    compared with those that the run was started on.
    """

    run: Annotated[Positional[str], option("RUN")]
    """Folder of the run."""
    override: Annotated[bool, option()] = False
    """Go on although settings or recordings changed."""
    data: Annotated[tuple[str, ...], option("DATA...")] = ()
    """Where the same recordings lie now, if they were moved."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    rest, dotted = split_options(argv, ["train"])
    options = parse(Options, "resume", rest, more=MORE)
    check_keys(dotted, {"train": TrainConfig}, where=COMMAND_LINE)
    from biojepa.cli.ecg_runs import Run, train_run
    from biojepa.engine.run import read_settings

    out = Path(absolute(options.run))
    stored = read_settings(out)
    where = str(out / "config.yaml")
    if stored.get("modality") not in ("ecg", "eeg", "fmri"):
        raise ConfigError(f"{where}: expected a run of `biojepa pretrain ecg`, `eeg` or `fmri`")
    for key in dotted:
        name = key.partition(".")[2]
        if name not in FREE_TO_CHANGE and not options.override:
            raise UsageError(
                f"--{key} would make it another run: add --override to change it, or leave it out"
            )
    train = with_settings("train", training_of(stored, where), dotted, where=COMMAND_LINE)
    moved = tuple(absolute(p) for p in options.data) or None
    if stored["modality"] == "eeg":
        from biojepa.cli import eeg_runs

        run = eeg_runs.stored_run(out, stored, override=options.override, moved_to=moved)
        return eeg_runs.train_run(replace(run, training=train))
    if stored["modality"] == "fmri":
        from biojepa.cli import fmri_runs

        brain = fmri_runs.stored_run(out, stored, override=options.override, moved_to=moved)
        return fmri_runs.train_run(replace(brain, training=train))
    model = ECGModelConfig.from_config(section_of(stored, "model", where))
    preprocess = ECGPreprocess.from_config(section_of(stored, "preprocess", where))
    name = str(stored.get("recipe"))
    recipe = Recipe(name, model, train, preprocess, MappingProxyType({}))
    return train_run(
        Run(
            out,
            Source.from_config(stored.get("source"), where=where),
            recipe,
            model.leads,
            resume=True,
            override=options.override,
            data_moved_to=moved,
            roads=_roads(stored, where),
        )
    )


def _roads(stored: dict[str, Any], where: str) -> tuple[ECGPreprocess, ...] | None:
    """Preprocessing of each database of a mixture; None if there was one set of records."""
    if "databases" not in stored:
        return None
    databases = stored["databases"]
    if not isinstance(databases, list) or not all(isinstance(d, dict) for d in databases):
        raise ConfigError(f"{where}: expected a list of `databases` with preprocess")
    return tuple(ECGPreprocess.from_config(section_of(d, "preprocess", where)) for d in databases)
