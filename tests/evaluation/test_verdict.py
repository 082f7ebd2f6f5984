from __future__ import annotations

import numpy as np
import pytest

from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.rows import run_row
from biojepa.evaluation.table import make_table
from biojepa.evaluation.verdict import verdict
from tests.evaluation.toys import cohort, row


@pytest.mark.parametrize(
    ("own", "baseline", "word"),
    [
        (0.3, 4.0, "is better than"),
        (2.0, 2.0, "is not distinguishable from"),
        (4.0, 0.3, "is worse than"),
    ],
    ids=["win", "tie", "loss"],
)
def test_the_sentence_of_a_synthetic_table_follows_its_interval(
    own: float, baseline: float, word: str
) -> None:
    data = cohort(300, seed=5)
    protocol = make_protocol(data.y, data.groups)
    rows = [row("simple", "classical", baseline), row("JEPA", "jepa", own)]
    # other seeds, so that equal noise is not the same noise
    scores = {r.name: {k: run_row(r, data, protocol, k)} for k, r in enumerate(rows)}
    result = make_table(rows, scores, data, protocol, n_resamples=300)[1]
    assert result.difference is not None
    text = verdict("JEPA", "simple", result.difference, what="these 300 records")
    assert text.startswith(f"On these 300 records, JEPA {word} simple: difference in mean AUC ")
    assert f"{result.difference.point:+.3f}" in text
    assert f"{result.difference.low:+.3f} to {result.difference.high:+.3f}" in text
    assert np.sign(result.difference.point) == np.sign(float(f"{result.difference.point:+.3f}"))
