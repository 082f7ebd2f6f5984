"""Settings as frozen dataclasses: to and from JSON, and refusing what a file should not hold."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from numbers import Real
from typing import Any, TypeVar

from biojepa.errors import ConfigError

Settings = TypeVar("Settings")


def from_plain(cls: type[Settings], config: Mapping[str, Any], *, what: str) -> Settings:
    """Build a dataclass of settings from a dict.

    Parameters
    ----------
    cls : dataclass
    config : mapping
    what : str
        Kind of setting, for the messages (`"model"`).

    Raises
    ------
    ConfigError
        If it is no mapping, a key is unknown (the nearest known one is named), or what `cls`
        refuses.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"expected {what} settings, got {str(config)[:60]!r}")
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in config:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"unknown {what} setting {key!r}: {hint}")
    return cls(**config)


def to_plain(settings: Any) -> dict[str, Any]:
    """A dataclass of settings as a JSON-able dict; tuples become lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def check_types(settings: Any, choices: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse values of another type than their field's default, before they are compared.

    Parameters
    ----------
    settings : dataclass
    choices : mapping of str to tuple
        Fields that take one of a few values.

    Raises
    ------
    ConfigError
    """
    for f in fields(settings):
        value = getattr(settings, f.name)
        if f.name in choices:
            if value not in choices[f.name]:
                raise ConfigError(f"expected {f.name} in {choices[f.name]}, got {value!r}")
        elif value is None and "None" in str(f.type):
            continue
        elif isinstance(f.default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"expected {f.name} true or false, got {value!r}")
        elif isinstance(f.default, int):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"expected a whole number for {f.name}, got {value!r}")
        elif isinstance(f.default, float):
            check_number(f.name, value)


def check_number(name: str, value: Any) -> None:
    """Refuse what is no finite number.

    Raises
    ------
    ConfigError
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    # compared rather than converted: a file may hold a whole number of any length
    if not number or not -sys.float_info.max <= value <= sys.float_info.max:
        raise ConfigError(f"expected a finite number for {name}, got {str(value)[:60]!r}")


def check_numbers(settings: Any, names: Sequence[str], *, optional: Sequence[str] = ()) -> None:
    """Fields that are finite numbers, and those that may also be None.

    Raises
    ------
    ConfigError
    """
    for name in (*names, *optional):
        value = getattr(settings, name)
        if value is not None or name not in optional:
            check_number(name, value)


def check_number_lists(settings: Any, names: Sequence[str]) -> None:
    """Fields that are None, or lists of finite numbers and None.

    Raises
    ------
    ConfigError
    """
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, list | tuple | None):
            raise ConfigError(f"expected numbers for {name}, got {value!r}")
        for number in value or ():
            if number is not None:
                check_number(name, number)


def check_names(names: Any, *, what: str = "leads") -> None:
    """A list of texts; a single text is left to what makes the names canonical.

    Raises
    ------
    ConfigError
    """
    if isinstance(names, str):
        return
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"expected {what} by name, got {names!r}")
