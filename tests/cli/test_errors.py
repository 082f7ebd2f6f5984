from __future__ import annotations

import warnings

import pytest

from biojepa.cli.errors import UsageError, exit_code, option_hints
from biojepa.errors import DataError, PlausibilityWarning


def _raise(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [(DataError("bad"), 1), (UsageError("bad"), 2), (KeyboardInterrupt(), 130)],
)
def test_errors_on_purpose_are_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lambda: _raise(error), debug=False) == code
    said = capsys.readouterr().err
    assert said.startswith("biojepa: ")
    assert "Traceback" not in said


def test_debug_lets_the_error_through() -> None:
    with pytest.raises(DataError, match="bad"):
        exit_code(lambda: _raise(DataError("bad")), debug=True)


def test_a_mistake_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, debug=False)


def test_warnings_are_sentences_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        for _ in range(3):
            warnings.warn("looks wrong", PlausibilityWarning, stacklevel=1)
        return 0

    assert exit_code(command, debug=False) == 0
    assert capsys.readouterr().err == "biojepa: warning: looks wrong\n"


def test_a_library_argument_gets_its_option() -> None:
    assert option_hints("pass rate_hz=...") == ["on the command line: --fs HZ"]
    assert option_hints("the file is cut") == []


def test_undecodable_names_do_not_break_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: _raise(DataError("a\udcff.hea: cut")), debug=False) == 1
    assert "udcff" in capsys.readouterr().err
