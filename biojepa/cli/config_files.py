"""Settings from YAML files and dotted options, over one tree of dataclasses.

`train.lr: 1e-3` in a file, `train: {lr: 1e-3}` in a file and `--train.lr 1e-3` on the command line
are the same. Keys are checked against the dataclasses (the nearest is named), values against their
types: `1e-3` is a number, `no` is text, NaN is refused.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import re
import textwrap
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from biojepa.cli.errors import UsageError
from biojepa.data.safe_yaml import load_yaml
from biojepa.errors import ConfigError

Tree = Mapping[str, type]
COMMAND_LINE = "the command line"
T = TypeVar("T")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def split_options(argv: Sequence[str], sections: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Take the dotted options out of a command line.

    Parameters
    ----------
    argv : sequence of str
    sections : sequence of str
        What may stand before the dot.

    Returns
    -------
    rest : list of str
        For the command's own parser.
    dotted : dict
        `section.name` to the text that was given; lists are comma-separated.

    Raises
    ------
    UsageError
        If a section is unknown or a value is missing.
    """
    rest: list[str] = []
    dotted: dict[str, str] = {}
    tokens = iter(argv)
    for token in tokens:
        key, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or "." not in key or not key[0].isalpha():
            rest.append(token)
            continue
        section = key.partition(".")[0]
        if section not in sections:
            raise UsageError(f"unknown option --{key}{_nearest(section, sections, prefix='--')}")
        if not equals:
            following = next(tokens, None)
            if following is None:
                raise UsageError(f"expected a value after --{key}")
            value = following
        dotted[key.replace("-", "_")] = value
    return rest, dotted


def read_config(path: str, *, sections: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    """A YAML file as `section.name` to value.

    Parameters
    ----------
    path : str
        Taken as it is: no `~` and no variables are expanded.
    sections : sequence of str
        Keys that hold settings, or stand before a dot.
    others : sequence of str
        Keys with a value of their own.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key is unknown.
    """
    file = Path(path).resolve()
    flat: dict[str, Any] = {}
    for key, value in load_yaml(file).items():
        section, dot, _ = key.partition(".")
        if key in others or (dot and section in sections):
            found = {key: value}
        elif key in sections and isinstance(value, dict):
            found = {f"{key}.{name}": item for name, item in value.items()}
        elif key in sections:
            raise ConfigError(f"{file}: expected settings below {key!r}, got {value!r}")
        else:
            raise ConfigError(f"{file}: unknown key {key!r}{_nearest(key, [*sections, *others])}")
        for name, item in found.items():
            if name in flat:
                raise ConfigError(f"{file}: the key {name!r} is there twice")
            flat[name] = item
    return flat


def check_keys(flat: Mapping[str, Any], tree: Tree, *, where: str) -> None:
    """Refuse keys that no dataclass of the tree has.

    Raises
    ------
    ConfigError
        Naming the nearest key.
    """
    known = [f"{section}.{f.name}" for section, kind in tree.items() for f in _fields(kind)]
    for key in flat:
        if key not in known:
            raise _error(where, f"unknown setting {key!r}{_nearest(key, known)}")


def with_settings(section: str, config: T, flat: Mapping[str, Any], *, where: str) -> T:
    """A dataclass instance with the settings of its section.

    Parameters
    ----------
    section : str
    config : dataclass instance
    flat : mapping
        `section.name` to value; text is converted to the field's type. Other sections are
        passed over.
    where : str
        For messages: the file, or "the command line".

    Raises
    ------
    ConfigError
        If a value is of another type or out of range.
    """
    kinds = get_type_hints(type(config))
    changes = {}
    for key, value in flat.items():
        head, _, name = key.partition(".")
        if head == section:
            try:
                changes[name] = _convert(value, kinds[name])
            except ConfigError as error:
                raise _error(where, f"{key}: {error}") from error
    try:
        return dataclasses.replace(config, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        raise _error(where, str(error)) from error


def settings_text(tree: Mapping[str, Any], *, width: int = 80) -> str:
    """The settings as a commented YAML file, ready to be changed.

    Parameters
    ----------
    tree : mapping of section to dataclass instance
    width : int
        Characters a line.
    """
    lines = []
    for section, config in tree.items():
        helps = field_help(type(config))
        lines.append(f"{section}:")
        for f in _fields(type(config)):
            entry = f"  {f.name}: {_yaml(getattr(config, f.name))}"
            for part in _wrap(helps.get(f.name, ""), width - 4):
                lines.append(f"  # {part}")
            lines.append(entry)
    return "\n".join(lines) + "\n"


def field_help(kind: type) -> dict[str, str]:
    """What the numpy docstring of a dataclass says of each field; one entry may name several."""
    found: dict[str, str] = {}
    body = inspect.getdoc(kind) or ""
    body = body.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    names: list[str] = []
    for line in body.splitlines():
        head = re.fullmatch(r"(\w+(?:, \w+)*) : (.*)", line)
        if head:
            names = head[1].split(", ")
            choices = head[2] if head[2].startswith("{") else ""
            found |= dict.fromkeys(names, choices)
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _convert(value: Any, kind: Any) -> Any:
    """A value of YAML, or text of the command line, as the type that a field has."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        rest = [k for k in inner if k is not type(None)]
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
            return None
        return _convert(value, rest[0])
    if origin is Literal:
        if value not in inner:
            near = _nearest(str(value), [str(i) for i in inner])
            raise ConfigError(f"expected one of {', '.join(map(str, inner))}{near}")
        return value
    if origin is tuple:
        parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise ConfigError(f"expected a list, got {value!r}")
        parts = [p.strip() if isinstance(p, str) else p for p in parts]
        if inner[-1] is not Ellipsis and len(parts) != len(inner):
            raise ConfigError(f"expected {len(inner)} values, got {len(parts)}")
        return tuple(_convert(part, inner[0]) for part in parts)
    return _scalar(value, kind)


def _scalar(value: Any, kind: type) -> Any:
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise ConfigError(f"expected true or false, got {value!r}")
    if kind is str:
        if isinstance(value, str):
            return value
        raise ConfigError(f"expected text, got {value!r}")
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if kind is float or "e" in value.lower() else value.strip()
        value = int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"expected {wanted}, got {value!r}")
    if kind is int and value != int(value):
        raise ConfigError(f"expected a whole number, got {value!r}")
    return kind(value)


def _error(where: str, message: str) -> ConfigError:
    """What is wrong on the command line is a usage error, in a file an error of its settings."""
    kind = UsageError if where == COMMAND_LINE else ConfigError
    return kind(f"{where}: {message}")


def _nearest(name: str, known: Sequence[str], *, prefix: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f": did you mean {prefix}{near[0]}?"
    return f": known are {', '.join(known)}" if len(known) < 10 else ""


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_yaml(v) for v in value) + "]"
    return str(value)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)
