"""The files around the package agree with each other, and what they build works elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import biojepa
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"eeg", "moabb", "fmri", "vision", "bench", "hub", "formats", "t2i", "notebooks"}
EXTRAS |= {"dev", "all"}
# What `import biojepa` must leave alone, so that it costs no more than `import torch`.
HEAVY = (
    "h5py",
    "lightning_fabric",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "tyro",
    "wfdb",
)


def _bounds(requirements: list[str]) -> dict[str, set[str]]:
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(r.name): {str(s) for s in r.specifier} for r in parsed}


def _pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_environment_yml_asks_for_what_pyproject_asks_for() -> None:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    conda = yaml.safe_load(text)["dependencies"]
    (through_pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    assert _bounds(through_pip) == _bounds(PROJECT["dependencies"])
    assert [entry for entry in conda if isinstance(entry, str)] == [
        f"python={PROJECT['requires-python'].removeprefix('>=')}",
        "pip",
    ]


def test_every_extra_of_the_design_is_declared() -> None:
    declared = PROJECT["optional-dependencies"]
    assert set(declared) == EXTRAS
    (everything,) = [Requirement(text) for text in declared["all"]]
    assert everything.extras == EXTRAS - {"dev", "all"}


def test_the_engine_is_fabric_alone() -> None:
    bounds = _bounds(PROJECT["dependencies"])
    assert bounds["lightning-fabric"] == {">=2.6.4", "<3"}
    asked = {*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])}
    assert not {"lightning", "pytorch-lightning"} & {*_bounds(list(asked)), *_pins()}


def test_the_tested_set_pins_every_dependency_inside_its_bounds() -> None:
    pins = _pins()
    optional = PROJECT["optional-dependencies"]
    asked = [
        *PROJECT["dependencies"],
        *(text for name in ("dev", "hub", "eeg", "fmri", "formats") for text in optional[name]),
    ]
    for requirement in map(Requirement, asked):
        if requirement.name == PROJECT["name"]:
            continue
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(Version(pin.version)), requirement
    (torch,) = pins["torch"].specifier
    assert torch.version == "2.14.1"


def test_the_tested_set_installs_on_any_platform() -> None:
    for name, pin in _pins().items():
        assert pin.url is None, f"{name} is pinned to a place"
        if re.match(r"nvidia-|cuda-|triton$", name):
            assert pin.marker is not None
            assert not pin.marker.evaluate({"sys_platform": "darwin"}), name


def test_the_version_stands_alike_in_every_file() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == biojepa.__version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[.*{re.escape(biojepa.__version__)}", changelog, re.MULTILINE)


def test_a_room_is_imported_when_it_is_named() -> None:
    code = "import biojepa; print(biojepa.errors.DataError.__name__, 'data' in dir(biojepa))"
    assert _python(code, cwd=ROOT) == "DataError True"
    with pytest.raises(AttributeError, match="no attribute 'no_such_room'"):
        _ = biojepa.no_such_room


def test_every_listed_room_can_be_imported() -> None:
    for room in biojepa._ROOMS:
        assert getattr(biojepa, room) is import_module(f"biojepa.{room}")


def test_importing_biojepa_loads_nothing_heavy() -> None:
    code = "import json, sys, biojepa; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(_python(code, cwd=ROOT))}
    assert "biojepa" in loaded
    assert not loaded & set(HEAVY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout, without a download."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_card_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "biojepa").rglob("*.py")}
    cards = {f"biojepa/data/cards/{p.name}" for p in (ROOT / "datasets").glob("*.yaml")}
    assert cards
    assert modules | cards | {"biojepa/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "biojepa",
        f"biojepa-{biojepa.__version__}.dist-info",
    }


def test_an_installed_wheel_reads_a_card_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    pip += ["--disable-pip-version-check", "--no-compile", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    code = (
        "import json, biojepa; from biojepa.data.cards import list_cards, load_card;"
        "print(json.dumps([biojepa.__file__, list_cards(), load_card('ptb-xl').name]))"
    )
    file, listed, name = json.loads(_python(code, cwd=tmp_path, path=site))
    assert Path(file) == site / "biojepa" / "__init__.py"
    assert sorted(listed) == sorted(p.stem for p in (ROOT / "datasets").glob("*.yaml"))
    assert name == "ptb-xl"


def test_the_command_exists() -> None:
    module, _, function = PROJECT["scripts"]["biojepa"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_the_datasets_folder_holds_cards_alone() -> None:
    assert {path.suffix for path in (ROOT / "datasets").iterdir()} == {".yaml"}


def _python(code: str, *, cwd: Path, path: Path | None = None) -> str:
    """Standard output of a fresh interpreter in which a warning is an error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
