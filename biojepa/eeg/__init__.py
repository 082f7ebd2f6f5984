"""Signal-JEPA: pretraining, features and classifiers for EEG of any montage."""

from biojepa.eeg import masking, official

__all__ = ["masking", "official"]
