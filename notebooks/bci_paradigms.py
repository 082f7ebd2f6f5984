# %% [markdown]
# # Motor imagery, ERP, SSVEP: is it worth pretraining?
#
# One table for each paradigm: chance with its bound, the baselines that every laboratory would try
# first, EEGNet, and Signal-JEPA with random and with pretrained weights. Every subject is shown,
# and the closing sentences are computed from the numbers, also when Signal-JEPA loses.
#
# Without data this runs on **simulated** people with a tiny model: the figures then show that the
# program works and say nothing about brains. For the real thing, a folder that holds `eegmmidb/`,
# `ssvep_exoskeleton/` and `muse_erp/` as published:
#
#     BIOJEPA_DATA=path/to/eeg python notebooks/bci_paradigms.py
#
# The same from the command line, with every row, and with a network for any dataset of MOABB:
# `biojepa benchmark bci --paradigm mi --dataset BNCI2014_001 -o bench`.

# %%
# %matplotlib inline
import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from biojepa.eeg.benchmark import BCISettings, run_bci_benchmark
from biojepa.eeg.benchmark_data import load_folder, load_simulated
from biojepa.eeg.benchmark_rows import PAIRS
from biojepa.eeg.studies import FOLDERS, TRANSFER
from biojepa.eeg.window_study import plot_window_mask
from biojepa.evaluation.subjects_report import SubjectTable
from biojepa.plotting.subjects import plot_pairs, plot_subjects

RESULTS = Path(globals().get("__file__", "notebooks/x")).resolve().parents[1] / "results" / "bci"
root = os.environ.get("BIOJEPA_DATA")
heads = ("pre-local-full", "contextual-frozen") if root else ("pre-local-full",)
networks = [f"{weights}-{head}" for weights in ("random", "jepa") for head in heads]
settings = BCISettings(rows=("chance", "classical", "eegnet", *networks), n_seeds=1)
if root:
    data = {name: load_folder(name, Path(root) / folder) for name, folder in FOLDERS.items()}
else:
    data = {name: load_simulated(name, n_subjects=2) for name in FOLDERS}
    settings = replace(settings, preset="tiny", steps=4, head_steps=6)

# %% [markdown]
# ## Data, folds, leakage
# Within a subject, a run (or a stretch of time) is judged by a model fitted on the others, so that
# neighbouring trials stand on one side. Across subjects, everybody else is fitted on. The encoder
# of a judged subject was pretrained on the others alone.

# %%
for name, found in data.items():
    print(f"{name}: {found.title}, {len(found.subjects)} subjects, {len(found.channels)} channels")
    for task in found.tasks:
        print(f"  {task.name}: {len(task.trials)} trials of {', '.join(task.trials.classes)}")

# %% [markdown]
# ## The tables
# Everything that is done is kept in `benchmark/`; started again, it goes on. The Muse set has one
# person only: its encoder is the shipped `eeg-small`, of the 64 electrodes of EEGMMIDB.

# %%
outcomes = {}
for name, found in data.items():
    own = settings
    if len(found.subjects) == 1:
        own = replace(settings, encoder=TRANSFER)
    outcomes[name] = run_bci_benchmark(found, Path("benchmark") / name, settings=own)
for outcome in outcomes.values():
    for table in outcome.tables:
        print(f"\n{outcome.title}, {table.task}, {table.text}; bound of chance {table.bound:.3f}")
        lines = {r.title: {**r.subjects, "mean": r.mean} for r in table.results}
        print(pd.DataFrame(lines).T.round(3).to_string())

# %% [markdown]
# ## Every subject
# Dots are subjects, the bar is their mean, the dashed line is what 95 of 100 who guess stay below.
# Drawn here: within subjects, the first task; every table is drawn in `benchmark/*/report.html`.


# %%
def drawn(table: SubjectTable) -> dict:
    """What `plot_subjects` takes of a table."""
    return {
        "rows": {r.title: r.subjects for r in table.results},
        "bound": table.bound,
        "chance": table.chance,
        "label": table.metric,
        "ordinary": [r.title for r in table.results if r.kind != "jepa"],
    }


plot_subjects(**drawn(outcomes["mi"].tables[0]))

# %%
plot_subjects(**drawn(outcomes["erp"].tables[0]))

# %%
plot_subjects(**drawn(outcomes["ssvep"].tables[0]))

# %% [markdown]
# ## What pretraining gives
# The same network with random weights is the control: beating chance proves nothing about JEPA.

# %%
for outcome in outcomes.values():
    for table in outcome.tables:
        for panel, gap in table.gaps().items():
            print(f"{outcome.title}, {table.task}, {table.evaluation} subjects: {panel}: {gap}")
first = outcomes["mi"].tables[0]
by_name = {r.name: r.subjects for r in first.results}
pairs = {p: (by_name[a], by_name[b]) for p, a, b in first.pairs if p in first.gaps()}
plot_pairs(pairs, names=("random", "pretrained"), bound=first.bound, label=first.metric)

# %% [markdown]
# ## What was measured on the recordings
# The results of `python -m biojepa.eeg.studies benchmarks` that come with the program, with every
# row; `docs/eeg.md` has them as tables. In `ssvep_transfer` and `erp` the encoder is `eeg-small`.


# %%
def measured(name: str) -> dict:
    """A committed result."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


for name in ("mi", "ssvep", "ssvep_transfer", "erp"):
    found = measured(name)
    print(f"\n{name}: {found['facts']['settings']['n_seeds']} seed(s)")
    for table in found["tables"]:
        print("-", table["verdict"])
        for panel, gap in table["pretrained_over_random"].items():
            print(
                f"    {panel}: pretrained over random {gap['mean']:+.3f} ({gap['low']:+.3f} to "
                f"{gap['high']:+.3f}), above in {gap['n_above']} of {len(gap['by_subject'])}"
            )

# %%
table = measured("mi")["tables"][0]
means = {
    row["name"]: {who: sum(scores) / len(scores) for who, scores in row["by_subject"].items()}
    for row in table["rows"]
}
pairs = {panel: (means[a], means[b]) for panel, a, b in PAIRS}
plot_pairs(pairs, names=("random", "pretrained"), bound=table["bound"], label=table["metric"])

# %% [markdown]
# ## Window and mask
# S-JEPA's own question, measured by `python -m biojepa.eeg.studies window-mask` on EEGMMIDB.

# %%
plot_window_mask(measured("window_mask"))

# %% [markdown]
# ## What it says, and what it does not

# %%
for outcome in outcomes.values():
    for table in outcome.tables:
        print(table.verdict)
    print(f"Pretraining: {outcome.overlap}.")
    for limit in outcome.limits:
        print("-", limit)
