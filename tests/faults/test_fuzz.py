"""Two thousand mutants of each kind of file: read, or refused by an error of ours; nothing else.

Mutant number k is made from the seed k alone, so that a failure can be made again.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.cli.config_files import read_config
from biojepa.cli.pretrain import TREE, Options, resolve
from biojepa.data.cards import load_card
from biojepa.data.files import read_ecg
from biojepa.data.safe_yaml import load_yaml
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.ecg import ECGJEPA, ptbxl
from tests.conftest import ROOT
from tests.data.wfdb_factory import signals, write
from tests.faults.cage import MB, run_many
from tests.faults.models import load, put, rehash
from tests.faults.test_hdf5_arrays import GOOD, PLAIN, archive
from tests.faults.test_labels import LINES

N_MUTANTS = 2000
TOKENS = [b"0", b"-1", b"1e400", b"nan", b"inf", b"99999999999", b"2147483648", b"../", b"\0"]
TOKENS += [b"\xff\xfe", b"\n", b'"', b"'", b"{", b"[" * 60, b"(", b",", b":", b"#", b"%s", b"\r"]


def mutant(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bits, bytes, pieces cut, doubled or moved, odd tokens, the end cut."""
    changed = bytearray(raw)
    for _ in range(rng.integers(1, 5)):
        if not changed:
            break
        place = int(rng.integers(len(changed)))
        if rng.random() < 0.5:  # the beginning says what the rest is
            place = int(rng.integers(min(len(changed), 300)))
        piece = slice(place, place + int(rng.integers(1, 40)))
        kind = rng.integers(7)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place] = int(rng.integers(256))
        elif kind == 2:
            del changed[piece]
        elif kind == 3:
            changed[place:place] = changed[piece]
        elif kind == 4:
            changed[place : place + int(rng.integers(3))] = TOKENS[int(rng.integers(len(TOKENS)))]
        elif kind == 5:
            changed[piece] = bytes(rng.integers(0, 256, piece.stop - piece.start, dtype=np.uint8))
        else:
            del changed[place:]
    return bytes(changed)


def whole(recordings: list) -> int:
    """See that recordings are complete objects."""
    for recording in recordings:
        n_channels, n_times = recording.values.shape
        assert recording.values.dtype == np.float32
        assert n_channels == len(recording.channels) == len(set(recording.channels))
        assert n_times > 0
        assert 0 < recording.rate_hz <= 1e5
        assert not np.isinf(recording.values).any()
        assert recording.record_id
        assert isinstance(recording.labels, dict)
    return len(recordings)


def of_file(raw: bytes, name: str, read: Callable[[Path], Any]) -> Callable[[Path], Callable]:
    """Mutants of one file."""

    def make(root: Path) -> Callable[[int], Any]:
        def meet(k: int) -> Any:
            (root / name).write_bytes(mutant(raw, np.random.default_rng(k)))
            return read(root / name)

        return meet

    return make


def wfdb(root: Path) -> Callable[[int], Any]:
    """Mutants of the header, of the samples, or of both."""
    record = write(root, values=signals(200, 3))
    files = {suffix: record.with_suffix(suffix) for suffix in (".hea", ".dat")}
    raw = {suffix: path.read_bytes() for suffix, path in files.items()}

    def meet(k: int) -> int:
        rng = np.random.default_rng(k)
        spoiled = ((".hea",), (".dat",), (".hea",), (".hea", ".dat"))[k % 4]
        for suffix, path in files.items():
            path.write_bytes(mutant(raw[suffix], rng) if suffix in spoiled else raw[suffix])
        return whole([read_wfdb(record, verify=(True, "warn", False)[k % 3])])

    return meet


def folder(kind: str) -> Callable[[Path], Callable]:
    """Mutants of each file of a model folder or checkpoint; every second time the hashes agree."""

    def make(root: Path) -> Callable[[int], Any]:
        sound = put(kind, root).rename(root / "sound")
        names = sorted(path.name for path in sound.iterdir())

        def meet(k: int) -> str:
            place = root / kind
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(sound, place)
            name = names[k // 2 % len(names)]
            (place / name).write_bytes(
                mutant((sound / name).read_bytes(), np.random.default_rng(k))
            )
            if k % 2:
                rehash(place)
            return load(kind, place, verify=k % 3 > 0)

        return meet

    return make


def weights(root: Path) -> Callable[[int], Any]:
    """Mutants of the weights alone, not verified: what the format itself lets through."""
    place = put("model", root)
    raw = (place / "model.safetensors").read_bytes()

    def meet(k: int) -> int:
        (place / "model.safetensors").write_bytes(mutant(raw, np.random.default_rng(k)))
        jepa = ECGJEPA.from_pretrained(place, verify=False).jepa_
        assert all(bool(v.isfinite().all()) for v in jepa.state_dict().values())
        return len(jepa.state_dict())

    return meet


def settings(path: Path) -> Any:
    """A settings file as `biojepa pretrain --config` takes it."""
    read_config(str(path), sections=list(TREE), others=("preset", "init"))
    recipe, *_ = resolve(Options(config=str(path)), {})
    return recipe.train.steps


def read(path: Path) -> int:
    """Any recording with the names and rate that its file lacks."""
    return whole(read_ecg(path, leads=["I", "II"], rate_hz=100, unit="arbitrary"))


def read_table(path: Path) -> int:
    """A table that says everything itself."""
    return whole(read_ecg(path))


def labels(path: Path) -> int:
    """The table of PTB-XL."""
    return len(ptbxl.load_labels(path.parent, "all").y)


CONFIG = b"""preset: tiny
train: {lr: 1e-3, steps: 40, batch_size: 8, device: cpu, final_weight_decay: null}
model: {leads: [I, II, V1], keep: [0.2, 0.4], dim: 32, heads: 4, norm_bias: true}
data.fs: 250
data: {units: uV, leads: [I, II, V1], on_missing: drop}
"""
TIMES = np.arange(60) / 100
TABLE = "time [s],I [mV],II [mV],aVR [mV]\n" + "".join(
    f"{t:.2f},{a:.4f},{b:.4f},{c:.4f}\n" for t, (a, b, c) in zip(TIMES, signals(60, 3), strict=True)
)
GERMAN = TABLE.replace(",", ";").replace(".", ",")
CARD = (ROOT / "datasets" / "ptb-xl.yaml").read_bytes()
KINDS: dict[str, Callable[[Path], Callable[[int], Any]]] = {
    "wfdb": wfdb,
    "safetensors": weights,
    "model-folder": folder("model"),
    "checkpoint": folder("checkpoint"),
    "yaml-settings": of_file(CONFIG, "c.yaml", settings),
    "yaml-card": of_file(CARD, "ptb-xl.yaml", load_card),
    "yaml": of_file(CARD, "c.yaml", load_yaml),
    "csv": of_file(TABLE.encode(), "x.csv", read_table),
    "csv-semicolons": of_file(GERMAN.encode("utf-8-sig"), "x.csv", read_table),
    "csv-labels": of_file("\n".join(LINES).encode(), "ptbxl_database.csv", labels),
    "npy": of_file(PLAIN[:-8] + bytes(8), "x.npy", read),
    "npz": of_file(archive(("x.npy", PLAIN), ("fs.npy", PLAIN)), "x.npz", read),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_are_read_whole_or_refused(tmp_path, kind) -> None:
    assert GOOD.shape == (3, 2, 400)
    root = tmp_path / "root"
    root.mkdir()
    meet = KINDS[kind](root)
    calls = [functools.partial(meet, k) for k in range(N_MUTANTS)]
    outcomes = run_many(calls, root=root, memory=256 * MB, cpu_s=2)
    bad = [
        f"mutant {k}: {o.ended} {o.error} {o.message} {o.escapes}\n{o.trace}"
        for k, o in enumerate(outcomes)
        if o.ended not in ("returned", "refused") or o.escapes
    ]
    assert bad == [], f"{len(bad)} mutants, first:\n{bad[0]}"
    refused = sum(o.ended == "refused" for o in outcomes)
    assert 0 < refused  # and the mutations do something
    assert all(o.message for o in outcomes if o.ended == "refused")
