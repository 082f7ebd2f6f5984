"""XLI, the compression of waveforms in Philips ECG XML.

One chunk per lead: four bytes of size, two unused, two of start value (little-endian), then LZW
codes of 10 bits, high bit first. The unpacked bytes are the high halves of all 16-bit words, then
the low halves. The first two words are samples; each further word, less 64, corrects the straight
line through the two samples before it, one step late.

References
----------
Wiki of the Sierra ECG Tools project, github.com/sixlettervariables/sierra-ecg-tools/wiki
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import FormatError

CODE_BITS = 10
LAST_CODE = (1 << CODE_BITS) - 2  # the code after it ends the chunk
BIAS = 64
_HEADER = 8


def decode_xli(raw: bytes, *, n_leads: int, n_times: int, where: str) -> NDArray[np.int64]:
    """Decode compressed waveforms.

    Parameters
    ----------
    raw : bytes
    n_leads, n_times : int
        As the document states them; more is not unpacked.
    where : str
        For the messages.

    Returns
    -------
    ndarray of int64, shape (n_leads, n_times)

    Raises
    ------
    FormatError
        If a chunk is cut, has an impossible code, or unpacks to another length.
    """
    leads = []
    offset = 0
    for lead in range(n_leads):
        header = raw[offset : offset + _HEADER]
        size = int.from_bytes(header[:4], "little", signed=True)
        start = int.from_bytes(header[6:], "little", signed=True)
        offset += _HEADER
        if len(header) < _HEADER or size < 1 or offset + size > len(raw):
            raise FormatError(
                f"{where}: compressed lead {lead + 1} of {n_leads} is cut: expected {size} bytes, "
                f"got {max(0, len(raw) - offset)}"
            )
        at = f"{where}: compressed lead {lead + 1}"
        unpacked = unpack_lzw(raw[offset : offset + size], limit=2 * n_times, where=at)
        if len(unpacked) != 2 * n_times or n_times < 2:
            raise FormatError(
                f"{at}: expected {n_times} samples, got {len(unpacked) / 2:g}; the file is damaged"
            )
        leads.append(_samples(unpacked, start))
        offset += size
    return np.stack(leads)


def unpack_lzw(codes: bytes, *, limit: int, where: str) -> bytes:
    """Unpack LZW of 10-bit codes; the table stops growing when it is full.

    Raises
    ------
    FormatError
        If a code is not in the table yet, or there is more than `limit` bytes.
    """
    table = [bytes([byte]) for byte in range(256)]
    found: list[bytes] = []
    n_bytes = 0
    previous = b""
    buffer = n_bits = 0
    for byte in codes:
        buffer = (buffer << 8 | byte) & 0xFFFFF
        n_bits += 8
        if n_bits < CODE_BITS:
            continue
        n_bits -= CODE_BITS
        code = buffer >> n_bits & (1 << CODE_BITS) - 1
        if code > LAST_CODE:
            break
        if code < len(table):
            text = table[code]
        elif code == len(table) and previous:
            text = previous + previous[:1]
        else:
            raise FormatError(f"{where}: impossible code {code}; the file is damaged")
        if previous and len(table) <= LAST_CODE:
            table.append(previous + text[:1])
        n_bytes += len(text)
        if n_bytes > limit:
            raise FormatError(f"{where}: unpacks to more than the {limit} bytes that are stated")
        found.append(text)
        previous = text
    return b"".join(found) + b"\0" * (n_bytes % 2)  # a half word at the end is a whole one


def _samples(unpacked: bytes, start: int) -> NDArray[np.int64]:
    """Words, then the second differences summed twice; 16 bits, wrapping."""
    halves = np.frombuffer(unpacked, dtype=np.uint8).reshape(2, -1).astype(np.uint16)
    words = (halves[0] << 8 | halves[1]).view(np.int16).tolist()
    before, last = words[0], words[1]
    samples = [before, last]
    correction = start
    for word in words[2:]:
        before, last = last, _int16(2 * last - before - correction)
        samples.append(last)
        correction = word - BIAS
    return np.array(samples, dtype=np.int64)


def _int16(number: int) -> int:
    return (number + 0x8000 & 0xFFFF) - 0x8000
