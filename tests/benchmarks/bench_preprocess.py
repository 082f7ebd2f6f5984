"""From a WFDB record to a window for the model: `python -m tests.benchmarks.bench_preprocess`.

200 records of 12 leads x 10 s in the page cache, read and prepared one after the other with the
published recipe (constants of a dataset, clipping, leads by name): `read_wfdb` with checksums and
`ECGPreprocess.paper` against `wfdb.rdrecord` and the plain form of the published preprocessing. At
500 Hz, which is that of most databases, and at 400 Hz with FFT resampling. One thread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from biojepa.data.leads import STANDARD_12, arrange_leads
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.preprocess import ECGPreprocess
from tests.benchmarks import straightforward_preprocess as plain
from tests.benchmarks.measure import alternate, bar, ratio, report, seconds
from tests.benchmarks.synthetic import write_records

N_RECORDS, TARGET = 200, 10
MEAN, STD = (0.01,) * 12, (0.3,) * 12
ROAD = ECGPreprocess.paper(LeadStats(STANDARD_12, MEAN, STD))
KINDS = {"500 Hz": 500, "400 Hz, resampled": 400}


def ours(path: str) -> np.ndarray:
    """One window (12, 5000) of float32, our way."""
    recording = read_wfdb(path)
    values, present = arrange_leads(recording.values, recording.channels, ROAD.leads)
    return ROAD(values, recording.rate_hz, present=present).values[:, : plain.WINDOW]


def straightforward(path: str) -> np.ndarray:
    """One window (12, 5000) of float32, the plain published way."""
    x, rate_hz, have = plain.read_record(path.removesuffix(".hea"))
    return plain.sample(plain.prepare(x, rate_hz, have, STANDARD_12, MEAN, STD))


def times(folder: Path) -> dict[str, list]:
    """Seconds per record of both ways, in alternation."""
    paths = [str(path) for path in sorted(folder.glob("*.hea"))]

    def each(way: Callable[[str], np.ndarray]) -> Callable[[], float]:
        def one_after_the_other() -> None:
            for path in paths:
                way(path)

        one_after_the_other()  # imports, caches, pages
        return lambda: seconds(one_after_the_other) / len(paths)

    return alternate({"wfdb and published": each(straightforward), "ours": each(ours)})


def main() -> dict:
    """Measure and report."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[list] = [["us a record", "wfdb and published", "ours", "ratio"]]
    figures, ratios = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for kind, rate_hz in KINDS.items():
            folder = Path(name, str(rate_hz))
            write_records(folder, N_RECORDS, n_times=10 * rate_hz, rate_hz=rate_hz)
            found = times(folder)
            faster = ratio(found["wfdb and published"], found["ours"])
            figures[kind] = {way: [s * 1e6 for s in values] for way, values in found.items()}
            figures[kind]["faster"] = faster
            medians = [float(np.median(values) * 1e6) for values in found.values()]
            rows.append([kind, *medians, faster["median"]])
            label = f"reading and preparing over wfdb and published, {kind}"
            ratios[label] = bar(faster["median"], TARGET, applies=rate_hz == 500)
    result = {"us_per_record": figures, "ratios": ratios}
    written = report("bench_preprocess", "Reading and preparing", rows, result)
    torch.set_num_threads(before)
    return written


if __name__ == "__main__":
    main()
