"""ECG lead names and lead algebra: which lead is which, and which follow from others.

Einthoven: III = II - I. Goldberger: aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. So any
two of I, II, III give all six limb leads; precordial leads cannot be derived.

References
----------
Malmivuo & Plonsey, Bioelectromagnetism (1995), chapter 15.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import ConfigError, DataError, LeadError

STANDARD_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT_8 = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# Each limb lead as a * I + b * II.
_LIMB = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
_SOURCES = (("I", "II"), ("I", "III"), ("II", "III"))

_ALIASES = {name.casefold(): name for name in STANDARD_12}
for _name, _roman in (("I", "i"), ("II", "ii"), ("III", "iii")):
    _ALIASES["ml" + _roman] = _name  # modified limb leads of MIT-BIH
    _ALIASES["d" + _roman] = _name  # derivação / derivación DI, DII, DIII
    _ALIASES["d" + str(len(_roman))] = _name

_PREFIX = re.compile(r"^(?:mdc[_ ])?(?:e[ck]g[\s_:.\-]*)?(?:lead[\s_:.\-]*)?", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_.\-]+")


@lru_cache(maxsize=4096)
def canonical_lead(name: str) -> str:
    """Write a lead name as the field writes it.

    Case, the prefixes `ECG`, `EKG`, `Lead`, `MDC_ECG_LEAD_` and separators do not matter;
    `MLII`-style (modified limb) and `DII`-style names mean the limb lead.

    Parameters
    ----------
    name : str
        As found in a file, for example `"AVR"`, `"lead ii"` or `"ECG I"`.

    Returns
    -------
    str
        One of `STANDARD_12`, or `name` stripped of outer blanks if it is none of them.
    """
    stripped = name.strip()
    if not stripped.isascii():
        return stripped
    if stripped.startswith("-"):  # an inverted lead ("-aVR") is not the lead
        return stripped
    core = _SEPARATORS.sub("", _PREFIX.sub("", stripped))
    return _ALIASES.get(core.casefold(), stripped)


def canonical_leads(names: Iterable[str], *, where: str = "leads") -> tuple[str, ...]:
    """Write several lead names as the field does and refuse a lead named twice.

    Parameters
    ----------
    names : iterable of str
    where : str
        What the names belong to, for the error message.

    Returns
    -------
    tuple of str

    Raises
    ------
    LeadError
        If two names mean the same lead, or a name is empty.
    """
    if isinstance(names, str):
        raise LeadError(f"{where}: expected a list of lead names, got the text {names!r}")
    given = tuple(names)
    seen: dict[str, str] = {}
    result = []
    for name in given:
        lead = canonical_lead(name)
        if not lead:
            raise LeadError(f"{where}: a lead has an empty name; name every lead")
        key = lead.casefold()
        if key in seen:
            raise LeadError(
                f"{where}: {seen[key]!r} and {name!r} both mean lead {lead}; rename or drop one "
                "(pass leads=[...] in the order of the file)"
            )
        seen[key] = name
        result.append(lead)
    return tuple(result)


def arrange_leads(
    values: ArrayLike,
    have: Sequence[str],
    want: Sequence[str],
    *,
    on_missing: Literal["error", "drop"] = "error",
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pick leads by name, in the wanted order, and derive the limb leads that are missing.

    A lead that is there is taken as it is; III, aVR, aVL and aVF (or I, or II) are computed only
    if they are not, from any two of I, II, III.

    Parameters
    ----------
    values : array_like, shape (..., n_channels, n_times)
        Usually (n_channels, n_times) or (n_records, n_channels, n_times). Never changed.
    have : sequence of str
        Names of the channels of `values`, in order, in any spelling.
    want : sequence of str
        Leads to return, in this order.
    on_missing : {"error", "drop"}
        What to do with a wanted lead that is not there and cannot be derived: raise, or return
        zeros and `present` False.

    Returns
    -------
    values : ndarray of float32, shape (..., len(want), n_times)
        A new array.
    present : ndarray of bool, shape (len(want),)

    Raises
    ------
    LeadError
        If a lead is missing (under "error"), no wanted lead is there at all, a lead is named
        twice, or the number of names is not the number of channels.
    DataError
        If `values` is not a numeric array of at least two axes.
    """
    if on_missing not in ("error", "drop"):
        raise ConfigError(f"on_missing: expected 'error' or 'drop', got {on_missing!r}")
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"expected real numbers, got an array of dtype {array.dtype}")
    if array.ndim < 2:
        raise DataError(
            f"expected an array of shape (n_channels, n_times) or (n_records, n_channels, "
            f"n_times), got {array.shape}"
        )
    source = canonical_leads(have, where="leads of the data")
    target = canonical_leads(want, where="wanted leads")
    if len(source) != array.shape[-2]:
        raise LeadError(
            f"expected {array.shape[-2]} lead names for an array of shape {array.shape}, got "
            f"{len(source)} ({', '.join(source)}): pass one name per channel, in the order of the "
            "data; axes are (..., channels, time)"
        )
    if source == target:  # the usual case
        return array.astype(np.float32, order="C"), np.ones(len(target), dtype=bool)
    index = {lead.casefold(): i for i, lead in enumerate(source)}

    def channel(lead: str) -> NDArray[np.float32]:
        return array[..., index[lead.casefold()], :].astype(np.float32)

    result = np.zeros((*array.shape[:-2], len(target), array.shape[-1]), dtype=np.float32)
    present = np.zeros(len(target), dtype=bool)
    pair = next((p for p in _SOURCES if all(lead.casefold() in index for lead in p)), None)
    for row, lead in enumerate(target):
        if lead.casefold() in index:
            result[..., row, :] = array[..., index[lead.casefold()], :]
            present[row] = True
        elif lead in _LIMB and pair is not None:
            first, second = channel(pair[0]), channel(pair[1])
            weight_first, weight_second = _weights(lead, pair)
            result[..., row, :] = weight_first * first + weight_second * second
            present[row] = True
    missing = [lead for lead, there in zip(target, present, strict=True) if not there]
    if missing and (on_missing == "error" or not present.any()):
        raise LeadError(_missing_message(missing, source))
    return result, present


def _weights(lead: str, pair: tuple[str, str]) -> tuple[np.float32, np.float32]:
    """Write `lead` as a weighted sum of two limb leads; exact, the weights are multiples of 1/2."""
    (a, c), (b, d) = _LIMB[pair[0]], _LIMB[pair[1]]
    x, y = _LIMB[lead]
    determinant = a * d - b * c
    first = np.float32((x * d - y * b) / determinant)
    second = np.float32((a * y - c * x) / determinant)
    return first, second


def _missing_message(missing: list[str], source: tuple[str, ...]) -> str:
    text = f"missing lead{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the data has "
    text += f"{', '.join(source)}. "
    if any(lead in _LIMB for lead in missing):
        text += "Limb leads are derived if two of I, II, III are there. "
    return text + (
        "If a lead goes by another name, pass leads=[...] in the order of the data; to go on "
        "without it, pass on_missing='drop'"
    )
