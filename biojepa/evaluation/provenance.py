"""Which code made a number: commit, versions, threads."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from biojepa import __version__


def code_state(rooms: Sequence[str] = (".",)) -> dict[str, Any]:
    """Commit and versions behind a result.

    Parameters
    ----------
    rooms : sequence of str
        Folders of the package whose uncommitted changes count.

    Returns
    -------
    dict
        `commit` (None outside a checkout), `uncommitted_changes`, `biojepa`, `torch`, `threads`.
    """
    package = Path(__file__).resolve().parents[1]
    git = ["git", "-C", str(package)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": False}
    commit = subprocess.run([*git, "rev-parse", "HEAD"], **options)
    changes = subprocess.run([*git, "status", "--porcelain", "--", *rooms], **options)
    return {
        "commit": commit.stdout.strip() or None,
        "uncommitted_changes": bool(changes.stdout.strip()),
        "biojepa": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
