"""Signal-JEPA: pretraining, features and classifiers for EEG of any montage."""

from biojepa.eeg import masking, official
from biojepa.eeg.classifier import SignalJEPAClassifier
from biojepa.eeg.estimator import SignalJEPA

__all__ = ["SignalJEPA", "SignalJEPAClassifier", "masking", "official"]
