"""Brain-JEPA: pretraining, features and predictors for fMRI region series of any atlas."""

from biojepa.fmri import official
from biojepa.fmri.classifier import BrainClassifier
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.gradients import BrainGradients
from biojepa.fmri.regressor import BrainRegressor

__all__ = ["BrainClassifier", "BrainGradients", "BrainJEPA", "BrainRegressor", "official"]
