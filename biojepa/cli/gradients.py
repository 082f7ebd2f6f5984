"""`biojepa gradients`: connectivity gradients of any atlas, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from biojepa.cli.console import say, table
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.fmri_pictures import draw_gradients
from biojepa.cli.fmri_sources import RunOptions, open_source
from biojepa.cli.parse import option, parse
from biojepa.fmri.connectivity import average_connectivity, is_connectivity
from biojepa.fmri.files import read_table
from biojepa.fmri.gradient_file import read_gradients, write_gradients
from biojepa.fmri.gradients import BrainGradients

MORE = """\
examples:
  biojepa gradients my_series/ -o gradients.csv --tr 2
  biojepa gradients group_connectivity.csv -o gradients.csv --components 10
  biojepa gradients my_store -o g.csv --figure g.png --atlas atlas.nii.gz
then: biojepa pretrain fmri my_series/ -o run --gradients gradients.csv"""


@dataclass(frozen=True)
class Options:
    """Compute connectivity gradients of your atlas from series or a matrix.

    The table has one row a region and one column a gradient, no header. The connectivity of
    several runs is averaged (Fisher z). By default the eigenproblem is solved exactly.
    """

    data: Annotated[Positional[tuple[str, ...]], option("DATA...")]
    """A store, files or folders of region series, or one table with a symmetric matrix."""
    out: Annotated[str | None, option("FILE.csv", short="-o")] = None
    """Where the table goes."""
    components: Annotated[int, option("N")] = 30
    """Number of gradients."""
    affinity: Annotated[
        Literal["normalized_angle", "cosine", "pearson", "none", "precomputed"], option("KIND")
    ] = "normalized_angle"
    """How connectivity profiles are compared; precomputed: DATA is the affinity."""
    sparsity: Annotated[float, option("SHARE")] = 0.9
    """Share of each row that is set to zero, the weakest."""
    alpha: Annotated[float, option("NUMBER")] = 0.5
    """Influence of the density: 0, 0.5 or 1."""
    compat: Annotated[Literal["exact", "brainspace"], option("NAME")] = "exact"
    """brainspace: as that toolbox solves it."""
    reference: Annotated[str | None, option("FILE.csv")] = None
    """Gradients that the result is rotated to (Procrustes)."""
    figure: Annotated[str | None, option("FILE.png")] = None
    """Draw the first three gradients."""
    atlas: Annotated[str | None, option("LABELS.nii.gz")] = None
    """Label image of the atlas, in the order of the regions: the figure has glass brains."""
    files: Annotated[RunOptions, arg(name="")] = RunOptions()


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "gradients", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o FILE.csv, where the table of gradients goes")
    if options.atlas is not None and options.figure is None:
        raise UsageError("expected --figure FILE.png with --atlas, which the figure alone needs")
    reference = None if options.reference is None else read_gradients(options.reference)
    estimator = BrainGradients(
        n_components=options.components,
        affinity=options.affinity,
        sparsity=options.sparsity,
        alpha=options.alpha,
        compat="brainspace" if options.compat == "brainspace" else None,
        reference=reference,
    )
    matrix, names, n_runs = _matrix(options)
    fitted = estimator.fit(matrix, region_names=names)
    write_gradients(fitted.gradients_, options.out)
    first = ", ".join(f"{v:.4f}" for v in fitted.lambdas_[:5])
    rows = [
        ("regions", f"{len(fitted.gradients_)}"),
        ("from", f"{n_runs} runs" if n_runs else "a matrix"),
        ("lambdas", f"{first}, ..."),
    ]
    if options.figure is not None:
        draw_gradients(Path(options.figure), fitted.gradients_, atlas=options.atlas)
        rows.append(("figure", options.figure))
    say(f"{options.out}: {fitted.gradients_.shape[1]} gradients", *table(rows))
    return OK


def _matrix(options: Options) -> tuple[np.ndarray, tuple[str, ...] | None, int]:
    """A connectivity matrix, names of its regions, and of how many runs it is the average."""
    if len(options.data) == 1 and options.data[0].lower().endswith(
        (".csv", ".tsv", ".npy", ".mat")
    ):
        values, names, _ = read_table(options.data[0])
        if is_connectivity(values):
            return values, None if names is None else tuple(names), 0
    records = open_source(options.data, options.files, default_tr=1.0)
    runs = (records.read(i).values.T for i in range(len(records)))
    return average_connectivity(runs, region_names=records.channels), records.channels, len(records)
