"""`biojepa fetch`: a public database into a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tqdm import tqdm
from tyro.conf import Positional

from biojepa.cli.console import say, size_text, table
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import option, parse
from biojepa.data.cards import load_card
from biojepa.data.download import Retry
from biojepa.data.fetch import FetchReport, fetch_database

MORE = """\
examples:
  biojepa fetch ptb-xl -o downloads/ptb-xl
  biojepa fetch georgia -o downloads/cinc2021
  biojepa fetch ptb-xl -o ptbxl --base-url https://mirror.example/ptb-xl/
then: biojepa prepare ptb-xl downloads/ptb-xl -o ptbxl_store"""


@dataclass(frozen=True)
class Options:
    """Download an open public database and compare it with its publishers' hashes.

    Stopped or interrupted, the same command goes on where it was; files that are there with the
    right hash are left. Databases for credentialed users are not fetched: the message says how to
    get them by hand. `biojepa info NAME` says the licence.
    """

    name: Annotated[Positional[str], option("NAME")]
    """Of a dataset card, such as ptb-xl."""
    out: Annotated[str | None, option("DIR", short="-o")] = None
    """Folder for the files, which keep their names."""
    version: Annotated[str | None, option("VERSION")] = None
    """Another version than that of the card."""
    base_url: Annotated[str | None, option("URL")] = None
    """Folder of the same files on another server (a mirror)."""
    connections: Annotated[int, option("N")] = 4
    """Files fetched at a time."""
    attempts: Annotated[int, option("N")] = 5
    """How often a file is tried; what has arrived is kept."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "fetch", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o DIR, a folder for the files")
    if options.attempts < 1:
        raise UsageError(f"expected --attempts of 1 or more, got {options.attempts}")
    card, out = load_card(options.name), Path(options.out)
    say(f"{card.title}, licence: {card.licence or 'see ' + (card.url or 'its page')}")
    bar = tqdm(unit="file", disable=not sys.stderr.isatty())

    def progress(done: int, n_bytes: int) -> None:
        bar.update(done - bar.n)
        bar.set_postfix_str(size_text(n_bytes))

    with bar:
        report = fetch_database(
            card,
            out,
            version=options.version,
            base_url=options.base_url,
            connections=options.connections,
            retry=Retry(options.attempts),
            progress=progress,
        )
    say(*_report(card.name, report))
    return OK


def _report(name: str, report: FetchReport) -> list[str]:
    rows = [
        ("folder", str(report.path)),
        ("fetched", f"{report.n_fetched:,} files, {size_text(report.n_bytes)}"),
        ("were there", f"{report.n_there:,} files"),
    ]
    if report.n_unverified:
        rows.append(("not verified", f"{report.n_unverified:,} files, whose hashes nobody states"))
    if report.unpacked:
        rows.append(("unpacked", f"{len(report.unpacked):,} files; the archives may be deleted"))
    return [*table(rows), f"next: biojepa prepare {name} {report.path} -o STORE"]
