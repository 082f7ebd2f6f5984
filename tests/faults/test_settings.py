"""Rows G1 and G2: settings files that are hostile, ambiguous or mistyped, and paths in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.cards import load_card
from biojepa.data.safe_yaml import load_yaml
from tests.faults.rows import Row, command, fine, in_one_child

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


def loaded(text: str | bytes) -> Callable[[Path], Callable]:
    """Load a YAML file of this text."""

    def make(root: Path) -> Callable:
        (root / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return lambda: load_yaml(root / "c.yaml")

    return make


def printed(text: str) -> Callable[[Path], Callable]:
    """Settings that `pretrain --print-config` makes of a file."""

    def make(root: Path) -> Callable:
        (root / "c.yaml").write_text(text)
        return lambda: command("pretrain", "ecg", "--print-config", "--config", root / "c.yaml")

    return make


def run_settings(text: str | bytes) -> Callable[[Path], Callable]:
    """The `config.yaml` of a run that is resumed."""

    def make(root: Path) -> Callable:
        raw = text if isinstance(text, bytes) else text.encode()
        (root / "config.yaml").write_bytes(raw)
        return lambda: [command(name, root) for name in ("resume", "info")]

    return make


def card(old: str, new: str) -> Callable[[Path], Callable]:
    """A dataset card with another text."""

    def make(root: Path) -> Callable:
        text = Path(__file__).parents[2].joinpath("datasets/ptb-xl.yaml").read_text()
        assert old in text
        (root / "ptb-xl.yaml").write_text(text.replace(old, new, 1))
        return lambda: load_card(root / "ptb-xl.yaml").name

    return make


def bad(text: str | bytes, match: str) -> Row:
    """A file that is refused; the message names it."""
    return Row(loaded(text), "refused", rf"c\.yaml.*{match}", memory=48 << 20)


def wrong(text: str, match: str) -> Row:
    """Settings that the command refuses with one line."""
    return Row(printed(text), "returned", f"'code': 1.*biojepa: .*{match}")


def right(text: str, match: str) -> Row:
    """Settings that the command takes."""
    return fine(printed(text), f"'code': 0.*{match}")


def path_in_settings(value: str) -> Callable[[Path], Callable]:
    """A model to go on from that a settings file names."""

    def make(root: Path) -> Callable:
        os.environ["SECRET_PLACE"] = str(root.parent)
        (root / "c.yaml").write_text(f"init: {value}\n")
        np.save(root / "x.npy", np.random.default_rng(0).normal(0, 0.3, (3, 2, 400)))
        line = ["pretrain", "ecg", str(root / "x.npy"), "-o", str(root / "run"), "--fs", "100"]
        line += ["--leads", "I,II"]
        return lambda: command(*line, "--config", root / "c.yaml")

    return make


def stored_paths(root: Path) -> Callable:
    """What a run keeps of its recordings' place: the resolved path."""
    (root / "c.yaml").write_text("preset: tiny\n")

    def call() -> str:
        from biojepa.cli.parse import absolute

        os.chdir(root)
        assert main(["--version"]) == 0
        return str([absolute("data") == str(root / "data"), absolute("~/data").endswith("/~/data")])

    return call


ROWS: dict[str, Row] = {
    "G1-object": bad("a: !!python/object/apply:os.mkdir [x]\n", "tag"),
    "G1-name": bad("a: !!python/name:os.system\n", "tag"),
    "G1-alias-bomb": bad(BOMB, "line 2.*aliases"),
    "G1-merge": bad("a: &a {b: 1}\nc:\n  <<: *a\n", "aliases"),
    "G1-double-key": bad("lr: 1\nlr: 2\n", "line 2.*'lr' is there twice"),
    "G1-deep": bad("a: " + "[" * 1000 + "]" * 1000, "deeper than 50"),
    "G1-deep-blocks": bad("".join(" " * i + "a:\n" for i in range(500)), "deeper than 50"),
    "G1-nan": bad("lr: .nan\n", "line 1.*finite"),
    "G1-infinite": bad("lr: -.inf\n", "finite"),
    "G1-overflow": bad("lr: 1e999\n", "finite"),
    "G1-many-digits": bad("n: " + "9" * 5000, "5000 digits"),
    "G1-10-mb": bad("a: b\n" * 2_500_000, "larger than 1,048,576"),
    "G1-list": bad("- a\n- b\n", "key: value"),
    "G1-documents": bad("a: 1\n---\nb: 2\n", ""),
    "G1-binary": bad(bytes(range(256)), ""),
    "G1-utf-16": bad("a: 1\n".encode("utf-16"), "UTF-8"),
    "G1-number-as-key": bad("1: a\n", "name as key"),
    "G1-complex-key": bad("? [a]\n: b\n", "name as key"),
    "G1-meant": fine(
        loaded("lr: 1e-3\nno: no\ntime: 12:30\nday: 2024-01-01\nid: 007\nyes: true\n"),
        r"'lr': 0.001, 'no': 'no', 'time': '12:30', 'day': '2024-01-01', 'id': '007', 'yes': True",
    ),
    "G1-bom": fine(loaded("\ufefflr: 1\n"), "'lr': 1"),
    "G1-empty": fine(loaded(""), r"^\{\}$"),
    "G1-rate": right("train: {lr: 1e-3}\n", r"lr: 0\.001"),
    "G1-unknown-key": wrong("train: {learning_rate: 1}\n", "unknown setting|did you mean"),
    "G1-nearest-key": wrong("train.stps: 5\n", "did you mean train.steps"),
    "G1-unknown-section": wrong("trian: {lr: 1}\n", "did you mean train"),
    "G1-twice-in-two-forms": wrong("train: {lr: 1}\ntrain.lr: 2\n", "twice"),
    "G1-wrong-type": wrong("train: {steps: many}\n", "steps: expected a whole number, got 'many'"),
    "G1-wrong-bool": wrong("train: {tensorboard: no}\n", "expected true or false, got 'no'"),
    "G1-fraction": wrong("train: {steps: 1.5}\n", "whole number"),
    "G1-out-of-range": wrong("train: {steps: -3}\n", "steps >= 1"),
    "G1-leads-of-numbers": wrong("model: {leads: [1, 2]}\n", "expected text"),
    "G1-section-of-text": wrong("train: fast\n", "expected settings below 'train'"),
    "G1-unknown-preset": wrong("preset: smal\n", "small"),
    "G1-preset-of-numbers": wrong("preset: 7\n", "expected a name for preset"),
    **{
        f"G1-run-{i}": fine(run_settings(text), r"'code': 1.*'code': 1")
        for i, text in enumerate(
            (
                "a: !!python/name:os.system\n",
                "[]",
                "modality: ecg\ntrain: [1]\n",
                "modality: ecg\ntrain: {steps: x}\nmodel: {}\n",
                BOMB,
                "\0",
                "modality: ecg\nmodel: {leads: 3}\ntrain: {}\npreprocess: {}\n",
                "modality: ecg\ntrain: {}\nmodel: {}\npreprocess: {clip: x}\nsource: 3\n",
                f"{BOMB}modality: ecg\ntrain: {{}}\nmodel: *j\n",
                "modality: ecg\ntrain: " + "[" * 5000,
                b"modality: \xff",
            )
        )
    },
    "G1-card-field": Row(card("title:", "titel:"), "refused", "did you mean 'title'"),
    "G1-card-count": Row(card("n_records: ", "n_records: -"), "refused", "n_records"),
    "G1-card-tag": Row(card("title: ", "title: !!python/name:os.system "), "refused", "tag"),
    "G2-home": fine(path_in_settings("~/model"), "'code': 1.*'~/model'"),
    "G2-variable": fine(path_in_settings("$SECRET_PLACE/m"), r"'code': 1.*\$SECRET_PLACE/m"),
    "G2-command": fine(path_in_settings("'`id`/$(id)'"), r"'code': 1.*`id`/\$\(id\)"),
    "G2-parent": fine(path_in_settings("../../nothing"), "'code': 1.*nothing"),
    "G2-resolved": fine(stored_paths, r"\[True, True\]"),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_settings_end_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
