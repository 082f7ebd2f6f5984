"""Rows C1 to C4: model folders, checkpoints and published files that are damaged or hostile."""

from __future__ import annotations

import functools
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from biojepa.data.files import read_ecg
from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA, ECGClassifier, official
from tests.faults.models import load, put, rehash, rewrite, set_json
from tests.faults.rows import Row, command, in_one_child

HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("hostile-was-here",)


def not_run(root: Path) -> None:
    """Nothing of the hostile file was executed."""
    assert not (root / "hostile-was-here").exists()


def hostile(path: Path) -> Path:
    """A hostile file of the kind that its suffix says."""
    if path.suffix == ".joblib":
        joblib.dump({"model": Evil()}, path)
    elif path.suffix == ".npy":
        np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    elif path.suffix == ".npz":
        np.savez(path, x=np.array([Evil()], dtype=object))
    elif path.suffix == ".ckpt":
        content = {"model": {"a": torch.zeros(1)}, "config": {}, "callbacks": Evil()}
        torch.save(content, path)
    elif path.suffix == ".pth":
        torch.save({"model": Evil()}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps({"model": Evil(), "config": Evil()}))
    return path


def records(root: Path) -> Path:
    """Four recordings in an array file."""
    np.save(root / "x.npy", simulate_ecg(4, rate_hz=100, random_state=0).values)
    return root / "x.npy"


def in_folder(kind: str, **options: Any) -> Callable[[Path], Callable]:
    """A folder in which a pickle stands where the weights should, with hashes that agree."""

    def make(root: Path) -> Callable:
        folder = put(kind, root)
        hostile(root / "evil.pt").replace(folder / "model.safetensors")
        rehash(folder)
        return lambda: load(kind, folder, **options)

    return make


LEADS = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
LOADERS: dict[str, Callable[[Path], Any]] = {
    "load": official.load,
    "load-classifier": lambda path: official.load_classifier(path, {"num_classes": 2}),
    "from-pretrained": ECGJEPA.from_pretrained,
    "classifier-from-pretrained": ECGClassifier.from_pretrained,
    "init": lambda path: ECGJEPA(init=path, preset="tiny", fs=100).fit(
        np.load(path.parent / "x.npy")
    ),
    "encoder": lambda path: ECGClassifier(encoder=str(path), fs=100).fit(
        np.load(path.parent / "x.npy"), [0, 1, 0, 1]
    ),
}
COMMANDS: dict[str, Callable[[Path], list]] = {
    "info": lambda path: ["info", path],
    "convert": lambda path: ["convert", path, path.parent / "new"],
    "embed": lambda path: ["embed", path, path.parent / "x.npy", "-o", path.parent / "f.csv"],
    "pretrain": lambda path: (
        ["pretrain", "ecg", path.parent / "x.npy", "-o", path.parent / "run"]
        + ["--fs", 100, "--leads", LEADS, "--init", path]
    ),
    "resume": lambda path: ["resume", path],
    "doctor": lambda path: ["doctor", path],
}


def loaded_by(loader: str, suffix: str) -> Row:
    """A hostile file in the hands of the library."""

    def make(root: Path) -> Callable:
        path, _ = hostile(root / f"evil{suffix}"), records(root)
        return lambda: LOADERS[loader](path)

    return Row(make, after=not_run)


def given_to(name: str, suffix: str) -> Row:
    """A hostile file in the hands of a command, which ends with an error of one line."""

    def make(root: Path) -> Callable:
        path, _ = hostile(root / f"evil{suffix}"), records(root)
        return lambda: command(*COMMANDS[name](path))

    return Row(make, "returned", "'code': [12]", after=not_run)


def damaged(kind: str, name: str, change: Callable[[bytes], bytes], **options: Any) -> Row:
    """A file of a folder (or the file itself) with other bytes."""

    def make(root: Path) -> Callable:
        path = put(kind, root)
        file = path / name if path.is_dir() else path
        file.write_bytes(change(file.read_bytes()))
        return lambda: load(kind, path, **options)

    return Row(make, "refused", "damaged|cannot be read|not a biojepa|no torch checkpoint")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "1-percent": lambda raw: raw[: len(raw) // 100],
    "half": lambda raw: raw[: len(raw) // 2],
    "99-percent": lambda raw: raw[: len(raw) * 99 // 100],
    "trailing": lambda raw: raw + b"\0\1\2",
    "html": lambda raw: HTML,
}
PLACES = {
    "model": [("model", "model.safetensors"), ("model", "config.json"), ("model", "training.json")],
    "checkpoint": [
        ("checkpoint", name)
        for name in ("model.safetensors", "optimizer.safetensors", "target_encoder.safetensors")
    ]
    + [("checkpoint", "state.json")],
    "published": [("published.pt", "")],
}


def flip(share: float) -> Callable[[bytes], bytes]:
    """One other bit, at this share of the file."""

    def change(raw: bytes) -> bytes:
        place = int(share * (len(raw) - 1))
        return raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]

    return change


def flip_weights(raw: bytes) -> bytes:
    """One other bit in the largest part of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        part = max(archive.infolist(), key=lambda info: info.file_size)
    lengths = raw[part.header_offset + 26 : part.header_offset + 30]
    start = part.header_offset + 30 + sum(struct.unpack("<HH", lengths))
    return flip((start + 7) / (len(raw) - 1))(raw)


def other(kind: str, match: str, **changes: Any) -> Row:
    """A folder with sound hashes that holds something else."""

    def make(root: Path) -> Callable:
        path = put(kind, root)
        rewrite(path, **changes)
        return lambda: load(kind, path)

    return Row(make, "refused", match)


def fill(weights: dict, value: float) -> None:
    """Spoil the first weight."""
    weights[min(weights)].view(-1)[0] = value


def drop(weights: dict) -> None:
    """Take the first weight away."""
    del weights[min(weights)]


def cut(weights: dict) -> None:
    """Give the first weight another shape."""
    weights[min(weights)] = weights[min(weights)].reshape(-1)[:1].clone()


def config(**changes: Any) -> Callable[[dict], None]:
    """Other settings of a model folder."""
    return lambda texts: texts["config.json"].update(changes)


def setting(section: str, name: str, value: Any) -> Callable[[dict], None]:
    """One other setting of a model folder."""
    return lambda texts: texts["config.json"][section].update({name: value})


ROWS: dict[str, Row] = {
    **{
        f"C1-{loader}{suffix}": loaded_by(loader, suffix)
        for loader in LOADERS
        for suffix in (".pt", ".ckpt", ".joblib", ".pth")
    },
    **{
        f"C1-{name}{suffix}": given_to(name, suffix)
        for name in COMMANDS
        for suffix in (".pt", ".ckpt", ".joblib")
    },
    "C1-model-folder": Row(in_folder("model"), after=not_run),
    "C1-model-folder-unverified": Row(in_folder("model", verify=False), after=not_run),
    "C1-checkpoint": Row(in_folder("checkpoint"), after=not_run),
    **{
        f"C1-array{suffix}": Row(
            lambda root, s=suffix: functools.partial(read_ecg, hostile(root / f"a{s}")),
            after=not_run,
        )
        for suffix in (".npy", ".npz")
    },
    **{
        f"C2-{what}-{place}-{name.split('.')[0]}": damaged(kind, name, change)
        for what, change in DAMAGE.items()
        for place, files in PLACES.items()
        for kind, name in files
    },
    **{
        f"C2-{what}-unverified": damaged("model", "model.safetensors", change, verify=False)
        for what, change in DAMAGE.items()
    },
    **{
        f"C3-{place}-{name.split('.')[0]}-{share}": damaged(kind, name, flip(share))
        for place, files in PLACES.items()
        for kind, name in files
        for share in (0.0, 0.02, 0.5, 1.0)
        if place != "published"  # its zip archive has bytes that mean nothing: see C3-published
    },
    "C3-published": damaged("published.pt", "", flip_weights),
    **{
        f"C4-{what}-{kind}": other(kind, match, weights=change)
        for kind in ("model", "checkpoint")
        for what, change, match in (
            ("nan", lambda w: fill(w, float("nan")), "holds NaN or infinity"),
            ("infinite", lambda w: fill(w, float("inf")), "holds NaN or infinity"),
            ("shape", cut, r"has shape \(1,\)"),
            ("missing", drop, r"lacks '.*' \(1 such"),
            ("extra", lambda w: w.update(zzz=torch.zeros(1)), "unexpected key '.*zzz'"),
        )
    },
    "C4-other-modality": other("model", "modality 'ecg', got 'eeg'", texts=config(modality="eeg")),
    "C4-other-kind": other("model", "kind 'encoder'", texts=config(kind="classifier")),
    "C4-newer-model": other("model", "version 99", texts=config(format_version=99)),
    "C4-version-of-text": other("model", "version '1'", texts=config(format_version="1")),
    "C4-no-format": other("model", "says no format", texts=config(format=None)),
    "C4-settings-missing": other(
        "model", "lacks", texts=lambda t: [t["config.json"].pop("model"), None][1]
    ),
    **{
        f"C4-{section}-{name}-{value}": other("model", "", texts=setting(section, name, value))
        for section, name, value in (
            ("model", "dim", 10**9),
            ("model", "depth", "many"),
            ("model", "depth", 10**9),
            ("model", "pred_depth", 10**9),
            ("model", "pred_dim", 10**9),
            ("model", "n_times", 10**15),
            ("model", "leads", "I"),
            ("model", "leads", 7),
            ("model", "leads", [1, 2, 3]),
            ("model", "leads", ["I", "II", "V2"]),
            ("model", "keep", 3),
            ("model", "keep", [2, 3]),
            ("model", "rate_hz", None),
            ("model", "unknown", 1),
            ("preprocess", "leads", 7),
            ("preprocess", "bandpass_hz", "x"),
            ("preprocess", "bandpass_hz", ["a", "b"]),
            ("preprocess", "clip", "x"),
            ("preprocess", "rate_hz", []),
            ("preprocess", "mean", [None, None, None]),
            ("preprocess", "normalise", []),
            ("estimator", "layer", "last"),
            ("estimator", "layer", []),
            ("estimator", "scale", "no"),
            ("estimator", "pool", None),
        )
    },
    **{
        f"C4-section-{name}-{type(value).__name__}": other(
            "model", "", texts=config(**{name: value})
        )
        for name in ("model", "preprocess", "estimator", "metrics")
        for value in (None, 7, "x", [1])
    },
    "C4-newer-checkpoint": other(
        "checkpoint", "format 2", texts=lambda t: t["state.json"].update(format=2)
    ),
    "C4-hash-of-settings": Row(
        lambda root: [
            set_json(put("model", root) / "config.json", modality="ecg "),
            lambda: load("model", root / "model"),
        ][1],
        "refused",
        "damaged",
    ),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_saved_model_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
