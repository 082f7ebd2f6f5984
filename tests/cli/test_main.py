from __future__ import annotations

import subprocess
import sys

import pytest

from biojepa import __version__
from biojepa.cli.main import COMMANDS, main


def test_help_lists_every_command_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name, _, _ in COMMANDS)
    assert max(map(len, text.splitlines())) <= 80


def test_help_of_the_program_does_not_load_torch() -> None:
    code = "import sys; from biojepa.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"torch", "numpy", "tyro", "sklearn"} & set(loaded)


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_explains_itself_within_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: biojepa {name}" in text
    assert "default: None" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"biojepa {__version__}\n"


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embd"]) == 2
    assert "did you mean 'embed'" in capsys.readouterr().err


def test_pretrain_wants_a_modality(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "emg", "x"]) == 2
    assert "biojepa pretrain ecg" in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "model", "file", "-o", "f.csv", "--scael"]) == 2
    assert "--scale" in capsys.readouterr().err


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "biojepa", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("biojepa: unknown command 'nothing'")
