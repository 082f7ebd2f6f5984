"""Predicted against true numbers."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.plotting.predicted import plot_predicted


def test_every_person_is_a_dot_of_every_panel_and_the_diagonal_is_drawn():
    y = np.linspace(3, 40, 12)
    figure = plot_predicted(y, {"a": y, "b": y + 1, "c": y, "d": y - 1}, notes={"b": "MAE 1.00"})
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d"]
    lines = {line.get_gid(): line for ax in figure.axes for line in ax.lines}
    assert lines["people-b"].get_ydata().tolist() == (y + 1).tolist()
    assert sum(line.get_gid() == "diagonal" for ax in figure.axes for line in ax.lines) == 4
    assert [text.get_text() for text in figure.axes[1].texts] == ["MAE 1.00"]


def test_other_numbers_than_people_are_refused():
    with pytest.raises(DataError, match="one for each true number"):
        plot_predicted([1.0, 2.0], {"a": [1.0]})
    with pytest.raises(DataError):
        plot_predicted([1.0], {})
