"""One writer per folder, by a lock that dies with its process."""

from __future__ import annotations

import os
from pathlib import Path

from biojepa.errors import RunError

try:
    import fcntl
except ImportError:  # Windows has no fcntl; an open file cannot be opened for deletion there
    fcntl = None  # type: ignore[assignment]


class WriteLock:
    """Hold a folder for one writing process.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    RunError
        If another process holds it. A killed process holds nothing.
    """

    NAME = "writer.lock"

    def __init__(self, folder: Path) -> None:
        self._file: int | None = os.open(folder / self.NAME, os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self.release()
                raise RunError(
                    f"another process is writing {folder}: wait for it or choose another folder"
                ) from error

    def release(self) -> None:
        """Let the folder go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
