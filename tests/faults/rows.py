"""One row of the catalogue of faults: how to make it, and how it must end.

The commands are imported here, so that no child does it for each row anew.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from biojepa.cli.main import COMMANDS, main
from tests.faults.cage import MB, Outcome, run

for _, _, _module in COMMANDS:
    import_module(f"biojepa.cli.{_module}")
for _module in ("biojepa.cli.runs", "matplotlib.pyplot", "lightning_fabric", "torch._dynamo"):
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
    after: Callable[[Path], None] | None = None
    loopback: bool = False

    def check(self, folder: Path) -> Outcome:
        """Make the fault in `folder/root`, meet it in the cage, and fail if it ends otherwise."""
        root = folder / "root"
        root.mkdir()
        outcome = run(self.make(root), root=root, memory=self.memory)
        if self.loopback:
            own = [e for e in outcome.escapes if e.startswith("socket.") and "127.0.0.1" in e]
            rest = tuple(e for e in outcome.escapes if e not in own)
            outcome = replace(outcome, escapes=rest)
        outcome.check(self.must, self.match, warned=self.warned)
        if self.after is not None:
            self.after(root)
        return outcome


def fine(make: Callable[[Path], Call], match: str = "", *, warned: str = "", **options: Any) -> Row:
    """A row that must go well, perhaps with a warning."""
    return Row(make, "returned", match, warned, **options)


def command(*argv: object) -> dict[str, Any]:
    """A command line in this process: exit code and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in argv])
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
