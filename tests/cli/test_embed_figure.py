"""Maps of embedded recordings, by class and by subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from biojepa.cli.embed_figure import draw_map
from biojepa.cli.main import main
from biojepa.errors import DataError

ROWS = "record_id,patient_id,class\na,p1,left\nb,p1,right\nc,p2,left\n"


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Figures, as they are saved."""
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k)
    )
    return figures


def table(path: Path, ids: list[str]) -> Path:
    values = np.random.default_rng(0).standard_normal((len(ids), 5)).astype(np.float32)
    if path.suffix == ".npz":
        np.savez(path, record_id=np.array(ids), features=values)
        return path
    rows = [
        ",".join([name, *(f"{v:.9g}" for v in row), "0.5"])
        for name, row in zip(ids, values.tolist(), strict=True)
    ]
    path.write_text("record_id,f0,f1,f2,f3,f4,p_left\n" + "\n".join(rows) + "\n")
    return path


def legend(figure: Figure, panel: int) -> set[str]:
    return {text.get_text() for text in figure.axes[panel].get_legend().get_texts()}


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_rows_are_drawn_by_class_and_by_subject_windows_as_their_recording(
    tmp_path, drawn, suffix
) -> None:
    (tmp_path / "labels.csv").write_text(ROWS)
    features = table(tmp_path / f"f{suffix}", ["a#0", "a#1", "b", "c#0", "new"])
    draw_map(features, tmp_path / "map.png", str(tmp_path / "labels.csv"))
    assert (tmp_path / "map.png").stat().st_size > 1000
    assert legend(drawn[0], 0) == {"left: 3", "right: 1", "unknown: 1"}
    assert legend(drawn[0], 1) == {"p1: 3", "p2: 1", "unknown: 1"}
    assert [ax.get_title("left") for ax in drawn[0].axes] == ["by class", "by subject"]
    draw_map(features, tmp_path / "plain.png", None)
    assert len(drawn[1].axes) == 1


def test_a_row_may_have_several_classes_or_none(tmp_path, drawn) -> None:
    text = "record_id,patient_id,AF,MI\na,p1,1,1\nb,p1,0,0\nc,p2,,\nd,p3,0,1\n"
    (tmp_path / "labels.csv").write_text(text)
    features = table(tmp_path / "f.npz", list("abcd"))
    draw_map(features, tmp_path / "map.png", str(tmp_path / "labels.csv"))
    assert legend(drawn[0], 0) == {"MI: 1", "several: 1", "none: 1", "unknown: 1"}


def test_labels_of_other_recordings_are_refused(tmp_path) -> None:
    (tmp_path / "labels.csv").write_text(ROWS)
    features = table(tmp_path / "f.npz", ["x", "y", "z"])
    with pytest.raises(DataError, match="has none of x, y, z"):
        draw_map(features, tmp_path / "map.png", str(tmp_path / "labels.csv"))


def test_the_command_draws_what_it_embedded(trained, files, cohort, tmp_path, capsys) -> None:
    out, figure, labels = tmp_path / "f.csv", tmp_path / "map.png", tmp_path / "labels.csv"
    given = ["embed", str(trained), str(files), "-o", str(out)]
    assert main(given) == 0
    ids = [line.split(",")[0] for line in out.read_text().splitlines()[1:]]
    labels.write_text(
        "record_id,patient_id,kind\n"
        + "".join(f"{n},p{i % 5},k{i % 2}\n" for i, n in enumerate(ids))
    )
    assert main([*given, "--figure", str(figure), "--labels", str(labels)]) == 0
    assert figure.stat().st_size > 1000
    assert "24 rows on their two principal axes" in capsys.readouterr().out
    assert main([*given, "--labels", str(labels)]) != 0
    assert main([*given, "--figure", str(tmp_path / "map.bmp")]) != 0
