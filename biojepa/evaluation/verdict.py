"""The sentence of a benchmark, computed from the interval of a paired difference."""

from __future__ import annotations

from biojepa.evaluation.bootstrap import BootstrapResult


def verdict(
    name: str,
    other: str,
    difference: BootstrapResult,
    *,
    what: str,
    metric: str = "mean AUC",
    larger_is_better: bool = True,
) -> str:
    """Whether one row is better than another, as the interval says.

    Parameters
    ----------
    name, other : str
        Rows, as the table calls them.
    difference : BootstrapResult
        `name` minus `other`, on the same resamples.
    what : str
        The data, such as "these 340 records of 319 patients".
    metric : str
    larger_is_better : bool
        Of the metric.

    Returns
    -------
    str
        Better if the whole interval is on the better side of 0, worse if it is on the other, else
        not distinguishable: also when that is bad news.
    """
    word = "not distinguishable from"
    if difference.low > 0:
        word = "better than" if larger_is_better else "worse than"
    elif difference.high < 0:
        word = "worse than" if larger_is_better else "better than"
    return (
        f"On {what}, {name} is {word} {other}: difference in {metric} {difference.point:+.3f} "
        f"({difference.confidence:.0%} interval over patients {difference.low:+.3f} to "
        f"{difference.high:+.3f})."
    )
