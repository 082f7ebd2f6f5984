"""`biojepa convert`: published ECG-JEPA checkpoints (.pt) and biojepa's model folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional

from biojepa.cli.console import say
from biojepa.cli.errors import OK
from biojepa.cli.parse import names, option, parse
from biojepa.data.cards import list_cards, load_card
from biojepa.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from biojepa.ecg.config import ECGModelConfig
    from biojepa.ecg.preprocess import ECGPreprocess

MORE = """\
examples:
  biojepa convert vitxs.pt my_model           (then: biojepa embed my_model ...)
  biojepa convert my_run ours.pt --layout minified
  biojepa convert published.pt my_classifier --classes CD,HYP,MI,NORM,STTC
  biojepa convert my_classifier ours.pt
Signal files are not converted here: see `biojepa prepare`."""


@dataclass(frozen=True)
class Options:
    """Turn a published ECG-JEPA checkpoint into a model folder, or the reverse.

    Checkpoints are read without running anything that they contain. The published pipeline
    normalises with constants of the training data: --constants names the dataset card.
    """

    source: Annotated[Positional[str], option("IN")]
    """A .pt file of the ECG-JEPA authors, a model folder, or a run."""
    target: Annotated[Positional[str], option("OUT")]
    """A new folder for a .pt file, a .pt file for a folder."""
    constants: Annotated[str | None, option("CARD")] = None
    """Dataset whose mean and standard deviation normalise the input, or `record-lead` for each
    recording's own; ptb-xl by default, of a classifier those in its file."""
    layout: Annotated[Literal["full", "minified"], option("NAME")] = "full"
    """Of an encoder's .pt file: full (can be pretrained on) or minified (target encoder only)."""
    classes: Annotated[str | None, option("NAME,...")] = None
    """Of a classifier's .pt file: names of its classes, which the file does not hold."""
    exclusive: Annotated[bool, option()] = False
    """Of a classifier's .pt file: one class a recording, and not several."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "convert", argv, more=MORE)
    source, target = Path(options.source), Path(options.target)
    if source.is_file():
        _to_folder(source, target, options)
    elif target.suffix in (".pt", ".pth", ".ckpt"):
        _to_checkpoint(options.source, target, options.layout)
    else:
        raise ConfigError(
            f"expected a .pt file and a folder, or a model folder and a .pt file, got {source} "
            f"({'a folder' if source.is_dir() else 'not there'}) and {target}"
        )
    return OK


def _to_folder(source: Path, target: Path, options: Options) -> None:
    from biojepa.cli import convert_classifier
    from biojepa.cli.ecg_runs import as_estimator
    from biojepa.ecg import official
    from biojepa.ecg.heads import ECGClassifierNet
    from biojepa.ecg.model import ECGEncoder
    from biojepa.ecg.pretrain import Pretrained
    from biojepa.engine.files import sha256
    from biojepa.engine.train import TrainResult

    model = official.load(source)
    statement: dict[str, Any] = {
        "n_records": None,
        "fingerprint": None,
        "ids": [],
        "published_file": source.name,
        "published_sha256": sha256(source),
        "statement": "converted from a published file, which does not list its training records",
    }
    if isinstance(model, ECGClassifierNet):
        constants = options.constants
        convert_classifier.to_folder(
            model,
            target,
            preprocess=None if constants is None else _preprocess(constants, model.encoder.config),
            classes=names(options.classes, option="--classes"),
            exclusive=options.exclusive,
            training=statement,
        )
        _closing(model, target)
        return
    if options.classes is not None or options.exclusive:
        raise ConfigError(f"{source} holds an encoder: leave out --classes and --exclusive")
    if not isinstance(model.target_encoder, ECGEncoder):
        raise CheckpointError(f"{source}: expected an ECG encoder")
    config = model.target_encoder.config
    constants = options.constants or "ptb-xl"
    fitted = Pretrained(model, config, _preprocess(constants, config), TrainResult(), statement)
    as_estimator(fitted, preset="paper-xs").save_pretrained(target)
    say(f"{target}: {len(config.leads)} leads at {config.rate_hz:g} Hz, {constants} constants")
    _closing(model, target)


def _preprocess(constants: str, config: ECGModelConfig) -> ECGPreprocess:
    """The published pipeline with the constants of a card, or of each recording."""
    from biojepa.ecg.lead_stats import LeadStats
    from biojepa.ecg.preprocess import ECGPreprocess

    if constants == "record-lead":
        return ECGPreprocess(
            leads=config.leads, rate_hz=config.rate_hz, bandpass_hz=None, resample="fft"
        )
    card = load_card(constants)
    norm = card.normalisation
    if norm is None or norm.mean is None or norm.std is None or card.leads is None:
        raise ConfigError(
            f"the card {constants!r} has no mean and std of every lead: use one of "
            f"{', '.join(_with_constants())}, or record-lead"
        )
    n = len(norm.std)
    stats = LeadStats(card.leads[:n], norm.mean[:n], norm.std)
    return ECGPreprocess.paper(stats, leads=config.leads, rate_hz=config.rate_hz)


def _closing(model: Any, target: Path) -> None:
    from biojepa.ecg import official

    found = official.source_of(model)
    for note in found.notes if found else ():
        say(f"note: {note}")
    say(f"next: biojepa embed {target} FILES... -o features.csv")


def _to_checkpoint(source: str, target: Path, layout: Literal["full", "minified"]) -> None:
    from biojepa.cli import convert_classifier
    from biojepa.cli.models import is_classifier
    from biojepa.ecg import official
    from biojepa.ecg.estimator import ECGJEPA

    if is_classifier(source):
        convert_classifier.to_checkpoint(source, target)
        return
    estimator = ECGJEPA.from_pretrained(source)
    official.save(estimator.jepa_, target, layout=layout)
    say(f"{target}: published layout {layout!r}")
    say("note: the published code does its own preprocessing; ours is not in the file")


def _with_constants() -> list[str]:
    cards = [load_card(name) for name in list_cards()]
    return [c.name for c in cards if c.normalisation and c.normalisation.mean]
