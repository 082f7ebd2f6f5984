"""What BIDS says beside a recording: bad channels, other types, and places of electrodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_records import open_eeg
from biojepa.data.montage import place_channels
from biojepa.errors import MissingLeadWarning
from tests.data.eeg_factory import write_edf, write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
PLACES = {"E1": (10.0, 90.0, 40.0), "E2": (-60.0, 20.0, 80.0), "E3": (0.0, -80.0, 60.0)}


def dataset(
    folder: Path, *, system: str = "CapTrak", units: str = "mm", session: str = "ses-1_"
) -> Path:
    """A recording of electrodes that only its own files place."""
    folder.mkdir(parents=True)
    path = write_edf(folder / "sub-1_ses-1_task-rest_eeg.edf", tuple(PLACES))
    rows = ["name\tx\ty\tz", *("\t".join([n, *map(str, xyz)]) for n, xyz in PLACES.items())]
    rows.append("GND\tn/a\tn/a\tn/a")
    head = f"sub-1_{session}space-CapTrak_"
    (folder / f"{head}electrodes.tsv").write_text("\n".join(rows))
    coordinates = {"EEGCoordinateSystem": system, "EEGCoordinateUnits": units}
    (folder / f"{head}coordsystem.json").write_text(json.dumps(coordinates))
    return path


def test_electrodes_are_where_their_table_says(tmp_path):
    source = open_eeg(dataset(tmp_path / "eeg"))
    for name, place in PLACES.items():
        np.testing.assert_allclose(source.supplied[name], np.array(place) / 1000, atol=1e-6)
    assert place_channels(source.names, supplied=source.supplied).supplied == tuple(PLACES)


@pytest.mark.parametrize(
    "other", [{"system": "EEGLAB"}, {"units": "n/a"}, {"session": "ses-2_"}], ids=str
)
def test_other_systems_units_and_sessions_are_passed_over(tmp_path, other):
    source = open_eeg(dataset(tmp_path / "eeg", **other))
    assert not np.isfinite(list(source.supplied.values())).any() or not source.supplied


def test_a_broken_coordinate_file_is_no_reason_to_refuse_a_recording(tmp_path):
    path = dataset(tmp_path / "eeg")
    for bad in ("{", "[1]", ""):
        (path.parent / "sub-1_ses-1_space-CapTrak_coordsystem.json").write_text(bad)
        assert read_eeg(path).n_times == 800


def test_a_folder_that_mne_bids_wrote_gives_names_places_and_subject(tmp_path):
    mne_bids = pytest.importorskip("mne_bids", reason="comes with the extra moabb")
    import mne

    raw = mne.io.read_raw_fif(write_fif(tmp_path / "a_raw.fif"), verbose="error")
    raw.info["line_freq"] = 50
    raw.set_montage("standard_1020" if mne.__version__ < "1.13" else "colin27_1020")
    raw.info["bads"] = ["Cz"]
    root = mne_bids.BIDSPath(root=tmp_path / "bids", subject="03", task="rest", datatype="eeg")
    mne_bids.write_raw_bids(
        raw, root, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
    )
    with pytest.warns(MissingLeadWarning, match="Cz"):
        assert open_eeg(root.update(suffix="eeg", extension=".vhdr")).names == ("Fz", "Oz")
    (path,) = find_eeg([tmp_path / "bids"])
    assert path.suffix == ".vhdr"
    again = read_eeg(path)
    assert again.info["bads"] == ["Cz"]
    wanted = {ch["ch_name"]: ch["loc"][:3] for ch in raw.info["chs"]}
    for ch in again.info["chs"]:
        np.testing.assert_allclose(ch["loc"][:3], wanted[ch["ch_name"]], atol=2e-3)
