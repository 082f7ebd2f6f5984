"""Metrics, bootstrap intervals and what a benchmark table is made of."""

from biojepa.evaluation.bootstrap import BootstrapResult, bootstrap_metric
from biojepa.evaluation.calibration import expected_calibration_error, fit_temperature, reliability
from biojepa.evaluation.label_efficiency import nested_subsets
from biojepa.evaluation.metrics import auprc, brier, macro_auc, per_class_auc
from biojepa.evaluation.occlusion import occlusion_saliency
from biojepa.evaluation.perturbations import PERTURBATIONS
from biojepa.evaluation.thresholds import f1_per_class, f1_thresholds

__all__ = [
    "PERTURBATIONS",
    "BootstrapResult",
    "auprc",
    "bootstrap_metric",
    "brier",
    "expected_calibration_error",
    "f1_per_class",
    "f1_thresholds",
    "fit_temperature",
    "macro_auc",
    "nested_subsets",
    "occlusion_saliency",
    "per_class_auc",
    "reliability",
]
