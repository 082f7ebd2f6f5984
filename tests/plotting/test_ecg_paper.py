"""ECG paper: true scale, right grid, right patches, everything drawn."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from biojepa.data.simulate import simulate_record
from biojepa.errors import ConfigError, DataError
from biojepa.plotting.ecg_paper import COLOURS, PatchShading, plot_ecg
from tests.conftest import real_data

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
MASK = PatchShading(0.05, context=range(20, 61), target=[*range(20), *range(61, 200)])


@pytest.fixture(scope="module")
def record() -> np.ndarray:
    return simulate_record(0, 2, rate_hz=100.0).values


def found(figure: Figure, gid: str) -> list:
    return figure.axes[0].findobj(lambda a: (a.get_gid() or "").startswith(gid), False)


def on_paper_mm(figure: Figure, points) -> np.ndarray:
    """Where data points of the axes land on the printed page, in millimetres."""
    figure.draw_without_rendering()
    return figure.axes[0].transData.transform(points) / figure.dpi * 25.4


def spacing_mm(figure: Figure, gid: str, axis: int) -> np.ndarray:
    (lines,) = found(figure, gid)
    assert isinstance(lines, LineCollection)
    starts = np.array([segment[0] for segment in lines.get_segments()])
    return np.diff(on_paper_mm(figure, starts)[:, axis])


@pytest.mark.parametrize("axis", [0, 1])
def test_the_grid_is_one_and_five_millimetres_on_paper(record, axis):
    figure = plot_ecg(record, LEADS, 100.0)
    name = "xy"[axis]
    assert spacing_mm(figure, f"grid-light-{name}", axis) == pytest.approx(1.0, abs=1e-6)
    assert spacing_mm(figure, f"grid-bold-{name}", axis) == pytest.approx(5.0, abs=1e-6)


def test_a_second_is_25_mm_and_a_millivolt_10_mm():
    ramp = np.zeros((1, 1000))
    ramp[0, 300:400] = 1.0  # 1 mV from 3 s on
    figure = plot_ecg(ramp, ["V1"], 100.0)
    (trace,) = found(figure, "trace-V1")
    at = on_paper_mm(figure, trace.get_xydata())
    assert at[300, 0] - at[200, 0] == pytest.approx(25.0)
    assert at[300, 1] - at[200, 1] == pytest.approx(10.0)
    # so a light square is 0.04 s by 0.1 mV, a bold one 0.2 s by 0.5 mV
    assert spacing_mm(figure, "grid-light-x", 0)[0] / 25 == pytest.approx(0.04)
    assert spacing_mm(figure, "grid-bold-y", 1)[0] / 10 == pytest.approx(0.5)


def test_the_calibration_pulse_is_one_millivolt_and_200_ms(record):
    figure = plot_ecg(record, LEADS, 100.0)
    pulses = found(figure, "calibration")
    assert len(pulses) == 4
    for pulse in pulses:
        x, y = on_paper_mm(figure, pulse.get_xydata()).T
        assert np.ptp(y) == pytest.approx(10.0)
        assert np.ptp(x[y > y.min() + 5]) == pytest.approx(5.0)


def test_zero_lines_lie_on_lines_of_the_grid(record):
    figure = plot_ecg(record, LEADS, 100.0)
    zero = np.array([pulse.get_ydata()[0] for pulse in found(figure, "calibration")])
    assert zero == pytest.approx(np.rint(zero))


def test_twelve_leads_stand_in_four_columns_above_a_rhythm_strip(record):
    order = np.random.default_rng(0).permutation(12)
    figure = plot_ecg(record[order], [LEADS[i].upper() for i in order], 100.0)
    traces = {t.get_gid(): t.get_xydata() for t in found(figure, "trace-")}
    assert set(traces) == {
        *(f"trace-{name}-row{i % 3}" for i, name in enumerate(LEADS)),
        "trace-II-row3",
    }
    assert len(traces["trace-V4-row0"]) == 250
    assert len(traces["trace-II-row3"]) == 1000
    # columns follow each other in time: V4 starts at 7.5 s of the strip
    strip = traces["trace-II-row3"]
    assert traces["trace-V4-row0"][0, 0] == pytest.approx(strip[750, 0])
    zero = found(figure, "calibration")[0].get_ydata()[0]
    assert (traces["trace-V4-row0"][:, 1] - zero) / 10 == pytest.approx(record[9, 750:])


@pytest.mark.parametrize(("layout", "n_rows"), [("3x4+rhythm", 4), ("12x1", 12)])
def test_every_row_shades_as_many_patches_as_the_mask_has(record, layout, n_rows):
    figure = plot_ecg(record, LEADS, 100.0, patches=MASK, layout=layout)
    for kind, index in (("context", MASK.context), ("target", MASK.target)):
        rows = found(figure, f"{kind}-row")
        assert len(rows) == n_rows
        assert {len(r.get_paths()) for r in rows} == {len(index)}
    legend = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert legend == ["context: 41 patches, 2.05 s", "target: 159 patches, 7.95 s"]


def test_a_patch_lies_over_its_own_samples(record):
    figure = plot_ecg(record, LEADS, 100.0, patches=PatchShading(0.05, [30], [31]))
    (patch,) = found(figure, "context-row3")[0].get_paths()
    strip = found(figure, "trace-II-row3")[0].get_xdata()
    x = patch.vertices[:, 0]
    assert x.min() == pytest.approx(strip[150])
    assert x.max() == pytest.approx(strip[155])


def test_patches_after_the_drawn_time_are_counted_but_not_drawn(record):
    figure = plot_ecg(record, LEADS, 100.0, patches=MASK, duration_s=5.0)
    assert len(found(figure, "context-row0")[0].get_paths()) == 41
    assert len(found(figure, "target-row0")[0].get_paths()) == 59


def test_context_and_target_differ_also_for_the_colour_blind():
    # luminance tells them apart even without any hue
    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return float(rgb**2.2 @ [0.2126, 0.7152, 0.0722])

    assert luminance(COLOURS["target"]) > 2 * luminance(COLOURS["context"])


def test_any_leads_are_stacked_in_the_given_order(record):
    figure = plot_ecg(record[[6, 1]], ["V1", "sensor"], 100.0)
    names = [t.get_gid() for t in found(figure, "trace-")]
    assert names == ["trace-V1-row0", "trace-sensor-row1"]


def test_voltages_off_the_paper_are_cut_and_flagged():
    tall = np.zeros((2, 1000))
    tall[0, 100] = tall[0, 500] = 7.0
    tall[0, 700] = -7.0
    figure = plot_ecg(tall, ["V2", "V3"], 100.0)
    assert sum(len(m.get_xdata()) for m in found(figure, "clipped") if hasattr(m, "get_xdata")) == 3
    (note,) = found(figure, "clipped-note")
    assert note.get_text() == "cut at ±3 mV: V2"
    (trace,) = found(figure, "trace-V2")
    assert np.ptp(trace.get_ydata()) == pytest.approx(60.0)
    assert not found(plot_ecg(tall / 10, ["V2", "V3"], 100.0), "clipped")


def test_short_records_and_gaps_are_drawn_as_they_are():
    values = np.sin(np.arange(300) / 10)[None].repeat(12, axis=0)
    values[:, 100:150] = np.nan
    figure = plot_ecg(values, LEADS, 100.0)  # 3 s of 10
    (strip,) = found(figure, "trace-II-row3")
    assert len(strip.get_xdata()) == 300
    assert np.isnan(strip.get_ydata()).sum() == 50
    assert len(found(figure, "trace-V4-row0")[0].get_xdata()) == 0
    figure.savefig(io.BytesIO(), dpi=40)


def test_it_draws_into_given_axes_and_leaves_pyplot_alone(record):
    own = Figure()
    ax = own.add_subplot()
    assert plot_ecg(record, LEADS, 100.0, ax=ax, title="mine") is own
    assert len(own.axes) == 1
    assert "mine" in [t.get_text() for t in ax.texts]
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize(
    ("context", "target"), [([0, 1], [1, 2]), ([-1], [0]), ([0], [200]), ([3], [3])]
)
def test_impossible_masks_are_refused(record, context, target):
    with pytest.raises(DataError, match=r"without overlap within 0\.\.199"):
        plot_ecg(record, LEADS, 100.0, patches=PatchShading(0.05, context, target))


def test_impossible_signals_and_settings_are_refused(record):
    with pytest.raises(DataError, match="transpose"):
        plot_ecg(record.T, LEADS, 100.0)
    with pytest.raises(DataError, match="no finite"):
        plot_ecg(np.full((1, 10), np.nan), ["I"], 100.0)
    with pytest.raises(ConfigError, match="rate"):
        plot_ecg(record, LEADS, 0.0)
    with pytest.raises(ConfigError, match="layout"):
        plot_ecg(record, LEADS, 100.0, layout="6x2")  # type: ignore[arg-type]


def test_a_real_record_fits_a_printed_page_uncut():
    from biojepa.data.wfdb_reader import read_wfdb

    folder = real_data("ecg/ptbxl/records500")
    record = read_wfdb(sorted(folder.glob("*/*.hea"))[5])
    figure = plot_ecg(record.values, record.channels, record.rate_hz, patches=MASK)
    width_mm, height_mm = figure.get_size_inches() * 25.4
    assert width_mm == pytest.approx(270.0)
    assert height_mm < 210.0
    assert not found(figure, "clipped")
