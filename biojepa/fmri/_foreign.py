"""Damage as nibabel and nilearn report it, in errors of every kind, as a FormatError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from biojepa.data._foreign import raised_in
from biojepa.errors import BiojepaError, FormatError

PACKAGES = ("nibabel", "nilearn")


@contextmanager
def refused_on_damage(where: str, expected: str) -> Iterator[None]:
    """Translate what the two packages raise while they read a file; mistakes of ours stay bare.

    Parameters
    ----------
    where : str
        The file.
    expected : str
        What it should have been, such as `"a CIFTI series"`.
    """
    try:
        yield
    except Exception as error:  # of any kind, if the packages raise it on damage
        ours = isinstance(error, BiojepaError)
        if ours or not any(raised_in(error, package) for package in PACKAGES):
            raise
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise FormatError(f"{where}: expected {expected}, it is damaged: {text}") from error
