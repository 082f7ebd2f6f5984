"""Training curves: what is logged is drawn, what is not is left out."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from biojepa.errors import DataError, FormatError
from biojepa.plotting.curves import plot_curves


@pytest.fixture
def metrics() -> pd.DataFrame:
    step = np.arange(0, 400, 10)
    now_and_then = step % 100 == 0
    return pd.DataFrame(
        {
            "step": step,
            "loss": 1 / (1 + step),
            "loss_pred": 0.5 / (1 + step),
            "rankme": np.where(now_and_then, 40.0 - step / 20, np.nan),
            "std": np.where(now_and_then, 0.5, np.nan),
            "alpha_req": 1.0,
            "lidar": 20.0,
            "skill": 0.3,
            "sigreg": 0.1,
            "probe": 0.8,
            "lr": 1e-3,
            "weight_decay": 0.05,
            "momentum": 0.998,
            "grad_norm": 1.0 + step,
            "samples_per_s": 100.0,
            "elapsed_s": step / 10,
        }
    )


def lines(figure) -> dict:
    return {line.get_gid(): line for ax in figure.axes for line in ax.lines}


def test_every_known_column_is_drawn_against_step(metrics):
    drawn = lines(plot_curves(metrics, title="run"))
    assert set(drawn) == set(metrics.columns) - {"step", "elapsed_s"}
    assert drawn["loss"].get_ydata() == pytest.approx(metrics["loss"])
    assert drawn["loss"].axes is drawn["loss_pred"].axes
    assert drawn["lr"].axes is not drawn["momentum"].axes


def test_blanks_are_passed_over_not_drawn_as_zero(metrics):
    line = lines(plot_curves(metrics))["rankme"]
    assert list(line.get_xdata()) == [0, 100, 200, 300]
    assert list(line.get_ydata()) == [40.0, 35.0, 30.0, 25.0]


def test_the_collapse_zone_ends_at_a_tenth_of_the_width(metrics):
    figure = plot_curves(metrics, dim=192)
    (zone,) = (p for ax in figure.axes for p in ax.patches if p.get_gid() == "collapse-zone")
    assert zone.get_y() == 0
    assert zone.get_height() == pytest.approx(19.2)
    ax = zone.axes
    assert "RankMe" in ax.get_title(loc="left")
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > 40


def test_the_width_may_come_from_the_table_and_without_it_there_is_no_zone(metrics):
    def zones(table):
        return [p for ax in plot_curves(table).axes for p in ax.patches]

    assert zones(metrics) == []
    (zone,) = zones(metrics.assign(dim=64))
    assert zone.get_height() == pytest.approx(6.4)


def test_a_file_gives_the_same_curves_as_its_table(metrics, tmp_path):
    path = tmp_path / "metrics.csv"
    metrics.to_csv(path, index=False)
    from_file, from_table = lines(plot_curves(path)), lines(plot_curves(metrics))
    assert set(from_file) == set(from_table)
    for name, line in from_file.items():
        assert line.get_ydata() == pytest.approx(from_table[name].get_ydata())


def test_one_row_is_a_visible_dot(metrics):
    figure = plot_curves(metrics.iloc[:1], dim=192)
    line = lines(figure)["loss"]
    assert len(line.get_xdata()) == 1
    assert line.get_marker() == "o"
    figure.savefig(io.BytesIO(), dpi=40)


def test_missing_columns_words_and_infinities_leave_no_panel():
    table = pd.DataFrame(
        {"step": [0, 1], "loss": [1.0, np.inf], "rankme": ["", None], "probe": ["bad", "worse"]}
    )
    figure = plot_curves(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss"]
    assert list(lines(figure)["loss"].get_ydata()) == [1.0]


def test_a_loss_over_decades_is_drawn_on_a_log_axis(metrics):
    axes = {line: ax for ax in plot_curves(metrics).axes for line in [ax.get_title(loc="left")]}
    assert axes["loss"].get_yscale() == "log"
    assert axes["weight decay"].get_yscale() == "linear"
    negative = metrics.assign(loss=metrics["loss"] - 0.5)
    assert lines(plot_curves(negative))["loss"].axes.get_yscale() == "linear"


def test_momentum_without_learning_rate_has_a_panel_of_its_own(metrics):
    figure = plot_curves(metrics[["step", "momentum"]])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["momentum"]
    assert set(lines(figure)) == {"momentum"}


def test_every_momentum_copy_is_drawn_on_the_axis_of_the_momentum(metrics):
    copies = {"momentum_target_encoder": 0.99, "momentum_other": 0.9, "momentous": 1.0}
    table = metrics.drop(columns="momentum").assign(**copies)
    drawn = lines(plot_curves(table))
    first, second = drawn["momentum_target_encoder"], drawn["momentum_other"]
    assert "momentous" not in drawn
    assert list(first.get_ydata()) == [0.99] * len(table)
    assert first.axes is second.axes
    assert first.axes is not drawn["lr"].axes
    assert first.axes.get_position().bounds == drawn["lr"].axes.get_position().bounds
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    legend = [text.get_text() for text in first.axes.get_legend().get_texts()]
    assert legend == ["momentum_target_encoder", "momentum_other"]


def test_one_momentum_copy_needs_no_legend(metrics):
    table = metrics.rename(columns={"momentum": "momentum_target_encoder"})
    line = lines(plot_curves(table))["momentum_target_encoder"]
    assert line.axes.get_legend() is None
    alone = plot_curves(table[["step", "momentum_target_encoder"]])
    assert [ax.get_title(loc="left") for ax in alone.axes] == ["momentum"]


def test_a_table_without_steps_rows_or_numbers_is_refused(tmp_path):
    with pytest.raises(DataError, match="column step"):
        plot_curves(pd.DataFrame({"loss": [1.0]}))
    with pytest.raises(DataError, match="at least one row"):
        plot_curves(pd.DataFrame({"step": [], "loss": []}))
    with pytest.raises(DataError, match="loss or rankme"):
        plot_curves(pd.DataFrame({"step": [1], "note": ["x"]}))
    (tmp_path / "metrics.csv").write_bytes(b"")
    with pytest.raises(FormatError, match=r"metrics\.csv"):
        plot_curves(tmp_path / "metrics.csv")


def test_the_callers_table_is_not_changed(metrics):
    before = metrics.copy()
    plot_curves(metrics)
    pd.testing.assert_frame_equal(metrics, before)
