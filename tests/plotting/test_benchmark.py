from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from biojepa.errors import DataError
from biojepa.plotting.benchmark import (
    plot_intervals,
    plot_label_efficiency,
    plot_reliability,
    plot_robustness,
)

TABLE = {
    "a": {"none": {"": 0.8}, "noise": {"20 dB": 0.79, "0 dB": 0.6}, "leads": {"1": 0.7}},
    "b": {"none": {"": 0.7}, "noise": {"20 dB": 0.71, "0 dB": 0.5}, "leads": {"1": 0.69}},
}


def drawn(figure: Figure, gid: str) -> list:
    return figure.findobj(lambda artist: str(artist.get_gid() or "").startswith(gid))


def written(figure: Figure) -> set[str]:
    figure.savefig(io.BytesIO())
    return {text.get_text() for ax in figure.axes for text in ax.texts}


def test_every_row_has_its_interval_and_the_reference_its_line() -> None:
    figure = plot_intervals(
        ["x", "y"],
        [0.7, 0.8],
        [(0.6, 0.8), (0.7, 0.9)],
        seeds=[[0.7], [0.79, 0.81]],
        reference="x",
        ordinary=["x"],
    )
    lines = {line.get_gid(): line for line in drawn(figure, "interval-")}
    assert list(lines["interval-y"].get_xdata()) == [0.7, 0.9]
    assert lines["interval-x"].get_color() != lines["interval-y"].get_color()
    (reference,) = drawn(figure, "reference")
    assert set(reference.get_xdata()) == {0.7}
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["x", "y"]


def test_a_fraction_without_draws_is_left_out_of_its_curve() -> None:
    curves = {"x": [(0.01, ()), (0.1, (0.6, 0.7)), (1.0, (0.8,))], "y": [(0.1, (0.5, 0.6))]}
    figure = plot_label_efficiency(curves, n_records=200)
    written(figure)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["10 %\n20", "100 %\n200"]
    with pytest.raises(DataError, match="at least one fraction"):
        plot_label_efficiency({"x": [(0.01, ())]}, n_records=200)


def test_bins_of_few_answers_of_a_reliability_curve_are_not_drawn() -> None:
    nan = float("nan")
    curves = {"x": ([0.1, nan, 0.5, 0.9], [0.2, nan, 0.6, 0.8], [10, 0, 12, 5])}
    figure = plot_reliability({"a": curves, "b": curves})
    line = next(ln for ln in figure.axes[0].get_lines() if ln.get_label() == "x")
    assert list(line.get_xdata()) == [0.1, 0.5]
    assert list(figure.axes[2].get_lines()[0].get_xdata()) == [0.1, 0.5, 0.9]  # their number is
    assert [ax.get_title() for ax in figure.axes[:2]] == ["a", "b"]
    with pytest.raises(DataError, match="at least one panel"):
        plot_reliability({})


def test_the_heat_map_says_the_change_in_hundredths() -> None:
    figure = plot_robustness(TABLE)
    (image,) = figure.axes[0].get_images()
    expected = [[-0.01, -0.2, -0.1], [0.01, -0.2, -0.01]]
    assert np.asarray(image.get_array()) == pytest.approx(np.array(expected))
    assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.02)
    assert {"-20", "-10", "-1", "+1", "noise", "leads"} <= written(figure)


def test_models_must_be_disturbed_alike() -> None:
    with pytest.raises(DataError, match="same disturbances"):
        plot_robustness({**TABLE, "c": {"none": {"": 0.5}, "noise": {"0 dB": 0.4}}})
    with pytest.raises(DataError, match="at least one model"):
        plot_robustness({})
    with pytest.raises(DataError, match="interval a row"):
        plot_intervals(["x"], [0.7], [])
