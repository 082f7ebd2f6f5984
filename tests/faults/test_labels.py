"""Rows L1 to L4: label tables that cannot be believed, and leakage between training and test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biojepa.data.simulate import simulate_ecg
from biojepa.data.splits import (
    check_no_leakage,
    check_same_records,
    overlap_statement,
    patient_folds,
)
from biojepa.ecg import ECGJEPA, ptbxl
from biojepa.ecg.classifier import ECGClassifier as Classifier
from biojepa.estimators.labels import read_labels
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.metrics import macro_auc
from tests.faults.rows import Row, fine, in_one_child

HEADER = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr,age"
LINES = [
    HEADER,
    "1,15709.0,\"{'NORM': 100.0, 'SR': 0.0}\",3,records100/1,records500/1,56.0",
    "2,13243.0,\"{'IMI': 80.0}\",2,records100/2,records500/2,19.0",
    "3,20372.0,\"{'AFIB': 0.0}\",5,records100/3,records500/3,",
]


def table(
    change: Callable[[str], str] = str, encode: Callable[[str], bytes] = str.encode
) -> Callable[[Path], Callable]:
    """A table of PTB-XL with another text."""

    def make(root: Path) -> Callable:
        (root / "ptbxl_database.csv").write_bytes(encode(change("\n".join(LINES) + "\n")))

        def call() -> dict:
            found = ptbxl.load_table(root)
            labels = ptbxl.load_labels(root, "all")
            return {"n": len(found), "classes": labels.classes.tolist()}

        return call

    return make


def replaced(old: str, new: str) -> Callable[[Path], Callable]:
    """A table with another text in one place."""
    assert old in "\n".join(LINES)
    return table(lambda text: text.replace(old, new, 1))


def bad(make: Callable[[Path], Callable], match: str) -> Row:
    """A table that is refused."""
    return Row(make, "refused", match)


def statements(text: str) -> Callable[[Path], Callable]:
    """Another table of statements."""

    def make(root: Path) -> Callable:
        (root / "ptbxl_database.csv").write_text("\n".join(LINES))
        (root / "scp_statements.csv").write_text(text)
        return lambda: ptbxl.load_labels(root, "superdiagnostic").classes.tolist()

    return make


def called(function: Callable, *arguments: Any, **options: Any) -> Callable[[Path], Callable]:
    """A plain call."""
    return lambda root: lambda: function(*arguments, **options)


def code_of(labels: Any) -> str:
    """What a classifier makes of labels."""
    return str(read_labels(labels, len(labels), estimator="ECGClassifier")[0].classes.tolist())


PATIENTS = ["p1", "p2", "p3", "p4", "p5", "p6", "p7"]
HASHES = [f"{k:064x}" for k in range(4)]


def same_record_under_two_names(root: Path) -> Callable:
    """The same signal twice; its hash tells."""
    from biojepa.data.files import read_record

    np.save(root / "a.npy", simulate_ecg(2, rate_hz=100, random_state=0).values[0])
    (root / "b.npy").write_bytes((root / "a.npy").read_bytes())

    def call() -> int:
        names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
        one, two = (read_record(root / f"{n}.npy", leads=names, rate_hz=100) for n in "ab")
        return check_same_records([one.sha256], [two.sha256])

    return call


def seen_in_pretraining(root: Path) -> Callable:
    """The model folder says what it has seen, so the overlap with test records can be told."""

    def call() -> str:
        X = simulate_ecg(4, rate_hz=100, duration_s=4, random_state=0).values
        jepa = ECGJEPA(preset="tiny", fs=100, steps=2, batch_size=4, device="cpu", random_state=0)
        jepa.fit(X).save_pretrained(root / "model")
        seen = ECGJEPA.from_pretrained(root / "model").training_["ids"]
        again = ECGJEPA(preset="tiny", fs=100, steps=2, batch_size=4, device="cpu", random_state=0)
        test = again.fit(X[2:]).training_["ids"]
        return overlap_statement(seen, test, 0)

    return call


def out_of_fold(features: np.ndarray, y: np.ndarray, groups: np.ndarray, model: Any) -> float:
    """AUC of scores that each come from folds without that patient."""
    folds = patient_folds(groups, y, random_state=0)
    scores = cross_val_predict(model, features, y, cv=folds, method="predict_proba")
    return macro_auc(y, scores)


def canary(model: Any, *, leak: bool = False) -> Callable[[Path], Callable]:
    """Labels that mean nothing, of which an honest pipeline makes nothing: AUC near one half.

    Fifty records of five per patient and 200 features of noise; a patient's records are alike, so
    that folds which split patients, or a selection of features on all records, would show.
    """

    def call() -> dict:
        aucs = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            patient = np.repeat(np.arange(24), 5)
            features = rng.normal(size=(24, 200))[patient] + 0.1 * rng.normal(size=(120, 200))
            y = rng.permutation(np.repeat([0, 1], 12))[patient]
            groups = rng.permutation(120) if leak else patient
            aucs.append(out_of_fold(features, y, groups, model))
        error = np.std(aucs, ddof=1) / np.sqrt(len(aucs))
        return {"inside": bool(abs(np.mean(aucs) - 0.5) < 3 * error), "mean": float(np.mean(aucs))}

    return lambda root: call


def scaler_of_a_fold(root: Path) -> Callable:
    """The probe's scaler knows the training records alone."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    X[20:] += 1e6

    def call() -> bool:
        probe = LinearProbe().fit(X[:20], y[:20])
        return bool(np.allclose(probe.scaler_.mean_, X[:20].mean(0)))

    return call


def grouped_validation(root: Path) -> Callable:
    """Early stopping of a fine-tuned network watches patients that it does not train on."""

    def call() -> list:
        X = simulate_ecg(8, rate_hz=100, duration_s=4, random_state=0).values
        model = Classifier(mode="finetune", preset="tiny", fs=100, steps=2, batch_size=4)
        model.set_params(device="cpu", random_state=0, patience=1, evaluate_every=1)
        return model.fit(X, [0, 1] * 4, groups=["same"] * 8).classes_.tolist()

    return call


ROWS: dict[str, Row] = {
    "L1-good": fine(table(), r"'n': 3, 'classes': \['AFIB', 'IMI', 'NORM', 'SR'\]"),
    "L1-missing-column": bad(replaced("patient_id", "subject"), r"columns \['patient_id'\]"),
    "L1-double-id": bad(replaced("\n2,", "\n1,"), "1 again in row 3"),
    "L1-nan-patient": bad(replaced("13243.0", "nan"), "patient_id, got 'nan' in row 3"),
    "L1-empty-patient": bad(replaced("13243.0", ""), "patient_id, got '' in row 3"),
    "L1-fractional-patient": bad(replaced("13243.0", "13243.5"), "row 3"),
    "L1-fold-0": bad(replaced(",2,records", ",0,records"), "strat_fold, got '0' in row 3"),
    "L1-code-runs": bad(
        replaced("{'IMI': 80.0}", "__import__('os').system('id')"), "scp_codes .* in row 3"
    ),
    "L1-code-nan": bad(replaced("{'IMI': 80.0}", "{'IMI': nan}"), "scp_codes .* in row 3"),
    "L1-code-list": bad(replaced("{'IMI': 80.0}", "['IMI']"), "row 3"),
    "L1-code-empty": bad(replaced("{'IMI': 80.0}", ""), "row 3"),
    "L1-code-deep": bad(replaced("{'IMI': 80.0}", "[" * 9000), "row 3"),
    "L1-code-long": bad(replaced("{'IMI': 80.0}", "1" * 100_000), "row 3"),
    "L1-semicolons": bad(table(lambda text: text.replace(",", ";")), "comma-separated"),
    "L1-tabs": bad(table(lambda text: text.replace(",", "\t")), "comma-separated"),
    "L1-decimal-comma": bad(replaced("56.0", '"56,0"'), "age, got '56,0' in row 2"),
    "L1-too-many-fields": bad(replaced(",19.0", ",19.0,7,8"), "does not fit its header"),
    "L1-bom": fine(table(lambda text: "\ufeff" + text), "'n': 3"),
    "L1-crlf": fine(table(lambda text: text.replace("\n", "\r\n")), "'n': 3"),
    "L1-latin-1": bad(table(lambda text: text + "é", lambda t: t.encode("latin-1")), "UTF-8"),
    "L1-utf-16": bad(table(encode=lambda text: text.encode("utf-16")), "UTF-8"),
    "L1-empty": bad(table(lambda text: ""), "comma-separated"),
    "L1-nul": bad(table(lambda text: "\0" * 50), ""),
    "L1-unclosed-quote": bad(table(lambda text: text + '4,"'), ""),
    "L1-header-alone": fine(table(lambda text: HEADER + "\n"), "'n': 0"),
    "L1-absent": bad(called(ptbxl.load_table, "."), "no such file"),
    "L1-statement-twice": bad(
        statements(
            ",diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
            "NORM,1.0,,,NORM,NORM\nNORM,1.0,,,MI,IMI\n"
        ),
        "each code once .* row 3",
    ),
    "L1-unknown-statement": fine(
        statements(
            ",diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\nIMI,1.0,,,MI,IMI\n"
        ),
        r"\['MI'\]",
    ),
    "L1-labels-nan": bad(called(code_of, [0.0, np.nan, 1.0]), "NaN"),
    "L1-labels-none": bad(called(code_of, np.array(["a", None], dtype=object)), "None"),
    "L1-labels-two": bad(called(code_of, [[0, 2], [1, 0]]), "got 2"),
    "L1-labels-ragged": bad(called(code_of, [["a"], ["a", "b"]]), "unequal"),
    "L2-patients": bad(
        called(check_no_leakage, PATIENTS, PATIENTS[1:]), r"found 6: p2, p3, p4, p5, p6, \.\.\."
    ),
    "L2-patients-as-numbers": bad(called(check_no_leakage, [7, 8.0], ["7.0", "9"]), "found 1: 7"),
    "L2-unknown-patients": fine(
        called(check_no_leakage, [None, float("nan"), ""], [None, "nan"]), "^0$"
    ),
    "L2-allowed": fine(called(check_no_leakage, PATIENTS, PATIENTS[1:], allow_leakage=True), "^6$"),
    "L2-records": bad(called(check_same_records, HASHES, HASHES[3:]), r"same signal\).*found 1"),
    "L2-two-names": bad(same_record_under_two_names, "same signal"),
    "L2-folds": bad(called(patient_folds, ["a", None, "b"], n_splits=2, random_state=0), "unknown"),
    "L3-known": fine(called(overlap_statement, [1, 2, 3], ["3.0", 4], 0), "overlap: 1 known"),
    "L3-unknown": fine(called(overlap_statement, [], [1], 1323), "unknown for 1,323 records"),
    "L3-model": fine(seen_in_pretraining, "overlap: 2 known"),
    "L4-probe": fine(canary(LinearProbe(random_state=0)), "'inside': True"),
    "L4-pipeline": fine(
        canary(make_pipeline(StandardScaler(), LogisticRegression())), "'inside': True"
    ),
    "L4-canary-sings": fine(canary(LinearProbe(random_state=0), leak=True), "'inside': False"),
    "L4-scaler": fine(scaler_of_a_fold, "True"),
    "L4-early-stopping": bad(grouped_validation, "group|patient"),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_labels_end_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
