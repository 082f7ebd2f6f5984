"""`biojepa info`: what a path or name is, in words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional

from biojepa.cli.console import say, shorten, size_text, table
from biojepa.cli.errors import OK
from biojepa.cli.parse import option, parse
from biojepa.cli.sources import Source, is_store
from biojepa.data.cards import list_cards, load_card
from biojepa.data.databases.eeg import EEG_LAYOUTS
from biojepa.data.databases.layouts import LAYOUTS
from biojepa.errors import DataError

MORE = """\
examples:
  biojepa info my_run
  biojepa info ptb-xl"""
Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Options:
    """Say what a model, run, store, checkpoint, published .pt file or dataset card is."""

    path: Annotated[Positional[str], option("PATH")]
    """Of any of these; or the name of a dataset card."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "info", argv, more=MORE)
    title, rows = describe(options.path)
    say(title, *table(rows))
    return OK


def describe(given: str) -> tuple[str, Rows]:
    """What a path or a name is.

    Raises
    ------
    DataError
        If it is nothing that biojepa knows.
    CheckpointError, FormatError
        If it is damaged.
    """
    path = Path(given)
    if path.is_dir():
        if is_store(path):
            return _store(path)
        parts = [p for p in sorted(path.iterdir()) if is_store(p)]
        if parts and not (path / "config.yaml").is_file():
            rows = [
                (f"{part.name}:", "") if not k else row
                for part in parts
                for k, row in enumerate([("", ""), *_store(part)[1]])
            ]
            return f"{path}: {len(parts)} stores, one for each montage", rows
        if (path / "config.yaml").is_file():
            return _run(path)
        if (path / "state.json").is_file():
            return _checkpoint(path)
        if (path / "config.json").is_file():
            return _model(path)
        raise DataError(
            f"{path} is a folder, but no model (config.json), run (config.yaml), store "
            "(manifest.json) or checkpoint (state.json); for recordings: biojepa doctor"
        )
    if path.is_file():
        if path.suffix in (".pt", ".pth", ".ckpt"):
            return _published(path)
        raise DataError(f"{path} is no model or store; for recordings: biojepa doctor {path}")
    from biojepa.estimators.saved import locate_model, shipped_models

    shipped = shipped_models()
    if given in shipped:
        return _model(locate_model(given))
    cards = list_cards()
    if given in cards:
        return _card(given)
    near = difflib.get_close_matches(given, [*shipped, *cards], n=1)
    known = f"models: {', '.join(shipped)}; dataset cards: {', '.join(cards)}"
    hint = f"did you mean {near[0]!r}?" if near else known
    raise DataError(f"nothing at {given!r}, and no shipped model or card of that name: {hint}")


def _model(path: Path) -> tuple[str, Rows]:
    from biojepa.engine.files import check_folder, read_json, read_tensors

    check_folder(path)
    head = read_json(path / "config.json")
    rows: Rows = [("modality", f"{head.get('modality')}, {head.get('kind')}")]
    if isinstance(head.get("model"), dict):
        rows += _architecture_of(head.get("modality"), head["model"])
        rows += _preprocessing(head)
    weights = read_tensors(path / "model.safetensors")
    parameters = sum(value.numel() for value in weights.values())
    rows.append(("weights", f"{parameters:,} numbers ({size_text(_size(path))})"))
    seen = read_json(path / "training.json") if (path / "training.json").is_file() else {}
    rows += _seen(seen)
    rows += _metrics(head.get("metrics") or {})
    if (path / "model_card.json").is_file():
        rows += _model_card(read_json(path / "model_card.json"))
    rows.append(("hashes", "right"))
    rows.append(("written by", f"biojepa {head.get('biojepa_version', 'of unknown version')}"))
    return f"{path}: a model", rows


def _model_card(card: dict[str, Any]) -> Rows:
    rows: Rows = [
        (key, str(card[key])) for key in ("data", "attribution", "licence") if key in card
    ]
    rows += [("limit", str(text)) for text in card.get("limits", [])]
    return rows


def _run(path: Path) -> tuple[str, Rows]:
    from biojepa.cli.stored_runs import training_of
    from biojepa.engine.checkpoint import checkpoints, latest_checkpoint
    from biojepa.engine.run import read_settings

    stored, where = read_settings(path), str(path / "config.yaml")
    steps = training_of(stored, where).steps
    rows: Rows = [("recipe", f"{stored.get('recipe')} ({stored.get('modality')})")]
    if stored.get("source") is not None:
        rows.append(("recordings", ", ".join(_paths(stored, where))))
    if stored.get("model") is not None:
        rows += _architecture_of(stored.get("modality"), stored["model"])
    found = checkpoints(path)
    latest = latest_checkpoint(path)
    done = 0 if latest is None else int(latest.name.removeprefix("step-"))
    rows.append(("steps", f"{done:,} of {steps:,} saved in {len(found)} checkpoints"))
    if (path / "metrics.csv").is_file() and (path / "metrics.csv").stat().st_size:
        from biojepa.cli.run_ends import last_metrics

        rows += _metrics(last_metrics(path))
    if done < steps and stored.get("modality") in ("ecg", "eeg", "fmri"):
        rows.append(("unfinished", f"biojepa resume {path}"))
    if (path / "model" / "config.json").is_file():
        rows.append(("model", str(path / "model")))
    return f"{path}: a run", rows


def _checkpoint(path: Path) -> tuple[str, Rows]:
    from biojepa.engine.files import check_folder, read_json

    check_folder(path)
    state = read_json(path / "state.json")
    rows: Rows = [
        ("step", f"{state.get('step', 0):,}"),
        ("size", size_text(_size(path))),
        ("files", ", ".join(sorted(p.name for p in path.glob("*.safetensors")))),
        ("hashes", "right"),
    ]
    return f"{path}: a checkpoint of a run (the model for users is RUN/model)", rows


def _store(path: Path) -> tuple[str, Rows]:
    from biojepa.data.store import SignalStore

    with SignalStore(path, verify=True) as store:
        rates = np.unique(store.rates_hz)
        seconds = store.lengths / store.rates_hz
        subjects = {s for s in store.subject_ids if s is not None}
        eeg = store.recipe.get("modality") == "eeg"
        who, what = ("subjects", "channels") if eeg else ("patients", "leads")
        rows: Rows = [
            ("recordings", f"{len(store):,}"),
            (who, f"{len(subjects):,} named" if subjects else "not named"),
            (what, f"{len(store.channels)}: {shorten(store.channels)}"),
            ("rate", ", ".join(f"{rate:g}" for rate in rates[:5]) + " Hz"),
        ]
        if len(store):
            rows.append(
                (
                    "length",
                    f"{seconds.min():.1f} to {seconds.max():.1f} s, "
                    f"{seconds.sum() / 3600:.1f} hours in all",
                )
            )
        if eeg and len(store):
            rows.append(("reference", str(store.recording(0).labels.get("reference", "not said"))))
        rows += [
            ("unit", store.unit),
            ("size", size_text(_size(path))),
            ("fingerprint", store.fingerprint[:16]),
            ("hashes", "right"),
        ]
    return f"{path}: a store of recordings", rows


def _published(path: Path) -> tuple[str, Rows]:
    from biojepa.ecg import official
    from biojepa.ecg.model import ECGEncoder

    model = official.load(path)
    source = official.source_of(model)
    encoder = getattr(model, "target_encoder", None) or model.encoder
    rows: Rows = [("layout", source.layout if source else "unknown")]
    if isinstance(encoder, ECGEncoder):
        rows += _architecture(encoder.config)
    rows.append(("weights", f"{sum(p.numel() for p in model.parameters()):,} numbers"))
    if source and source.step is not None:
        rows.append(("steps", f"{source.step:,}"))
    for note in source.notes if source else ():
        rows.append(("note", note))
    rows.append(("next", f"biojepa convert {path} my_model"))
    return f"{path}: a published ECG-JEPA checkpoint", rows


def _card(name: str) -> tuple[str, Rows]:
    card = load_card(name)

    def text(field: str, value: object) -> tuple[str, str]:
        unknown = f"not known: {card.reasons.get(field, '')}"
        return field, unknown if value is None else str(value)

    rates = None if card.rates_hz is None else ", ".join(f"{r:g} Hz" for r in card.rates_hz)
    rows = [
        text("version", card.version),
        text("url", card.url),
        text("doi", card.doi),
        text("licence", card.licence),
        text("access", card.access),
        text("format", card.format),
        text("rates_hz", rates),
        text("leads", None if card.leads is None else ", ".join(card.leads)),
        text("unit", card.unit),
        text("n_records", card.n_records),
        text("n_subjects", card.n_subjects),
        text("citation", card.citation),
    ]
    rows += [("quirk", quirk) for quirk in card.quirks or ()]
    if card.download is not None and card.access == "open":
        rows.append(("fetch", f"biojepa fetch {name} -o FOLDER"))
    if name in LAYOUTS or name in EEG_LAYOUTS:
        rows.append(
            ("then" if card.download else "next", f"biojepa prepare {name} FOLDER -o STORE")
        )
    return f"{card.name}: dataset card of {card.title}", rows


def _architecture_of(modality: object, model: Any) -> Rows:
    """What the settings of a model say, for modalities that have something to say here."""
    if modality == "ecg":
        from biojepa.ecg.config import ECGModelConfig

        return _architecture(ECGModelConfig.from_config(model))
    if modality == "eeg":
        from biojepa.eeg.config import EEGModelConfig

        config = EEGModelConfig.from_config(model)
        token_s = 1 / config.features_hz
        return [
            ("channels", f"{len(config.channels)}: {shorten(config.channels)}"),
            ("rate", f"{config.rate_hz:g} Hz; windows of {config.n_times / config.rate_hz:g} s"),
            ("network", f"{config.depth} layers of width {config.dim}, tokens of {token_s:g} s"),
        ]
    if modality == "fmri":
        from biojepa.fmri.config import BrainModelConfig

        brain = BrainModelConfig.from_config(model)
        return [
            ("regions", f"{brain.n_regions}, {brain.n_gradients} gradients each"),
            ("window", f"{brain.n_times} frames in patches of {brain.patch}"),
            ("network", f"{brain.depth} blocks of width {brain.dim}"),
        ]
    return []


def _preprocessing(head: dict[str, Any]) -> Rows:
    """The stored input of an EEG or fMRI model."""
    stored = head.get("preprocess")
    if head.get("modality") == "fmri" and isinstance(stored, dict):
        how = f"scaled by {stored.get('normalise')}"
        return [("input", f"{stored.get('tr_s')} s a frame ({stored.get('resample')}), {how}")]
    if head.get("modality") != "eeg" or not isinstance(stored, dict):
        return []
    band = stored.get("bandpass_hz")
    low, high = band if isinstance(band, list) and len(band) == 2 else (None, None)
    return [("input", f"microvolt, reference {stored.get('reference')}, {low} to {high} Hz")]


def _paths(stored: dict[str, Any], where: str) -> list[str]:
    """Where the recordings of a run lay."""
    if stored.get("modality") == "ecg":
        return list(Source.from_config(stored["source"], where=where).paths)
    source = stored["source"]
    paths = source.get("paths") if isinstance(source, dict) else None
    return [str(path) for path in paths] if isinstance(paths, list) else ["not said"]


def _architecture(config: Any) -> Rows:
    patch_s = config.patch / config.rate_hz
    return [
        ("leads", shorten(config.leads)),
        ("rate", f"{config.rate_hz:g} Hz; windows of {config.n_times / config.rate_hz:g} s"),
        ("network", f"{config.depth} blocks of width {config.dim}, tokens of {patch_s:g} s"),
    ]


def _seen(training: dict[str, Any]) -> Rows:
    if not training.get("n_records"):
        return [("has seen", str(training.get("statement", "not stated")))]
    ids = ", ".join(map(str, training.get("ids", [])[:3]))
    fingerprint = str(training.get("fingerprint"))[:16]
    return [("has seen", f"{training['n_records']:,} recordings ({ids}, ...), data {fingerprint}")]


def _metrics(metrics: dict[str, Any]) -> Rows:
    shown = ("step", "loss", "rankme", "dim", "skill", "lidar", "std")
    found = [f"{name} {metrics[name]:.4g}" for name in shown if name in metrics]
    return [("last metrics", ", ".join(found))] if found else []


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
