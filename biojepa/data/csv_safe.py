"""Text that a spreadsheet will not run.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is a formula to a spreadsheet
(OWASP, "CSV injection"). Such text gets a leading apostrophe; numbers are not text and stay.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from biojepa.errors import RunError

# the last four are the full-width forms, which some spreadsheets take for the plain ones
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe_cell(value: object) -> object:
    """A value as it may stand in a CSV file.

    Parameters
    ----------
    value : object
        Numbers and None are returned as they are; text is made harmless, and characters that no
        file can hold (undecodable parts of file names) are written as escapes.
    """
    if value is None or isinstance(value, (int, float)):
        return value
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    if text.lstrip(" ").startswith(_FORMULA_STARTS):
        return "'" + text
    return text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in one step, every cell made safe.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(f"{path} cannot be written: {error}; free space or permissions") from error
