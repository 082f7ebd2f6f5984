"""Very many paths in little memory: the bytes of their names end to end, not one object each.

A list of a million `Path` objects takes half a gigabyte, this a twentieth of it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import overload

import numpy as np


class PathList(Sequence[str]):
    """A sequence of paths as text, to be appended to and read.

    Parameters
    ----------
    paths : iterable of path-like
        Kept as `os.fspath` gives them.
    """

    def __init__(self, paths: Iterable[str | PathLike[str]] = ()) -> None:
        self._names = bytearray()
        self._ends = array("q")
        self._folders: dict[str, int] = {}  # each folder once, with its place
        self._folder_of = array("L")
        self.extend(paths)

    def append(self, path: str | PathLike[str]) -> None:
        """Add one path."""
        folder, slash, name = os.fspath(path).rpartition("/")
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))
        self._folder_of.append(self._folders.setdefault(folder + slash, len(self._folders)))

    def extend(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Add several."""
        for path in paths:
            self.append(path)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            folders = list(self._folders)
            return [self._path(i, folders) for i in range(len(self))[index]]
        return self._path(range(len(self))[index], list(self._folders))

    def __iter__(self) -> Iterator[str]:
        folders = list(self._folders)
        return (self._path(i, folders) for i in range(len(self)))

    def _path(self, i: int, folders: list[str]) -> str:
        name = self._names[self._ends[i - 1] if i else 0 : self._ends[i]]
        return folders[self._folder_of[i]] + os.fsdecode(bytes(name))

    def first_repeated(self) -> str | None:
        """The first path that stands here a second time, None if there is none."""
        hashes = np.fromiter((hash(path) for path in self), np.int64, len(self))
        hashes.sort()  # in place; np.unique builds a table
        if (hashes[1:] != hashes[:-1]).all():
            return None
        seen: set[str] = set()
        for path in self:
            if path in seen:
                return path
            seen.add(path)
        return None  # two different paths of one hash

    def without_repeats(self) -> PathList:
        """The same paths, each where it stands first."""
        return self if self.first_repeated() is None else PathList(dict.fromkeys(self))
