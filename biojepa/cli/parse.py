"""From a frozen dataclass to a command's options and help, with tyro."""

from __future__ import annotations

import inspect
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any, TypeVar

import tyro

from biojepa.cli.errors import UsageError

T = TypeVar("T")


def parse(options: type[T], name: str, argv: Sequence[str], *, more: str = "") -> T:
    """Read a command line.

    Parameters
    ----------
    options : dataclass
        Its docstring is the description, the docstrings of its fields are the help.
    name : str
        Of the command, as in "pretrain ecg".
    argv : sequence of str
    more : str
        Printed after the help and the further paragraphs of the docstring, as it stands.

    Raises
    ------
    SystemExit
        Code 0 after `--help`, 2 if the line cannot be read (the parser has said why).
    """
    first, _, rest = (inspect.getdoc(options) or "").partition("\n\n")
    asks_help = any(token in ("-h", "--help") for token in argv)
    # tyro wraps at the terminal's width; in a pipe or a file 80 columns read best
    if not sys.stdout.isatty():
        os.environ.setdefault("COLUMNS", "80")
    shown = io.StringIO()
    try:
        with redirect_stdout(shown) if asks_help and not sys.stdout.isatty() else nullcontext():
            return tyro.cli(
                options,
                prog=f"biojepa {name}",
                description=" ".join(first.split()),
                args=list(argv),
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit:
        if asks_help:
            usage, _, table = shown.getvalue().partition("\n")
            lines = textwrap.wrap(usage, 80, subsequent_indent=" " * 8, break_on_hyphens=False)
            parts = ["\n".join([*lines, table.rstrip("\n")]), _wrapped(rest), more]
            print("\n".join(part for part in parts if part))
        raise


def option(metavar: str | None = None, *, short: str | None = None) -> Any:
    """An option that says its default, if it has one to speak of, in its help."""
    aliases = None if short is None else [short]
    return tyro.conf.arg(metavar=metavar, aliases=aliases, help_behavior_hint="")


def names(text: str | Sequence[str] | None, *, option: str) -> list[str] | None:
    """Comma-separated names, such as `I,II,V1`.

    Raises
    ------
    UsageError
        If a name is empty.
    """
    if text is None:
        return None
    found = [part.strip() for part in text.split(",")] if isinstance(text, str) else list(text)
    if not found or not all(found):
        raise UsageError(f"expected names separated by commas after {option}, got {text!r}")
    return found


def absolute(path: str) -> str:
    """A path that means the same from any folder; `~` and variables are the shell's to expand."""
    return os.path.abspath(path)


def _wrapped(text: str) -> str:
    """Paragraphs at 80 columns."""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    return "\n".join(textwrap.fill(p, 79) + "\n" for p in paragraphs if p)
