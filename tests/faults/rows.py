"""One row of the catalogue of faults: how to make it, and how it must end.

The commands are imported here, so that no child does it for each row anew.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from biojepa.cli.main import COMMANDS, main
from tests.faults.cage import MB, Case, Outcome, run_cases

for _, _, _module in COMMANDS:
    import_module(f"biojepa.cli.{_module}")
for _module in ("biojepa.cli.ecg_runs", "matplotlib.pyplot", "lightning_fabric", "torch._dynamo"):
    import_module(_module)

Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """A fault.

    Parameters
    ----------
    make : callable (root) -> call
        Makes the fault in an empty folder and returns what is then done in the cage.
    must : {"refused", "returned"}
    match : str
        Pattern of the error's message, or of what was returned.
    warned : str
        Pattern of a warning.
    memory : int
        Bytes that the call may take.
    cpu_s : float, optional
        Seconds of processor time that it may take; ten by default.
    after : callable (root), optional
        What must hold in the folder afterwards; asserts it.
    loopback : bool
        The call may talk to this machine.
    """

    make: Callable[[Path], Call]
    must: str = "refused"
    match: str = ""
    warned: str = ""
    memory: int = 96 * MB
    cpu_s: float | None = None
    after: Callable[[Path], None] | None = None
    loopback: bool = False

    def case(self, folder: Path) -> Case:
        """Make the fault in `folder/root`."""
        root = folder / "root"
        root.mkdir()
        return Case(self.make(root), root, self.memory, self.cpu_s)

    def check(self, folder: Path) -> Outcome:
        """Make the fault in `folder/root`, meet it in the cage, and fail if it ends otherwise."""
        case = self.case(folder)
        (outcome,) = run_cases([case])
        return self.judge(outcome, case.root)

    def judge(self, outcome: Outcome, root: Path) -> Outcome:
        """Fail if it ended otherwise."""
        if self.loopback:
            own = [e for e in outcome.escapes if e.startswith("socket.") and "127.0.0.1" in e]
            rest = tuple(e for e in outcome.escapes if e not in own)
            outcome = replace(outcome, escapes=rest)
        outcome.check(self.must, self.match, warned=self.warned)
        if self.after is not None:
            self.after(root)
        return outcome


def in_one_child(rows: Mapping[str, Row]) -> Any:
    """A fixture: how the chosen rows of a table end and in which folder, all met by one child."""

    @pytest.fixture(scope="module")
    def ended(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> dict[str, tuple[Outcome, Path]]:
        chosen = [
            item.callspec.params["row"]
            for item in request.session.items
            if item.path == request.path and request.fixturename in item.fixturenames
        ]
        cases = [rows[row].case(tmp_path_factory.mktemp("row")) for row in chosen]
        outcomes = zip(run_cases(cases), cases, strict=True)
        found = [(outcome, case.root) for outcome, case in outcomes]
        return dict(zip(chosen, found, strict=True))

    return ended


def fine(make: Callable[[Path], Call], match: str = "", *, warned: str = "", **options: Any) -> Row:
    """A row that must go well, perhaps with a warning."""
    return Row(make, "returned", match, warned, **options)


def command(*argv: object) -> dict[str, Any]:
    """A command line in this process: exit code and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in argv])
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
