"""What `biojepa demo` measures, draws and writes: features of a pretrained and a fresh network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.cli.console import say
from biojepa.cli.demo_data import Cohort, Labels
from biojepa.cli.ecg_runs import as_estimator
from biojepa.data.splits import check_no_leakage
from biojepa.data.store import SignalStore
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.model import build_jepa
from biojepa.ecg.pretrain import Pretrained
from biojepa.engine.files import write_text
from biojepa.engine.train import TrainResult
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.bootstrap import BootstrapResult, bootstrap_metric
from biojepa.evaluation.metrics import per_class_auc
from biojepa.plotting.ecg_paper import PatchShading, plot_ecg
from biojepa.plotting.embedding import plot_embedding


@dataclass(frozen=True)
class Report:
    """What the features are worth, if there are labels to tell.

    Parameters
    ----------
    model : ECGJEPA
    features : ndarray, shape (n, n_features)
    auc : dict of str to BootstrapResult
        Mean AUC of "pretrained" and of "random weights", with patient intervals.
    difference : BootstrapResult or None
    per_class : dict of class to (pretrained, random weights)
    n_test, n_patients : int
    verdict : str
        Computed from the interval.
    """

    model: ECGJEPA
    features: np.ndarray
    auc: dict[str, BootstrapResult]
    difference: BootstrapResult | None
    per_class: dict[str, tuple[float, float]]
    n_test: int
    n_patients: int
    verdict: str


def evaluate(cohort: Cohort, run: Path, *, seed: int, quick: bool) -> Report:
    """Test the frozen features of a run against those of the same network before training."""
    say("[4/5] features, and a linear classifier on them")
    model = ECGJEPA.from_pretrained(run)
    store = SignalStore(cohort.shown)
    features = model.transform(store)
    labels = cohort.labels
    if labels is None:
        verdict = "No labels were given: look at the map of the features, nothing was tested."
        return Report(model, features, {}, None, {}, 0, 0, verdict)
    fresh = as_estimator(
        Pretrained(
            build_jepa(model.model_config_, seed=seed),  # the weights that training started from
            model.model_config_,
            model.preprocess_,
            TrainResult(),
            {},
        ),
        preset=model.preset,
    )
    both = {"pretrained": features, "random weights": fresh.transform(store)}
    test = np.sort(np.concatenate([part for _, part in labels.folds]))
    scores = {name: _scores(x, labels)[test] for name, x in both.items()}
    y, patient = labels.y[test], labels.patient[test]
    n_resamples = 200 if quick else 1000
    options = {"groups": patient, "n_resamples": n_resamples, "random_state": seed}
    auc = {name: bootstrap_metric(y, s, **options) for name, s in scores.items()}
    difference = bootstrap_metric(
        y, scores["pretrained"], compare_to=scores["random weights"], **options
    )
    columns = [per_class_auc(y, s)["auc"].tolist() for s in scores.values()]
    per_class = dict(zip(labels.classes, zip(*columns, strict=True), strict=True))
    return Report(
        model,
        features,
        auc,
        difference,
        per_class,
        len(test),
        len(set(patient.tolist())),
        verdict_sentence(auc, difference),
    )


def verdict_sentence(auc: dict[str, BootstrapResult], difference: BootstrapResult) -> str:
    """Whether pretraining helped, as the interval of the difference says."""
    numbers = (
        f"mean AUC {auc['pretrained'].point:.3f} against {auc['random weights'].point:.3f} with "
        f"random weights; difference {difference.point:+.3f}, {difference.confidence:.0%} interval "
        f"over patients {difference.low:+.3f} to {difference.high:+.3f}"
    )
    if difference.low > 0:
        return f"Pretraining helped: {numbers}."
    if difference.high < 0:
        return f"Pretraining made the features worse: {numbers}."
    return f"No difference could be shown: {numbers}."


def draw(cohort: Cohort, report: Report, out: Path, *, seed: int) -> None:
    """Write `ecg_masks.png` and `embedding.png`."""
    config = report.model.model_config_
    store = SignalStore(cohort.shown)
    # masks are for one window of the model
    record = next(
        (
            i
            for i in range(len(store))
            if store.lengths[i] / store.rates_hz[i] >= config.n_times / config.rate_hz - 1e-6
        ),
        None,
    )
    if record is not None:
        plan = config.sampler()(1, np.random.default_rng(seed))[0]
        shading = PatchShading(
            config.patch / config.rate_hz,
            plan.context[0].tolist(),
            np.unique(np.concatenate([np.asarray(t[0]) for t in plan.targets])).tolist(),
        )
        figure = plot_ecg(
            store.read(record),
            store.channels,
            float(store.rates_hz[record]),
            patches=shading,
            title=f"{store.record_ids[record]} ({cohort.what}): what the model saw and predicted",
            duration_s=config.n_times / config.rate_hz,
        )
        figure.savefig(out / "ecg_masks.png", dpi=110)
    if len(report.features) >= 3:
        figure = plot_embedding(
            report.features,
            labels=None if cohort.labels is None else cohort.labels.y,
            classes=None if cohort.labels is None else cohort.labels.classes,
            title=f"features of {len(report.features):,} {cohort.what}",
        )
        figure.savefig(out / "embedding.png", dpi=120)


def write(
    cohort: Cohort, report: Report, out: Path, *, steps: int, seconds: float, quick: bool
) -> None:
    """Write `summary.json` and `report.md`."""
    config = report.model.model_config_
    summary: dict[str, Any] = {
        "data": cohort.what,
        "simulated": cohort.simulated,
        "quick": quick,
        "preset": report.model.preset,
        "steps": steps,
        "seconds": round(seconds, 1),
        "n_pretraining_records": report.model.training_["n_records"],
        "data_fingerprint": report.model.training_["fingerprint"],
        "n_test_records": report.n_test,
        "n_test_patients": report.n_patients,
        "mean_auc": {name: result.summary() for name, result in report.auc.items()},
        "difference": report.difference.summary() if report.difference else None,
        "per_class_auc": {
            name: {"pretrained": a, "random weights": b}
            for name, (a, b) in report.per_class.items()
        },
        "verdict": report.verdict,
    }
    write_text(out / "summary.json", json.dumps(_finite(summary), indent=1) + "\n")
    lines = [f"# biojepa demo: {cohort.what}", ""]
    if cohort.simulated:
        lines += [
            "**The recordings are simulated. The figures show that the program works; they "
            "say nothing about patients.**",
            "",
        ]
    if quick:
        lines += ["**A quick run: too few recordings and steps to learn anything.**", ""]
    lines += [report.verdict, ""]
    if report.difference is not None:
        lines += [
            "| class | pretrained, AUC | random weights, AUC |",
            "|---|---|---|",
            *(f"| {name} | {a:.3f} | {b:.3f} |" for name, (a, b) in report.per_class.items()),
            f"| mean | {report.auc['pretrained']} | {report.auc['random weights']} |",
            "",
            f"Frozen features (mean and standard deviation of {config.n_tokens} tokens) and "
            f"logistic regression, the same for both; {report.n_test} test recordings of "
            f"{report.n_patients} patients, none of whom is in a classifier's training part or in "
            "the pretraining. Intervals: patients drawn with replacement.",
            "",
        ]
    lines += [
        f"Pretraining: preset `{report.model.preset}`, {steps} steps on "
        f"{report.model.training_['n_records']:,} recordings without labels; {seconds:.0f} s for "
        "everything.",
        "",
        "![masks](ecg_masks.png)",
        "",
        "![curves](curves.png)",
        "",
        "![features](embedding.png)",
    ]
    write_text(out / "report.md", "\n".join(lines) + "\n")


def closing(cohort: Cohort, report: Report, out: Path, seconds: float) -> list[str]:
    """The last lines on the screen."""
    where = "On simulated recordings: " if cohort.simulated else ""
    return [
        where + report.verdict,
        "",
        f"{seconds:.0f} s. Look at {out}/report.md, ecg_masks.png, curves.png and embedding.png.",
        "",
        "your own recordings (WFDB, EDF, DICOM, XML, MATLAB, CSV, NumPy):",
        "  biojepa doctor my_ecgs/                      can they be used?",
        "  biojepa prepare my_ecgs/ -o my_store",
        "  biojepa pretrain ecg my_store -o my_run",
        "  biojepa embed my_run my_ecgs/ -o features.csv",
        "real, labelled recordings:",
        "  biojepa demo --data my_ecgs/ --labels labels.csv",
        "  biojepa demo --ptbxl PATH                    (see biojepa info ptb-xl)",
    ]


def _scores(features: np.ndarray, labels: Labels) -> np.ndarray:
    """Log odds of every test record by a classifier that has not seen its patient."""
    scores = np.full(labels.y.shape, np.nan)
    for train, test in labels.folds:
        check_no_leakage(labels.patient[train], labels.patient[test])
        probe = LinearProbe().fit(features[train], labels.y[train])
        scores[test] = probe.decision_function(features[test])
    return scores


def _finite(value: Any) -> Any:
    """NaN as None, which is what JSON has."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
