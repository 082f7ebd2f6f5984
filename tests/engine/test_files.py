"""Folders that are whole or absent, and every way in which they can be damaged."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from biojepa.engine.files import check_folder, read_json, read_tensors, write_folder, write_text
from biojepa.errors import CheckpointError, RunError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    tensors = {"model": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}}
    write_folder(tmp_path / "model", tensors, {"config.json": {"dim": 3}})
    return tmp_path / "model"


def test_what_was_written_is_read(folder) -> None:
    check_folder(folder)
    tensors = read_tensors(folder / "model.safetensors")
    assert tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_json(folder / "config.json") == {"dim": 3}
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_writing_again_replaces_the_folder_and_leaves_nothing_else(folder) -> None:
    write_folder(folder, {"model": {"c": torch.zeros(1)}}, {})
    check_folder(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "model.safetensors"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_tied_weights_can_be_written(tmp_path) -> None:
    weight = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    write_folder(tmp_path / "m", {"model": {"a": weight, "b": weight, "c": weight.T}}, {})
    read = read_tensors(tmp_path / "m" / "model.safetensors")
    assert torch.equal(read["a"], weight)
    assert torch.equal(read["b"], weight)
    assert torch.equal(read["c"], weight.T)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_damaged(folder, name, share) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="damaged"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("place", [0, 9, -1])
def test_a_flipped_byte_is_damage(folder, name, place) -> None:
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=name):
        check_folder(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
def test_a_missing_file_is_damage(folder, name) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        check_folder(folder)


def test_sums_cut_at_the_end_of_a_line_are_damage(folder) -> None:
    first = (folder / "SHA256SUMS").read_text().splitlines()[0]
    (folder / "SHA256SUMS").write_text(first + "\n")
    with pytest.raises(CheckpointError, match=r"does not list model\.safetensors"):
        check_folder(folder)


@pytest.mark.parametrize("line", ["0" * 64 + "  ../secret", "0" * 64 + "  /etc/passwd", "x"])
def test_sums_never_name_a_file_elsewhere(folder, line) -> None:
    (folder / "SHA256SUMS").write_text(line + "\n")
    with pytest.raises(CheckpointError, match="cannot read the line"):
        check_folder(folder)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff" * 64, b"\x00" * 8])
def test_another_file_is_not_read_as_weights_or_settings(tmp_path, content) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    for read in (read_tensors, read_json):
        with pytest.raises(CheckpointError, match="damaged or not a biojepa file"):
            read(path)


@pytest.mark.parametrize("text", ["[1]", "3", "[" * 5000])
def test_settings_that_are_no_object_are_refused(tmp_path, text) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match="damaged"):
        read_json(tmp_path / "x.json")


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from biojepa.engine.files import write_folder, write_text
from biojepa.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    if sys.argv[2] == "folder":
        write_folder(Path(sys.argv[1]), {"model": {"a": torch.zeros(5000)}}, {"config.json": {}})
    else:
        write_text(Path(sys.argv[1]), "x" * 5000)
except RunError as error:
    sys.exit(str(error))
"""


def full_disk(path: Path, what: str) -> str:
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), what], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    return done.stderr


def test_a_full_disk_leaves_the_old_folder_and_names_path_and_bytes(folder) -> None:
    message = full_disk(folder, "folder")
    assert str(folder) in message
    assert "20,000 bytes" in message
    check_folder(folder)
    assert read_json(folder / "config.json") == {"dim": 3}
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_a_full_disk_leaves_the_old_text(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    write_text(path, "old")
    assert str(path) in full_disk(path, "text")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_place_that_cannot_be_a_folder_is_a_run_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_folder(tmp_path / "file" / "model", {}, {"config.json": {}})


def test_what_cannot_be_replaced_stays(folder, monkeypatch) -> None:
    rename = Path.rename

    def fail(self, target):
        if self.name.startswith(".tmp-"):
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(RunError, match="untouched"):
        write_folder(folder, {}, {"config.json": {"dim": 4}})
    check_folder(folder)
    assert json.loads((folder / "config.json").read_text()) == {"dim": 3}
