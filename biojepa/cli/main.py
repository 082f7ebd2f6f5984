"""The command `biojepa`: finds the subcommand, imports only that one, and gives its exit code.

Nothing heavy is imported before a command is known, so that `biojepa --help` answers at once.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from biojepa import __version__
from biojepa.cli.errors import OK, UsageError, exit_code

# command, what it does, module of biojepa.cli
COMMANDS = (
    ("demo", "simulate ECGs, pretrain, classify, draw: all in a few minutes", "demo"),
    ("doctor", "check this installation, or whether recordings can be used", "doctor"),
    ("fetch", "download an open public database, with its hashes checked", "fetch"),
    ("prepare eeg", "turn EEG files, folders or BIDS into one store a montage", "prepare_eeg"),
    ("prepare fmri", "turn fMRI images or region series into one store", "prepare_fmri"),
    ("prepare", "turn files of recordings into one store for fast training", "prepare"),
    ("pretrain ecg", "pretrain an ECG-JEPA on your recordings, without labels", "pretrain"),
    ("pretrain eeg", "pretrain a Signal-JEPA on EEG of any montage", "pretrain_eeg"),
    ("pretrain fmri", "pretrain a Brain-JEPA on region series of any atlas", "pretrain_fmri"),
    ("gradients", "connectivity gradients of your atlas, as a table", "gradients"),
    ("resume", "go on with a run that was stopped, exactly where it stopped", "resume"),
    ("embed", "features of recordings, as a table for R, SPSS or Python", "embed"),
    ("benchmark ptbxl", "compare JEPA with its baselines on PTB-XL, as a report", "benchmark"),
    ("benchmark fmri", "compare Brain-JEPA with its baselines on age and more", "benchmark_fmri"),
    ("benchmark bci", "compare Signal-JEPA with its baselines on BCIs", "benchmark_bci"),
    ("info", "say what a model, run, store, checkpoint or dataset is", "info"),
    ("convert", "published ECG-JEPA checkpoints to model folders and back", "convert"),
)
SUMMARY = "Pretrain on your own biosignals without labels, and get features from them."
EPILOGUE = """\
Start with your own files:
  biojepa doctor my_ecgs/0001.hea
  biojepa prepare my_ecgs/ -o my_store
  biojepa pretrain ecg my_store -o my_run
  biojepa embed my_run my_ecgs/ -o features.csv

`biojepa COMMAND --help` explains a command. `--debug` (or BIOJEPA_DEBUG=1)
shows where in the program an error arose."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; by default that of the process.

    Returns
    -------
    int
        Exit code, see `biojepa.cli.errors`.
    """
    if argv is None:
        argv = sys.argv[1:]
        # before torch is loaded: threads that wait by spinning starve each other on a machine
        # with other work (measured with six busy processes on two cores: 14 records/s against 223)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(argv)
    debug = "--debug" in given or os.environ.get("BIOJEPA_DEBUG", "") not in ("", "0")
    given = [token for token in given if token != "--debug"]
    return exit_code(lambda: _dispatch(given), debug=debug)


def help_text() -> str:
    """The list of commands."""
    width = max(len(name) for name, _, _ in COMMANDS)
    lines = [f"  {name:<{width}}  {text}" for name, text, _ in COMMANDS]
    head = (
        "usage: biojepa [--help] [--version] COMMAND ...\n\nSelf-supervised models for biosignals."
    )
    return "\n".join([head, "", "commands:", *lines, "", EPILOGUE])


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(help_text())
        return OK
    if given[0] in ("--version", "-V"):
        print(f"biojepa {__version__}")
        return OK
    for name, _, module in COMMANDS:
        words = name.split()
        if given[: len(words)] == words:
            command = import_module(f"biojepa.cli.{module}")
            try:
                code: int = command.run(given[len(words) :])
            except SystemExit as end:  # the option parser has said what is wrong, or shown help
                return end.code if isinstance(end.code, int) else OK
            return code
    if given[0] == "pretrain":
        got = f", got {given[1]!r}" if len(given) > 1 and not given[1].startswith("-") else ""
        if "--help" in given or "-h" in given:
            return _dispatch(["pretrain", "ecg", "--help"])
        kinds = [name.split()[1] for name, _, _ in COMMANDS if name.startswith("pretrain ")]
        raise UsageError(
            f"expected `biojepa pretrain ecg DATA -o RUN`{got}: {' and '.join(kinds)} is what "
            "there is"
        )
    if given[0] == "benchmark":
        kinds = [name.split()[1] for name, _, _ in COMMANDS if name.startswith("benchmark ")]
        raise UsageError(
            f"expected `biojepa benchmark ptbxl SRC -o OUT`: {' and '.join(kinds)} is what there is"
        )
    known = [name.split()[0] for name, _, _ in COMMANDS]
    near = difflib.get_close_matches(given[0], known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown command {given[0]!r}: {hint}see `biojepa --help`")


if __name__ == "__main__":
    sys.exit(main())
