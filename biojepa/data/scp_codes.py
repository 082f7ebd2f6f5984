"""The cells of PTB-XL's column `scp_codes`: code and likelihood, as a dict of literals.

Cells go through a literal parser that runs nothing.
"""

from __future__ import annotations

import ast

from biojepa.errors import DataError

_MAX_CELL = 10_000  # characters; the longest published scp_codes cell has about a hundred


def parse_scp_codes(cell: object, row: int) -> dict[str, float]:
    """The codes of a record and their likelihoods in percent.

    Parameters
    ----------
    cell : object
        Such as `"{'NORM': 100.0, 'SR': 0.0}"`.
    row : int
        Of the file, for the message.

    Raises
    ------
    DataError
        If it is no text of such a dict.
    """
    problem = f"expected scp_codes like {{'NORM': 100.0}}, got {str(cell)[:60]!r} in row {row}"
    if not isinstance(cell, str) or len(cell) > _MAX_CELL:
        raise DataError(problem)
    try:
        codes = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(problem) from error
    if not isinstance(codes, dict) or not all(
        isinstance(code, str) and isinstance(value, int | float) and not isinstance(value, bool)
        for code, value in codes.items()
    ):
        raise DataError(problem)
    return {code: float(value) for code, value in codes.items()}
