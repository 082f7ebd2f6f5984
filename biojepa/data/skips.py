"""What was left out of a set of files, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from biojepa.data.csv_safe import write_csv
from biojepa.errors import DataError

MIN_FILES_TO_JUDGE = 20  # ours: of fewer files a single bad one is more than any sensible share


@dataclass(frozen=True)
class Skip:
    """One file that was left out.

    Parameters
    ----------
    path : str
    reason : str
        Name of the error, for counting (`"FormatError"`).
    message : str
        What the error said.
    """

    path: str
    reason: str
    message: str


@dataclass
class SkipReport:
    """The files that were left out of a set, and what was noted of others.

    Parameters
    ----------
    n_files : int
        How many files were looked at, bad ones included; records count one by one where a file
        holds several.
    skips : list of Skip
    noted : list of (path, note)
        What had to be said of files that were read.
    unselected : Counter
        Reason to how many records were left out on purpose; these are not bad ones.
    """

    n_files: int = 0
    skips: list[Skip] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)
    unselected: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """Number of files left out."""
        return len(self.skips)

    def __str__(self) -> str:
        if not self.skips:
            return f"all {self.n_files:,} files read"
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts().items())
        first = self.skips[0]
        return (
            f"{len(self.skips):,} of {self.n_files:,} files left out ({reasons}); "
            f"first: {first.path}: {first.message}"
        )

    def add(self, path: object, error: BaseException) -> None:
        """Note that a file was left out because of an error."""
        self.skips.append(Skip(str(path), type(error).__name__, str(error)))

    def add_notes(self, path: object, notes: tuple[str, ...]) -> None:
        """Note what was said of a file that was read."""
        self.noted.extend((str(path), note) for note in notes)

    def counts(self) -> dict[str, int]:
        """How many files were left out for each reason, most first."""
        return dict(Counter(skip.reason for skip in self.skips).most_common())

    def check(self, max_bad_fraction: float) -> None:
        """See that not too many files were left out.

        Raises
        ------
        DataError
            If all were, or (from 20 files on) more than `max_bad_fraction` of them.
        """
        judged = self.n_files >= MIN_FILES_TO_JUDGE
        too_many = judged and len(self.skips) > max_bad_fraction * self.n_files
        if too_many or (self.skips and len(self.skips) >= self.n_files):
            raise DataError(
                f"{self}. At most {max_bad_fraction:.1%} may be left out: repair or remove the "
                "files, or raise max_bad_fraction"
            )

    def to_csv(self, path: Path) -> None:
        """Write the columns path, reason, message; text that looks like a formula is quoted.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        rows = [(skip.path, skip.reason, skip.message) for skip in self.skips]
        write_csv(Path(path), ("path", "reason", "message"), rows)
