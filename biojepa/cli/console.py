"""What commands print: plain lines, from the first process of a run only."""

from __future__ import annotations

import os
import sys
import textwrap

COLUMNS = 80


def is_lead_process() -> bool:
    """Whether this is the first process of a run, before `torch.distributed` knows.

    Under torchrun the rank is in RANK, under SLURM in SLURM_PROCID; a process that Lightning
    Fabric starts on this machine has LOCAL_RANK (and NODE_RANK on further machines).
    """
    for name in ("RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return os.environ[name] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))


def say(*lines: str) -> None:
    """Print lines to standard output at once, if this is the first process."""
    if is_lead_process():
        encoding = sys.stdout.encoding or "utf-8"
        for line in lines:
            print(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()


def table(rows: list[tuple[str, str]]) -> list[str]:
    """Lines of two columns, the first as wide as its longest entry; long values go on below."""
    width = max((len(name) for name, _ in rows), default=0)
    lines = []
    for name, value in rows:
        # paths and commands stay whole, to be copied
        parts = textwrap.wrap(
            value, max(40, COLUMNS - width - 4), break_long_words=False, break_on_hyphens=False
        )
        for i, part in enumerate(parts or [""]):
            lines.append(f"  {'' if i else name:<{width}}  {part}".rstrip())
    return lines


def size_text(n_bytes: int) -> str:
    """A number of bytes for people."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shorten(names: list[str] | tuple[str, ...], limit: int = 12) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
