"""`biojepa doctor`: whether this installation is sound, and whether recordings can be used."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from biojepa import __version__
from biojepa.cli.console import say, shorten, size_text, table
from biojepa.cli.doctor_report import closing, eeg_report, file_report
from biojepa.cli.errors import OK, USER_ERROR
from biojepa.cli.parse import names, option, parse
from biojepa.cli.sources import Units

MORE = """\
examples:
  biojepa doctor
  biojepa doctor my_ecgs/0001.hea my_ecgs/0002.hea
  biojepa doctor export.csv --fs 500 --units uV
  biojepa doctor holter.edf muse.xml resting.dcm
  biojepa doctor my_eegs/"""


@dataclass(frozen=True)
class Options:
    """Check the installation; with files, say whether they can be used.

    Ends with code 1 if something needed is missing, or a file cannot be used.
    """

    files: Annotated[Positional[tuple[str, ...]], option("FILE...")] = ()
    """Recordings, folders or patterns."""
    fs: Annotated[float | None, option("HZ")] = None
    """Samples per second of files that do not say."""
    leads: Annotated[str | None, option("I,II,...")] = None
    """Names of the channels in the files, in their order."""
    units: Annotated[Units, option("UNIT")] = "mV"
    """Of files that do not say: mV (default), uV, V, adc or arbitrary."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "doctor", argv, more=MORE)
    return _files(options) if options.files else _installation()


def _files(options: Options) -> int:
    from biojepa.data.describe import describe_file
    from biojepa.data.describe_eeg import describe_eeg, eeg_files
    from biojepa.data.files import find_records
    from biojepa.errors import BiojepaError

    leads = names(options.leads, option="--leads")
    unit = None if options.units == "mV" else options.units
    bad = 0
    n_files = 0
    kinds = set()
    for given in options.files:
        eeg = eeg_files(given)
        for path in eeg:
            seen = describe_eeg(path, arbitrary=options.units == "arbitrary")
            n_files, bad = n_files + 1, bad + bool(seen["problem"])
            kinds.add("eeg")
            say(*eeg_report(seen))
        try:
            found = [path for path in find_records([given]) if path not in eeg]
        except BiojepaError as error:
            if eeg:
                continue
            say(f"{given}", f"  cannot be used: {error}")
            n_files, bad = n_files + 1, bad + 1
            continue
        for path in found:
            kinds.add("ecg")
            seen = describe_file(path, leads=leads, rate_hz=options.fs, unit=unit)
            usable = seen["readable"] and not seen["problem"]
            n_files, bad = n_files + 1, bad + (not usable)
            say(*file_report(seen))
    lines = closing(n_files - bad, eeg=kinds == {"eeg"})
    say(f"{n_files - bad:,} of {n_files:,} files can be used", *lines)
    return USER_ERROR if bad else OK


def _installation() -> int:
    import torch

    problems = []
    rows = [
        ("biojepa", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("torch", torch.__version__),
        ("devices", ", ".join(_devices())),
        ("processors", f"{os.cpu_count()}, torch uses {torch.get_num_threads()}"),
    ]
    for folder, use in ((Path.cwd(), "here"), (Path(tempfile.gettempdir()), "temporary files")):
        rows.append((f"disk, {use}", f"{size_text(shutil.disk_usage(folder).free)} free"))
        error = _write_test(folder)
        if error:
            problems.append(f"cannot write into {folder}: {error}")
    say("installation", *table(rows), "packages")
    listed = []
    for extra, packages in _requirements().items():
        missing = [name for name in packages if _version(name) is None]
        if not missing:
            known = [f"{name} {_version(name)}" for name in packages]
            listed.append((extra or "needed", shorten(known, 20) if not extra else "installed"))
        elif extra:
            listed.append((extra, f"not installed: {', '.join(missing)}"))
            listed.append(("", f'pip install "biojepa[{extra}]"'))
        else:
            problems.append(f"missing {', '.join(missing)}: pip install --force-reinstall biojepa")
    say(*table(listed))
    say(*(f"problem: {p}" for p in problems))
    say("no problems found" if not problems else f"{len(problems)} problems found")
    return USER_ERROR if problems else OK


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    if torch.cuda.is_available():
        found += [
            f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _requirements() -> dict[str, list[str]]:
    """Packages by extra ("" for those always needed), from the installed metadata."""
    from packaging.requirements import Requirement

    try:
        lines = metadata("biojepa").get_all("Requires-Dist") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        requirement = Requirement(line)
        if requirement.name.lower() == "biojepa":
            continue
        marker = str(requirement.marker or "")
        extra = marker.partition('extra == "')[2].rstrip('"')
        found.setdefault(extra, []).append(requirement.name)
    # whoever develops or wants everything knows; the list is for users of one modality
    return {k: v for k, v in found.items() if k not in ("dev", "all")}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _write_test(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"biojepa")
    except OSError as error:
        return str(error)
    return ""
