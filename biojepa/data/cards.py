"""Dataset cards: what is known of a public database, declared in one YAML file each.

A card holds facts and no code. A value that is not known is null and has a `<field>_reason`
beside it. Cards lie in `datasets/` of a checkout and in `biojepa/data/cards/` of an installation.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from biojepa.data.safe_yaml import load_yaml
from biojepa.errors import ConfigError

_FORMER_NAMES = {"ptb-diagnostic": "ptb"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Normalisation:
    """Constants that bring a database's leads to mean 0 and spread 1.

    Parameters
    ----------
    unit : str
        Unit of the signals that the constants are for.
    rate_hz : float
    of : str
        Which records and which form of the signals they were computed on.
    mean, std : tuple of float or None
        One value per lead, in the order of the card (both may leave out trailing extra leads).
    highpass_hz : float or None
        High-pass against baseline wander that the signals went through first.
    """

    unit: str
    rate_hz: float
    of: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    highpass_hz: float | None = None


@dataclass(frozen=True)
class Download:
    """Where `biojepa fetch` gets a database.

    Parameters
    ----------
    url : str
        Folder of the files, ending in a slash; `{version}` stands for the version.
    sums : str or None
        List of SHA-256 and names of all files, below `url`; None if there is none.
    folders : tuple of str
        Beginnings of the names in that list that belong to the database; `""` for all. Without a
        list the names are those of `DatasetCard.files`.
    """

    url: str
    sums: str | None
    folders: tuple[str, ...]


@dataclass(frozen=True)
class DatasetCard:
    """The facts about one public database.

    Parameters
    ----------
    name, title, version : str
    doi, url : str or None
        DOI of the describing article or of the database; where it is downloaded.
    licence, citation : str
    access : {"open", "credentialed"}
    files : dict
        Path in the database to SHA-256, None where it is not known.
    format : str
    rates_hz : tuple of float
        The rates that it is distributed at, best first.
    leads : tuple of str
        As the files name them, in their order.
    unit : str
        Unit of the signals as read.
    n_records, n_subjects : int or None
    duration_s : float or None
        Length of every record; None if it differs.
    splits : dict or None
        The publishers' split: part to records.
    label_source : str
    quirks : tuple of str
        What surprises those who read the files.
    normalisation : Normalisation or None
    download : Download or None
        None if biojepa does not download it.
    reasons : dict
        Field to the reason why its value, or a part of it, is not known.
    """

    name: str
    title: str
    version: str | None
    doi: str | None
    url: str | None
    licence: str | None
    citation: str | None
    access: str | None
    files: dict[str, str | None] | None
    format: str | None
    rates_hz: tuple[float, ...] | None
    leads: tuple[str, ...] | None
    unit: str | None
    n_records: int | None
    n_subjects: int | None
    duration_s: float | None
    splits: dict[str, str] | None
    label_source: str | None
    quirks: tuple[str, ...] | None
    normalisation: Normalisation | None
    download: Download | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def load_card(name: str | os.PathLike[str]) -> DatasetCard:
    """Load the card of a database.

    Parameters
    ----------
    name : str or Path
        Name of a card that comes with biojepa (see `list_cards`), or the `Path` of a card file.

    Returns
    -------
    DatasetCard

    Raises
    ------
    ConfigError
        If there is no such card, or it has unknown, missing or wrongly typed fields.
    """
    if isinstance(name, str):
        name = _FORMER_NAMES.get(name, name)
        known = list_cards()
        if name not in known:
            raise ConfigError(f"no card named {name!r}{_nearest(name, known)}")
        path = _folder() / f"{name}.yaml"
    else:
        path = Path(name)
    content = load_yaml(path)
    allowed = [f.name for f in fields(DatasetCard) if f.default_factory is MISSING]
    reasons = {f"{key}_reason": key for key in allowed}
    for key in content:
        if key not in allowed and key not in reasons:
            raise ConfigError(f"{path}: unknown field {key!r}{_nearest(key, allowed)}")
    missing = [key for key in allowed if key not in content and key != "download"]
    if missing:
        raise ConfigError(f"{path}: missing {', '.join(missing)} (null with a reason if unknown)")
    card = DatasetCard(
        name=_text(path, "name", content["name"]) or "",
        title=_text(path, "title", content["title"]) or "",
        version=_text(path, "version", content["version"]),
        doi=_text(path, "doi", content["doi"]),
        url=_text(path, "url", content["url"]),
        licence=_text(path, "licence", content["licence"]),
        citation=_text(path, "citation", content["citation"]),
        access=_text(path, "access", content["access"]),
        files=_files(path, "files", content["files"]),
        format=_text(path, "format", content["format"]),
        rates_hz=_numbers(path, "rates_hz", content["rates_hz"]),
        leads=_texts(path, "leads", content["leads"]),
        unit=_text(path, "unit", content["unit"]),
        n_records=_count(path, "n_records", content["n_records"]),
        n_subjects=_count(path, "n_subjects", content["n_subjects"]),
        duration_s=_number(path, "duration_s", content["duration_s"]),
        splits=_parts(path, "splits", content["splits"]),
        label_source=_text(path, "label_source", content["label_source"]),
        quirks=_texts(path, "quirks", content["quirks"]),
        normalisation=_normalisation(path, "normalisation", content["normalisation"]),
        download=_download(path, "download", content.get("download")),
        reasons={
            reasons[key]: _text(path, key, content[key]) or "" for key in content if key in reasons
        },
    )
    _check(path, card)
    return card


def list_cards() -> list[str]:
    """Names of the cards that come with biojepa, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def _folder() -> Path:
    """`cards/` beside this file in an installation, `datasets/` in a checkout."""
    installed = Path(__file__).parent / "cards"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "datasets"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f": expected one of {', '.join(known)}"


def _check(path: Path, card: DatasetCard) -> None:
    """See that the card says why a value is not known, and agrees with itself."""
    unexplained = [
        f.name
        for f in fields(DatasetCard)
        if f.default is MISSING and getattr(card, f.name) is None and not card.reasons.get(f.name)
    ]
    if card.files and None in card.files.values() and not card.reasons.get("files"):
        unexplained.append("files")
    constants = card.normalisation
    if constants and None in (constants.mean, constants.std):
        if not card.reasons.get("normalisation"):
            unexplained.append("normalisation")
    if unexplained:
        raise ConfigError(
            f"{path}: {unexplained[0]} is null (or partly so) without {unexplained[0]}_reason"
        )
    if card.name != path.stem:
        raise ConfigError(f"{path}: its name is {card.name!r}, expected that of the file")
    if card.access not in ("open", "credentialed", None):
        raise ConfigError(f'{path}: access is "open" or "credentialed", got {card.access!r}')
    if constants and card.leads:
        for values in (constants.mean, constants.std):
            if values is not None and len(values) not in (len(card.leads), 12):
                raise ConfigError(
                    f"{path}: expected {len(card.leads)} constants, one per lead, got {len(values)}"
                )


def _wrong(path: Path, key: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"{path}: {key}: expected {expected}, got {value!r}")


def _text(path: Path, key: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise _wrong(path, key, "text", value)


def _number(path: Path, key: str, value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise _wrong(path, key, "a number", value)


def _count(path: Path, key: str, value: object) -> int | None:
    if value is None or (type(value) is int and value > 0):
        return value
    raise _wrong(path, key, "a whole number above 0", value)


def _numbers(path: Path, key: str, value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(type(item) in (int, float) for item in value):
        return tuple(float(item) for item in value)
    raise _wrong(path, key, "a list of numbers", value)


def _texts(path: Path, key: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _wrong(path, key, "a list of texts", value)


def _parts(path: Path, key: str, value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    raise _wrong(path, key, "`part: records` lines", value)


def _files(path: Path, key: str, value: object) -> dict[str, str | None] | None:
    if value is None:
        return None
    if isinstance(value, dict) and all(
        digest is None or (isinstance(digest, str) and _SHA256.fullmatch(digest))
        for digest in value.values()
    ):
        return dict(value)
    raise _wrong(path, key, "`file: SHA-256 or null` lines", value)


def _normalisation(path: Path, key: str, value: object) -> Normalisation | None:
    if value is None:
        return None
    known = [f.name for f in fields(Normalisation)]
    if not isinstance(value, dict) or {*value, "highpass_hz"} != set(known):
        raise _wrong(path, key, f"the fields {', '.join(known)}", value)
    unit, rate_hz = _text(path, "unit", value["unit"]), _number(path, "rate_hz", value["rate_hz"])
    of = _text(path, "of", value["of"])
    if unit is None or rate_hz is None or of is None:
        raise _wrong(path, key, "a unit, a rate and what the constants are of", value)
    mean, std = _numbers(path, "mean", value["mean"]), _numbers(path, "std", value["std"])
    highpass_hz = _number(path, "highpass_hz", value.get("highpass_hz"))
    return Normalisation(unit, float(rate_hz), of, mean, std, highpass_hz)


def _download(path: Path, key: str, value: object) -> Download | None:
    if value is None:
        return None
    known = [f.name for f in fields(Download)]
    if not isinstance(value, dict) or set(value) != set(known):
        raise _wrong(path, key, f"the fields {', '.join(known)}", value)
    url, sums = _text(path, "url", value["url"]), _text(path, "sums", value["sums"])
    folders = _texts(path, "folders", value["folders"])
    if url is None or not url.startswith("https://") or not url.endswith("/") or folders is None:
        raise _wrong(path, key, "an https address ending in '/' and a list of folders", value)
    return Download(url, sums, folders)
