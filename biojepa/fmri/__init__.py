"""Brain-JEPA: pretraining, features and predictors for fMRI region series of any atlas."""

from biojepa.fmri import official
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.gradients import BrainGradients

__all__ = ["BrainGradients", "BrainJEPA", "official"]
