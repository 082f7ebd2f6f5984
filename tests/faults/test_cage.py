"""The cage sees what it should: whatever gets past it would make every other test here blind."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

import h5py
import numpy as np
import pytest

from biojepa.errors import FormatError
from tests.faults.cage import MB, Case, Watch, run, run_cases, run_many


def refuse() -> None:
    raise FormatError("no such luck")


def test_values_errors_and_warnings_come_out(tmp_path) -> None:
    def warn() -> dict:
        warnings.warn("odd", UserWarning, stacklevel=1)
        return {"a": [1, 2]}

    assert run(warn, root=tmp_path).check("returned", warned="odd").value == {"a": [1, 2]}
    assert run(refuse, root=tmp_path).check("refused", "luck").error == "FormatError"
    found = run(lambda: {}["x"], root=tmp_path).check("raised", "x")
    assert found.error == "KeyError"
    assert "lambda" in found.trace


@pytest.mark.parametrize(
    "touch",
    [
        lambda: open("/etc/hostname"),
        lambda: open("../beside", "w"),
        lambda: os.rename("a", "../b"),
        lambda: os.mkdir("/tmp/not-there"),
        lambda: os.listdir("/etc"),
        lambda: open("link"),
        lambda: open(sys.prefix + "/new", "w"),
        lambda: socket.getaddrinfo("127.0.0.1", 1),
        lambda: socket.socket().connect(("127.0.0.1", 9)),
        lambda: subprocess.run(["true"]),
        lambda: os.system("true"),
        lambda: os.execv("/bin/true", ["true"]),
    ],
)
def test_what_leaves_the_cage_is_seen(tmp_path, touch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_text("")
    (root / "link").symlink_to(tmp_path / "beside")
    (tmp_path / "beside").write_text("")

    def attempt() -> None:
        if touch() == 0:
            return
        raise FormatError("done")

    found = run(attempt, root=root)
    # a program that replaces the child takes the report along, which is an end of its own
    assert found.escapes or found.ended == "killed"


def test_what_stays_inside_is_not_called_an_escape(tmp_path) -> None:
    def inside() -> list[str]:
        import colorsys  # noqa: F401 - importing reads files outside

        with open("a.txt", "w") as file:
            file.write("x")
        os.rename("a.txt", tmp_path / "b.txt")
        return os.listdir()

    assert run(inside, root=tmp_path).check("returned").value == ["b.txt"]


def test_memory_time_and_death_are_caught_and_the_rest_still_runs(tmp_path) -> None:
    def endless() -> None:
        while True:
            pass

    calls = [
        lambda: len(bytearray(200 * MB)),
        endless,
        lambda: os.kill(os.getpid(), signal.SIGSEGV),
        lambda: float(np.ones(MB).sum()),
    ]
    found = run_many(calls, root=tmp_path, memory=64 * MB, cpu_s=0.3)
    assert [f.ended for f in found] == ["raised", "killed", "killed", "returned"]
    assert [f.error or f.message for f in found[:3]] == ["MemoryError", "SIGPROF", "SIGSEGV"]
    assert found[3].value == MB


def test_a_case_may_have_less_time_than_the_others(tmp_path) -> None:
    def busy() -> bool:
        end = time.process_time() + 0.6
        while time.process_time() < end:
            pass
        return True

    cases = [Case(busy, tmp_path, cpu_s=0.2), Case(busy, tmp_path)]
    found = run_cases(cases, cpu_s=5)
    assert [f.message or f.value for f in found] == ["SIGPROF", True]


def test_a_child_that_sleeps_is_given_up(tmp_path) -> None:
    (found,) = run_many([lambda: time.sleep(60)], root=tmp_path, wall_s=1)
    assert (found.ended, found.message) == ("killed", "SIGKILL")


def test_a_watch_sees_what_a_c_library_opens(tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    with Watch(tmp_path) as quiet:
        pass
    with Watch(tmp_path) as watch, h5py.File(tmp_path / "a.h5"):
        pass
    assert quiet.opened == set()
    assert watch.opened == {"a.h5"}


def test_what_the_parent_left_to_collect_gives_a_child_no_room(tmp_path) -> None:
    def hungry() -> int:
        gc.collect()
        return len(bytearray(200 * MB))

    gc.disable()
    try:
        cycle: list = [np.empty(300 * MB, np.uint8)]
        cycle.append(cycle)
        del cycle
        found = run(hungry, root=tmp_path, memory=64 * MB)
    finally:
        gc.enable()
    assert found.check("raised").error == "MemoryError"


def test_what_the_parent_has_freed_gives_a_child_no_room(tmp_path) -> None:
    free_one = np.empty(31 * MB, np.uint8)
    del free_one  # from now on, blocks of up to 31 MB come from the heap
    many = [bytearray(MB) for _ in range(300)]
    last = bytearray(2 * MB)  # keeps the heap from shrinking
    del many
    found = run(lambda: len(bytearray(200 * MB)), root=tmp_path, memory=64 * MB)
    assert found.check("raised").error == "MemoryError"
    assert len(last) == 2 * MB


def test_what_one_call_keeps_is_not_counted_against_the_next(tmp_path) -> None:
    kept: list[bytearray] = []

    def keep() -> int:
        kept.append(bytearray(40 * MB))
        return len(kept)

    found = run_many([keep] * 4, root=tmp_path, memory=64 * MB)
    assert [f.value for f in found] == [1, 2, 3, 4]
