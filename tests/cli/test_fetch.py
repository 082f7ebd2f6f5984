from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from biojepa.cli.main import main
from biojepa.data.store import SignalStore
from tests.data.databases import miniature
from tests.data.web import serve


def test_a_database_is_fetched_and_prepared_by_two_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = miniature.ptbxl(tmp_path / "there")
    with serve() as web:
        files = {p.relative_to(source).as_posix(): p.read_bytes() for p in source.rglob("*.*")}
        sums = (f"{hashlib.sha256(body).hexdigest()} {name}\n" for name, body in files.items())
        web.files |= files | {"SHA256SUMS.txt": "".join(sums).encode()}
        line = ["fetch", "ptb-xl", "-o", str(tmp_path / "here"), "--base-url", web.url]
        assert main(line) == 0
        said = capsys.readouterr().out
        assert "licence: CC BY 4.0" in said
        assert f"{len(files)} files" in said
        assert main(line) == 0
        assert "0 files" in capsys.readouterr().out
    assert main(["prepare", "ptb-xl", str(tmp_path / "here"), "-o", str(tmp_path / "s")]) == 0
    with SignalStore(tmp_path / "s") as store:
        assert len(store) == 6
        assert store.subject_ids[5] == "2"


def test_what_cannot_be_fetched_says_why_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve() as web:
        out = ["-o", str(tmp_path), "--base-url", web.url]
        for line, code, part in (
            (["ptb-xl", *out], 1, "by hand: 1. open https://physionet.org/content/ptb-xl/1.0.3/"),
            (["ptbxl", *out], 1, "did you mean 'ptb-xl'"),
            (["ptb-xl"], 2, "-o DIR"),
            (["ptb-xl", *out, "--attempts", "0"], 2, "--attempts"),
            (["ptb-xl", "-o", "x", "--base-url", "ftp://x/"], 1, "https://"),
        ):
            assert main(["fetch", *line]) == code
            said = capsys.readouterr().err
            assert part in said
            assert "Traceback" not in said
