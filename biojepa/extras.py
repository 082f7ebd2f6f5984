"""Import of optional packages, with one clear message when an extra is not installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from biojepa.errors import MissingDependencyError

__all__ = ["require"]


def require(module: str, extra: str, *, why: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Parameters
    ----------
    module : str
        Name to import, such as `"mne"` or `"moabb.paradigms"`.
    extra : str
        The extra of biojepa that installs it, such as `"eeg"`.
    why : str
        What it is needed for, as the end of "... is needed to ..." (`"read FIF files"`).

    Returns
    -------
    module
        The module itself, also for a dotted name.

    Raises
    ------
    MissingDependencyError
        If the package, or a submodule of it that `module` names, is not there. An error inside
        an installed package, or a package that is missing further down, is passed on as it is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not missing or not f"{module}.".startswith(f"{missing}."):
            raise
        raise MissingDependencyError(
            f"{missing} is needed to {why}, and it is not installed: "
            f'pip install "biojepa[{extra}]"',
            name=missing,
        ) from error
