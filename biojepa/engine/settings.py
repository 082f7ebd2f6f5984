"""Settings as frozen dataclasses: to and from JSON, and refusing what a file should not hold."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
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
        If a key is unknown (the nearest known one is named), or what `cls` refuses.
    """
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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ConfigError(f"expected a finite number for {name}, got {value!r}")
