"""Run calls in a forked child under caps, and say how each ended and what it touched.

The child may take so much more address space than it had at the start, so many seconds of
processor time a call, and may open nothing outside a folder, ask no network and start no program.
An audit hook sees what Python opens; what C libraries open outside is seen with `Watch`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import re
import resource
import select
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biojepa.errors import BiojepaError
from tests.conftest import ROOT

MB = 1 << 20
_NEVER = ("socket.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.", "pty.")
_HARMLESS = ("socket.gethostname", "socket.__new__")
_PATHS = ("open", "os.", "shutil.")
# code, its data and the system's own sources may be read, as importing does at any time
_READABLE = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, ROOT / "biojepa")} | {
    os.path.realpath(p) for p in (ROOT / "datasets", ROOT / "tests", "/proc", "/dev", "/sys")
}


@dataclass(frozen=True)
class Case:
    """A call, the only folder that it may touch (the current one), its memory, its seconds."""

    call: Callable[[], Any]
    root: Path
    memory: int = 96 * MB
    cpu_s: float | None = None  # of processor time, in place of that of `run_cases`


@dataclass(frozen=True)
class Outcome:
    """How a call ended."""

    ended: str  # "returned", "refused" (an error of ours), "raised" (any other) or "killed"
    value: Any = None  # what was returned, as far as JSON holds it
    error: str = ""
    message: str = ""  # of the exception; the signal if killed
    warned: tuple[str, ...] = ()
    escapes: tuple[str, ...] = ()  # what was touched outside, asked of the network, or run
    trace: str = ""  # of an error that is none of ours

    def check(self, must: str, match: str = "", *, warned: str = "") -> Outcome:
        """Fail unless it ended like this, with such a message, and touched nothing outside."""
        assert self.escapes == (), f"touched {self.escapes}"
        assert self.ended == must, f"expected {must}: {self.error} {self.message}\n{self.trace}"
        if match:
            assert re.search(match, self.message or str(self.value)), self
        if warned:
            assert any(re.search(warned, text) for text in self.warned), self.warned
        return self


def run(
    call: Callable[[], Any], *, root: Path, memory: int = 96 * MB, cpu_s: float = 10
) -> Outcome:
    """Run one call; see `run_many`."""
    (outcome,) = run_many([call], root=root, memory=memory, cpu_s=cpu_s)
    return outcome


def run_many(
    calls: Iterable[Callable[[], Any]],
    *,
    root: Path,
    memory: int = 96 * MB,
    cpu_s: float = 10,
    wall_s: float = 60,
) -> list[Outcome]:
    """Run calls one after the other in one child; a child that dies is replaced by another.

    Parameters
    ----------
    calls : iterable of callable
        Without arguments; what they return must be JSON-able.
    root : Path
        The only folder that may be touched, and the current one.
    memory : int
        Bytes of address space above what the process has at the start.
    cpu_s, wall_s : float
        Seconds of processor time a call, and of silence, before the child is killed.
    """
    return run_cases([Case(call, root, memory) for call in calls], cpu_s=cpu_s, wall_s=wall_s)


def run_cases(cases: Iterable[Case], *, cpu_s: float = 10, wall_s: float = 60) -> list[Outcome]:
    """As `run_many`, with a folder and a cap of its own for each call.

    A fork of a process that has torch in it takes longer than most calls.
    """
    waiting = list(cases)
    outcomes: list[Outcome] = []
    while len(outcomes) < len(waiting):
        reader, writer = os.pipe()
        with warnings.catch_warnings():  # newer Pythons warn of forks beside threads
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(reader)
            _child(waiting[len(outcomes) :], writer, cpu_s)
        os.close(writer)
        outcomes += _listen(reader, wall_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if len(outcomes) < len(waiting):
            name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
            outcomes.append(Outcome("killed", message=name))
    return outcomes


class Watch:
    """Names of the files in a folder that any process opens while the block runs (Linux)."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.folder, self.opened = folder, set[str]()

    def __enter__(self) -> Watch:
        self._handle = self._libc.inotify_init1(os.O_NONBLOCK)
        opened, name = 0x20, os.fsencode(self.folder)
        assert self._libc.inotify_add_watch(self._handle, name, opened) >= 0
        return self

    def __exit__(self, *_: object) -> None:
        raw = os.read(self._handle, MB) if select.select([self._handle], [], [], 0)[0] else b""
        os.close(self._handle)
        while raw:
            length = struct.unpack_from("iIII", raw)[3]
            self.opened.add(os.fsdecode(raw[16 : 16 + length].rstrip(b"\0")))
            raw = raw[16 + length :]


def _listen(reader: int, wall_s: float) -> list[Outcome]:
    """Outcomes that a child reports, until it ends or falls silent."""
    text, last = b"", time.monotonic()
    while time.monotonic() - last < wall_s:
        if select.select([reader], [], [], 1)[0]:
            if not (more := os.read(reader, MB)):
                break
            text, last = text + more, time.monotonic()
    os.close(reader)
    rows = [json.loads(line) for line in text.split(b"\n")[:-1]]
    lists = ("warned", "escapes")
    return [Outcome(**{k: tuple(v) if k in lists else v for k, v in r.items()}) for r in rows]


def _child(cases: list[Case], writer: int, cpu_s: float) -> None:
    try:
        faulthandler.disable()  # a crash is an outcome here
        # what the parent left to collect would give room under the cap, and time to walk through
        gc.freeze()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        root, most = "", resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (_size(), most))
        _take_what_is_free()
        escapes: list[str] = []
        sys.addaudithook(lambda event, arguments: _audit(event, arguments, root, escapes))
        for case in cases:
            root = os.path.realpath(case.root)
            os.chdir(root)
            # what earlier calls left behind, such as modules, is not this one's
            resource.setrlimit(resource.RLIMIT_AS, (_size() + case.memory, most))
            escapes.clear()
            # SIGPROF ends the process
            signal.setitimer(signal.ITIMER_PROF, cpu_s if case.cpu_s is None else case.cpu_s)
            outcome = _outcome(case.call)
            signal.setitimer(signal.ITIMER_PROF, 0)
            outcome["escapes"] = escapes[:9]
            os.write(writer, json.dumps(outcome, default=str).encode() + b"\n")
    finally:
        os._exit(0)


def _size() -> int:
    """Bytes of address space, without what the heap can give back."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _take_what_is_free() -> None:
    """Leave no large free block in the heap, where a call would find room beyond its cap."""
    malloc = ctypes.CDLL(None).malloc
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    for size in (64 * MB, 8 * MB, MB, MB // 8):
        while malloc(size):
            pass


def _outcome(call: Callable[[], Any]) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found: dict[str, Any] = {"ended": "returned", "value": call()}
        except BaseException as error:
            ours = isinstance(error, BiojepaError)
            found = {"ended": "refused" if ours else "raised", "error": type(error).__name__}
            found |= {"message": str(error), "trace": "" if ours else traceback.format_exc()}
    return found | {"warned": [f"{w.category.__name__}: {w.message}" for w in seen]}


def _audit(event: str, arguments: tuple[Any, ...], root: str, escapes: list[str]) -> None:
    if event == "socket.connect" and "/pymp-" in str(arguments[1]):
        return  # multiprocessing passes tensors of a loader's worker through a socket of its own
    if event.startswith(_NEVER) and event not in _HARMLESS:
        escapes.append(f"{event}{arguments}")
    elif event.startswith(_PATHS):
        writes = event != "open" and event not in ("os.listdir", "os.scandir")
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
            if isinstance(path, str | bytes | os.PathLike) and b"\0" not in os.fsencode(path):
                real = os.path.realpath(os.fsdecode(path))
                inside = real == root or real.startswith(root + os.sep)
                readable = real in sys.path or any(real.startswith(p) for p in _READABLE)
                if not inside and (writes and real != os.devnull or not readable):
                    escapes.append(f"{event} {real}")
