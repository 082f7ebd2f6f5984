"""Public EEG databases as they are downloaded."""

from __future__ import annotations

import pytest

from biojepa.cli.main import main
from biojepa.data.databases.eeg import EEG_LAYOUTS, eeg_database_files, is_arbitrary
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError, DataError
from tests.conftest import real_data
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg


def test_recordings_are_found_by_name_with_their_subjects(tmp_path):
    for name in ("files/S001/S001R02.edf", "files/S001/S001R01.edf", "files/S012/S012R01.edf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "files" / "other.edf").touch()
    paths, subject = eeg_database_files("eegmmidb", tmp_path)
    assert [p.name for p in paths] == ["S001R01.edf", "S001R02.edf", "S012R01.edf"]
    assert [subject(str(p)) for p in paths] == ["S001", "S001", "S012"]
    assert subject(str(tmp_path / "other.edf")) is None


def test_the_other_layouts_say_their_subjects_and_units():
    subjects = {
        "ssvep-exoskeleton": ("/d/subject05/record-[2012.07.19-11.24.02]_raw.fif", "subject05"),
        "tuh-eeg": ("/d/edf/000/aaaaaaab/s001_2002/02_tcp_le/aaaaaaab_s001_t000.edf", "aaaaaaab"),
    }
    from biojepa.data.databases.eeg import SubjectOf

    for name, (path, subject) in subjects.items():
        assert SubjectOf(EEG_LAYOUTS[name].subject)(path) == subject
    assert [name for name in EEG_LAYOUTS if is_arbitrary(name)] == ["ssvep-exoskeleton"]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="eegmmidb"):
        eeg_database_files("lee2019", tmp_path)
    with pytest.raises(DataError, match=r"S001R01\.edf"):
        eeg_database_files("eegmmidb", tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        eeg_database_files("eegmmidb", tmp_path / "absent")


@needs_eeg
def test_a_database_becomes_a_store_by_its_name(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("S001R01", "S002R01"):
        write_edf(tmp_path / "in" / f"{name}.edf", ("Fc5.", "Cz..", "Oz.."))
    assert main(["prepare", "eegmmidb", str(tmp_path / "in"), "-o", str(tmp_path / "s")]) == 0
    assert "2 named" in capsys.readouterr().out
    with SignalStore(tmp_path / "s") as store:
        assert store.channels == ("FC5", "Cz", "Oz")
        assert list(store.subject_ids) == ["S001", "S002"]
        assert store.recipe["database"] == {"name": "eegmmidb"}
    assert main(["prepare", "eegmmidb", "-o", str(tmp_path / "t")]) == 2
    line = ["prepare", "eegmmidb", str(tmp_path / "in"), "-o", str(tmp_path / "t")]
    assert main([*line, "--units", "arbitrary"]) == 2


@needs_eeg
def test_the_real_ssvep_recordings_become_a_store_in_arbitrary_units(tmp_path):
    root = real_data("eeg/ssvep_exoskeleton")
    assert main(["prepare", "ssvep-exoskeleton", str(root), "-o", str(tmp_path / "s")]) == 0
    with SignalStore(tmp_path / "s") as store:
        assert store.channels == ("Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4")
        assert store.unit == "arbitrary"
        assert len(set(store.subject_ids)) == len(store) == 6
