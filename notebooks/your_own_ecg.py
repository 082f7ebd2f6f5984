# %% [markdown]
# # Your own ECGs: any leads, any rate, any length
#
# A folder of files and a table of labels is all it takes. Here: two leads at 250 Hz as CSV, and
# **simulated**, so that this runs anywhere. For your own records:
#
#     BIOJEPA_DATA=path/to/folder python notebooks/your_own_ecg.py
#
# The folder holds recordings (WFDB, CSV, NumPy, EDF ...) and `labels.csv` with the columns
# `record` (file name without suffix), `patient_id` and `label`. Files that do not say their rate
# and leads (plain CSV, NumPy) need them in the first cell.

# %%
# %matplotlib inline
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from biojepa.data.files import read_ecg
from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import write_csv_cohort
from biojepa.data.splits import check_no_leakage, patient_folds
from biojepa.ecg import ECGJEPA, ECGClassifier
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation import bootstrap_metric, occlusion_saliency
from biojepa.plotting.embedding import plot_embedding
from biojepa.plotting.saliency import plot_saliency

FS, LEADS = 250, ["I", "II"]
folder = os.environ.get("BIOJEPA_DATA")
if folder is None:
    cohort = simulate_ecg(150, rate_hz=FS, random_state=1)
    two = [cohort.leads.index(lead) for lead in LEADS]
    folder = "simulated_csv"
    write_csv_cohort(replace(cohort, values=cohort.values[:, two], leads=tuple(LEADS)), folder)
    table = pd.read_csv(f"{folder}/labels.csv").rename(columns={"CD": "label"})
    files = [str(Path(folder) / f"{name}.csv") for name in table["record"]]
    preset = "tiny"
else:
    table = pd.read_csv(f"{folder}/labels.csv")
    found = {p.stem: p for p in Path(folder).rglob("*") if p.name != "labels.csv"}
    files = [str(found[str(name)]) for name in table["record"]]
    preset = "small"
y, patients = table["label"].to_numpy(int), table["patient_id"].to_numpy()
print(len(files), "records of", len(set(patients)), "patients,", y.sum(), "positive")

# %% [markdown]
# ## Pretrain without labels
# `scale=True` adds each lead's amplitude in millivolt, which normalisation removes. A shipped or
# saved model can be continued on your records instead: `ECGJEPA(init="my_model", ...)`.

# %%
jepa = ECGJEPA(preset=preset, fs=FS, leads=LEADS, scale=True, random_state=0).fit(files)
print("leads of the model:", jepa.model_config_.leads)
print("RankMe:", round(jepa.history_[-1]["rankme"], 1))
jepa.save_pretrained("my_model")  # weights, preprocessing, leads, what it has seen; no pickle

# %% [markdown]
# ## Features and a probe, out of fold
# The encoder has seen these records without their labels. To judge it on patients it has not seen
# at all, pretrain on the training part alone, or on other records.

# %%
features = jepa.transform(files)
scores = np.empty(len(files))
for train, test in patient_folds(patients, y, n_splits=5, random_state=0):
    check_no_leakage(patients[train], patients[test])
    scores[test] = LinearProbe().fit(features[train], y[train]).decision_function(features[test])
print("AUC:", bootstrap_metric(y, scores, groups=patients, random_state=0))
plot_embedding(features, labels=y[:, None], classes=["label"], title="features (PCA)")

# %% [markdown]
# ## The same through one classifier
# `mode="attentive"` or `"finetune"` train a network instead of a logistic regression.

# %%
classifier = ECGClassifier(encoder=FrozenEstimator(jepa), fs=FS, leads=LEADS, scale=True)
classifier.fit(files[:100], y[:100])
print("probabilities:", classifier.predict_proba(files[100:105])[:, 1].round(2))

# %% [markdown]
# ## A recording with fewer leads, another rate
# Leads go by name. A lead that is missing is an error unless you ask for it to be masked: features
# of fewer leads are another measurement.

# %%
record = simulate_ecg(1, rate_hz=500, random_state=5)
again = ECGJEPA.from_pretrained("my_model").set_params(fs=500, leads=record.leads)
print("12 leads at 500 Hz:", again.transform(record.values).shape)

# %% [markdown]
# ## Where the model looks
# A stretch of one lead is bridged by a straight line: how do the log odds change? Orange speaks for
# the class. It shows what the model used, not where the disease is.

# %%
(first,) = read_ecg(files[0], rate_hz=FS, leads=LEADS)
saliency = occlusion_saliency(
    classifier.decision_function, first.values, patch=round(first.rate_hz / 5)
)
plot_saliency(first.values, first.channels, first.rate_hz, saliency, patch_s=0.2, title="record 1")
