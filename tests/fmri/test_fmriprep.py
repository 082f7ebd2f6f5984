"""Confounds and scrubbing from an fMRIPrep folder that the test builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError, FormatError
from biojepa.fmri.fmriprep import fmriprep_confounds
from biojepa.fmri.images import read_volume
from tests.fmri.fmriprep_factory import MOVED, N_TIMES, SPACE, motion, write_study

pytest.importorskip("nilearn.maskers", reason="the extra fmri is not installed")
pytestmark = [
    # nilearn and what it imports warn about their own future
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
NAME = f"sub-01_task-blocks_{SPACE}"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), n_subjects=1)


@pytest.fixture
def func(study, tmp_path) -> Path:
    """A copy of the subject's folder to change."""
    shutil.copytree(study[1] / "sub-01" / "func", tmp_path / "func")
    return tmp_path / "func"


def linked(run, subject: int = 1) -> float:
    """Largest correlation of a region with the movement that the image was made with."""
    moved = motion(subject)[:, 0]
    moved = moved[run.labels.get("frames", slice(None))]
    return float(max(abs(np.corrcoef(row, moved)[0, 1]) for row in run.values))


def test_movement_is_regressed_out_and_moved_frames_are_left_out(study) -> None:
    _, derivatives, atlas = study
    path = derivatives / "sub-01" / "func" / NAME
    plain = read_volume(path, atlas)
    assert linked(plain) > 0.95
    confounds, kept = fmriprep_confounds(path)
    assert confounds.shape == (N_TIMES, 24 + 1 + 2)  # 24 of motion, a cosine, two tissues
    assert not set(MOVED) & set(kept.tolist())
    assert len(kept) == N_TIMES - len(MOVED)
    clean = read_volume(path, atlas, confounds=confounds, sample_mask=kept)
    assert clean.values.shape == (3, len(kept))
    assert clean.labels == {"frames": kept.tolist(), "n_frames": N_TIMES}
    assert linked(clean) < 1e-3


def test_the_strategy_says_what_is_regressed_out(study) -> None:
    path = study[1] / "sub-01" / "func" / NAME
    confounds, kept = fmriprep_confounds(path, strategy=["motion"], motion="basic")
    assert kept is None
    assert sorted(confounds) == sorted(f"{k}_{a}" for k in ("trans", "rot") for a in "xyz")
    assert "global_signal" in fmriprep_confounds(path, strategy=["global_signal"])[0]
    assert "a_comp_cor_01" in fmriprep_confounds(path, strategy=["high_pass", "compcor"])[0]
    # the frames between two movements are fewer than 19 and go too
    assert fmriprep_confounds(path, scrub=19)[1].tolist() == [*range(20), *range(41, 60)]
    assert fmriprep_confounds(path, fd_threshold=1.0)[1] is None
    for wrong in (["motin"], [], ["compcor"]):
        with pytest.raises(ConfigError, match="expected a strategy of motion, high_pass"):
            fmriprep_confounds(path, strategy=wrong)
    with pytest.raises(ConfigError, match="fd_threshold > 0"):
        fmriprep_confounds(path, fd_threshold=0.0)


def test_a_missing_table_or_description_is_named(func) -> None:
    path, table = func / NAME, "sub-01_task-blocks_desc-confounds_timeseries"
    (func / f"{table}.json").unlink()
    assert fmriprep_confounds(path)[0] is not None  # only compcor needs it
    with pytest.raises(DataError, match=rf"{table}\.json: no such file.*leave compcor out"):
        fmriprep_confounds(path, strategy=["high_pass", "compcor"])
    (func / f"{table}.json").write_text("[1, 2")
    with pytest.raises(FormatError, match="expected JSON"):
        fmriprep_confounds(path, strategy=["high_pass", "compcor"])
    (func / f"{table}.tsv").unlink()
    with pytest.raises(DataError, match=rf"expected its confounds {table}\.tsv beside it"):
        fmriprep_confounds(path)
    shutil.copy(path, func / "sub-01_bold.nii.gz")
    with pytest.raises(DataError, match="as fMRIPrep names them"):
        fmriprep_confounds(func / "sub-01_bold.nii.gz")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FormatError, "empty or damaged"),
        ("trans_x\ttrans_y\n0.1\n", FormatError, "as many cells in every row"),
        ("a\tb\n1\t2\n3\t4\n", DataError, "does not give the strategy"),
        ("TransX\tb\n1\t2\n3\t4\n", DataError, "camel case"),
    ],
)
def test_a_damaged_table_is_refused(func, text, error, message) -> None:
    (func / "sub-01_task-blocks_desc-confounds_timeseries.tsv").write_text(text)
    with pytest.raises(error, match=message):
        fmriprep_confounds(func / NAME)


def test_scrubbing_that_leaves_nothing_is_an_error(func) -> None:
    table = func / "sub-01_task-blocks_desc-confounds_timeseries.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    column = rows[0].index("framewise_displacement")
    for row in rows[1:55]:
        row[column] = "3.0"
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    for scrub in (0, 10):
        with pytest.raises(DataError, match=r"leaves \d of 60 frames: raise fd_threshold"):
            fmriprep_confounds(func / NAME, scrub=scrub)


def test_confounds_and_frames_of_another_run_are_refused(study) -> None:
    _, derivatives, atlas = study
    path = derivatives / "sub-01" / "func" / NAME
    with pytest.raises(DataError, match="expected confounds of its 60 frames, got 50"):
        read_volume(path, atlas, confounds=np.zeros((50, 2)))
    for mask in ([0, 1, 60], [3, 2, 1], [0], np.zeros((2, 2), dtype=int), [0.5, 1.5]):
        with pytest.raises(DataError, match="expected a sample mask of 2 or more of its 60"):
            read_volume(path, atlas, sample_mask=mask)
    half = np.arange(N_TIMES) % 2 == 0
    assert read_volume(path, atlas, sample_mask=half).labels["frames"][:3] == [0, 2, 4]
