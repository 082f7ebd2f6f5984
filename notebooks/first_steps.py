# %% [markdown]
# # First steps: from recordings to features and a classifier
#
# Simulated 12-lead ECGs, so that this runs anywhere in a minute. They carry no clinical meaning.
# For your own recordings replace the first cell:
#
#     X = "folder/of/wfdb/files"          # or a list of files, an array, a store
#     y = ...                             # one label a record (or 0/1 columns)
#     patients = ...                      # one patient a record

# %%
# %matplotlib inline
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA
from biojepa.plotting.ecg_paper import PatchShading, plot_ecg

cohort = simulate_ecg(300, rate_hz=250, random_state=0)
X, leads, patients = cohort.values, cohort.leads, cohort.patient_id
y = cohort.y[:, list(cohort.classes).index("CD")]

# %% [markdown]
# Pretrain without labels. `preset="tiny"` takes seconds; use `"small"` for real work.

# %%
jepa = ECGJEPA(preset="tiny", fs=250, leads=leads, scale=True, random_state=0).fit(X)
features = jepa.transform(X)
print(features.shape, "last RankMe:", round(jepa.history_[-1]["rankme"], 1))

# %% [markdown]
# Probe the frozen features; no patient is on both sides of a split.

# %%
probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
scores = cross_val_score(probe, features, y, groups=patients, cv=GroupKFold(5), scoring="roc_auc")
print("AUC conduction disturbance:", scores.mean().round(3))

# %% [markdown]
# What the model sees: one record on ECG paper with context and target patches.

# %%
plan = jepa.jepa_.sampler(1, np.random.default_rng(0))[0]
patch_s = jepa.model_config_.patch / jepa.model_config_.rate_hz
shading = PatchShading(patch_s, plan.context[0].tolist(), plan.targets[0][0].tolist())
plot_ecg(X[0], leads, 250, patches=shading)
