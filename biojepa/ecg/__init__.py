"""ECG-JEPA: pretraining, features and classifiers for 12-lead and reduced-lead ECG."""

from biojepa.ecg import official, ptbxl
from biojepa.ecg.classifier import ECGClassifier
from biojepa.ecg.estimator import ECGJEPA

__all__ = ["ECGJEPA", "ECGClassifier", "official", "ptbxl"]
