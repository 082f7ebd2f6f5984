# %% [markdown]
# # Phenotypes from fMRI: what does pretraining add to connectivity?
#
# Age, adult or child, sex, and diagnosis with site control: mean and confounds, functional
# connectivity, random weights and Brain-JEPA on the same people, with intervals over people and
# permutation p. The closing sentences are computed from the numbers, also when Brain-JEPA loses.
#
# Without data this runs on **simulated** people with a tiny model: the figures then show that the
# program works and say nothing about brains. For the real thing:
#
#     BIOJEPA_DATA=path/to/fmri python notebooks/fmri_phenotype.py
#
# The same from the command line, with every row: `biojepa benchmark fmri path/to/fmri -o bench`.

# %%
# %matplotlib inline
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from biojepa.fmri.benchmark import BenchmarkSettings, run_benchmark
from biojepa.fmri.benchmark_data import load_cohorts
from biojepa.fmri.benchmark_tasks import make_tasks
from biojepa.fmri.simulate import simulate_cohort
from biojepa.plotting.benchmark import plot_intervals
from biojepa.plotting.predicted import plot_predicted

RESULTS = Path(globals().get("__file__", "notebooks/x")).resolve().parents[1] / "results" / "fmri"
root = os.environ.get("BIOJEPA_DATA")
rows = (
    "chance",
    "site",
    "confounds",
    "fc-ridge",
    "tangent",
    "random-init",
    "jepa-linear",
    "fc-jepa",
)
if root:
    cohorts = load_cohorts(root)
    settings = replace(BenchmarkSettings.quick(), rows=rows)
else:
    cohorts = {"simulated": simulate_cohort(60, n_regions=18, n_times=80, random_state=0)}
    settings = BenchmarkSettings(rows=rows, n_seeds=1, preset="tiny", steps=5, n_resamples=200)

# %% [markdown]
# ## Who is there
# Cohorts may differ in atlas, repetition time and length; one model is pretrained on all of them.

# %%
for cohort in cohorts.values():
    frames = sorted({run.n_times for run in cohort.runs})
    seconds = sorted({round(1 / run.rate_hz, 2) for run in cohort.runs})
    print(f"{cohort.title}: {frames} frames of {seconds} s")
tasks = make_tasks(cohorts)
for own in tasks:
    print(f"- {own.task.title}: {own.task.protocol.text}")

# %% [markdown]
# ## What the labels look like, and what the site gives away
# Where sites differ in their share of a group, the site alone "diagnoses". The row `site` shows how
# far that goes; the measure for diagnosis is the AUC within sites.

# %%
for cohort in cohorts.values():
    if "group" in cohort.table:
        print(pd.crosstab(cohort.table["site"], cohort.table["group"]).to_string())
    if "age" in cohort.table:
        age = cohort.column("age").astype(float)
        print(f"{cohort.name}: age {np.nanmin(age):.0f} to {np.nanmax(age):.0f} years")

# %% [markdown]
# ## The tables
# Everything that is done is kept in `benchmark/`; started again, it goes on. Nobody who is judged
# was seen in the pretraining of the model that judges.

# %%
outcome = run_benchmark(cohorts, Path("benchmark"), settings=settings)
for task, found, _ in outcome.tasks:
    first = task.measures[0]
    table = pd.DataFrame(
        {
            first.title: [str(r.value) for r in found],
            "to the best baseline": [
                "" if r.difference is None else str(r.difference) for r in found
            ],
            **{m.title: [round(r.others[m.name], 3) for r in found] for m in task.measures[1:]},
            "p": [round(r.p, 3) for r in found],
        },
        index=[r.title for r in found],
    )
    print(f"\n{task.title}\n{table.to_string()}")

# %%
task, found, _ = outcome.tasks[0]
plot_intervals(
    [r.title for r in found],
    [r.value.point for r in found],
    [(r.value.low, r.value.high) for r in found],
    reference=next((r.title for r in found if r.difference is None), None),
    ordinary=[r.title for r in found if r.kind != "jepa"],
    label=f"{task.measures[0].title} ({task.unit})",
)

# %% [markdown]
# ## Predicted and true age
# Each dot is a person, predicted by a model that never saw the person.

# %%
plot_predicted(
    task.data.y[task.protocol.test, 0],
    {r.title: r.predictions for r in found if r.name not in ("chance", "site")},
    notes={r.title: f"MAE {r.value.point:.1f}, r {r.others['r']:.2f}" for r in found},
)

# %% [markdown]
# ## What pretraining adds, and to what
# The same people, paired: the network with random weights, and connectivity without a network.

# %%
WORDS = {True: "better than", False: "worse than", None: "not distinguishable from"}


def compare(low: float, high: float, *, larger: bool = False) -> str:
    """What an interval of a difference says; errors are better when smaller."""
    return WORDS[None if low <= 0 <= high else (low > 0) == larger]


for task, found, _ in outcome.tasks:
    titles = {r.name: r.title for r in found}
    print(f"\n{task.title}")
    for r in found:
        for name, gap in r.over.items():
            word = compare(gap.low, gap.high, larger=task.measures[0].larger_is_better)
            print(f"- {r.title} is {word} {titles[name]}: {gap}")

# %% [markdown]
# ## What the model is made of
# Measured on real recordings by `python -m biojepa.fmri.studies NAME`: positions of the regions,
# masks, normalisation, and an atlas that the model has not seen.

# %%
for name in ("positions", "sampler", "normalisation", "new_atlas"):
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        print(f"{path.name} is not there: run the command above")
        continue
    study = json.loads(path.read_text(encoding="utf-8"))
    for part in study.get("atlases", {"": study}).values():
        print(f"\n{name}: {part['probed']}")
        for row in part["rows"]:
            line = f"  {row['variant']}, {row['weights']} weights, {row['reading']}: "
            line += f"MAE {row['mae']['point']:.2f}, r {row['r']:.2f}"
            for key, other in (("over_random", "random weights"), ("over_first", "the first")):
                if key in row:
                    line += f"; {compare(row[key]['low'], row[key]['high'])} {other}"
            print(line)

# %% [markdown]
# ## What it says, and what it does not

# %%
for _, _, verdict in outcome.tasks:
    print(verdict)
print(outcome.overlap)
for limit in outcome.limits:
    print("-", limit)

# %% [markdown]
# The benchmark on development fMRI and ABIDE, as `results/fmri` has it:

# %%
real = json.loads((RESULTS / "full.json").read_text(encoding="utf-8"))
for own in real["tasks"].values():
    print(own["verdict"])
