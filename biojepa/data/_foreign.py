"""Whether an error was raised by a library on a damaged file, or by a mistake of our own."""

from __future__ import annotations

HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # how h5py reports damage


def raised_in(error: BaseException, package: str) -> bool:
    """Whether an error arose in a package that our code called.

    Libraries report damage with errors of every kind (KeyError, TypeError, ...). Translating these
    must not hide the same kinds when our own code is wrong.

    Parameters
    ----------
    error : BaseException
        While it is handled, so that it has its traceback.
    package : str
        Top-level name, such as `"h5py"`.

    Returns
    -------
    bool
        True if the deepest frame of ours had called into the package.
    """
    foreign = False
    trace = error.__traceback__
    while trace is not None:
        top = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if top == package:
            foreign = True
        elif top == "biojepa":
            foreign = False
        trace = trace.tb_next
    return foreign
