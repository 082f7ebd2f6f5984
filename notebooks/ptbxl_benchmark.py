# %% [markdown]
# # PTB-XL: is it worth pretraining?
#
# One table: chance, random weights, classical beat features, and JEPA, on the same patients, with
# intervals and every seed. The closing sentence is computed from the numbers, also when JEPA loses.
#
# Without data this runs on **simulated** ECGs with a tiny model: the figures then show that the
# program works and say nothing about patients. For the real thing:
#
#     BIOJEPA_DATA=path/to/ptb-xl python notebooks/ptbxl_benchmark.py
#
# (`BIOJEPA_PRETRAIN=path` names more records to pretrain on.) The same from the command line, with
# every row: `biojepa benchmark ptbxl path/to/ptb-xl -o bench --label-efficiency --robustness`.

# %%
# %matplotlib inline
import json
import os
from pathlib import Path

import pandas as pd

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.benchmark import BenchmarkSettings, run_benchmark
from biojepa.ecg.benchmark_data import load_ptbxl, load_unlabelled, simulated_data
from biojepa.evaluation.protocol import make_protocol
from biojepa.plotting.benchmark import plot_intervals, plot_label_efficiency, plot_robustness

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
RESULTS = HERE.parent / "results"
root, more = os.environ.get("BIOJEPA_DATA"), os.environ.get("BIOJEPA_PRETRAIN")
rows = ("chance", "random-init", "beats-lr", "jepa-linear", "jepa-scale", "jepa-beats")
if root:
    data = load_ptbxl(root)
    settings = BenchmarkSettings(rows=rows, label_efficiency=True, robustness=True)
else:
    data = simulated_data(simulate_ecg(120, rate_hz=100, random_state=0))
    settings = BenchmarkSettings(
        rows=rows,
        n_seeds=1,
        preset="tiny",
        label_efficiency=True,
        robustness=True,
        n_draws=2,
        n_resamples=200,
    )
pretraining = load_unlabelled(more) if more else None

# %% [markdown]
# ## Data, split, leakage
# No patient is on both sides of a split, and nobody who is judged was seen in pretraining: that is
# an error (`LeakageError`), not a footnote.

# %%
labelled = data.labelled
print(data.title, "-", len(data), "records of", len(set(labelled.groups)), "patients")
for name, count in zip(labelled.classes, labelled.y.sum(0), strict=True):
    print(f"  {name}: {count:.0f} positive")
print(make_protocol(labelled.y, labelled.groups, folds=data.folds).text)

# %% [markdown]
# ## The table
# Everything that is done is kept in `benchmark/`; started again, it goes on.

# %%
outcome = run_benchmark(data, Path("benchmark"), settings=settings, pretraining=pretraining)
table = pd.DataFrame(
    {
        "AUC": [str(r.auc) for r in outcome.results],
        "difference": ["" if r.difference is None else str(r.difference) for r in outcome.results],
        "seeds": [", ".join(f"{a:.3f}" for a in r.seed_auc) for r in outcome.results],
        "AUPRC": [round(r.auprc, 3) for r in outcome.results],
        "F1": [round(r.f1, 3) for r in outcome.results],
        "ECE": [round(r.ece_scaled, 3) for r in outcome.results],
    },
    index=[r.title for r in outcome.results],
)
print(table.to_string())
plot_intervals(
    list(table.index),
    [r.auc.point for r in outcome.results],
    [(r.auc.low, r.auc.high) for r in outcome.results],
    seeds=[r.seed_auc for r in outcome.results],
)

# %% [markdown]
# ## Few labels
# Nested subsets of patients, stratified, with two positives of every class; fractions too small for
# that are left out.

# %%
curves = {
    name: [(point.fraction, point.auc) for point in points]
    for name, points in outcome.labels.items()
}
plot_label_efficiency(curves, n_records=outcome.n_train)

# %% [markdown]
# ## Disturbed recordings
# The models are fitted on undisturbed records.

# %%
plot_robustness(outcome.robustness)

# %% [markdown]
# ## How much to mask
# Measured on real recordings by `python -m biojepa.ecg.studies mask-ratio` (preset `small`, 1,783
# unlabelled PTB-XL records, probe on 350 others). The publication keeps 15 to 25 %, that is, masks
# about 0.8.


# %%
def measured(name: str) -> dict | None:
    """Results of a committed command, or None if it was not run in this checkout."""
    path = RESULTS / name
    if not path.is_file():
        print(f"{name} is not there: run the command above")
        return None
    return json.loads(path.read_text(encoding="utf-8"))


if (found := measured("ecg_mask_ratio.json")) is not None:
    random = found["random"]
    print(f"random weights: {sum(random) / len(random):.3f}")
    for row in found["rows"]:
        mean, gap = sum(row["auc"]) / len(row["auc"]), row["difference"]
        seeds = ", ".join(f"{a:.3f}" for a in row["auc"])
        print(
            f"masked {row['masked']:g}: {mean:.3f} ({seeds}); to random weights "
            f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        )

# %% [markdown]
# ## Which diagnostic tells good features without labels?
# Spearman's rank correlation with the probe's AUC over the checkpoints of three runs, measured by
# `python -m biojepa.ecg.studies diagnostics`. Within a run, time moves both: read the signs, and
# trust a probe on a few labels more than any of them.

# %%
if (found := measured("ecg_diagnostics.json")) is not None:
    rho = {
        name: {run: cell["rho"] for run, cell in runs.items()}
        for name, runs in found["spearman"].items()
    }
    print(pd.DataFrame(rho).T.round(2).to_string())

# %% [markdown]
# ## What it says, and what it does not

# %%
print(outcome.verdict)
print(outcome.overlap)
for limit in outcome.limits:
    print("-", limit)
