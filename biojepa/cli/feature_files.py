"""Tables of features that are written row by row and appear only when they are whole."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from biojepa.cli.errors import UsageError
from biojepa.data.csv_safe import safe_cell
from biojepa.errors import BiojepaError, RunError

BLOCK_ROWS = 1024


class FeatureFile(Protocol):
    """A table that grows.

    Attributes
    ----------
    n_rows : int
    classes : tuple of str
        Names of the last columns, which hold probabilities; set before the first row.
    """

    n_rows: int
    classes: tuple[str, ...]

    def write(self, record_ids: Sequence[str], features: np.ndarray) -> None:
        """Append rows; `features` has shape (n, n_features + n_classes)."""

    def finish(self) -> None:
        """Write what is left; nothing can be appended afterwards."""


@contextmanager
def open_feature_file(path: Path) -> Iterator[FeatureFile]:
    """A table by its suffix; it replaces `path` at the end, if no error came between.

    Raises
    ------
    UsageError
        If the suffix is neither .csv nor .npz.
    RunError
        If it cannot be written.
    """
    kinds: dict[str, type[CsvFeatures] | type[NpzFeatures]]
    kinds = {".csv": CsvFeatures, ".npz": NpzFeatures}
    if path.suffix.lower() not in kinds:
        raise UsageError(f"expected -o FILE.csv or -o FILE.npz, got {str(path)!r}")
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    rows = path.with_name(f".tmp-{os.getpid()}-{path.name}.rows")
    try:
        with temporary.open("wb") as out, rows.open("w+b") as kept:
            file = kinds[path.suffix.lower()](out, kept)
            yield file
            file.finish()
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BiojepaError:
        raise  # those of the recordings, some of which are OSErrors too
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}; free space or permissions") from error
    finally:
        temporary.unlink(missing_ok=True)
        rows.unlink(missing_ok=True)


class CsvFeatures:
    """record_id, f0, f1, ..., p_CLASS; what a spreadsheet would run is made harmless."""

    def __init__(self, out: IO[bytes], rows: IO[bytes]) -> None:
        self.n_rows = 0
        self.classes: tuple[str, ...] = ()
        self._out = out

    def write(self, record_ids: Sequence[str], features: np.ndarray) -> None:
        """Append rows; nine digits give every float32 back exactly."""
        lines: list[list[Any]] = []
        if not self.n_rows:
            n_features = features.shape[1] - len(self.classes)
            columns = [f"f{i}" for i in range(n_features)] + [f"p_{c}" for c in self.classes]
            lines.append(["record_id", *columns])
        for name, row in zip(record_ids, features.tolist(), strict=True):
            lines.append([safe_cell(name), *(f"{value:.9g}" for value in row)])
        text = _Lines()
        csv.writer(text).writerows(lines)
        self._out.write("".join(text.parts).encode("utf-8"))
        self.n_rows += len(record_ids)

    def finish(self) -> None:
        """Nothing is left."""


class NpzFeatures:
    """`features` float32 (n, n_features), `record_id` str (n,); `probabilities` and `classes`."""

    def __init__(self, out: IO[bytes], rows: IO[bytes]) -> None:
        self.n_rows = 0
        self.classes: tuple[str, ...] = ()
        self._out, self._rows = out, rows
        self._ids: list[str] = []
        self._width = 0

    def write(self, record_ids: Sequence[str], features: np.ndarray) -> None:
        """Append rows."""
        self._width = features.shape[1]
        self._ids += record_ids
        self._rows.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
        self.n_rows += len(record_ids)

    def finish(self) -> None:
        """Put the arrays into the archive."""
        ids = [name.encode("utf-8", "backslashreplace").decode("utf-8") for name in self._ids]
        n_features = self._width - len(self.classes)
        with zipfile.ZipFile(self._out, "w", allowZip64=True) as archive:
            self._columns(archive, "features", 0, n_features)
            _array(archive, "record_id", np.array(ids, dtype=str))
            if self.classes:
                self._columns(archive, "probabilities", n_features, self._width)
                _array(archive, "classes", np.array(self.classes, dtype=str))

    def _columns(self, archive: zipfile.ZipFile, name: str, first: int, last: int) -> None:
        """Write some columns of all rows, a block of rows at a time."""
        shape = (self.n_rows, last - first)
        self._rows.seek(0)
        block = BLOCK_ROWS * self._width * 4
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            while block and (raw := self._rows.read(block)):
                rows = np.frombuffer(raw, dtype="<f4").reshape(-1, self._width)
                member.write(np.ascontiguousarray(rows[:, first:last]).tobytes())


def _array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


class _Lines:
    """What `csv.writer` writes into."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        """Keep a piece of text."""
        self.parts.append(text)
        return len(text)
