from __future__ import annotations

import pytest

from biojepa.data.bci_folders import read_eegmmidb, read_muse, read_ssvep_exoskeleton
from biojepa.errors import DataError, FormatError
from tests.conftest import real_data
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


@pytest.mark.parametrize("read", [read_eegmmidb, read_ssvep_exoskeleton, read_muse])
def test_an_empty_folder_is_said_to_be_one(read, tmp_path) -> None:
    with pytest.raises(DataError, match="found none"):
        read(tmp_path)


def test_a_muse_table_without_its_columns_is_refused(tmp_path) -> None:
    folder = tmp_path / "P300" / "subject1" / "session1"
    folder.mkdir(parents=True)
    (folder / "x.csv").write_text("timestamps,TP9\n0,1\n")
    with pytest.raises(FormatError, match="Marker"):
        read_muse(tmp_path)


@pytest.mark.parametrize(
    ("read", "folder", "n_subjects", "labels"),
    [
        (read_eegmmidb, "eeg/eegmmidb", 6, {"rest", "left", "right"}),
        (read_ssvep_exoskeleton, "eeg/ssvep_exoskeleton", 6, {"rest", "13 Hz", "17 Hz", "21 Hz"}),
        (read_muse, "eeg/muse_erp", 1, {"target", "non-target"}),
    ],
)
def test_the_public_recordings_are_read(read, folder, n_subjects, labels) -> None:
    recordings = read(real_data(folder))
    assert len(recordings.subjects) == n_subjects
    assert {label for run in recordings.runs for label in run.labels} == labels
    assert all(len(run.values) == len(recordings.channels) for run in recordings.runs)
    assert all(len(h) == 64 for h in (recordings.sha256 or {}).values())
