from __future__ import annotations

import numpy as np
import pytest

from biojepa.eeg.benchmark_baselines import (
    Chance,
    csp_lda,
    ssvep_tangent_lr,
    tangent_lr,
    xdawn_lda,
    xdawn_lr,
)
from biojepa.eeg.benchmark_data import load_simulated
from biojepa.eeg.ssvep import SSVEPCCA, SSVEPTRCA
from biojepa.evaluation.subjects import (
    SubjectRow,
    run_subject_row,
    subject_scores,
    within_subjects,
)
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
HERTZ = (13.0, 17.0, 21.0)
# row, mean score that it must reach on simulated people
ROWS = {
    "mi": {"csp": (lambda: csp_lda(128.0), 0.7), "tangent": (lambda: tangent_lr(128.0), 0.7)},
    "erp": {"lda": (lambda: xdawn_lda(128.0), 0.7), "lr": (lambda: xdawn_lr(128.0), 0.65)},
    "ssvep": {
        "cca": (lambda: SSVEPCCA(HERTZ, sfreq=128.0), 0.6),
        "trca": (lambda: SSVEPTRCA(sfreq=128.0), 0.5),
        "tangent": (lambda: ssvep_tangent_lr(128.0, HERTZ), 0.4),
    },
}


@pytest.mark.parametrize("paradigm", list(ROWS))
def test_the_baselines_find_the_simulated_classes_but_not_always(paradigm) -> None:
    data = load_simulated(paradigm, n_subjects=3, random_state=1)
    trials = data.tasks[0].trials
    protocol = within_subjects(trials.subject, trials.block, blocks="run")
    for name, (make, least) in ROWS[paradigm].items():
        row = SubjectRow(name, name, "classical", lambda seed, fold, make=make: make())
        scores = run_subject_row(row, trials.X, trials.y, protocol, 0).values
        found = subject_scores(trials.y, scores, trials.subject, data.metric)
        mean = np.mean(list(found.values()))
        assert least < mean < 0.99, f"{name}: {found}"


def test_chance_answers_by_the_shares_of_the_classes() -> None:
    y = np.repeat([0, 1], [300, 100])
    answers = Chance(random_state=0).fit(y, y).predict_proba(np.zeros((4000, 1)))
    assert (answers.argmax(axis=1) == 1).mean() == pytest.approx(0.25, abs=0.03)
    assert answers.sum(axis=1) == pytest.approx(1)
