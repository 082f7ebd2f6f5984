"""What holds for every source file: import directions, size, docstrings, nothing that runs data."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from biojepa.data.safe_yaml import load_yaml
from biojepa.errors import ConfigError
from tests.conftest import ROOT

PACKAGE = ROOT / "biojepa"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400

_BASE = {"errors", "extras"}
_MODALITIES = {"ecg", "eeg", "fmri", "vision", "video", "generative", "theory"}
_BELOW_MODALITY = {"layers", "engine", "data", "estimators", "evaluation", "plotting", *_BASE}
# Each room, and the rooms that it may know.
KNOWS: dict[str, set[str]] = {
    "errors": set(),
    "extras": {"errors"},
    "layers": _BASE,
    "engine": {"layers", *_BASE},
    "data": _BASE,
    "plotting": {"data", *_BASE},
    "estimators": {"layers", "engine", "data", *_BASE},
    "evaluation": {"layers", "engine", "data", "estimators", "plotting", *_BASE},
    **dict.fromkeys(_MODALITIES, _BELOW_MODALITY),
    "cli": {*_MODALITIES, *_BELOW_MODALITY},
    "__init__": set(),
    "__main__": {"cli"},
}
# Rooms of the numpy side, which load no deep-learning framework.
NUMPY_SIDE = {"errors", "extras", "data", "plotting"}

FORBIDDEN_MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}
# Naming the error that `torch.load(weights_only=True)` raises runs nothing.
HARMLESS_NAMES = {"pickle.UnpicklingError"}
FORBIDDEN_CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "__import__": "hides an import",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "pandas.read_pickle": "runs what the file says",
    "torch.save": "writes a pickle",
    "yaml.full_load": "builds objects",
    "yaml.load": "builds objects",
    "yaml.load_all": "builds objects",
    "yaml.unsafe_load": "builds objects",
    "yaml.unsafe_load_all": "builds objects",
    "shutil.unpack_archive": "writes where the archive says",
}
REQUIRED_ARGUMENTS = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
ALLOWED = {
    ("data/safe_yaml.py", "yaml.load"),  # derives from SafeLoader; its refusals are tested below
    ("engine/torch_file.py", "torch.save"),  # the published layout: tensors, numbers, text
}


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(tree: ast.Module, package: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def _wrong_directions(tree: ast.Module, room: str, package: tuple[str, ...]) -> list[str]:
    wrong = []
    for line, name in _imports(tree, package):
        top, *rest = name.split(".")
        if top == "biojepa" and rest and rest[0] in KNOWS:
            if rest[0] != room and rest[0] not in KNOWS[room]:
                wrong.append(f"line {line}: {room} imports {name}")
        elif top in {"torch", "lightning_fabric"} and room in NUMPY_SIDE:
            wrong.append(f"line {line}: {room} imports {name}")
    return wrong


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the full dotted name of what it calls, import aliases resolved."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            head, dot, tail = ast.unparse(node.func).partition(".")
            yield node, aliases.get(head, head) + dot + tail


def _unsafe(tree: ast.Module, name: str = "") -> list[str]:
    found = []
    named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for line, module in _imports(tree):
        top = module.partition(".")[0]
        used = {text for text in named if text.startswith(f"{top}.")}
        harmless = module in HARMLESS_NAMES or (module == top and used and used <= HARMLESS_NAMES)
        if top in FORBIDDEN_MODULES and not harmless:
            found.append(f"line {line}: {module} runs what a file says")
    for call, function in _calls(tree):
        where = f"line {call.lineno}: {function}"
        if function in FORBIDDEN_CALLS and (name, function) not in ALLOWED:
            found.append(f"{where} {FORBIDDEN_CALLS[function]}")
        if function in {"joblib.load", "joblib.dump"}:
            found.append(f"{where} is a pickle")
        if function.endswith(".extractall"):
            found.append(f"{where} writes where the archive says")
        given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
        if given.get("shell"):
            found.append(f"{where} runs a shell")
        if function in REQUIRED_ARGUMENTS:
            argument, value = REQUIRED_ARGUMENTS[function]
            if given.get(argument) is not value:
                found.append(f"{where} needs {argument}={value}")
    return found


def _public_definitions(
    body: list[ast.stmt], prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        if node.name.startswith("_") or marks & {"overload", "setter", "override"}:
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public_definitions(node.body, f"{node.name}.")


def _undocumented(tree: ast.Module) -> list[str]:
    found = [] if ast.get_docstring(tree) else ["the file has no docstring"]
    for name, node in _public_definitions(tree.body):
        if not ast.get_docstring(node):
            found.append(f"line {node.lineno}: {name} has no docstring")
        if isinstance(node, ast.ClassDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in {"self", "cls"}]
        if bare or node.returns is None:
            found.append(f"line {node.lineno}: {name} lacks types ({', '.join(bare) or 'return'})")
        if node.args.kwarg is not None:
            found.append(f"line {node.lineno}: {name} takes **{node.args.kwarg.arg}")
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_down_the_house(path: Path) -> None:
    assert _room(path) in KNOWS, f"a new room: say in KNOWS what {_room(path)} may know"
    package = path.relative_to(ROOT).parent.parts
    assert _wrong_directions(_tree(path), _room(path), package) == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_read_from_a_file_can_run(path: Path) -> None:
    assert _unsafe(_tree(path), _name(path)) == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_everything_public_is_documented_and_typed(path: Path) -> None:
    assert _undocumented(_tree(path)) == []


def test_no_file_is_longer_than_the_ceiling() -> None:
    paths = [*FILES, *(ROOT / "tests").rglob("*.py")]
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in paths}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_nothing_is_left_to_do_in_a_comment() -> None:
    mark = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
    assert [_name(path) for path in FILES if mark.search(path.read_text())] == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("layers", "from biojepa.engine.signals import Signals"),
        ("engine", "import biojepa.estimators.base"),
        ("estimators", "from biojepa import ecg"),
        ("evaluation", "def f():\n    from biojepa.ecg.model import ECGEncoder"),
        ("data", "import torch.nn as nn"),
        ("plotting", "from biojepa.engine import train"),
        ("eeg", "from ..ecg.masking import BlockSampler"),
        ("ecg", "from biojepa.cli import main"),
        ("engine", "import_module('biojepa.ecg.official')"),
        ("errors", "from biojepa.extras import require"),
    ],
)
def test_a_wrong_direction_is_found(room: str, source: str) -> None:
    assert len(_wrong_directions(ast.parse(source), room, ("biojepa", room))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import pickle\ntry: pickle.loads(b)\nexcept pickle.UnpicklingError: pass",
        "import torch; torch.save(model, path)",
        "import joblib; joblib.load(path)",
        "import torch as t; t.load(path)",
        "from torch import load; load(path, weights_only=False)",
        "import numpy as np; np.load(path)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "archive.extractall(folder)",
        "import subprocess; subprocess.run(text, shell=True)",
    ],
)
def test_an_unsafe_read_is_found(source: str) -> None:
    assert len(_unsafe(ast.parse(source))) == 1


def test_a_safe_read_is_not_mistaken_for_an_unsafe_one() -> None:
    source = "import numpy as np, torch; torch.load(p, weights_only=True); model.eval()"
    assert _unsafe(ast.parse(f"{source}; np.load(p, allow_pickle=False)")) == []


def test_missing_words_and_types_are_found() -> None:
    source = '"""File."""\nclass A:\n    """A."""\n    def f(self, x, **rest): ...\n'
    assert [found.split(": ")[1] for found in _undocumented(ast.parse(source))] == [
        "A.f has no docstring",
        "A.f lacks types (x)",
        "A.f takes **rest",
    ]


@pytest.mark.parametrize("tag", ["!!python/name:os.system", "!!python/object/apply:os.getcwd []"])
def test_yaml_builds_no_objects(tag: str) -> None:
    with pytest.raises(ConfigError):
        load_yaml(f"key: {tag}\n")
