"""YAML as people mean it, and nothing that runs.

The values of YAML 1.2 (core schema) rather than 1.1: `1e-3` is a number, `no` and `12:30` are
text, dates are text. Refused: duplicate keys, tags, aliases, NaN and infinities, more than one
document, more than 1 MB, and nesting beyond 50 levels.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Protocol

import yaml

from biojepa.errors import ConfigError

LARGEST_BYTES = 2**20
DEEPEST = 50
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


def load_yaml(source: str | os.PathLike[str]) -> dict:
    """Load a mapping from a YAML file or text.

    Parameters
    ----------
    source : path-like or str
        A `Path` is a file; so is a one-line str that ends in `.yaml` or `.yml`. Any other str is
        the text itself.

    Returns
    -------
    dict
        With str keys on every level; empty for an empty document.

    Raises
    ------
    ConfigError
        If the file cannot be read, or the text is not such YAML; file, line and column are named.
    """
    text, name = _text_of(source)
    try:
        content = yaml.load(text, Loader=_make_loader(name))  # noqa: S506 - a SafeLoader
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {_explain(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: expected `key: value` lines, got a {type(content).__name__}")
    return content


class _Mark(Protocol):
    """A place in the text; PyYAML has two classes of them."""

    line: int
    column: int


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema and the refusals of this file."""

    yaml_implicit_resolvers: dict = {}  # filled below; SafeLoader's own are those of YAML 1.1
    source_name = "text"
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise self.refusal(event.start_mark, "aliases (*name) are refused: write the value out")
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.refusal(event.start_mark, f"nested deeper than {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def refusal(self, mark: _Mark | None, problem: str) -> ConfigError:
        """An error that says where."""
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return ConfigError(f"{self.source_name}{where}: {problem}")

    def make_mapping(self, node: yaml.Node) -> dict:
        """A dict from a mapping node; str keys, each once."""
        if not isinstance(node, yaml.MappingNode):
            raise self.refusal(node.start_mark, "expected `key: value` lines")
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise self.refusal(key_node.start_mark, f"expected a name as key, got {key!r}")
            if key in mapping:
                raise self.refusal(key_node.start_mark, f"the key {key!r} is there twice")
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping

    def make_list(self, node: yaml.Node) -> list:
        """A list from a sequence node."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.refusal(node.start_mark, "expected a list")
        return [self.construct_object(item, deep=True) for item in node.value]

    def make_scalar(self, node: yaml.Node) -> object:
        """A scalar of the core schema, by its tag."""
        if not isinstance(node, yaml.ScalarNode) or not isinstance(node.value, str):
            raise self.refusal(node.start_mark, f"the tag {node.tag} is for single values")
        text, kind = node.value, node.tag.rpartition(":")[2]
        pattern = _PATTERNS.get(kind)
        if pattern is not None and not pattern.fullmatch(text):
            raise self.refusal(node.start_mark, f"{text[:40]!r} is not of the type {kind}")
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            if len(text) > 20:
                raise self.refusal(node.start_mark, f"a whole number of {len(text)} digits")
            return int(text, 0) if text.lower().startswith(("0x", "0o")) else int(text)
        if kind == "float":
            number = float("nan") if text.lstrip("+-").startswith((".n", ".N", ".i", ".I")) else 0.0
            number = number if math.isnan(number) else float(text)
            if not math.isfinite(number):
                raise self.refusal(
                    node.start_mark, f"{text[:40]!r} is not a finite number: use null for none"
                )
            return number
        return text

    def refuse_tag(self, node: yaml.Node) -> object:
        """Any tag that is not of the core schema."""
        raise self.refusal(node.start_mark, f"the tag {node.tag!r} is refused: write plain values")


_PATTERNS = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    # a leading zero stays text: it is part of a name (record 00001), not of a number
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
for _kind, _pattern in _PATTERNS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern.pattern})\Z"), None
    )
for _tag in _CORE_TAGS:
    _Loader.add_constructor(_tag, _Loader.make_scalar)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.make_mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.make_list)
_CORE_TAGS |= {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
for _other in set(yaml.SafeLoader.yaml_constructors) - _CORE_TAGS:
    _Loader.add_constructor(_other, _Loader.refuse_tag)


def _make_loader(name: str) -> type[_Loader]:
    """The loader with the name of the file for its messages."""
    return type("_NamedLoader", (_Loader,), {"source_name": name})


def _text_of(source: str | os.PathLike[str]) -> tuple[str, str]:
    """The text and a name for it."""
    if isinstance(source, str) and ("\n" in source or not source.endswith((".yaml", ".yml"))):
        raw, name = source.encode("utf-8", "surrogatepass"), "YAML text"
    else:
        path = Path(source)
        name = str(path)
        try:
            with open(path, "rb") as file:
                raw = file.read(LARGEST_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name!r} cannot be read: {error}") from error
    if len(raw) > LARGEST_BYTES:
        raise ConfigError(f"{name} is larger than {LARGEST_BYTES:,} bytes: it is no settings file")
    try:
        return raw.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text ({error}): save it as UTF-8") from error


def _explain(error: yaml.YAMLError) -> str:
    """PyYAML's message on one line."""
    return " ".join(str(error).split())
