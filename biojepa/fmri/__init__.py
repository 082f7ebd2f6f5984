"""Brain-JEPA: pretraining, features and predictors for fMRI region series of any atlas."""

from biojepa.fmri import official

__all__ = ["official"]
