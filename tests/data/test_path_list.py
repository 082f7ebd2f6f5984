"""Paths end to end: what goes in comes out, in order, once if asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from biojepa.data import path_list
from biojepa.data.path_list import PathList

NO_TEXT = "x\udcff.dat"  # a name whose bytes are no UTF-8
PATHS = ["a/b.hea", "", "ü/ekg 1.csv", NO_TEXT, "a/b", "/a", "a//b"]
LONG = "n" * 70_000


def test_paths_come_out_as_they_went_in() -> None:
    paths = PathList([Path("a/b.hea"), *PATHS[1:]])
    assert list(paths) == PATHS
    assert len(paths) == 7
    assert paths[-4] == NO_TEXT
    assert paths[1:4] == PATHS[1:4]
    assert not PathList()
    assert list(PathList([LONG, LONG + "x", "y"])) == [LONG, LONG + "x", "y"]
    with pytest.raises(IndexError):
        paths[7]


def test_repeats_are_named_and_left_out_in_order() -> None:
    paths = PathList(["b", "a", "b", "c", "a"])
    assert paths.first_repeated() == "b"
    assert list(paths.without_repeats()) == ["b", "a", "c"]
    assert PathList(PATHS).first_repeated() is None


def test_paths_of_one_hash_are_no_repeats(monkeypatch) -> None:
    monkeypatch.setattr(path_list, "hash", lambda _: 7, raising=False)
    assert PathList(PATHS).first_repeated() is None
    assert PathList(["a", "b", "a"]).first_repeated() == "a"


def test_a_path_takes_little_more_than_its_bytes() -> None:
    tracemalloc.start()
    paths = PathList(f"folder/record{i:06d}.hea" for i in range(10_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(paths) == 10_000
    assert held < 25 * len(paths)  # what differs from the path before, and two numbers


def test_a_folder_for_every_path_takes_little_more() -> None:
    tracemalloc.start()
    paths = PathList(f"files/p{i // 9:06d}/s{i:08d}/{i:08d}.hea" for i in range(10_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert paths[9_999] == "files/p001111/s00009999/00009999.hea"
    assert held < 50 * len(paths)


@pytest.mark.parametrize("n_paths", [1, 15, 16, 17, 32, 100])
def test_any_path_and_any_slice_is_found(n_paths) -> None:
    given = [f"{'x' * (i % 7)}/{i * i}" for i in range(n_paths)]
    paths = PathList(given)
    assert [paths[i] for i in range(-n_paths, n_paths)] == given + given
    assert all(paths[i : i + 9] == given[i : i + 9] for i in range(n_paths + 2))
    assert paths[::-3] == given[::-3]
    assert "no such path" not in paths
