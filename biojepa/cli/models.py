"""A model of the command line: an encoder, or a classifier with the encoder in it."""

from __future__ import annotations

from dataclasses import dataclass

from biojepa.cli.ecg_runs import as_estimator
from biojepa.ecg._classifier_file import FittedClassifier, read_classifier
from biojepa.ecg.classifier import ECGClassifier
from biojepa.ecg.estimator import ECGJEPA
from biojepa.engine.files import read_json
from biojepa.estimators.saved import locate_model


@dataclass(frozen=True)
class Model:
    """What a model folder holds.

    Parameters
    ----------
    encoder : ECGJEPA
        Of a classifier, the encoder that it predicts with.
    classifier : ECGClassifier or None
    classes : tuple of str
        Of the classifier; numbers where its columns have no names.
    """

    encoder: ECGJEPA
    classifier: ECGClassifier | None = None
    classes: tuple[str, ...] = ()


def model_kind(name: str) -> tuple[str, str]:
    """What a model folder holds: encoder or classifier, and of which modality.

    Raises
    ------
    CheckpointError
        If there is no model of this name.
    """
    head = read_json(locate_model(name) / "config.json")
    return str(head.get("kind")), str(head.get("modality"))


def is_classifier(name: str) -> bool:
    """Whether a model folder holds a classifier; raises as `model_kind`."""
    return model_kind(name)[0] == "classifier"


def open_model(name: str) -> Model:
    """Open a run, a model folder, a shipped model or one of the Hub.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or no ECG model.
    """
    if not is_classifier(name):
        return Model(ECGJEPA.from_pretrained(name))
    fitted = read_classifier(name, verify=True)
    classes = tuple(str(c) for c in fitted.code.classes.tolist())
    return Model(encoder_of(fitted), ECGClassifier.from_pretrained(name), classes)


def encoder_of(fitted: FittedClassifier) -> ECGJEPA:
    """The encoder of a classifier, with the classifier's choice of features."""
    encoder = as_estimator(fitted.pretrained(), preset=fitted.options["preset"])
    return encoder.set_params(**{k: fitted.options[k] for k in ("pool", "layer", "scale")})
