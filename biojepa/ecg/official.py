"""Published ECG-JEPA checkpoints, to and from our modules.

Three layouts exist, all `torch.save` files:

- full: `model` (`encoder.*`, `predictor.*`, `target_encoder.*`), `optimizer`, `config`, `step`;
- minified: `model` (`target_encoder.*` only), `config`;
- classifier: `model` (`encoder.*` and `attn_pool.*` or `fc.weight`), `config`, `eval_config`,
  `preprocess`, `task`.

Our modules have the published key names. Files of the first release have LayerNorm biases although
their config says `bias: False`; they are kept. Weights of pretraining come in no other way here.

References
----------
The code of Weimann & Conrad 2024 (arXiv:2410.13867), MIT licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from biojepa.ecg._official_config import (
    head_of,
    model_config,
    official_config,
    official_eval_config,
)
from biojepa.ecg._official_file import read_official
from biojepa.ecg._official_source import Layout, Source, remember, source_of
from biojepa.ecg._official_weights import (
    State,
    check_predictor,
    check_shapes,
    fill,
    fit_config,
    other_keys,
    some_keys,
    split_parts,
)
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.model import ECGEncoder, build_jepa
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.torch_file import write_torch_file
from biojepa.errors import BiojepaError, CheckpointError, ConfigError

__all__ = ["Source", "load", "load_classifier", "save", "source_of"]

_JEPA_PARTS = ("encoder", "predictor", "target_encoder")
_EXTRA = "biojepa"  # our settings, only where the published ones cannot say them


def load(path: Path | str, *, seed: int = 0) -> MaskedJEPA | ECGClassifierNet:
    """Load a published file.

    Parameters
    ----------
    path : path
        Of any of the three layouts.
    seed : int
        For the fresh predictor of a minified file.

    Returns
    -------
    MaskedJEPA or ECGClassifierNet
        In eval mode, on the CPU. From a minified file the encoder is a copy of the target encoder
        and the predictor is fresh: good for features, and a warm start for more pretraining.
        `source_of` tells what was missing, dropped and ignored.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile, of another kind, or does not hold what its own
        config describes.
    """
    path = Path(path)
    content = read_official(path)
    config, unknown = _model_config(content)
    if "eval_config" in content:
        return _load_classifier_file(content, config, unknown, path, seed)
    parts = split_parts(content["model"], _JEPA_PARTS)
    if not parts["target_encoder"]:
        raise CheckpointError(
            f"{path}: expected target_encoder.* among the weights, got "
            f"{some_keys(content['model'])}"
        )
    layout: Layout = "full" if parts["encoder"] else "minified"
    config = fit_config(config, parts["target_encoder"], path)
    check_predictor(config, parts["predictor"] if layout == "full" else None, path)
    try:
        jepa = build_jepa(config, seed=seed)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its mask settings cannot be used: {error}") from error
    notes = _ignored(unknown)
    missing: tuple[str, ...] = ()
    fill(jepa.target_encoder, parts["target_encoder"], "target_encoder", path)
    if layout == "full":
        fill(jepa.encoder, parts["encoder"], "encoder", path)
        fill(jepa.predictor, parts["predictor"], "predictor", path)
    else:
        fill(jepa.encoder, parts["target_encoder"], "target_encoder", path)
        missing = tuple(k for k in jepa.state_dict() if not k.startswith("target_encoder."))
        notes += ("the encoder is a copy of the target encoder, the predictor is fresh",)
    dropped = other_keys(content["model"], _JEPA_PARTS)
    dropped += tuple(str(k) for k in content if k not in ("model", "config", "step", _EXTRA))
    step = content.get("step")
    source = Source(
        layout,
        dict(content["config"]),
        step=step if isinstance(step, int) else None,
        missing=missing,
        dropped=dropped,
        notes=notes,
    )
    remember(jepa, source)
    return jepa.eval()


def load_classifier(
    path: Path | str,
    eval_config: Mapping[str, Any],
    n_classes: int | None = None,
    *,
    seed: int = 0,
) -> ECGClassifierNet:
    """Start a classifier from a pretraining file, or go on from a classifier's.

    Parameters
    ----------
    path : path
        `target_encoder.*` of a pretraining file becomes the encoder. Of a classifier file the
        encoder is taken, and the head if it is of the same kind.
    eval_config : mapping
        Published settings: `attn_pooling`, `use_register`, `dropout`, `layer_scale_eps`, `frozen`,
        `num_classes`.
    n_classes : int, optional
        In place of `num_classes`.
    seed : int
        For what the file does not have.

    Returns
    -------
    ECGClassifierNet
        In eval mode. `source_of(net).missing` names the weights that are fresh.

    Raises
    ------
    CheckpointError
        As `load`.
    ConfigError
        If the number of classes is not known.
    """
    path = Path(path)
    content = read_official(path)
    config, unknown = _model_config(content)
    state = content["model"]
    if "eval_config" not in content:
        prefix = "target_encoder."
        found = {k.removeprefix("target_"): v for k, v in state.items() if k.startswith(prefix)}
        dropped = tuple(k for k in state if not k.startswith(prefix))
    else:
        found, dropped = dict(state), ()
    n_classes = eval_config.get("num_classes") if n_classes is None else n_classes
    if not isinstance(n_classes, int):
        raise ConfigError("expected n_classes or eval_config['num_classes'], got neither")
    net = _classifier(config, eval_config, n_classes, split_parts(found, ("encoder",)), path, seed)
    own = net.state_dict()
    extra = tuple(k for k in found if k not in own)
    if any(k.startswith("encoder.") for k in extra):
        raise CheckpointError(f"{path}: its config does not describe the weights {extra[:4]}")
    taken = {k: v for k, v in found.items() if k in own}
    missing = tuple(k for k in own if k not in taken)
    allowed = ("attn_pool.", "fc.", "encoder.registers")
    lost = [k for k in missing if not k.startswith(allowed) and "_ls." not in k]
    if lost:
        raise CheckpointError(f"{path}: expected the weights {lost[:4]}, they are missing")
    check_shapes(own, taken, path)
    net.load_state_dict(taken, strict=False)
    source = Source(
        "classifier",
        dict(content["config"]),
        missing=missing,
        dropped=dropped + extra,
        notes=_ignored(unknown),
        eval_config=dict(eval_config) | {"num_classes": n_classes},
    )
    remember(net, source)
    return net.eval()


def save(
    model: MaskedJEPA | ECGClassifierNet,
    path: Path | str,
    *,
    layout: Layout | None = None,
    config: Mapping[str, Any] | TrainConfig | None = None,
    step: int | None = None,
    eval_config: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    task: str | None = None,
) -> None:
    """Write a model in a published layout.

    Parameters
    ----------
    model : MaskedJEPA or ECGClassifierNet
        With an `ECGEncoder`.
    path : path
        Written at once or not at all.
    layout : {"full", "minified", "classifier"}, optional
        By default the one that holds all of the model. `optimizer` of "full" is empty: the
        published code can evaluate and fine-tune from it, but not resume.
    config : mapping or TrainConfig, optional
        The published settings, or the training settings to put among them. By default those of
        the file that the model was loaded from, else None for what the model does not know.
    step : int, optional
        Steps of pretraining; by default that of the file it came from, else 0.
    eval_config, preprocess, task
        Of a classifier; by default those of the file it came from.

    Raises
    ------
    ConfigError
        If model and layout do not go together.
    RunError
        If the file cannot be written.
    """
    source = source_of(model)
    classifier = isinstance(model, ECGClassifierNet)
    layout = layout or ("classifier" if classifier else "full")
    if layout not in ("full", "minified", "classifier") or classifier != (layout == "classifier"):
        raise ConfigError(
            f"expected layout 'classifier' for a classifier, 'full' or 'minified' for a "
            f"MaskedJEPA, got {layout!r} for a {type(model).__name__}"
        )
    encoder = model.encoder
    if not isinstance(encoder, ECGEncoder):
        raise ConfigError(f"expected a model with an ECGEncoder, got {type(encoder).__name__}")
    settings = _settings(encoder.config, source, config)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if layout == "minified":
        state = {k: v for k, v in state.items() if k.startswith("target_encoder.")}
    content: dict[str, Any] = {"model": state}
    if layout == "full":
        content["optimizer"] = {}
    content["config"] = settings
    if layout == "full":
        content["step"] = step if step is not None else (source and source.step) or 0
    if isinstance(model, ECGClassifierNet):
        stored = source.eval_config if source else None
        derived = official_eval_config(
            model.head,
            encoder.config,
            model.n_classes,
            frozen=model.frozen,
            use_register=model.registers,
        )
        content["eval_config"] = dict(eval_config or stored or derived)
        content["preprocess"] = dict(preprocess or (source and source.preprocess) or {})
        content["task"] = task if task is not None else (source.task if source else None)
    own, _ = model_config(settings)
    if replace(own, **_from_weights(encoder.config)) != encoder.config:
        content[_EXTRA] = encoder.config.to_config()
    write_torch_file(content, Path(path))


def _model_config(content: Mapping[str, Any]) -> tuple[ECGModelConfig, tuple[str, ...]]:
    config, unknown = model_config(content["config"])
    if _EXTRA in content:
        try:
            config = ECGModelConfig.from_config(content[_EXTRA])
        except BiojepaError as error:
            raise CheckpointError(f"settings of biojepa in the file: {error}") from error
    return config, unknown


def _settings(
    config: ECGModelConfig, source: Source | None, given: Mapping[str, Any] | TrainConfig | None
) -> dict[str, Any]:
    """The published settings to write beside a model."""
    if isinstance(given, Mapping):
        return dict(given)
    train = given
    if source is not None and train is None:
        stored, _ = model_config(source.config)
        if replace(stored, **_from_weights(config)) == config:
            return dict(source.config)
        known = {k: v for k, v in official_config(config).items() if v is not None}
        return source.config | known
    return official_config(config, train)


def _from_weights(config: ECGModelConfig) -> dict[str, Any]:
    """Settings that a reader takes from the weights or from the eval_config, not the config."""
    return {
        "norm_bias": config.norm_bias,
        "layer_scale": config.layer_scale,
        "registers": config.registers,
        "dropout": config.dropout,
    }


def _load_classifier_file(
    content: dict[str, Any],
    config: ECGModelConfig,
    unknown: tuple[str, ...],
    path: Path,
    seed: int,
) -> ECGClassifierNet:
    eval_config = content["eval_config"]
    if not isinstance(eval_config, dict):
        raise CheckpointError(f"{path}: expected a dict eval_config, got {type(eval_config)}")
    state = content["model"]
    key = "attn_pool.cross_attention_block.proj.weight"
    last = state.get(key if head_of(eval_config) == "attentive" else "fc.weight")
    if last is None or last.ndim != 2:
        raise CheckpointError(
            f"{path}: expected the head that its eval_config describes, got {some_keys(state)}"
        )
    if eval_config.get("num_classes") not in (None, len(last)):
        raise CheckpointError(
            f"{path}: eval_config says {eval_config['num_classes']!r} classes, the weights "
            f"have {len(last)}"
        )
    parts = split_parts(state, ("encoder",))
    net = _classifier(config, eval_config, len(last), parts, path, seed)
    fill(net, state, "", path)
    known = ("model", "config", "eval_config", "preprocess", "task", _EXTRA)
    preprocess, task = content.get("preprocess"), content.get("task")
    source = Source(
        "classifier",
        dict(content["config"]),
        dropped=tuple(str(k) for k in content if k not in known),
        notes=_ignored(unknown),
        eval_config=dict(eval_config),
        preprocess=dict(preprocess) if isinstance(preprocess, dict) else None,
        task=task if isinstance(task, str) else None,
    )
    remember(net, source)
    return net.eval()


def _classifier(
    config: ECGModelConfig,
    eval_config: Mapping[str, Any],
    n_classes: int,
    parts: Mapping[str, State],
    path: Path,
    seed: int,
) -> ECGClassifierNet:
    """A classifier of the right shape with fresh weights."""
    config = fit_config(config, parts["encoder"], path)
    changes: dict[str, Any] = {}
    if eval_config.get("dropout") is not None:
        changes["dropout"] = eval_config["dropout"]
    if eval_config.get("layer_scale_eps") and not config.layer_scale:
        changes["layer_scale"] = eval_config["layer_scale_eps"]
    if eval_config.get("use_register") and not config.registers:
        changes["registers"] = 1
    try:
        with keyed_torch_rng(seed, "init"):
            return ECGClassifierNet(
                ECGEncoder(replace(config, **changes)),
                n_classes,
                head=head_of(eval_config),
                frozen=bool(eval_config.get("frozen", False)),
                attend_registers=bool(eval_config.get("use_register", True)),
            )
    except ConfigError as error:
        raise CheckpointError(f"{path}: its eval_config cannot be used: {error}") from error


def _ignored(unknown: tuple[str, ...]) -> tuple[str, ...]:
    return (f"settings not known here and ignored: {', '.join(unknown)}",) if unknown else ()
