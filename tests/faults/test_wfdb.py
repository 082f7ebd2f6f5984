"""Rows W1 to W16: WFDB records that are damaged, hostile or merely odd."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.data.files import read_ecg, read_many
from biojepa.data.skips import SkipReport
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.ecg import ptbxl
from tests.data.wfdb_factory import edit, signals, write
from tests.faults.cage import MB
from tests.faults.rows import Row, fine, in_one_child

FIRST_LINE = "r1 12 500 500"
GAIN = "200.0(0)/mV"


def reading(spoil: Callable[[Path], Any], **options: Any) -> Callable[[Path], Callable]:
    """Write a good record, spoil it, and read it in the cage; what comes back is summed up."""

    def make(root: Path) -> Callable:
        record = good(root)
        given = spoil(record) or record
        return lambda: summary(read_wfdb(given, **options))

    return make


@functools.cache
def good_files() -> dict[str, bytes]:
    """A good record of twelve leads: suffix to bytes."""
    with tempfile.TemporaryDirectory() as folder:
        record = write(Path(folder))
        return {suffix: record.with_suffix(suffix).read_bytes() for suffix in (".hea", ".dat")}


def good(folder: Path, name: str = "r1") -> Path:
    """Write the good record; wfdb takes ten times as long."""
    for suffix, raw in good_files().items():
        renamed = raw.replace(b"r1", name.encode()) if suffix == ".hea" else raw
        (folder / name).with_suffix(suffix).write_bytes(renamed)
    return folder / name


def summary(recording: Any) -> dict[str, Any]:
    """What is looked at of a recording."""
    return {
        "channels": recording.channels,
        "shape": recording.values.shape,
        "peak": float(np.nanmax(np.abs(recording.values))),
        "missing": int(np.isnan(recording.values).sum()),
        "notes": recording.notes,
        "labels": recording.labels,
    }


def bad(spoil: Callable[[Path], Any], match: str, **options: Any) -> Row:
    """A record that is refused; reading it may take 8 MB."""
    return Row(reading(spoil, **options), "refused", match, memory=8 * MB)


def change(old: str, new: str, *, count: int = -1) -> Callable[[Path], None]:
    """Another text in the header."""
    return lambda record: edit(record, old, new, count=count)


def header(raw: bytes) -> Callable[[Path], None]:
    """Another header."""
    return lambda record: record.with_suffix(".hea").write_bytes(raw) and None


def samples(change_bytes: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Other samples."""

    def spoil(record: Path) -> None:
        path = record.with_suffix(".dat")
        path.write_bytes(change_bytes(path.read_bytes()))

    return spoil


def flipped(raw: bytes) -> bytes:
    """One bit is wrong."""
    return raw[:101] + bytes([raw[101] ^ 0x40]) + raw[102:]


def linked(record: Path) -> None:
    """The samples lie outside the root, behind a link."""
    outside = record.parent.parent / "elsewhere.dat"
    record.with_suffix(".dat").rename(outside)
    record.with_suffix(".dat").symlink_to(outside)


def missing(share: float) -> Callable[[Path], None]:
    """The code of a missing sample in a share of all samples of lead II."""

    def spoil(record: Path) -> None:
        values = signals(400, 12)
        values[: int(400 * share), 1] = np.nan
        write(record.parent, values=values)

    return spoil


def in_unit(unit: str, factor: float) -> Callable[[Path], None]:
    """The header says a unit, and counts per millivolt times `factor`."""
    return change(GAIN, f"{200 * factor}(0)/{unit}")


def named_in_a_table(name: str) -> Callable[[Path], Callable]:
    """A label table that names a record which lies outside its folder."""

    def make(root: Path) -> Callable:
        for folder in (root.parent, root):
            good(folder)
        (root / "ptbxl_database.csv").write_text(
            "ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr\n"
            f'1,1,"{{}}",1,"{name}","{name}"\n'
        )

        def read() -> list:
            paths = ptbxl.record_paths(root, [1])
            return [read_wfdb(path).record_id for path in paths]

        return read

    return make


def named(name: str, *, via: str) -> Callable[[Path], Callable]:
    """The name of a record, given with a root or in a RECORDS list."""

    def make(root: Path) -> Callable:
        good(root.parent)
        (root / "RECORDS").write_bytes(name.encode() + b"\nr1\n")
        if via == "root":
            return lambda: read_wfdb(name, root=root).record_id
        return lambda: [r.record_id for r in read_many(list_of(root))]

    return make


def list_of(root: Path) -> list[Path]:
    """Paths of a RECORDS list."""
    from biojepa.data.files import find_records

    return find_records([root / "RECORDS"])


def beside(name: str, raw: bytes) -> Callable[[Path], None]:
    """Another file beside the record."""
    return lambda record: (record.parent / name).write_bytes(raw) and None


def lines_twice(record: Path) -> None:
    """A byte-order mark, CRLF and a latin-1 comment at once."""
    path = record.with_suffix(".hea")
    text = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text + b"#Dx: 426783006\r\n# caf\xe9\r\n")


NOISE = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
ROWS: dict[str, Row] = {
    "W1-parent": bad(change("r1.dat", "../r1.dat"), "line 2.*bare name"),
    "W1-absolute": bad(change("r1.dat", "/etc/passwd"), "bare name"),
    "W1-address": bad(change("r1.dat", "https://example.org/r1.dat"), "bare name"),
    "W1-backslash": bad(change("r1.dat", "..\\r1.dat"), "bare name"),
    "W1-home": bad(change("r1.dat", "~/r1.dat"), "bare name"),
    **{
        f"W2-{what}-{via}": Row(named(name, via=via), "refused", match)
        for via in ("root", "list")
        for what, name, match in (
            ("parent", "../r1", r"\.\."),
            ("absolute", "/etc/passwd", "outside"),
            ("address", "s3://bucket/r1", "only local"),
            ("nul", "a\0b", "NUL"),
        )
    },
    "W2-empty-root": Row(named("", via="root"), "refused", "path of a record"),
    "W2-parent-table": Row(named_in_a_table("../r1"), "refused", "leave"),
    "W2-absolute-table": Row(named_in_a_table("/etc/passwd"), "refused", "leave"),
    "W2-address-table": Row(named_in_a_table("s3://bucket/r1"), "refused", "leave"),
    "W2-empty-table": Row(named_in_a_table(""), "refused", "leave"),
    "W2-nul-table": Row(named_in_a_table("r1\0"), "refused"),
    "W3-linked-samples": bad(linked, "follow_symlinks=True"),
    "W4-zero": bad(change(GAIN, "0(0)/mV"), "line 2.*gain"),
    "W4-nan": bad(change(GAIN, "nan(0)/mV"), "gain"),
    "W4-overflow": bad(change(GAIN, "1e400(0)/mV"), "gain"),
    "W4-infinite": bad(change(GAIN, "inf(0)/mV"), "gain"),
    "W4-missing": bad(change(f" {GAIN}", ""), "gain|whole numbers"),
    "W4-negative": fine(reading(change("200.0(0)", "-200.0(0)")), warned="negative gain"),
    **{
        f"W5-{what}": bad(change(FIRST_LINE, f"r1 12 {rate} 500"), "line 1.*rate")
        for what, rate in (("zero", "0"), ("negative", "-100"), ("huge", "1e308"), ("nan", "nan"))
    },
    "W5-missing": bad(change(FIRST_LINE, "r1 12"), "line 1.*rate"),
    "W6-flipped": bad(samples(flipped), "checksum differs in .*verify=False"),
    "W6-flipped-warn": fine(
        reading(samples(flipped), verify="warn"), "checksum", warned="checksum"
    ),
    "W7-truncated": bad(samples(lambda raw: raw[:-1]), "is cut"),
    "W7-empty": bad(samples(lambda raw: b""), "is cut"),
    "W7-absent": bad(lambda record: record.with_suffix(".dat").unlink(), "no such file"),
    "W7-longer": fine(reading(samples(lambda raw: raw * 3)), "more", warned="24000 bytes more"),
    "W8-length": bad(change(FIRST_LINE, "r1 12 500 99999999999"), "is cut"),
    "W8-frame": bad(change(" 16 200", " 16x99999999 200"), "is cut"),
    "W8-signals": bad(change(FIRST_LINE, "r1 1000000000 500 500"), "line 13.*1000000000"),
    "W8-offset": bad(change(" 16 200", " 16+999999999999 200"), "is cut"),
    "W8-no-length-and-frame": bad(
        lambda r: [edit(r, FIRST_LINE, "r1 12 500"), edit(r, " 16 200", " 16x99999999 200")][1],
        "is cut",
    ),
    "W9-lines": bad(change(FIRST_LINE, "r1 14 500 500"), "line 13.*14 signal lines"),
    "W9-empty": bad(header(b""), "record line"),
    "W9-comments": bad(header(b"# a\n# b\n"), "record line"),
    "W9-binary": bad(header(bytes(range(256))), "binary"),
    "W9-noise": bad(header(NOISE), "r1.hea"),
    "W9-format": bad(change(" 16 200", " 999 200"), "line 2.*signal format"),
    "W10-itself": bad(header(b"r1/1 12 500 500\nr1 500\n"), "line 1.*multi-segment"),
    "W10-each-other": bad(header(b"r1/2 12 500 1000\nr1 500\nr2 500\n"), "multi-segment"),
    "W11-twice": bad(change("V2", "v1"), "both mean lead V1"),
    "W11-alias-twice": bad(change("III", "MLII"), "both mean lead II"),
    "W11-lower-case": fine(reading(change("AVR", "avr")), "aVR"),
    "W11-modified": fine(reading(change(" III", " MLIII")), "'III'"),
    "W11-unknown": fine(reading(change(" V6", " Pleth")), "'Pleth'"),
    "W12-skew": bad(change(" 16 200", " 16:999999999 200"), "skew"),
    "W12-mostly-missing": bad(missing(0.75), r"II \(75%\)"),
    "W12-quarter-missing": fine(reading(missing(0.25)), "'missing': 100", warned=r"II \(25.00%\)"),
    "W13-uv": fine(reading(in_unit("uV", 1e-3)), "'peak': 0.6"),
    "W13-volt": fine(reading(in_unit("V", 1e3)), "'peak': 0.6"),
    "W13-nd": fine(reading(in_unit("mV/nd", 1)), "'peak': 0.6"),
    "W13-shouted": fine(reading(in_unit("MV", 1)), "'peak': 0.6"),
    "W13-thousand-times-large": bad(in_unit("mV", 1e-3), "looks like microvolt: pass unit='uV'"),
    "W13-thousand-times-small": bad(in_unit("mV", 1e3), "looks like volt: pass unit='V'"),
    "W13-pressure": bad(change("/mV", "/mmHg"), "expected mV, uV or V for lead I"),
    "W14-bom-crlf-latin1": fine(reading(lines_twice), "426783006"),
    "W14-40-mb-comment": fine(
        reading(lambda r: header(r.with_suffix(".hea").read_bytes() + b"#" + b"x" * 40_000_000)(r)),
        "only the first",
    ),
    "W14-comment-bomb": fine(
        reading(lambda r: header(r.with_suffix(".hea").read_bytes() + b"#a: b\n" * 100_000)(r)),
        "passed over",
    ),
    "W15-beside": fine(reading(beside("r1.atr", NOISE)), r"\[12, 500\]"),
    "W15-itself": Row(
        lambda root: [beside("r1.atr", NOISE)(good(root)), lambda: read_ecg(root / "r1.atr")][1],
        "refused",
        "expected one of",
    ),
    **{
        f"W16-{suffix}": fine(reading(lambda r, s=suffix: r.with_suffix(f".{s}")), r"\[12, 500\]")
        for suffix in ("hea", "dat", "mat")
    },
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_record_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])


def skipping(bad: Row) -> Row:
    """The fault beside a good record, in a folder that is read with `on_error="skip"`."""

    def make(root: Path) -> Callable[[], Any]:
        good(root, "good")
        bad.make(root)

        def read() -> dict[str, Any]:
            report = SkipReport(0)
            paths = [root / "good.hea", root / "r1.hea"]
            found = [r.record_id for r in read_many(paths, on_error="skip", report=report)]
            skipped = [os.path.relpath(s.path, root) for s in report.skips]
            return {"found": found, "skipped": skipped, "n": report.n_files}

        return read

    return fine(make, r"^\{'found': \['good'\], 'skipped': \['r1.hea'\], 'n': 2\}$")


SKIPPED = {
    row: skipping(bad)
    for row, bad in ROWS.items()
    if bad.must == "refused" and not row.startswith("W2") and row != "W15-itself"
}
skipped = in_one_child(SKIPPED)


@pytest.mark.parametrize("row", SKIPPED)
def test_a_bad_record_in_a_folder_is_skipped_and_reported(skipped, row) -> None:
    SKIPPED[row].judge(*skipped[row])
