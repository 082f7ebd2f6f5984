from __future__ import annotations

import pytest

from biojepa.errors import DataError
from biojepa.plotting.subjects import plot_grid, plot_pairs, plot_subjects

ROWS = {"csp": {"a": 0.6, "b": 0.9}, "jepa": {"a": 0.5, "b": 0.7}}


def test_every_subject_of_a_row_is_a_dot_and_the_bound_goes_through_all() -> None:
    figure = plot_subjects(ROWS, bound=0.62, chance=0.5, label="accuracy", ordinary=["csp"])
    (ax,) = figure.axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in dots] == [[0.6, 0.9], [0.5, 0.7]]
    (bound,) = [line for line in ax.lines if line.get_gid() == "bound"]
    assert set(bound.get_xdata()) == {0.62}


def test_a_pair_is_a_line_a_subject_and_one_of_the_means() -> None:
    figure = plot_pairs(
        {"x": (ROWS["csp"], ROWS["jepa"])}, names=("csp", "jepa"), bound=0.6, label="accuracy"
    )
    lines = {line.get_gid(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["a"] == [0.6, 0.5]
    assert lines["mean"] == pytest.approx([0.75, 0.6])


def test_rows_of_other_subjects_are_refused() -> None:
    with pytest.raises(DataError, match="same subjects"):
        plot_subjects({"x": {"a": 1.0}, "y": {"b": 1.0}}, bound=0.6, chance=0.5, label="")
    with pytest.raises(DataError, match="at least one pair"):
        plot_pairs({}, names=("x", "y"), bound=0.6, label="")


def test_a_grid_has_a_line_a_mask_and_the_control_through_all() -> None:
    curves = {"frozen": {"40%": {1: 0.5, 4: 0.6}, "80%": {1: 0.55, 4: 0.65}}}
    figure = plot_grid(curves, {"frozen": 0.52}, bound=0.6, label="accuracy")
    lines = {line.get_gid(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["40%"] == [0.5, 0.6]
    assert set(lines["random"]) == {0.52}
