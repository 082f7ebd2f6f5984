"""What a command's end means to the shell, and which errors become one line instead of a trace.

0 done, 1 an error of the data or the settings, 2 a command line that cannot be read, 130 and 143
stopped by Ctrl-C and SIGTERM. Only errors that biojepa raises on purpose are translated; a mistake
in the program keeps its traceback.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable

from biojepa.errors import BiojepaError, ConfigError

OK, USER_ERROR, USAGE_ERROR = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143

# what messages of the library call an argument, and what it is called here
_OPTIONS = {
    "leads=": "--leads I,II,... (prepare: --file-leads)",
    "fs=": "--fs HZ",
    "rate_hz=": "--fs HZ",
    "unit=": "--units UNIT",
    "units=": "--units UNIT",
    "on_missing=": "--on-missing drop",
    'on_missing="drop"': "--on-missing drop",
    "on_unknown=": "--on-unknown drop",
    "max_bad_fraction": "--max-bad-fraction SHARE",
    "preset=": "--preset NAME",
    "allow_truncated=": "--allow-truncated (prepare, embed)",
}


class UsageError(ConfigError):
    """The command line itself cannot be understood; the message names the nearest option."""


def exit_code(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command and turn its end into an exit code.

    Parameters
    ----------
    command : callable
        Returns an exit code of its own.
    debug : bool
        Let every error through with its traceback.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        # one thing is said once, whatever the number of records that it holds for
        warnings.simplefilter("once", UserWarning)
        try:
            code = command()
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # the reader (`| head`) has left: keep the interpreter from complaining at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        except BiojepaError as error:
            if debug:
                raise
            print(f"biojepa: {_printable(error)}", file=sys.stderr)
            for line in option_hints(str(error)):
                print(line, file=sys.stderr)
            return USAGE_ERROR if isinstance(error, UsageError) else USER_ERROR
        except KeyboardInterrupt:
            if debug:
                raise
            print("biojepa: stopped by Ctrl-C", file=sys.stderr)
            return INTERRUPTED


def option_hints(message: str) -> list[str]:
    """Options of the command line for arguments that a library message names."""
    found = [option for argument, option in _OPTIONS.items() if argument in message]
    return [f"on the command line: {', '.join(dict.fromkeys(found))}"] if found else []


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """A warning as a sentence; where in the program it arose says nothing to a user."""
    print(f"biojepa: warning: {_printable(message)}", file=sys.stderr)


def _printable(message: object) -> str:
    """Text that any terminal takes, also with undecodable file names in it."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return str(message).encode(encoding, "backslashreplace").decode(encoding)
